"""What an update keeps and learns: two classes of digits are added to a run that knows eight.

    python tools/updating.py [--seeds=3] [--folder=runs/updating]

For each seed a small network is trained on the digits 0 to 7 and then updated (tltf.update) with 240 rows of
the digits 8 and 9, with different amounts of replay. The opponent is the same network trained anew on all
rows of both. Accuracies are of the old test rows and of the new ones. It prints a table: medians over the
seeds, with the lowest and the highest.
"""

import argparse
import json
import pathlib
import statistics

import measuring
import numpy as np
from sklearn.datasets import load_digits

import tltf
from tltf import update
from tltf.data import run_data
from tltf.data.sources import replay

REPLAYS = (0.2, 1, 3)
NEW_CLASSES, NUM_NEW = (8, 9), 240
FLAGS = {
    "backbone": "small_cnn(filters=[16, 32])",
    "image_size_px": 16,
    "train_epochs": 20,
    "batch_size": 16,
    "learning_rate": 0.003,
    "baseline": "none",
    "quiet": True,
}
HEADER = ["run", "old test rows", "new test rows", "published", "seconds"]


def write_data(folder):
    """`(old, new)`: call strings of the digits 0 to 7, and of 240 rows of 8 and 9."""
    digits, found = load_digits(), []
    is_new = np.isin(digits.target, NEW_CLASSES)
    for name, rows in (("old", ~is_new), ("new", is_new)):
        places = np.flatnonzero(rows)[: NUM_NEW if name == "new" else None]
        pixels = (digits.images[places, :, :, None] * 15).astype(np.uint8)
        labels = np.array([f"digit_{label}" for label in digits.target[places]])
        np.savez(folder / f"{name}.npz", x=pixels, y=labels)
        found.append(f"numpy(path='{(folder / name).resolve()}.npz')")
    return found


def accuracies(run):
    """`[old, new]`: the accuracies of a run on the old and on the new rows of its test split."""
    part, trained = run_data.load_parts(str(run)).test, tltf.load(run)
    is_right = trained.scores(part).argmax(axis=1) == part.labels
    is_new = replay.is_new(part)
    return [float(is_right[~is_new].mean()), float(is_right[is_new].mean())]


def measure(folder, seed):
    """Name of a run -> `[old accuracy, new accuracy, published, seconds]`."""
    folder.mkdir(parents=True, exist_ok=True)
    old, new = write_data(folder)
    flags = FLAGS | {"seed": seed, "method": "scratch", "overwrite": True}
    first = folder / "in_use"
    deployed = tltf.fit(old, output=first, **flags).report.report
    found = {"in use": [deployed.test.score("accuracy"), 0.0, "", deployed.time_s["total"]]}
    for amount in REPLAYS:
        run = folder / f"replay_{amount}"
        arguments = [f"--run={first}", f"--data={new}", f"--output={run}", f"--replay={amount}"]
        code = update.main([*arguments, f"--seed={seed}", "--overwrite", "--publish=none"])
        rows = json.loads((run / "update.json").read_text())["rows"]
        scores = [rows[name]["after"]["accuracy"] for name in ("old", "new")]
        report = json.loads((run / "report.json").read_text())
        found[f"update, replay={amount}"] = [*scores, code == 0, report["time_s"]["total"]]
    data = f"with_replay(run={first}, data={new}, replay=1000)"
    again = tltf.fit(data, output=folder / "anew", **flags).report.report
    found["anew on all rows"] = [*accuracies(folder / "anew"), "", again.time_s["total"]]
    return found


def spread(values):
    """`0.95 (0.93 to 0.97)`."""
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main():
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--folder", default=str(measuring.ROOT / "runs" / "updating"))
    chosen = parser.parse_args()
    seeds = range(chosen.seeds)
    measured = [measure(pathlib.Path(chosen.folder) / str(seed), seed) for seed in seeds]
    rows = []
    for name in measured[0]:
        old, new, published, seconds = zip(*(found[name] for found in measured), strict=True)
        times = f"{sum(published)} of {len(published)}" if published[0] != "" else ""
        rows.append([name, spread(old), spread(new), times, f"{statistics.median(seconds):.0f}"])
    print(measuring.table(HEADER, rows))


if __name__ == "__main__":
    main()
