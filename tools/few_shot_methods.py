"""Measures methods for few labels beside the tuned light head, on the same draws, and prints the table.

    python tools/few_shot_methods.py [--folder=runs/few_shot] [--only=movie,fashion,emoji] [--labels=4,8,16,64]
        [--draws=5] [--first=0] [--methods=setfit,lp_ft] [--flags="--learning_rate=1e-4"] [--name=NAME]

A draw takes so many rows of each class, as --split=few_shot does, and all methods are trained on the same rows
and judged on the same test rows. Light heads and zero_shot are fitted on features that are computed once. --first
chooses other draws for settings than those that are reported (100 and up); --methods takes call strings, joined
with ;, and --flags adds flags to them, under a NAME of their own in FOLDER/methods.jsonl. --peer=PYTHON runs SetFit's own
package (`pip install setfit`) under another interpreter on texts. Prints means over draws with Student's 95%
intervals, and the paired differences from the tuned light head.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

import few_shot
import measuring
import numpy as np

from tltf.config import checks
from tltf.config.options import make
from tltf.data import splits
from tltf.data.source import TRAIN
from tltf.evaluation.report import folds
from tltf.files import assets
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows
from tltf.training import assembly, datasets
from tltf.training.callbacks.log_epochs import EveryLog
from tltf.training.distribution import strategies
from tltf.training.fit import Fit

PROBE, PEER = "probe", "SetFit's package"
ON_TEXTS = ["zero_shot", "zero_shot(name_weight=auto)", "fastfit"]
METHODS = [PROBE, *ON_TEXTS, "setfit", "prototypes", "lp_ft"]
PEER_SCRIPT = pathlib.Path(__file__).with_name("few_shot_peer.py")


class Case:
    """The rows of a case, with their features in the pretrained network.

    Args:
        folder: of the run that computes the features.
        name: a key of few_shot.CASES.
    """

    def __init__(self, folder, name):
        self.name = name
        self.pool, self.features, self.labels, self.judged = few_shot.features_of(folder, name)
        self.test = few_shot.run_data.load_parts(str(folder / name))["test"]

    def draw(self, count, draw):
        """int64[N]: the rows of the pool that a draw trains on."""
        given = {"labels_a_class": count, "draws": 1000, "draw": draw, "test": 0.0}
        return np.flatnonzero(splits.few_shot(self.pool, 0, **given) == TRAIN)

    def flags(self):
        """The flags of the case as keywords of `make`."""
        return keywords(few_shot.CASES[self.name])


def keywords(flags):
    """Name -> value of flags, numbers as numbers."""
    parts = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    return {name: number(text) for name, text in parts.items()}


def number(text):
    """The number that a text is; the text itself where it is none."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def measure(case, count, draw, method, flags, peer):
    """Test accuracy of a method on one draw, and the seconds that it took."""
    rows, began = case.draw(count, draw), time.perf_counter()
    if method == PROBE:
        targets = np.eye(len(case.pool.class_names))[np.asarray(case.pool.labels)[rows]]
        light = FrozenRows(case.features[rows], targets, np.ones(len(rows)))
        model = choice.choose(families.pick("auto"), light, draw).model
        answers = model.logits(case.judged).argmax(axis=1)
    elif method == PEER:
        return peer_result(case, rows, peer, draw)
    else:
        answers = trained_answers(case, rows, method, flags)
    seconds = time.perf_counter() - began
    return {"accuracy": float((answers == case.labels).mean()), "s": seconds}


def trained_answers(case, rows, method, flags):
    """int64[M]: the answers of a method that is trained on some rows, to the test rows."""
    parts = {"train": case.pool.take(rows), "test": case.test}
    options = make(**{**case.flags(), "method": method, "baseline": "none", **flags})
    recipe = checks.resolve(options, needs_output=False)
    strategy = strategies.start(options.runtime)
    trained, built = assembly.assemble(options, recipe, parts, strategy)
    feed = datasets.build(trained, strategy)
    fit = Fit(trained.core, built, feed, trained.run_options, strategy, EveryLog())
    fit.prepare(assembly.context_of(trained, feed.fingerprint))
    trained.core = fit()
    if all(phase.solver != "gradient" for phase in built.phases(trained.core)):
        (dense,) = trained.core.groups[-1].layers
        return (case.judged @ dense.kernel.numpy() + dense.bias.numpy()).argmax(axis=1)
    return np.asarray(trained.scores(case.test, 128)).argmax(axis=1)


def peer_result(case, rows, python, draw):
    """What few_shot_peer.py prints for one draw."""
    texts = {"train": case.pool.take(rows).texts(), "test": case.test.texts()}
    labels = {"train": np.asarray(case.pool.labels)[rows].tolist(), "test": case.labels.tolist()}
    weights = os.environ.get("MINILM") or str(assets.fetch("minilm_l6"))
    with tempfile.TemporaryDirectory() as folder:
        given = pathlib.Path(folder) / "rows.json"
        given.write_text(
            json.dumps({"texts": {k: list(v) for k, v in texts.items()}, "labels": labels})
        )
        command = [python, str(PEER_SCRIPT), str(given), weights, str(draw)]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def points(values):
    """`+1.2 (-.3 to +2.7)`: the mean in points with its interval over draws."""
    low, high = folds.mean_interval(values, folds.DRAWS) or [np.nan, np.nan]
    return f"{100 * np.mean(values):+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def cells(rows, base):
    """`[accuracy, difference from the probe, median seconds]` of a method over the draws."""
    values = [row["accuracy"] for row in rows]
    bounds = folds.mean_interval(values, folds.DRAWS) or [values[0]] * 2
    gains = [row["accuracy"] - other["accuracy"] for row, other in zip(rows, base, strict=True)]
    difference = "" if rows is base else points(gains)
    text = measuring.interval_text(np.mean(values), bounds)
    return [text, difference, f"{np.median([row['s'] for row in rows]):.0f}"]


def parsed():
    """The arguments of the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/few_shot")
    parser.add_argument("--only", default="movie,fashion,emoji")
    parser.add_argument("--labels", default="4,8,16,64")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--methods", default=";".join(METHODS))
    parser.add_argument("--flags", default="")
    parser.add_argument("--name", default="")
    parser.add_argument("--peer", default="")
    return parser.parse_args()


class Measurements:
    """The rows of the notebook; a case is opened when one of its rows is missing.

    Args:
        options: the arguments of the command.
    """

    def __init__(self, options):
        self.options, self.folder = options, pathlib.Path(options.folder).resolve()
        self.notebook = measuring.Notebook(self.folder / "methods.jsonl")
        self.flags, self.opened = keywords(options.flags.split()), {}

    def rows(self, case, count, method):
        """The rows of a method, one for each draw."""
        first, own = self.options.first, self.options.name
        name = method if method in (PROBE, PEER) else f"{method} {own}".strip()
        draws = range(first, first + self.options.draws)
        return [
            self._row(case, (count, draw, method), f"{case} {count} {draw} {name}")
            for draw in draws
        ]

    def _row(self, case, given, key):
        if key not in self.notebook and case not in self.opened:
            self.opened[case] = Case(self.folder, case)
        peer = self.options.peer
        return self.notebook.get(key, lambda: measure(self.opened[case], *given, self.flags, peer))


def main():
    """Measures what is missing and prints the table."""
    options, table = parsed(), []
    found = Measurements(options)
    methods = [*options.methods.split(";"), *([PEER] if options.peer else [])]
    for case in options.only.split(","):
        kept = [m for m in methods if case == "movie" or m not in (*ON_TEXTS, PEER)]
        for count in map(int, options.labels.split(",")):
            base = found.rows(case, count, PROBE)
            for method in kept:
                rows = base if method == PROBE else found.rows(case, count, method)
                name = f"{method} {options.name}".strip()
                table.append([few_shot.TITLES[case], str(count), name, *cells(rows, base)])
                print(*table[-1], sep=" | ", flush=True)
    header = ["data", "labels a class", "method", "accuracy", "method - probe, points", "s"]
    print(measuring.table(header, table))


if __name__ == "__main__":
    main()
