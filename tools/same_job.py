"""The job of docs/python.md, a frame of film reviews, done by tltf and by AutoGluon: accuracies and times.

    python tools/same_job.py tltf
    python tools/same_job.py autogluon [--time_limit=240]   # pip install "autogluon.tabular[lightgbm]"

Both train on the same 2,500 rows and are judged on the same 2,000. AutoGluon may be in an environment
of its own: `python tools/same_job.py write` writes the two tables that it reads.
"""

import argparse
import pathlib
import time

FOLDER = pathlib.Path("runs/same_job")
DATA = "vader(domain=movie, num_train=2000, num_test=2000)"


def write_tables():
    """Writes train.csv and test.csv of the job."""
    import pandas

    from tltf.data import loader

    source = loader.load(DATA)
    frame = pandas.DataFrame(
        {
            "review": list(source.column.values),
            "stars": [source.class_names[label] for label in source.labels],
        }
    )
    is_test = source.roles == "test"
    FOLDER.mkdir(parents=True, exist_ok=True)
    frame[~is_test].to_csv(FOLDER / "train.csv", index=False)
    frame[is_test].to_csv(FOLDER / "test.csv", index=False)


def run_tltf(train, test):
    """The accuracy of tltf's two lines."""
    import tltf

    result = tltf.fit(train, text="review", label="stars", backbone="minilm_l6")
    return tltf.judge(result, test).metrics["accuracy"]


def run_autogluon(train, test, time_limit):
    """The accuracy of AutoGluon's two lines."""
    from autogluon.tabular import TabularPredictor

    path = str(FOLDER / "autogluon")
    predictor = TabularPredictor(label="stars", path=path).fit(train, time_limit=time_limit)
    return predictor.evaluate(test)["accuracy"]


def main():
    """Does the job that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("write", "tltf", "autogluon"))
    parser.add_argument("--time_limit", type=int, default=240, help="AutoGluon's, in seconds")
    given = parser.parse_args()
    if given.what == "write" or not (FOLDER / "test.csv").exists():
        write_tables()
    if given.what == "write":
        return
    import pandas

    tables = [pandas.read_csv(FOLDER / f"{name}.csv") for name in ("train", "test")]
    start = time.monotonic()
    if given.what == "tltf":
        accuracy = run_tltf(*tables)
    else:
        accuracy = run_autogluon(*tables, given.time_limit)
    print(f"{given.what}: accuracy {accuracy:.3f}, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
