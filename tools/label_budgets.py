"""Measures how methods compare at 10, 50 and 500 labels per class, on texts and images.

    python tools/label_budgets.py [--only=vader,fashion] [--budgets=10,50,500]
        [--method='full --norm=frozen'] [--folder=runs/label_budgets]

Each data set is divided once into two pools. In the first pool, a method is chosen for each budget:
the one with the best accuracy over a few draws, measured on CHOOSE rows on which nothing is trained.
In the second pool, fresh draws compare this method with `full`, with `--method=auto` and with
logistic regression on frozen features, on TEST rows; differences are paired by draw, intervals are
Student's at 95%. A draw has as many training labels per class as the budget says, and a quarter as
many for validation (the best epoch, penalties). With --method, the script compares another method,
which flags may follow, in place of the chosen one. Measurements are kept in
FOLDER/label_budgets.jsonl; a second call measures only what is missing there.
"""

import argparse
import contextlib
import dataclasses
import pathlib

import measuring
import numpy as np
from scorecard import interval

from tltf.training import assembly

CHOOSE = TEST = 1000
METHODS = ("linear_probe(solver=lbfgs)", "lora", "lp_ft", "full")
DRAWS = {10: (3, 10), 50: (3, 10), 500: (1, 3)}
"""Labels per class -> `(number of draws to choose by, number of fresh draws)`."""
WORK = {
    "vader": {"data": "vader(domain=movie)", "text_length": 48, "backbone": "minilm_l6"},
    "fashion": {"data": "fashion_mnist", "image_size_px": 64, "backbone": "efficientnet_lite0"},
}
HEADER = [
    "data",
    "labels per class",
    "chosen",
    "accuracy",
    "less full, points",
    "less logistic, points",
    "full",
    "logistic",
    "auto is",
    "best less auto, points",
    "draws",
]


class Budgets:
    """The measurements of this script; each is made once and then read from a notebook.

    Args:
        folder: folder of the notebook.
    """

    def __init__(self, folder):
        self.notebook = measuring.Notebook(pathlib.Path(folder) / "label_budgets.jsonl")
        self._pools = {}

    def accuracy(self, task, budget, kind, draw, method):
        """The accuracy of a method on one draw; `kind` is choose or fresh; `method` may be logistic."""
        key = f"{task} {budget} {kind} {draw} {method}"

        def measure():
            return {"accuracy": self._measure(task, budget, kind, draw, method)}

        return self.notebook.get(key, measure)["accuracy"]

    def choose_method(self, task, budget):
        """The method with the best mean accuracy over the draws to choose by."""
        draws = range(DRAWS[budget][0])
        return max(
            METHODS,
            key=lambda method: np.mean(
                [self.accuracy(task, budget, "choose", draw, method) for draw in draws]
            ),
        )

    def _measure(self, task, budget, kind, draw, method):
        import keras

        from tltf import make_options
        from tltf.evaluation import evaluators
        from tltf.training import training

        keras.backend.clear_session()
        parts = self._parts(task, budget, kind, draw)
        call, flags = with_flags("linear_probe" if method == "logistic" else method)
        options = make_options(**WORK[task], method=call, seed=draw, **flags)
        if method == "logistic":
            return _logistic_accuracy(options, parts)
        trained = training.fit_parts(options, parts).model
        judge, test = evaluators.evaluator_for(trained.core.head), parts["test"]
        metrics = judge.measure(test.labels, trained.scores(test), trained.class_names)
        return metrics.scores["accuracy"]

    def _parts(self, task, budget, kind, draw):
        """Role -> Source of a draw."""
        pool = self._pool(task, kind)
        rng = np.random.default_rng([draw, budget, kind == "fresh"])
        order = rng.permutation(len(pool))
        parts = {"train": [], "validation": []}
        for label in range(len(pool.class_names)):
            rows = order[pool.labels[order] == label]
            parts["train"].append(rows[:budget])
            parts["validation"].append(rows[budget : budget + max(1, budget // 4)])
        taken = {role: np.concatenate(rows) for role, rows in parts.items()}
        rest = np.setdiff1d(order, np.concatenate(list(taken.values())))
        taken["test"] = rng.permutation(rest)[: CHOOSE if kind == "choose" else TEST]
        return {role: pool.take(np.sort(rows)) for role, rows in taken.items()}

    def _pool(self, task, kind):
        """A pool, about half of a data set, as a Source without roles."""
        if task not in self._pools:
            from tltf.data import loader

            source = loader.load(WORK[task]["data"])
            source = dataclasses.replace(source, roles=None)
            # By content, so that no row is in both pools.
            side = (source.content_hashes() >> np.uint64(17)) & np.uint64(1)
            self._pools[task] = {
                name: source.take(np.flatnonzero(side == place))
                for place, name in enumerate(("choose", "fresh"))
            }
        return self._pools[task][kind]


def _logistic_accuracy(options, parts):
    from tltf.config import checks
    from tltf.evaluation import evaluators
    from tltf.training import datasets
    from tltf.training.distribution import strategies

    recipe, strategy = (
        checks.resolve(options, needs_output=False),
        strategies.start(options.runtime),
    )
    trained, _ = assembly.assemble(options, recipe, parts, strategy)
    features = datasets.frozen_features(trained)
    pairs = [(features[role], parts[role].labels) for role in ("train", "validation", "test")]
    row, _ = evaluators.evaluator_for(trained.core.head).linear(*pairs, trained.class_names)
    return row.test.scores["accuracy"]


def with_flags(method):
    """`("full", {"norm": "frozen"})` of `full --norm=frozen`; a value that is a number becomes one."""
    call, *flags = method.split(" --")
    pairs = dict(flag.split("=", 1) for flag in flags)
    for name, value in pairs.items():
        with contextlib.suppress(ValueError):
            pairs[name] = float(value)
    return call, pairs


def auto_method(task, budget, num_classes):
    """The method that --method=auto takes for a budget."""
    from tltf.config import defaults

    modality = "text" if task == "vader" else "image"
    situation = defaults.Situation(modality, budget * num_classes, num_classes, True, True)
    return defaults.choose_method(None, situation).text


def line(budgets, task, budget, method=""):
    """The row of the table for a method; an empty `method` takes the chosen one."""
    num_draws = DRAWS[budget][1]

    def values(method):
        return np.array(
            [budgets.accuracy(task, budget, "fresh", draw, method) for draw in range(num_draws)]
        )

    method = method or budgets.choose_method(task, budget)
    auto = auto_method(task, budget, 2 if task == "vader" else 10)
    each = {name: values(name) for name in dict.fromkeys((method, "full", "logistic", auto))}
    best = max(each, key=lambda name: each[name].mean())
    return [
        task,
        str(budget),
        f"`{method}`",
        interval(each[method]),
        interval(each[method] - each["full"], 100, 1),
        interval(each[method] - each["logistic"], 100, 1),
        interval(each["full"]),
        interval(each["logistic"]),
        f"`{auto}`",
        interval(each[best] - each[auto], 100, 1),
        str(num_draws),
    ]


def main():
    """Prints each row of the table as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(WORK), help="data sets, joined with commas")
    parser.add_argument(
        "--budgets", default=",".join(map(str, DRAWS)), help="labels per class, joined with commas"
    )
    parser.add_argument(
        "--method",
        default="",
        help="method to compare in place of the chosen one; flags may follow",
    )
    parser.add_argument(
        "--folder",
        default=str(measuring.ROOT / "runs" / "label_budgets"),
        help="folder of label_budgets.jsonl",
    )
    chosen = parser.parse_args()
    budgets = Budgets(chosen.folder)
    print(measuring.table(HEADER, []), flush=True)
    for task in chosen.only.split(","):
        for budget in map(int, chosen.budgets.split(",")):
            print("| " + " | ".join(line(budgets, task, budget, chosen.method)) + " |", flush=True)


if __name__ == "__main__":
    main()
