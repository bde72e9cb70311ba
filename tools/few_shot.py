"""Measures light heads on frozen features with a few labels a class, and prints what each reaches.

    python tools/few_shot.py [--folder=runs/few_shot] [--only=movie,fashion,emoji,digits] [--labels=4,8,16,64] [--draws=10]

Each case computes the features of its rows once. A draw takes so many rows of each class for training, as
--split=few_shot does; every head is fitted on the same draw and judged on the same test rows. The choice of a
family and of its setting sees training rows only. Prints means over draws with Student's 95% intervals, and the
paired difference of `auto` from tuned logistic regression. Measurements are kept in FOLDER/few_shot.jsonl.
"""

import argparse
import pathlib
import time

import measuring
import numpy as np

from tltf.config.checks import AUTO
from tltf.data import run_data, splits
from tltf.data.source import TRAIN
from tltf.errors import DataError
from tltf.evaluation.report import folds
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows
from tltf.models import loading

IMAGES = ["--backbone=efficientnet_lite0", "--image_size_px=96"]
TEXTS = ["--backbone=minilm_l6", "--text_length=48"]
CASES = {
    "movie": ["--data=vader(domain=movie, num_train=2000, num_test=1500)", *TEXTS],
    "fashion": ["--data=fashion_mnist(num_train=2000, num_test=1500)", *IMAGES],
    "emoji": ["--data=emoji(num_train=900)", *IMAGES],
    "digits": ["--data=digits(num_train=700, num_test=700)", *IMAGES],
}
TITLES = {
    "movie": "vader movie, MiniLM",
    "fashion": "fashion_mnist, EfficientNet-Lite0",
    "emoji": "emoji of google, EfficientNet-Lite0",
    "digits": "digits of 8 x 8, EfficientNet-Lite0",
}
HEADS = [AUTO, *families.FAMILIES]


def features_of(folder, case, cases=CASES):
    """`(training pool, its features, test part, its features)` of one of the cases; computed once in a folder."""
    also = ["--method=linear_probe(solver=lbfgs)", "--split=holdout(validation=0)"]
    also += ["--noexport", "--baseline=none", "--explain=none"]
    measuring.train(folder, case, *cases[case], *also)
    parts, kept = run_data.load_parts(str(folder / case)), folder / f"{case}.npz"
    if not kept.exists():
        trained = loading.load(str(folder / case))
        np.savez(kept, **{role: trained.features(parts[role]) for role in ("train", "test")})
    with np.load(kept) as found:
        return parts["train"], found["train"], parts["test"], found["test"]


def rows_of(pool, labels_a_class, draw):
    """int64[N]: the rows of a pool that a draw trains on, as --split=few_shot takes them."""
    given = {"labels_a_class": labels_a_class, "draws": 1000, "draw": draw, "test": 0.0}
    return np.flatnonzero(splits.few_shot(pool, 0, **given) == TRAIN)


def measure(given, labels_a_class, draw):
    """Head -> test accuracy on one draw, what `auto` chose, and the seconds that its choice took."""
    pool, features, test, judged = given
    rows = rows_of(pool, labels_a_class, draw)
    targets = np.eye(len(pool.class_names))[np.asarray(pool.labels)[rows]]
    light, found = FrozenRows(features[rows], targets, np.ones(len(rows))), {}
    labels = np.asarray(test.labels)
    for name in HEADS:
        began = time.perf_counter()
        try:
            chosen = choice.choose(families.pick(name), light, draw)
        except DataError:  # such as a hidden layer on too few rows
            continue
        found[name] = float((chosen.model.logits(judged).argmax(axis=1) == labels).mean())
        if name == AUTO:
            found |= {"chosen": chosen.candidate.family.name, "s": time.perf_counter() - began}
    return found


def cells_of(name, rows):
    """`.832 (.815 to .848)` over the draws; empty where the head was not fitted."""
    values = [row[name] for row in rows if name in row]
    if len(values) < len(rows):
        return ""
    bounds = folds.mean_interval(values, folds.DRAWS) or [values[0]] * 2
    return measuring.interval_text(np.mean(values), bounds)


def main():
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/few_shot")
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--labels", default="4,8,16,64")
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    folder = pathlib.Path(options.folder).resolve()
    notebook, table = measuring.Notebook(folder / "few_shot.jsonl"), []
    for case in options.only.split(","):
        given = None
        for count in map(int, options.labels.split(",")):
            rows = []
            for draw in range(options.draws):
                key = f"{case} {count} {draw}"
                if key not in notebook and given is None:
                    given = features_of(folder, case)
                rows.append(notebook.get(key, lambda g=given, n=count, d=draw: measure(g, n, d)))
            gains = [row["auto"] - row["logistic"] for row in rows]
            bounds = folds.mean_interval(gains, folds.DRAWS) or [0.0, 0.0]
            chosen = [row["chosen"] for row in rows]
            counts = {name: chosen.count(name) for name in dict.fromkeys(chosen)}
            table.append(
                [
                    TITLES[case],
                    str(count),
                    *(cells_of(name, rows) for name in HEADS),
                    f"{100 * np.mean(gains):+.1f} ({100 * bounds[0]:+.1f} to {100 * bounds[1]:+.1f})",
                    ", ".join(f"{name} {number}" for name, number in counts.items()),
                    f"{np.median([row['s'] for row in rows]):.1f}",
                ]
            )
    header = ["data", "labels a class", *HEADS, "auto - logistic, points", "chosen", "s"]
    print(measuring.table(header, table))


if __name__ == "__main__":
    main()
