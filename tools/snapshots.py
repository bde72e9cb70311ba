"""Measures the snapshots of one training beside the same training with one fall of the rate, and prints the table.

    python tools/snapshots.py [--folder=runs/snapshots] [--only=movie,fashion] [--epochs=9] [--falls=3] [--seeds=3]
        [--first=0] [--minutes=30]

A seed draws the rows and the order of the batches. Both trainings are lp_ft for so many --epochs; the second has so many --falls
and keeps its last epoch, which is the last of its snapshots; these are joined by their plain mean and by greedy selection. `one fall`,
from which differences are, keeps its best epoch on validation. Prints means over seeds with Student's 95% intervals. Runs are kept in
FOLDER, where an interrupted script goes on; the numbers are in FOLDER/snapshots.jsonl. After --minutes no new seed begins.
"""

import argparse
import functools
import json
import pathlib
import subprocess
import sys
import time

import few_label_runs
import measuring
import numpy as np

ROWS = "num_validation=200, num_test=1000"
CASES = {
    "movie": [
        f"--data=vader(domain=movie, num_train=400, {ROWS})",
        "--backbone=minilm_l6",
        "--text_length=48",
    ],
    "fashion": [
        f"--data=fashion_mnist(num_train=300, {ROWS})",
        "--backbone=efficientnet_lite0",
        "--image_size_px=96",
    ],
}
ALSO = ["--explain=none", "--baseline=none", "--noexport"]
ONE = "one fall"


def joined(folder, run, combine):
    """The report of the ensemble of the snapshots of a run, as a dict."""
    output = folder / f"{run}_{combine}"
    if not (output / "report.json").exists():
        flags = ["--snapshots", f"--combine={combine}", "--noexport", f"--output={output}"]
        command = [sys.executable, "-m", "tltf.ensemble", str(folder / run), *flags]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return json.loads((output / "report.json").read_text(encoding="utf-8"))


def measure(folder, case, seed, epochs, falls):
    """The row of a case and a seed: name -> test accuracy, and the loss."""
    given = [*CASES[case], *ALSO, f"--seed={seed}", "--method=lp_ft", f"--train_epochs={epochs}"]
    given.append("--schedule=cosine")
    runs = f"{case}_{seed}_{epochs}_1", f"{case}_{seed}_{epochs}_{falls}"
    reports = {
        ONE: measuring.train(folder, runs[0], *given),
        "several falls": measuring.train(
            folder, runs[1], *given, f"--snapshots={falls}", "--keep=last"
        ),
        "mean of snapshots": joined(folder, runs[1], "mean"),
        "greedy of snapshots": joined(folder, runs[1], "greedy"),
    }
    kept = ("accuracy", "loss")
    return {name: {key: report["test"][key] for key in kept} for name, report in reports.items()}


def main():
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/snapshots")
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--falls", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=np.inf)
    options = parser.parse_args()
    folder, ends = pathlib.Path(options.folder).resolve(), time.monotonic() + 60 * options.minutes
    notebook, found = measuring.Notebook(folder / "snapshots.jsonl"), {}
    for seed in range(options.first, options.first + options.seeds):
        for case in options.only.split(","):
            key = f"{case} {seed} {options.epochs} {options.falls}"
            if key in notebook or time.monotonic() < ends:
                given = folder, case, seed, options.epochs, options.falls
                row = notebook.get(key, functools.partial(measure, *given))
                found.setdefault(case, []).append({k: v for k, v in row.items() if k != "key"})
    lines = []
    for case, rows in found.items():
        for name in rows[0]:
            accuracy, loss = ([row[name][key] for row in rows] for key in ("accuracy", "loss"))
            gains = np.array(accuracy) - [row[ONE]["accuracy"] for row in rows]
            points = "" if name == ONE else few_label_runs.points(list(gains))
            cells = f"{np.mean(accuracy):.3f}", points, f"{np.mean(loss):.3f}"
            lines.append([case, name, str(len(rows)), *cells])
    header = ["data", "model", "seeds", "accuracy", f"- {ONE}, points", "loss"]
    print(measuring.table(header, lines))


if __name__ == "__main__":
    main()
