"""What measurements with few labels share: their options, the rows of a draw, and answers of a method.

Of few_shot_methods.py, for methods that learn from the labelled rows alone, and of semi_supervised.py, for those that
read the others too. All methods of a draw are trained on the same rows and judged on the same test rows.
"""

import argparse
import dataclasses
import gc
import pathlib
import time

import few_shot
import keras
import measuring
import numpy as np
import tensorflow as tf

from tltf.config import checks
from tltf.config.options import make
from tltf.data.source import UNLABELLED
from tltf.evaluation.report import folds
from tltf.graphs import functional
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows
from tltf.training import assembly, datasets
from tltf.training.callbacks.log_epochs import EveryLog
from tltf.training.distribution import strategies
from tltf.training.fit import Fit

PROBE = "probe"


class Case:
    """The rows of a case, with their features in the pretrained network.

    Args:
        folder: of the run that computes the features.
        name: a key of the cases.
        cases: name -> flags of its run.
    """

    def __init__(self, folder, name, cases):
        self.name, self.given = name, keywords(cases[name])
        found = few_shot.features_of(folder, name, cases)
        self.pool, self.features, self.test, self.judged = found
        self.labels = np.asarray(self.test.labels)

    def draw(self, count, draw):
        """int64[N]: the rows of the pool that a draw trains on."""
        return few_shot.rows_of(self.pool, count, draw)

    def light_answers(self, rows, draw):
        """int64[M]: the answers of the tuned light head of some rows to the test rows."""
        targets = np.eye(len(self.pool.class_names))[np.asarray(self.pool.labels)[rows]]
        light = FrozenRows(self.features[rows], targets, np.ones(len(rows)))
        model = choice.choose(families.pick("auto"), light, draw).model
        return model.logits(self.judged).argmax(axis=1)

    def trained_answers(self, rows, method, flags, reads_others=False, validation=None):
        """int64[M]: the answers to the test rows of a method that is trained on some rows.

        Args:
            rows: int64[N] of the pool.
            method: a call string.
            flags: more flags, by name.
            reads_others: whether all rows of the pool are there without their labels.
            validation: int64[V] of the pool, the rows to validate on; None for none.
        """
        parts = {"train": self.pool.take(rows), "test": self.test}
        if validation is not None:
            parts["validation"] = self.pool.take(validation)
        given = {**self.given, "method": method, "baseline": "none", **flags}
        if reads_others:
            parts[UNLABELLED] = dataclasses.replace(self.pool, label_fields={})
            given |= {"split": "given", "unlabelled_data": given["data"]}
        options = make(**given)
        recipe = checks.resolve(options, needs_output=False)
        strategy = strategies.start(options.runtime)
        trained, built = assembly.assemble(options, recipe, parts, strategy)
        feed = datasets.build(trained, strategy)
        fit = Fit(trained.core, built, feed, trained.run_options, strategy, EveryLog())
        fit.prepare(assembly.context_of(trained, feed.fingerprint))
        trained.core, trained.above = fit(), fit.above
        head = trained.core.groups[-1].layers
        if set(fit.moved) <= set(functional.named_weights(head)):  # the features are known
            logits = tf.constant(self.judged)
            for layer in head:
                logits = layer(logits)
            return logits.numpy().argmax(axis=1)
        return np.asarray(trained.scores(self.test, 128)).argmax(axis=1)


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


def parser(description, folder, labels, methods):
    """The ArgumentParser of a script, with these as its defaults."""
    made = argparse.ArgumentParser(description=description.partition("\n")[0])
    made.add_argument("--folder", default=folder)
    made.add_argument("--only", default="movie,fashion,emoji")
    made.add_argument("--labels", default=labels)
    made.add_argument("--draws", type=int, default=10)
    made.add_argument("--first", type=int, default=0)
    made.add_argument("--methods", default=";".join(methods))
    made.add_argument("--flags", default="")
    made.add_argument("--name", default="")
    made.add_argument("--minutes", type=float, default=np.inf)
    return made


class Measurements:
    """The rows of a notebook; a case is opened when one of its rows is missing.

    Args:
        options: the arguments of the command.
        file: the name of the notebook in the folder.
        measure: (Case, labels a class, draw, method, flags) -> int64[M] answers to the test rows, or the
            dict of a row where the method is measured elsewhere.
        plain: the methods whose rows do not change with --flags and --name.
        cases: name -> flags of its run.
    """

    def __init__(self, options, file, measure, plain, cases=few_shot.CASES):
        self.options, self.measure, self.plain, self.cases = options, measure, plain, cases
        self.folder = pathlib.Path(options.folder).resolve()
        self.notebook = measuring.Notebook(self.folder / file)
        self.flags, self.opened = keywords(options.flags.split()), {}
        self.ends = time.monotonic() + 60 * options.minutes

    def name_of(self, method):
        """What a method is called in the notebook and in the table."""
        return method if method in self.plain else f"{method} {self.options.name}".strip()

    def rows(self, case, count, method):
        """Draw -> the row of a method; draws that --minutes leave no time for are missing."""
        found, first = {}, self.options.first
        for draw in range(first, first + self.options.draws):
            key = f"{case} {count} {draw} {self.name_of(method)}"
            if key in self.notebook or time.monotonic() < self.ends:
                found[draw] = self.notebook.get(
                    key, lambda d=draw: self._made(case, count, d, method)
                )
        return found

    def _made(self, case, count, draw, method):
        if case not in self.opened:
            self.opened[case] = Case(self.folder, case, self.cases)
        keras.backend.clear_session()
        gc.collect()  # the network of the row before
        began, opened = time.perf_counter(), self.opened[case]
        cpu = time.process_time()
        found = self.measure(opened, count, draw, method, self.flags)
        if isinstance(found, dict):
            return found
        spent = {"s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
        return {"accuracy": float((found == opened.labels).mean()), **spent}

    def table(self, header, methods_of):
        """The markdown table of all cases; a row is printed when it is measured.

        Args:
            header: the titles of the columns.
            methods_of: case -> its methods, the first of which is the probe.
        """
        lines = []
        for case in self.options.only.split(","):
            for count in map(int, self.options.labels.split(",")):
                base = self.rows(case, count, PROBE)
                for method in methods_of(case):
                    found = base if method == PROBE else self.rows(case, count, method)
                    if found:
                        name = f"`{self.name_of(method)}`"
                        cells = cells_of(found, None if method == PROBE else base)
                        lines.append([few_shot.TITLES.get(case, case), str(count), name, *cells])
                        print(*lines[-1], sep=" | ", flush=True)
        return measuring.table(header, lines)


def cells_of(rows, base):
    """`[draws, accuracy, difference from `base` in points, median seconds]` of a method."""
    values = [row["accuracy"] for row in rows.values()]
    bounds = folds.mean_interval(values, folds.DRAWS) or [values[0]] * 2
    text = measuring.interval_text(np.mean(values), bounds)
    seconds = f"{np.median([row['s'] for row in rows.values()]):.1f}"
    if base is None:
        return [str(len(rows)), text, "", seconds]
    gains = [rows[draw]["accuracy"] - base[draw]["accuracy"] for draw in rows if draw in base]
    return [str(len(rows)), text, points(gains), seconds]


def points(values):
    """`+1.2 (-.3 to +2.7)`: the mean in points with its interval over draws."""
    if not values:
        return ""
    bounds = folds.mean_interval(values, folds.DRAWS)
    mean = f"{100 * np.mean(values):+.1f}"
    return f"{mean} ({100 * bounds[0]:+.1f} to {100 * bounds[1]:+.1f})" if bounds else mean
