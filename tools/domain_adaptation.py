"""Measures methods of domain adaptation on pairs of domains, beside a tuned head on the source and an oracle.

    python tools/domain_adaptation.py [--folder=runs/domains] [--only=PAIR|PAIR] [--methods=dann|coral] [--seeds=0,1,2]

A run learns from the labels of the source and from rows of the target without theirs; it is judged on test rows
of the target. Its epoch is chosen on validation rows of the source; settings are the defaults. `source only` is
the tuned light head on the frozen features (--baseline=probe), `oracle` the same head on the labels of the
target's other rows. Prints the mean accuracy over seeds, each with splits of its own, and the paired
difference from `source only` in points. Measurements are kept in FOLDER/domains.jsonl.
"""

import argparse
import pathlib
import shutil

import measuring
import numpy as np

from tltf.evaluation.report import folds

TEXTS = ["--backbone=minilm_l6", "--text_length=48"]
IMAGES = ["--backbone=efficientnet_lite0", "--image_size_px=96"]
SIZES = "num_train=1500"


def texts(source, target):
    """The flags of a pair of domains of vader."""
    return [f"--data=vader(domain={source})", f"--target_data=vader(domain={target})", *TEXTS]


PAIRS = {
    "movie > amazon": [*texts("movie", "amazon"), "--limit=3000"],
    "amazon > movie": texts("amazon", "movie"),
    "movie > tweets": [*texts("movie", "tweets"), "--limit=3000"],
    "nyt > movie": texts("nyt", "movie"),
    "digits > mnist": ["--data=digits", "--target_data=mnist_5k", *IMAGES],
    "mnist > digits": ["--data=mnist_5k", "--target_data=digits", "--limit=2500", *IMAGES],
}
METHODS = ["self_training", "coral", "dan", "dann", "cdan", "mcc", "afn"]
BASELINES = {"light_head": "source only", "oracle": "oracle"}


def measure(folder, pair, method, seed):
    """Name -> test accuracy on the target: of the method, of `source only` and of the oracle."""
    also = ["--split=holdout(test=.3)", "--baseline=probe|oracle", "--noexport", "--explain=none"]
    also += ["--nonear_duplicates", "--quiet", "--calibrate=none"]
    shutil.rmtree(folder / "run", ignore_errors=True)
    flags = [*PAIRS[pair], f"--method={method}", f"--seed={seed}", *also]
    report = measuring.train(folder, "run", *flags)
    found = {method: report["test"]["accuracy"]}
    for name, title in BASELINES.items():
        found[title] = report["baselines"][name]["test"]["accuracy"]
    return found


def row_of(pair, name, values, base):
    """A row of the table."""
    bounds = folds.mean_interval(values, folds.DRAWS) or [values[0]] * 2
    shown = measuring.interval_text(np.mean(values), bounds)
    if name == "source only":
        return [pair, name, shown, ""]
    gaps = 100 * (np.array(values) - np.array(base))
    around = folds.mean_interval(gaps.tolist(), folds.DRAWS)
    text = f"{gaps.mean():+.1f}" + (f" ({around[0]:+.1f} to {around[1]:+.1f})" if around else "")
    return [pair, name, shown, text]


def main():
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/domains")
    parser.add_argument("--only", default="|".join(PAIRS))
    parser.add_argument("--methods", default="|".join(METHODS))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    notebook, table = measuring.Notebook(folder / "domains.jsonl"), []
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for pair in options.only.split("|"):
        found = {}
        for method in options.methods.split("|"):
            for seed in seeds:
                given = folder, pair, method, seed
                row = notebook.get(f"{pair} {method} {seed}", lambda g=given: measure(*g))
                for name, value in row.items():
                    found.setdefault(name, {})[seed] = value
        order = ["source only", *options.methods.split("|"), "oracle"]
        base = [found["source only"][seed] for seed in seeds]
        table += [row_of(pair, name, [found[name][s] for s in seeds], base) for name in order]
    header = ["pair", "method", "accuracy on the target", "method - source only, points"]
    print(measuring.table(header, table))


if __name__ == "__main__":
    main()
