"""Measures ensembles beside their best member, on several draws of rows, and prints the table.

    python tools/ensembles.py [--folder=runs/ensembles] [--only=fashion,movie] [--draws=5] [--first=0]
        [--minutes=8] [--distill]

A draw takes other training and validation rows; the test rows are the same. All members of a draw are trained on the
same rows by different methods, from the same pretrained network. Selection, stacking and soups see validation rows
only; `best on test` is the member that is best on the test rows, which nobody knows. --distill also trains the network of
the members on the answers of the plain mean. Prints means over draws with Student's 95% intervals of the difference from
the member that is best on validation, with the time of an example beside that of this member. --first=100 takes other
draws, for settings. After so many --minutes nothing more is begun, and a later call goes on. Measurements are kept in
FOLDER/ensembles.jsonl.
"""

import argparse
import functools
import pathlib
import tempfile
import time

import few_label_runs
import measuring
import numpy as np

from tltf.config import call_strings
from tltf.config.catalogs import SOURCES
from tltf.config.ensemble_options import EnsembleOptions
from tltf.config.options import make
from tltf.data import loader
from tltf.data.source import Splits
from tltf.experiments.ensembles import answers, rules
from tltf.experiments.ensembles.rules import ValidationRows
from tltf.graphs import functional
from tltf.models import ensembles, saving
from tltf.models.ensembles import Member
from tltf.models.transfer_model import TransferModel
from tltf.training import training

ROWS = {"fashion": (300, 200), "movie": (400, 200)}
"""Case -> rows of training and of validation; there are 1,000 test rows."""
FLAGS = {
    "fashion": {
        "data": "fashion_mnist(num_train=10000, num_test=1000)",
        "backbone": "efficientnet_lite0",
        "image_size_px": 96,
    },
    "movie": {
        "data": "vader(domain=movie, num_train=6000, num_test=1000)",
        "backbone": "minilm_l6",
        "text_length": 48,
    },
}
TITLES = {
    "fashion": "fashion_mnist, 300 images, EfficientNet-Lite0",
    "movie": "vader movie, 400 texts, MiniLM",
}
TUNED = {"method": "lp_ft", "train_epochs": 4}
SOLVED = "linear_probe(solver=lbfgs)"
MEMBERS = {
    "fashion": {
        "probe": {"method": "probe"},
        "solved": {"method": SOLVED},
        "stages": {
            "method": SOLVED,
            "head": "classify(features=[stage_3, stage_4, stage_5, stage_6])",
        },
        "lp_ft 0": TUNED,
        "lp_ft 1": {**TUNED, "seed": 1, "learning_rate": 1e-4},
    },
    "movie": {
        "probe": {"method": "probe"},
        "solved": {"method": SOLVED},
        "hidden": {"method": "linear_probe", "head": "classify(hidden=[128], dropout=.3)"},
        "lp_ft 0": TUNED,
        "lp_ft 1": {**TUNED, "seed": 1, "learning_rate": 1e-5},
    },
}
SOUP = ("lp_ft 0", "lp_ft 1")
"""The members that began with the same weights."""
BEST = "best member"
RULES = {
    BEST: {},
    "mean": {"combine": "mean"},
    "greedy": {},
    "greedy by accuracy": {"metric": "score"},
    "greedy of 20 bags": {"bags": 20},
    "stacking": {"combine": "stacking"},
}
"""Name of a model in the table -> flags of tltf.ensemble."""


@functools.cache
def pool_of(case):
    """`(Source of the pool, Source of the test rows)` of a case."""
    call = call_strings.pick(SOURCES, FLAGS[case]["data"], "data")
    source = loader.load(call, scan=make().data.scan)
    is_test = source.roles == "test"
    return source.take(np.flatnonzero(~is_test)), source.take(np.flatnonzero(is_test))


def rows_of(case, draw):
    """The Splits of a draw."""
    pool, test = pool_of(case)
    count = sum(ROWS[case])
    order = np.random.default_rng(draw).permutation(len(pool))
    _, first = np.unique(pool.content_hashes()[order], return_index=True)
    rows = order[np.sort(first)][:count]
    start = ROWS[case][0]
    return Splits(train=pool.take(rows[:start]), validation=pool.take(rows[start:]), test=test)


def train(case, parts, **own):
    """The model that some flags train on the rows of a draw."""
    given = {**FLAGS[case], "split": "given", "baseline": "none", **own}
    return training.fit_parts(make(**given), parts).model


def measure(case, draw, distills):
    """What a draw came to: name of a model -> its numbers on the test rows.

    Args:
        case: of ROWS.
        draw: number of the draw.
        distills: whether a network is trained on the answers of the plain mean.
    """
    parts, found = rows_of(case, draw), {}
    models = {name: train(case, parts, **own) for name, own in MEMBERS[case].items()}
    first = next(iter(models.values()))
    head = ensembles.head_call_of([model.core.only.call for model in models.values()]).build()
    labels = {role: np.asarray(parts[role].labels) for role in ("validation", "test")}
    found["soup"] = soup([models[name] for name in SOUP], parts)
    members = [Member(name, model.core, model.preprocessing) for name, model in models.items()]
    joined = ensembles.join_members(members)
    scores, times = answers.of_joined(joined, parts, 128)
    groups = parts.validation.split_groups()
    stacked = {role: np.asarray(own, np.float64) for role, own in scores.items()}
    rows = ValidationRows(head, stacked["validation"], labels["validation"], groups)
    shares = rules.fit_rule(rules.BEST, rows, EnsembleOptions()).shares
    best, took = int(np.argmax(shares)), {}
    for name, flags in RULES.items():
        options = make(EnsembleOptions, **flags)
        fitted = rules.fit_rule(rules.BEST if name == BEST else options.combine, rows, options)
        logits = fitted.logits(head, stacked["test"])
        own = numbers(head, logits, labels["test"])
        chosen = np.arange(len(times)) if fitted.shares is None else np.flatnonzero(fitted.shares)
        if tuple(chosen) not in took:
            took[tuple(chosen)] = answers.milliseconds_of(joined, chosen, parts.test, 128)
        cost = took[tuple(chosen)] / times[best]
        found[name] = own | {"members": len(chosen), "time": cost, "chosen": chosen.tolist()}
    is_right = stacked["test"].argmax(axis=2) == labels["test"]
    found["best on test"] = {"accuracy": float(is_right.mean(axis=1).max())}
    found["each"] = dict(zip(models, is_right.mean(axis=1).tolist(), strict=True))
    if distills:
        found["distilled"] = distil(case, draw, parts, first.class_names)
    return found


def numbers(head, logits, labels):
    """Accuracy and loss of logits float64[N, C]."""
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    return {"accuracy": accuracy, "loss": float(head.losses(logits, labels).mean())}


def soup(models, parts):
    """The numbers of the mean of the weights of two models, or of the better one where that is not worse."""
    first = models[0]
    variables = functional.named_weights(first.core.model.layers)
    own, other = (functional.weights_of(model.core.model) for model in models)

    def state(arrays):
        for name, variable in variables.items():
            variable.assign(arrays[name])
        first.above, logits = None, {}
        for role in ("validation", "test"):
            logits[role] = np.asarray(first.logits(parts[role], 128), np.float64)
        return [
            numbers(first.core.head, logits[role], np.asarray(parts[role].labels))
            for role in ("validation", "test")
        ]

    tried = [state(other), state({name: (own[name] + other[name]) / 2 for name in own}), state(own)]
    best = max(tried, key=lambda pair: (pair[0]["accuracy"], -pair[0]["loss"]))
    return best[1] | {"members": 2, "time": 1.0}


def distil(case, draw, parts, class_names):
    """The numbers of a network that learned from the plain mean of the members of a draw."""
    models = [train(case, parts, **own) for own in MEMBERS[case].values()]
    members = [Member(str(n), model.core, model.preprocessing) for n, model in enumerate(models)]
    call = ensembles.head_call_of([model.core.only.call for model in models])
    core, prepared = ensembles.join(members, ensembles.WEIGHTED, call, len(class_names))
    with tempfile.TemporaryDirectory() as folder:
        saving.save(TransferModel(core, prepared, class_names), pathlib.Path(folder))
        method = f"distill(teacher={folder})"
        model = train(case, parts, method=method, train_epochs=4, seed=draw)
        logits = np.asarray(model.logits(parts.test, 128), np.float64)
    own = numbers(model.core.head, logits, np.asarray(parts.test.labels))
    return own | {"members": 1, "time": 1.0}


def table(notebook, draws, cases):
    """The markdown table of what was measured."""
    lines = []
    for case in cases:
        keys = [f"{case} {draw}" for draw in draws if f"{case} {draw}" in notebook]
        found = [notebook.get(key, dict) for key in keys]
        for name in (*RULES, "soup", "distilled", "best on test"):
            rows = [(row[name], row[BEST]) for row in found if name in row]
            if rows:
                lines.append([TITLES[case], name, *cells_of(name, rows)])
    header = [
        "data",
        "model",
        "draws",
        "accuracy",
        "- best member, points",
        "loss",
        "members",
        "time",
    ]
    return measuring.table(header, lines)


def cells_of(name, rows):
    """The cells of a model: `(its numbers, those of the best member)` of each draw."""
    gains = [own["accuracy"] - best["accuracy"] for own, best in rows]

    def mean(key, digits):
        values = [own[key] for own, _ in rows if key in own]
        return f"{np.mean(values):.{digits}f}" if values else ""

    points = "" if name == BEST else few_label_runs.points(gains)
    return [
        str(len(rows)),
        mean("accuracy", 3),
        points,
        mean("loss", 3),
        mean("members", 1),
        mean("time", 1),
    ]


def main():
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/ensembles")
    parser.add_argument("--only", default=",".join(ROWS))
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=np.inf)
    parser.add_argument("--distill", action="store_true")
    options = parser.parse_args()
    notebook = measuring.Notebook(pathlib.Path(options.folder).resolve() / "ensembles.jsonl")
    ends = time.monotonic() + 60 * options.minutes
    draws = range(options.first, options.first + options.draws)
    for draw in draws:
        for case in options.only.split(","):
            key = f"{case} {draw}"
            if key not in notebook and time.monotonic() < ends:
                notebook.get(key, functools.partial(measure, case, draw, options.distill))
                print(key, flush=True)
    print(table(notebook, draws, options.only.split(",")))


if __name__ == "__main__":
    main()
