"""Compares TPE with random search at equal budget, and the defaults with the best of 20 trials, on five data sets.

    python tools/search_regret.py [--folder=runs/search] [--only=fashion,emoji,movie,digits,mnist] [--seeds=5] [--first=0]
        [--trials=20] [--minutes=8] [--picture=FILE]

Heads are trained on features that a frozen network gave once, so that a trial takes a second or two; the trials are those
that `python -m tltf.search` would draw. Trials are chosen on validation, and the chosen one is judged on test.
Measurements are kept in FOLDER/search_regret.jsonl; after so many --minutes nothing more is begun, and a later call goes on.
"""

import argparse
import functools
import json
import pathlib
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from measuring import Notebook
from scipy import stats

from tltf.config import checks, defaults, search_space
from tltf.config.options import make
from tltf.console import lines
from tltf.data import fewer_rows, loader, lookups, pipeline
from tltf.data.source import TEST, TRAIN, VALIDATION
from tltf.experiments.search import study
from tltf.experiments.search.trial import COMPLETE, Outcome, Score
from tltf.graphs.backbone import Backbone
from tltf.graphs.core import attach_head
from tltf.methods.context import FitContext
from tltf.models.forward import ForwardPass
from tltf.training import assembly
from tltf.training.callbacks.log_epochs import EveryLog
from tltf.training.distribution import strategies
from tltf.training.feed import Feed
from tltf.training.fit import Fit

INPUT = "features"
IMAGES = {"backbone": "efficientnet_lite0", "image_size_px": 96}
SETS = {
    "fashion": ("fashion_mnist(num_train=1000, num_validation=500, num_test=2000)", IMAGES),
    "emoji": ("emoji", IMAGES),
    "movie": ("vader(domain=movie)", {"backbone": "minilm_l6"}),
    "digits": ("digits", IMAGES),
    "mnist": ("mnist_5k", IMAGES),
}
MOST_ROWS = {TRAIN: 1000, VALIDATION: 500, TEST: 2000}
SPACE = (
    "learning_rate: log(1e-4, 1e-1); batch_size: [16, 32, 64, 128]; train_epochs: [4, 8, 16]; "
    "head: [classify, classify(dropout=.3), classify(hidden=64), classify(hidden=256), "
    "classify(hidden=256, dropout=.3)]; label_smoothing: uniform(0, .2)"
)
DEFAULTS = {
    "linear_probe": "gradient steps",
    "linear_probe(solver=lbfgs)": "solved",
    "probe": "tuned light head",
}
SAMPLERS = ("random", "tpe")


class Rows:
    """The splits of a data set with their features, and heads that are trained on them.

    Args:
        folder: where the features are kept.
        name: of the data set.
    """

    def __init__(self, folder, name):
        self.data, self.flags = SETS[name]
        options, recipe = self.options()
        parts = loader.training_parts(options, recipe, False)
        self.parts = {
            role: fewer_rows.limit_rows(part, MOST_ROWS[role], 0)
            if len(part) > MOST_ROWS[role]
            else part
            for role, part in parts.items()
        }
        self.class_names = parts["train"].class_names
        path = pathlib.Path(folder) / f"{name}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **self._compute(options, recipe))
        with np.load(path) as saved:
            self.features = dict(saved)

    def options(self, **flags):
        """`(Options, Recipe)` of a run."""
        given = {"data": self.data, "method": "linear_probe", "baseline": "none", **self.flags}
        options = make(**{**given, **flags})
        return options, checks.resolve(options, needs_output=False)

    def _compute(self, options, recipe):
        strategy = strategies.start(options.runtime)
        trained, _ = assembly.assemble(options, recipe, self.parts, strategy)
        return {role: trained.features(part) for role, part in self.parts.items()}

    def fit(self, seed, **flags):
        """`(validation accuracy, validation loss, test accuracy)` of a head."""
        options, recipe = self.options(seed=seed, **flags)
        strategy = strategies.start(options.runtime)
        keras.utils.set_random_seed(seed)
        situation = defaults.Situation(
            modality=self.parts[TRAIN].modality,
            num_train=len(self.parts[TRAIN]),
            num_classes=len(self.class_names),
            is_pretrained=True,
            has_validation=True,
        )
        options = defaults.resolve(options, situation, recipe.method)
        method = recipe.method.build()
        fit = Fit(
            self._core(recipe.head), method, self._feed(options), options, strategy, EveryLog()
        )
        fit.prepare(FitContext(self.class_names))
        core = fit()
        found = {role: self._logits(core, role) for role in (VALIDATION, TEST)}
        labels = np.asarray(self.parts[VALIDATION].labels)
        loss = float(
            np.mean(keras.ops.convert_to_numpy(core.head.losses(found[VALIDATION], labels)))
        )
        accuracies = [
            float((found[role].argmax(axis=1) == np.asarray(self.parts[role].labels)).mean())
            for role in (VALIDATION, TEST)
        ]
        return accuracies[0], loss, accuracies[1]

    def _core(self, head):
        """A core whose input is the features, which the head pools no further."""
        features = keras.Input((self.features[TRAIN].shape[1],), name=INPUT)
        given = {"inputs": {INPUT: features}, "taps": {"pooled": features}, "groups": ()}
        sizes = {"image_size_px": 0, "channels": 0, "text_length": 0, "tokenizer": None}
        backbone = Backbone("features", "text", **given, **sizes, pretrained=True, blueprint={})
        return attach_head(backbone, head.change(pooling="pooled"), len(self.class_names))

    def _lookup(self, role):
        rows = tf.constant(self.features[role], tf.float32)
        return lookups.Lookup(lambda places: {INPUT: tf.gather(rows, places)})

    def _in_order(self, role):
        """`(dataset, labels)` of the rows of a role in their order."""
        read = pipeline.build(self.parts[role], None, batch_size=512, reads=self._lookup(role))
        return read, np.asarray(self.parts[role].labels)

    def _logits(self, core, role):
        return ForwardPass(core.model, core.outputs)(self._in_order(role)[0])[
            : len(self.parts[role])
        ]

    def _feed(self, options):
        size, seed, lookup = options.train.batch_size, options.runtime.seed, self._lookup(TRAIN)

        def training(first_epoch, num_epochs, rows=None, skip=0, is_drawn=True):
            given = {"batch_size": size, "training": True, "seed": seed, "reads": lookup}
            where = {"first_epoch": first_epoch, "num_epochs": num_epochs, "skip": skip}
            return pipeline.build(self.parts[TRAIN], None, **given, **where, part=rows)

        return Feed(
            training,
            len(self.parts[TRAIN]),
            self._in_order(VALIDATION),
            class_names=tuple(self.class_names),
            in_order=lambda: self._in_order(TRAIN),
        )


def search(rows, sampler, seed, num_trials, known):
    """What each trial of a search has found: its values, and its accuracies on validation and test.

    `known` is values -> what a trial with them has found, to which this one adds: both samplers begin alike.
    """
    plan = study.SearchPlan(search_space.parse(SPACE), sampler, "none", seed, num_trials)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        trials = study.Study(pathlib.Path(folder), plan)
        while held := trials.next():
            key = json.dumps(held.values)
            if key not in known:
                known[key] = rows.fit(seed, **held.values)
            value, loss, test = known[key]
            held.finish(Outcome(COMPLETE, Score(value, loss, "accuracy")))
            found.append({"values": held.values, "validation": value, "loss": loss, "test": test})
    return found


def incumbents(trials):
    """For each number of trials the one that validation has chosen by then."""
    best, chosen = None, []
    for trial in trials:
        is_better = best is None or (trial["validation"], -trial["loss"]) > (
            best["validation"],
            -best["loss"],
        )
        best = trial if is_better else best
        chosen.append(best)
    return chosen


def interval(differences):
    """`mean [low, high]` of paired differences in points: Student's interval of 95%."""
    values = 100 * np.asarray(differences)
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{values.mean():+.2f} [{values.mean() - half:+.2f}, {values.mean() + half:+.2f}]"


def jobs_of(options):
    """`(key, data set, function of its Rows)` of each measurement, the seeds one after the other."""
    for seed in range(options.first, options.first + options.seeds):
        for name in options.only.split(","):
            known = {}
            for sampler in SAMPLERS:
                job = functools.partial(
                    search, sampler=sampler, seed=seed, num_trials=options.trials, known=known
                )
                yield f"{name} {sampler} {seed} {options.trials}", name, job
            for method in DEFAULTS if seed == options.first else ["linear_probe"]:
                job = functools.partial(Rows.fit, seed=seed, method=method)
                yield f"{name} default {method} {seed}", name, job


def measure(options, kept):
    """Measures what is missing until the minutes are over; whether nothing is missing."""
    end = time.monotonic() + 60 * options.minutes
    rows_of = functools.cache(functools.partial(Rows, options.folder))
    for key, name, job in jobs_of(options):
        if key in kept:
            continue
        if time.monotonic() > end:
            return False
        rows, began = rows_of(name), time.monotonic()
        found = job(rows)
        taken = {"found": found, "seconds": time.monotonic() - began}
        kept.get(key, lambda row=taken: row)
        print(key, round(taken["seconds"]), flush=True)
    return True


def main():
    """Measures what is missing, prints the tables and draws the picture."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--folder", default="runs/search")
    made.add_argument("--only", default=",".join(SETS))
    made.add_argument("--seeds", type=int, default=5)
    made.add_argument("--first", type=int, default=0)
    made.add_argument("--trials", type=int, default=20)
    made.add_argument("--minutes", type=float, default=8)
    made.add_argument("--picture", default="")
    options = made.parse_args()
    kept = Notebook(pathlib.Path(options.folder) / "search_regret.jsonl")
    with lines.quiet():
        is_whole = measure(options, kept)
    if not is_whole:
        print("not finished; the same command goes on")
        return


if __name__ == "__main__":
    main()
