"""Compares TPE with random search at equal budget, and the defaults with the best of 20 trials, on five data sets.

    python tools/search_regret.py [--folder=runs/search] [--only=fashion,emoji,movie,digits,mnist] [--seeds=5] [--first=0]
        [--trials=20] [--minutes=8] [--pictures=FOLDER]

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

import drawing
import keras
import numpy as np
import tensorflow as tf
from measuring import Notebook, table
from scipy import stats

from tltf.config import checks, defaults, search_space
from tltf.config.options import make
from tltf.console import lines
from tltf.data import fewer_rows, loader, lookups, pipeline
from tltf.data.source import TEST, TRAIN, VALIDATION
from tltf.experiments.search import repeats, study
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
COLOURS = {"random": "#b35900", "tpe": "#1a5fd6"}


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


def search(fit, space, sampler, seed, num_trials):
    """What each trial of a search has found: its values, and its numbers on validation and test.

    Args:
        fit: values -> `(validation accuracy, validation loss, test accuracy)` of a training with them.
        space: as --space.
        sampler: name of a sampler.
        seed: of the sampler.
        num_trials: how many there are; those that train what an earlier one trained do not count.
    """
    plan = study.SearchPlan(search_space.parse(space), sampler, "none", seed, num_trials)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        trials = study.Study(pathlib.Path(folder), plan)
        while held := trials.next():
            if same := repeats.answer(make(), held.values, trials.rows()):
                held.finish(same)
                continue
            value, loss, test = fit(held.values)
            held.finish(Outcome(COMPLETE, Score(value, loss, "accuracy")))
            found.append({"values": held.values, "validation": value, "loss": loss, "test": test})
    return found


def head_search(rows, sampler, seed, num_trials, known):
    """The trials of a search of heads.

    `known` is values -> what a trial with them has found, to which this one adds: both samplers begin alike.
    """

    def fit(values):
        key = json.dumps(values)
        if key not in known:
            known[key] = rows.fit(seed, **values)
        return known[key]

    return search(fit, SPACE, sampler, seed, num_trials)


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
    """`mean [low, high]` of paired differences in points: Student's interval of 95%, where there are two or more."""
    values = 100 * np.asarray(differences)
    if len(values) < 2:
        return f"{values.mean():+.2f}"
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{values.mean():+.2f} [{values.mean() - half:+.2f}, {values.mean() + half:+.2f}]"


def found_of(kept, name, sampler, options):
    """The trials of each seed that was measured with both samplers, in the order of the seeds."""
    seeds = range(options.first, options.first + options.seeds)
    keys = [[f"{name} {each} {seed} {options.trials}" for each in SAMPLERS] for seed in seeds]
    chosen = [pair[SAMPLERS.index(sampler)] for pair in keys if all(key in kept for key in pair)]
    return [kept.get(key, None)["found"] for key in chosen]


def regrets(kept, name, options):
    """Sampler -> float[seeds, trials]: how far the best so far is below the best that any trial had, on validation."""
    best = max(
        trial["validation"]
        for sampler in SAMPLERS
        for trials in found_of(kept, name, sampler, options)
        for trial in trials
    )
    return {
        sampler: np.array(
            [
                [best - one["validation"] for one in incumbents(trials)]
                for trials in found_of(kept, name, sampler, options)
            ]
        )
        for sampler in SAMPLERS
    }


def sampler_rows(kept, options):
    """A row per data set: what the trial that validation chose reaches on test, and TPE's paired difference."""
    differences, areas = [], []
    for name in options.only.split(","):
        last = {
            sampler: np.array(
                [
                    incumbents(trials)[-1]["test"]
                    for trials in found_of(kept, name, sampler, options)
                ]
            )
            for sampler in SAMPLERS
        }
        if not len(last["tpe"]):
            continue
        curves = regrets(kept, name, options)
        gain = last["tpe"] - last["random"]
        area = curves["random"].mean(axis=1) - curves["tpe"].mean(axis=1)
        differences.append(gain.mean())
        areas.append(area.mean())
        yield [
            f"{name} ({len(gain)} seed{'s' * (len(gain) > 1)})",
            *(f"{last[sampler].mean():.3f}" for sampler in SAMPLERS),
            interval(gain),
            *(f"{100 * curves[sampler][:, -1].mean():.2f}" for sampler in SAMPLERS),
            interval(area),
        ]
    if len(differences) > 1:
        yield ["all sets", "", "", interval(differences), "", "", interval(areas)]


def default_rows(kept, options):
    """A row per data set: the test accuracy of the best of the trials, and of the defaults."""
    for name in options.only.split(","):
        trials = found_of(kept, name, "tpe", options)
        if not trials:
            continue
        best = np.array([incumbents(one)[-1]["test"] for one in trials])
        row = [name, f"{best.mean():.3f}"]
        for method in DEFAULTS:
            seeds = range(options.first, options.first + options.seeds)
            keys = [f"{name} default {method} {seed}" for seed in seeds]
            tests = np.array([kept.get(key, None)["found"][2] for key in keys if key in kept])
            same = tests[: len(best)] if len(tests) >= len(best) > 1 else tests
            gap = f" ({100 * (same.mean() - best.mean()):+.1f})" if len(same) else ""
            row.append(f"{same.mean():.3f}{gap}" if len(same) else "-")
        yield row


def draw(kept, options, path, page):
    """The regret of both samplers over the trials, a panel per data set: means over seeds with Student's 95% bands."""
    _, ink = drawing.PAGES[page]
    names = [n for n in options.only.split(",") if found_of(kept, n, "tpe", options)]
    figure, panels = drawing.page_of(page, len(names), (3.4, 3.2))
    for axes, name in zip(panels, names, strict=True):
        for sampler, values in regrets(kept, name, options).items():
            places, mean = np.arange(1, values.shape[1] + 1), 100 * values.mean(axis=0)
            if len(values) > 1:
                half = 100 * stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
                band = {"color": COLOURS[sampler], "alpha": 0.13, "linewidth": 0}
                axes.fill_between(places, mean - half, mean + half, **band)
            label = {"tpe": "TPE"}.get(sampler, sampler)
            axes.plot(places, mean, color=COLOURS[sampler], linewidth=1.7, label=label)
        axes.set_title(
            f"{name}, {len(values)} seed{'s' * (len(values) > 1)}",
            loc="left",
            fontsize=10,
            color=ink,
        )
        axes.set_xlabel("trials", color=ink)
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("points below the best trial, validation", color=ink, fontsize=9)
    panels[-1].legend(frameon=False, labelcolor=ink, fontsize=9)
    drawing.save(figure, path, page)


def jobs_of(options):
    """`(key, data set, function of its Rows)` of each measurement, the seeds one after the other."""
    for seed in range(options.first, options.first + options.seeds):
        for name in options.only.split(","):
            known = {}
            for sampler in SAMPLERS:
                job = functools.partial(
                    head_search, sampler=sampler, seed=seed, num_trials=options.trials, known=known
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
    made.add_argument("--pictures", default="")
    options = made.parse_args()
    kept = Notebook(pathlib.Path(options.folder) / "search_regret.jsonl")
    with lines.quiet():
        is_whole = measure(options, kept)
    if not is_whole:
        print("not finished; the same command goes on")
    head = ["data", "random", "TPE", "TPE - random, test, points"]
    head += ["regret random", "regret TPE", "random - TPE, mean regret"]
    print(table(head, sampler_rows(kept, options)))
    print()
    titles = [f"default: {title}" for title in DEFAULTS.values()]
    print(table(["data", f"best of {options.trials} by TPE", *titles], default_rows(kept, options)))
    for page in drawing.PAGES if options.pictures else ():
        path = pathlib.Path(options.pictures) / f"search_regret_{page}.svg"
        draw(kept, options, path, page)


if __name__ == "__main__":
    main()
