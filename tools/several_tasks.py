"""Measures one network with several heads beside a network per task, and prints what each reaches.

    python tools/several_tasks.py [--folder=runs/several_tasks] [--only='texts|texts, by uncertainty'] [--seeds=5] [--pairs=8]

Each seed draws the splits anew; the joint run and the runs of single tasks train on the same rows, with the
same method, epochs and rates, which are those that `auto` chooses for a single task. The score of a task is 100
times the accuracy of classes, or 100 R^2 of numbers, on test rows. `mean` is over the tasks; a network per task has
as many times the parameters as there are tasks. The gate: the mean of the joint run is at most half a
point below that of single runs. Measurements are kept in FOLDER/several_tasks.jsonl; --pairs ends a call
after so many new ones, since a call may have to be short.
"""

import argparse
import csv
import pathlib
import sys

import measuring
import numpy as np

from tltf.data import loader
from tltf.evaluation.report import folds

GATE = -0.5
"""The largest loss of the mean over tasks that is allowed, in points."""
METRICS = {"accuracy": 100.0, "r2": 100.0}
SHORT = ["--noexport", "--baseline=none", "--explain=none", "--near_duplicates=false"]
FULL = ["--method=full", *SHORT]
TEXTS = ["--backbone=minilm_l6", "--text_length=32", "--train_epochs=4", "--batch_size=32"]
CASES = {
    "texts": (["rating: regress", "domain: classify"], [*TEXTS, *FULL]),
    "texts, equal weights": (
        ["rating: regress", "domain: classify", "weights: equal"],
        [*TEXTS, *FULL],
    ),
    "texts, by uncertainty": (
        ["rating: regress", "domain: classify", "weights: uncertainty"],
        [*TEXTS, *FULL],
    ),
}
DOMAINS, ROWS_PER_DOMAIN = ("movie", "amazon", "nyt", "tweets"), 250


def texts_of_vader(folder):
    """A CSV file of texts with their rating and the domain that they come from."""
    path = folder / "texts.csv"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for domain in DOMAINS:
        source = loader.load(f"vader(domain={domain})", target="number")
        chosen = np.random.default_rng(0).permutation(len(source))[:ROWS_PER_DOMAIN]
        texts, ratings = source.texts(), np.asarray(source.labels)
        rows += [[texts[row], f"{ratings[row]:.4g}", domain] for row in chosen.tolist()]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "rating", "domain"])
        writer.writerows(rows)
    return path


def flags_of(path, seed, also):
    """The flags that the joint run and the runs of single tasks have in common."""
    split = "--split=holdout(test=.3, validation=.1)"
    return [f"--data=csv(path={path}, text=text{also})", split, f"--seed={seed}"]


def score_of(metrics):
    """100 times the accuracy or R^2 of the metrics in a report."""
    return next(factor * metrics[name] for name, factor in METRICS.items() if name in metrics)


def measure(folder, case, seed):
    """The scores of the joint run and of single runs, by task, with the parameters of both."""
    heads, flags = CASES[case]
    path = texts_of_vader(folder)
    tasks = [part.partition(": ")[::2] for part in heads if not part.startswith("weights")]
    place = f"{path.stem}_{seed}"
    common = [*flags_of(path, seed, ""), *flags]
    name = f"{place}_joint{heads[-1].partition(': ')[2] if len(heads) > len(tasks) else ''}"
    joint = measuring.train(folder, name, f"--head={'; '.join(heads)}", *common)
    found = {
        "joint": {block["task"]: score_of(block["test"]) for block in joint["tasks"]},
        "joint parameters": joint["parameters"]["total"],
        "single": {},
        "single parameters": 0,
    }
    for task, head in tasks:
        common = [*flags_of(path, seed, f", label={task}"), *flags]
        single = measuring.train(folder, f"{place}_{task}", f"--head={head}", *common)
        found["single"][task] = score_of(single["test"])
        found["single parameters"] += single["parameters"]["total"]
    return found


def row_of(case, rows):
    """The row of the table of the measurements of a case, one per seed."""
    tasks = list(rows[0]["joint"])
    gains = [
        np.mean(list(row["joint"].values())) - np.mean(list(row["single"].values())) for row in rows
    ]
    low, high = folds.mean_interval(gains, folds.DRAWS) or [gains[0]] * 2
    by_task = [
        " / ".join(f"{np.mean([row[side][task] for row in rows]):.1f}" for task in tasks)
        for side in ("joint", "single")
    ]
    share = rows[0]["joint parameters"] / rows[0]["single parameters"]
    return [
        case,
        " / ".join(tasks),
        str(len(rows)),
        *by_task,
        f"{np.mean(gains):+.1f} ({low:+.1f} to {high:+.1f})",
        f"{rows[0]['joint parameters'] / 1e6:.1f}M",
        f"{rows[0]['single parameters'] / 1e6:.1f}M ({share:.2f})",
        "yes" if np.mean(gains) >= GATE else "no",
    ]


def main():
    """Measures what is missing and prints the table of the cases that are whole."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/several_tasks")
    parser.add_argument("--only", default="|".join(CASES), help="cases, separated by |")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=1000)
    options = parser.parse_args()
    folder = pathlib.Path(options.folder).resolve()
    notebook, table, left = measuring.Notebook(folder / "several_tasks.jsonl"), [], options.pairs
    for case in options.only.split("|"):
        rows = []
        for seed in range(options.seeds):
            key = f"{case} {seed}"
            left -= key not in notebook
            if left < 0:
                break
            rows.append(notebook.get(key, lambda c=case, s=seed: measure(folder, c, s)))
        if rows:
            table.append(row_of(case, rows))
            print(f"{case}: {len(rows)} of {options.seeds} seeds", file=sys.stderr)
    header = ["data", "tasks", "seeds", "joint", "a network per task", "difference of the means"]
    print(
        measuring.table([*header, "parameters", "of single networks", "within half a point"], table)
    )


if __name__ == "__main__":
    main()
