"""Measures a preset beside flags that were written by hand, on four data sets, and prints the table.

    python tools/presets.py [--folder=runs/presets] [--only=movie,fashion,digits,emoji] [--budget_minutes=10]
        [--preset=good] [--seeds=1] [--first=0] [--minutes=60]

A seed draws the rows, the same for all. The preset is given the data alone and --budget_minutes; it knows neither the
network nor the size of its input. By hand are the flags of BY_HAND, which name the usual network: the one that is best on
validation rows counts (of several, the one that is best on test rows), and beside it the one that is best on test rows, which nobody knows. Prints test accuracies,
with the paired difference over test rows and its 95% interval, and the minutes that each took; those of the flags by hand
are the sum of all. Runs are kept in FOLDER, where an interrupted script goes on; the numbers are in
FOLDER/presets.jsonl. After so many --minutes no further run begins.
"""

import argparse
import csv
import functools
import pathlib
import time

import measuring
import numpy as np

from tltf.evaluation import held_out

ROWS = "num_train=800, num_validation=200, num_test=1000"
DATA = {
    "movie": f"vader(domain=movie, {ROWS})",
    "fashion": f"fashion_mnist({ROWS})",
    "digits": "digits(num_train=800, num_validation=200, num_test=750)",
    "emoji": "emoji(num_train=600, num_validation=150, num_test=400)",
}
TEXTS = ["--backbone=minilm_l6"]
IMAGES = ["--backbone=efficientnet_lite0", "--image_size_px=96"]
BY_HAND = {
    "probe": ["--method=probe"],
    "lp_ft": ["--method=lp_ft"],
    "lp_ft, 8 epochs": ["--method=lp_ft", "--train_epochs=8", "--warmup_fraction=.1"],
    "full, 8 epochs": ["--method=full", "--train_epochs=8"],
}
PRESET = "preset"


def run_of(folder, case, seed, name, flags):
    """The row of one run: its test accuracy, validation accuracy, which test rows are right, its minutes and its method."""
    run = f"{case}_{seed}/{name.replace(', ', '_').replace(' ', '_')}"
    also = ["--explain=none", "--baseline=none", f"--seed={seed}"]
    began = time.monotonic()
    report = measuring.train(folder, run, f"--data={DATA[case]}", *flags, *also)
    minutes = (time.monotonic() - began) / 60
    with (folder / run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["id"])
    right = [row["true_label"] == row["predicted_label"] for row in rows]
    return {
        "accuracy": float(np.mean(right)),
        "validation": report["validation"]["accuracy"],
        "right": "".join(map(str, map(int, right))),
        "minutes": minutes,
        "backbone": report["options"]["backbone"],
        "method": report["options"]["method"],
        "tried": len(report["tried"]["rows"]) if report.get("tried") else 0,
    }


def rights(row):
    """bool[N]: which test rows a run has right."""
    return np.array([char == "1" for char in row["right"]])


def line_of(title, preset, hand):
    """The cells of a data set and a seed."""
    chosen = max(hand, key=lambda name: (hand[name]["validation"], hand[name]["accuracy"]))
    best = max(hand, key=lambda name: hand[name]["accuracy"])
    gap = held_out.compare(rights(preset), rights(hand[chosen]))
    return [
        title,
        f"`{preset['backbone']}`, `{preset['method']}`",
        f"{preset['accuracy']:.3f}",
        f"{preset['minutes']:.1f}",
        f"{chosen}: {hand[chosen]['accuracy']:.3f}",
        f"{100 * gap.value:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})",
        f"{best}: {hand[best]['accuracy']:.3f}",
        f"{sum(row['minutes'] for row in hand.values()):.1f}",
    ]


def main():
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/presets")
    parser.add_argument("--only", default=",".join(DATA))
    parser.add_argument("--budget_minutes", type=float, default=10.0)
    parser.add_argument("--preset", default="good")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=np.inf)
    options = parser.parse_args()
    folder, ends = pathlib.Path(options.folder).resolve(), time.monotonic() + 60 * options.minutes
    notebook, table = measuring.Notebook(folder / "presets.jsonl"), []
    kind = "" if options.preset == "good" else f"{options.preset} "
    preset = f"{PRESET} {kind}{options.budget_minutes:g}"
    for seed in range(options.first, options.first + options.seeds):
        for case in options.only.split(","):
            usual = TEXTS if case == "movie" else IMAGES
            jobs = {
                preset: [
                    f"--preset={options.preset}",
                    f"--budget_minutes={options.budget_minutes:g}",
                ]
            }
            jobs |= {name: [*usual, *flags] for name, flags in BY_HAND.items()}
            found = {}
            for name, flags in jobs.items():
                key, given = f"{case} {seed} {name}", (folder, case, seed, name, flags)
                if key in notebook or time.monotonic() < ends:
                    found[name] = notebook.get(key, functools.partial(run_of, *given))
            if len(found) == len(jobs):
                table.append(line_of(f"{case}, {seed}", found.pop(preset), found))
                print(*table[-1], sep=" | ", flush=True)
    header = [
        "data, seed",
        f"{options.preset} in {options.budget_minutes:g} minutes",
        "test",
        "minutes",
    ]
    header += [
        "best by hand on validation",
        "difference, points",
        "best by hand on test",
        "minutes",
    ]
    print(measuring.table(header, table))


if __name__ == "__main__":
    main()
