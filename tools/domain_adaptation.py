"""Measures methods of domain adaptation on pairs of domains, beside a tuned head on the source and an oracle.

    python tools/domain_adaptation.py [--folder=runs/domains] [--only="PAIR|PAIR"] [--methods="dann;coral(weight=9)"]
        [--seeds=0,1,2,3,4] [--flags="--keep=last"] [--name=NAME] [--peer=PYTHON]

A method learns from labels of the source and from rows of the target without theirs; it is judged on test rows of
the target. Features of each domain are computed once; a seed draws the splits, and everything on the features
is trained as a run above a cached frozen network trains it. `source only` is the tuned light head of the
source (--method=probe), `oracle` the same head on the labels of the target's other rows. adabn and full train the
whole network, on the same rows. --flags adds flags, under a NAME of
their own. --peer=PYTHON runs ADAPT's own DANN (`pip install adapt`) under another interpreter. Prints the mean accuracy over seeds with
Student's 95% interval, and the paired difference from `source only` in points. DEV are pairs for choosing settings, at seeds
from 100 on. Measurements are kept in FOLDER/domains.jsonl.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

import domain_rows
import few_label_runs
import measuring
import numpy as np

from tltf.data.source import TARGET, TEST, TRAIN
from tltf.evaluation.report import folds
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows
from tltf.training import training

PAIRS = [
    "movie > amazon",
    "amazon > movie",
    "movie > tweets",
    "nyt > movie",
    "google > twitter",
    "google > symbola",
    "digits > mnist",
    "mnist > digits",
]
DEV = ["nyt > amazon", "amazon > nyt", "tweets > nyt", "twitter > google", "twitter > symbola"]
SOURCE_ONLY, ORACLE, PEER = "source only", "oracle", "ADAPT's DANN"
METHODS = ["self_training", "coral", "dan", "dann", "cdan", "mcc", "afn"]
WHOLE = ("adabn", "full")
"""Methods that train the whole network; `full` learns from the source alone."""
PEER_SCRIPT = pathlib.Path(__file__).with_name("domain_adaptation_peer.py")


def light_model(features, labels, num_classes, seed, groups=None):
    """The tuned light head of float32[N, d] features and int[N] labels."""
    targets = np.eye(num_classes)[labels]
    rows = FrozenRows(features, targets, np.ones(len(labels)), groups)
    return choice.choose(families.pick("auto"), rows, seed).model


def light_accuracy(case, role):
    """The accuracy of the tuned light head that learns from the labels of a role."""
    groups = case.parts[role].split_groups()
    given = case.features[role], case.labels(role), len(case.class_names), case.seed
    model = light_model(*given, groups)
    return case.accuracy(model.logits(case.features[TEST]).argmax(axis=1))


def whole_accuracy(case, method, flags):
    """The accuracy of a whole network that a method trains, on the pictures or texts themselves."""
    options, _ = case.options(method, explain="none", export=False, **flags)
    model = training.fit_parts(options, case.parts).model
    return case.accuracy(model.logits(case.parts[TEST]).argmax(axis=1))


def measure(case, method, flags):
    """The accuracy of a method on the test rows of the target, and the seconds that it took."""
    began = time.perf_counter()
    if method in (SOURCE_ONLY, ORACLE):
        found = light_accuracy(case, TRAIN if method == SOURCE_ONLY else TARGET)
    elif method.startswith(WHOLE):
        found = whole_accuracy(case, method, flags)
    elif method.startswith("shot"):
        found = case.accuracy(case.answers(case.source_free(method, **flags)))
    else:
        found = case.accuracy(case.answers(case.fit(method, **flags)[0]))
    return {"accuracy": found, "s": time.perf_counter() - began}


class Measurements:
    """The rows of the notebook; a case is opened when one of its rows is missing.

    Args:
        options: the arguments of the command.
    """

    def __init__(self, options):
        self.options, self.folder = options, pathlib.Path(options.folder).resolve()
        self.notebook = measuring.Notebook(self.folder / "domains.jsonl")
        self.flags = few_label_runs.keywords(options.flags.split())
        self.seeds = [int(seed) for seed in options.seeds.split(",")]
        self.opened = {}

    def case(self, pair, seed):
        """The Case of a pair and a seed."""
        if (pair, seed) not in self.opened:
            self.opened = {(pair, seed): domain_rows.Case(self.folder / "features", pair, seed)}
        return self.opened[pair, seed]

    def key(self, pair, seed, method):
        """The key of a row; flags change none of what all methods are compared with."""
        name = "" if method in (SOURCE_ONLY, ORACLE, PEER) else self.options.name
        return f"{pair} {seed} {method} {name}".strip()

    def fill(self, pair, methods):
        """Measures what is missing of a pair, one seed after the other."""
        for seed in self.seeds:
            for method in methods:
                if method != PEER:
                    key, given = self.key(pair, seed, method), (pair, seed, method)
                    self.notebook.get(
                        key, lambda g=given: measure(self.case(*g[:2]), g[2], self.flags)
                    )
        missing = [seed for seed in self.seeds if self.key(pair, seed, PEER) not in self.notebook]
        if PEER in methods and missing:
            found = peer_rows([self.case(pair, seed) for seed in missing], self.options.peer)
            for seed, row in zip(missing, found, strict=True):
                self.notebook.get(self.key(pair, seed, PEER), lambda r=row: r)

    def rows(self, pair, method):
        """The rows of a method on a pair, one for each seed."""
        return [self.notebook.get(self.key(pair, seed, method), dict) for seed in self.seeds]


def peer_rows(cases, python):
    """What domain_adaptation_peer.py prints for some cases."""
    arrays = {}
    for number, case in enumerate(cases):
        arrays |= {
            f"source_{number}": case.features[TRAIN],
            f"labels_{number}": case.labels(TRAIN),
            f"target_{number}": case.features[TARGET],
            f"test_{number}": case.features[TEST],
            f"answers_{number}": case.labels(TEST),
        }
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "cases.npz"
        np.savez(path, **arrays)
        command = [python, str(PEER_SCRIPT), str(path)]
        environment = {**os.environ, "PYTHONPATH": os.environ.get("PEER_PYTHONPATH", "")}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def cells_of(rows, base):
    """`[accuracy, difference from source only, median seconds]` of a method over the seeds."""
    values = [row["accuracy"] for row in rows]
    bounds = folds.mean_interval(values, folds.DRAWS) or [values[0]] * 2
    gaps = [
        100 * (row["accuracy"] - other["accuracy"]) for row, other in zip(rows, base, strict=True)
    ]
    around = folds.mean_interval(gaps, folds.DRAWS)
    text = f"{np.mean(gaps):+.1f}" + (f" ({around[0]:+.1f} to {around[1]:+.1f})" if around else "")
    shown = measuring.interval_text(np.mean(values), bounds)
    return [shown, "" if rows == base else text, f"{np.median([row['s'] for row in rows]):.1f}"]


def parsed():
    """The arguments of the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/domains")
    parser.add_argument("--only", default="|".join(PAIRS))
    parser.add_argument("--methods", default=";".join(METHODS))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--flags", default="")
    parser.add_argument("--name", default="")
    parser.add_argument("--peer", default="")
    return parser.parse_args()


def main():
    """Measures what is missing and prints the table."""
    options, table = parsed(), []
    found = Measurements(options)
    methods = [*filter(None, options.methods.split(";")), *([PEER] if options.peer else [])]
    for pair in options.only.split("|"):
        shown = [SOURCE_ONLY, *methods, ORACLE]
        found.fill(pair, shown)
        base = found.rows(pair, SOURCE_ONLY)
        for method in shown:
            table.append([pair, method, *cells_of(found.rows(pair, method), base)])
            print(*table[-1], sep=" | ", flush=True)
    header = ["pair", "method", "accuracy on the target", "method - source only, points", "s"]
    print(measuring.table(header, table))


if __name__ == "__main__":
    main()
