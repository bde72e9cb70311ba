"""Compares how fine-tuning begins: at a random head, a solved one, with or without warm-up. Prints the table.

    python tools/starts.py [--folder=runs/starts] [--only=digits,fashion,mnist,google,movie,amazon] [--seeds=2] [--first=200]
        [--starts='full;lp_ft'] [--minutes=30]

A seed draws 640 rows for training, 160 for validation and up to 1,000 others for the test; pictures at 64 px on
EfficientNet-Lite0, texts with MiniLM; float32, else the defaults of the method. Seeds from 200 on are for choosing
defaults: no table of results has them. `first loss` is the mean training loss of the first epoch of steps, which is large
where the first steps spoil what was pretrained. Measurements are kept in FOLDER/starts.jsonl; after --minutes no new one
begins, and a later call goes on.
"""

import argparse
import functools
import pathlib
import time

import few_label_runs
import measuring
import numpy as np

from tltf.config import call_strings, defaults
from tltf.config.catalogs import SOURCES
from tltf.config.options import make
from tltf.data import loader
from tltf.data.source import Splits
from tltf.training import training

IMAGES = {"backbone": "efficientnet_lite0", "image_size_px": 64}
TEXTS = {"backbone": "minilm_l6", "text_length": 48}
CASES = {
    "digits": {"data": "digits(num_train=800, num_test=700)", **IMAGES},
    "fashion": {"data": "fashion_mnist(num_train=10000, num_test=1000)", **IMAGES},
    "mnist": {"data": "mnist_5k(num_train=1200, num_test=1000)", **IMAGES},
    "google": {"data": "emoji(vendor=google, num_train=900)", **IMAGES},
    "movie": {"data": "vader(domain=movie, num_train=6000, num_test=1000)", **TEXTS},
    "amazon": {"data": "vader(domain=amazon, num_train=2500, num_test=1000)", **TEXTS},
}
NUM_TRAIN, NUM_VALIDATION, MOST_TEST = 640, 160, 1000
STARTS = {
    "full": {"method": "full"},
    "lp_ft": {"method": "lp_ft"},
    "lp_ft, no warm-up": {"method": "lp_ft", "warmup_fraction": 0.0},
    "lp_ft, warm-up .3": {"method": "lp_ft", "warmup_fraction": 0.3},
    "lp_ft(solver=light)": {"method": "lp_ft(solver=light)"},
    "auto below 50 labels": {"method": defaults.MIXED},
}
"""Name -> the flags of a training. By default `lp_ft` warms up in a tenth of the steps."""
USUAL = "lp_ft, no warm-up"


@functools.cache
def rows_of(case):
    """The Source of all rows of a case."""
    call = call_strings.pick(SOURCES, CASES[case]["data"], "data")
    return loader.load(call, scan=make().data.scan)


def fit(case, seed, flags):
    """`(what a training came to, Splits of its rows)`: the rows are drawn by the seed."""
    rows = rows_of(case)
    order = np.random.default_rng(seed).permutation(len(rows))
    ends = np.cumsum([NUM_TRAIN, NUM_VALIDATION, MOST_TEST])
    train, validation, test, _ = np.split(order, ends)
    parts = {"train": train, "validation": validation, "test": test}
    parts = Splits({role: rows.take(places) for role, places in parts.items()})
    given = {"split": "given", "baseline": "none", "precision": "float32", "seed": seed}
    return training.fit_parts(make(**CASES[case], **given, **flags), parts), parts


def accuracy_on(logits, source):
    """The accuracy of the logits float[N, C] of the rows of a Source."""
    return float((logits.argmax(axis=1) == np.asarray(source.labels)).mean())


def measure(case, seed, flags):
    """The row of one training: its test accuracy, the loss of its first and last epoch, and seconds of the processor."""
    began = time.process_time()
    done, parts = fit(case, seed, flags)
    losses = [row["loss"] for row in done.history if "learning_rate" in row]
    return {
        "accuracy": accuracy_on(np.asarray(done.model.logits(parts.test, 128)), parts.test),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "epochs": len(losses),
        "cpu_s": time.process_time() - began,
    }


def all_pairs(found, start):
    """The cells of a start over all cases and seeds in which the usual one was measured too."""
    pairs = [
        (row["accuracy"], found[case, USUAL][seed]["accuracy"])
        for (case, own), rows in found.items()
        for seed, row in rows.items()
        if own == start and seed in found.get((case, USUAL), {})
    ]
    accuracy = f"{np.mean([own for own, _ in pairs]):.3f}" if pairs else ""
    points = "" if start == USUAL else few_label_runs.points([own - base for own, base in pairs])
    return ["all pairs", f"`{start}`", str(len(pairs)), accuracy, points, ""]


def table(found):
    """The markdown table of {(case, start): {seed: row}}."""
    lines = []
    for (case, start), rows in found.items():
        usual = found.get((case, USUAL), {})
        gains = [
            row["accuracy"] - usual[seed]["accuracy"] for seed, row in rows.items() if seed in usual
        ]
        accuracy = np.mean([row["accuracy"] for row in rows.values()])
        points = "" if start == USUAL else few_label_runs.points(gains)
        losses = " / ".join(f"{row['first_loss']:.2f}" for row in rows.values())
        lines.append([case, f"`{start}`", str(len(rows)), f"{accuracy:.3f}", points, losses])
    lines += [all_pairs(found, start) for start in dict.fromkeys(start for _, start in found)]
    header = ["data", "training", "seeds", "accuracy", f"- `{USUAL}`, points", "first loss"]
    return measuring.table(header, lines)


def main():
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/starts")
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--starts", default=";".join(STARTS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=np.inf)
    options = parser.parse_args()
    notebook = measuring.Notebook(pathlib.Path(options.folder).resolve() / "starts.jsonl")
    ends, found = time.monotonic() + 60 * options.minutes, {}
    for seed in range(options.first, options.first + options.seeds):
        for case in options.only.split(","):
            for start in options.starts.split(";"):
                key = f"{case} {seed} {start}"
                if key in notebook or time.monotonic() < ends:
                    job = functools.partial(measure, case, seed, STARTS[start])
                    found.setdefault((case, start), {})[seed] = notebook.get(key, job)
    print(table(found))


if __name__ == "__main__":
    main()
