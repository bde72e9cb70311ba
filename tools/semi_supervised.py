"""Measures methods that learn from rows without labels beside the tuned light head, and prints the table.

    python tools/semi_supervised.py [--folder=runs/semi_supervised] [--only=movie,fashion,emoji] [--labels=4,25]
        [--draws=10] [--first=0] [--methods="fixmatch;flexmatch(threshold=.9)"]

A draw takes so many rows of each class, as --split=few_shot does; all methods learn from the same ones and are
judged on the same test rows. Rows without labels are the whole pool, labelled ones among them. `probe` is the
tuned light head on the labelled rows, and `all labels` the same head on all rows of the pool with theirs: what
answers could at most be worth. --first=100 takes other draws, for settings. Prints means over draws with
Student's 95% intervals and the paired differences from `probe`. Measurements are kept in
FOLDER/semi_supervised.jsonl.
"""

import argparse
import dataclasses
import functools
import pathlib
import time

import few_shot
import few_shot_methods
import measuring
import numpy as np

from tltf.config import checks
from tltf.config.options import make
from tltf.data.source import UNLABELLED
from tltf.evaluation.report import folds
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows
from tltf.training import assembly, datasets
from tltf.training.callbacks.log_epochs import EveryLog
from tltf.training.distribution import strategies
from tltf.training.fit import Fit

PROBE, ALL = "probe", "all labels"
METHODS = ["self_training", "pseudo_label", "fixmatch", "flexmatch"]


def light_answers(case, rows, draw):
    """int64[M]: the answers of the tuned light head of some rows to the test rows."""
    targets = np.eye(len(case.pool.class_names))[np.asarray(case.pool.labels)[rows]]
    light = FrozenRows(case.features[rows], targets, np.ones(len(rows)))
    model = choice.choose(families.pick("auto"), light, draw).model
    return model.logits(case.judged).argmax(axis=1)


def trained_answers(case, rows, method):
    """int64[M]: the answers of a method that is trained on some rows and the others without labels."""
    bare = dataclasses.replace(case.pool, label_fields={})
    parts = {"train": case.pool.take(rows), "test": case.test, UNLABELLED: bare}
    flags = {**case.flags(), "method": method, "baseline": "none", "split": "given"}
    options = make(**flags, unlabelled_data=flags["data"])
    recipe = checks.resolve(options, needs_output=False)
    strategy = strategies.start(options.runtime)
    trained, built = assembly.assemble(options, recipe, parts, strategy)
    feed = datasets.build(trained, strategy)
    fit = Fit(trained.core, built, feed, trained.run_options, strategy, EveryLog())
    fit.prepare(assembly.context_of(trained, feed.fingerprint))
    trained.core = fit()
    trained.above = fit.above
    return trained.scores(case.test, 128).argmax(axis=1)


def measure(case, count, draw, method):
    """Test accuracy of a method on one draw, and the seconds that it took."""
    began = time.perf_counter()
    rows = np.arange(len(case.pool)) if method == ALL else case.draw(count, draw)
    if method in (PROBE, ALL):
        answers = light_answers(case, rows, draw)
    else:
        answers = trained_answers(case, rows, method)
    seconds = time.perf_counter() - began
    return {"accuracy": float((answers == case.labels).mean()), "s": seconds}


def row_of(title, count, method, found, base):
    """A row of the table."""
    values = [one["accuracy"] for one in found]
    bounds = folds.mean_interval(values, folds.DRAWS) or [values[0]] * 2
    cells = [title, str(count), f"`{method}`", measuring.interval_text(np.mean(values), bounds)]
    seconds = f"{np.median([one['s'] for one in found]):.1f}"
    if method == PROBE:
        return [*cells, "", seconds]
    gains = [100 * (value - one["accuracy"]) for value, one in zip(values, base, strict=True)]
    around = folds.mean_interval(gains, folds.DRAWS)
    text = f"{np.mean(gains):+.1f}" + (f" ({around[0]:+.1f} to {around[1]:+.1f})" if around else "")
    return [*cells, text, seconds]


def main():
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/semi_supervised")
    parser.add_argument("--only", default="movie,fashion,emoji")
    parser.add_argument("--labels", default="4,25")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--methods", default=";".join(METHODS))
    options = parser.parse_args()
    folder = pathlib.Path(options.folder).resolve()
    notebook, table = measuring.Notebook(folder / "semi_supervised.jsonl"), []
    for name in options.only.split(","):
        case = None
        for count in map(int, options.labels.split(",")):
            base = []
            for method in [PROBE, *options.methods.split(";"), ALL]:
                found = []
                for draw in range(options.first, options.first + options.draws):
                    key = f"{name} {count} {draw} {method}"
                    if key not in notebook and case is None:
                        case = few_shot_methods.Case(folder, name)
                    made = functools.partial(measure, case, count, draw, method)
                    found.append(notebook.get(key, made))
                base = base or found
                table.append(row_of(few_shot.TITLES[name], count, method, found, base))
    header = ["data", "labels a class", "method", "test accuracy", "- probe, points", "s"]
    print(measuring.table(header, table))


if __name__ == "__main__":
    main()
