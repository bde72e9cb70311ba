"""How many labels which method needs: 10, 50 and 500 labels per class, texts and images.

    python tools/label_budgets.py [--only=vader,fashion] [--budgets=10,50,500]
        [--method='full --norm=frozen'] [--folder=runs/label_budgets]

Each data set is parted once into two pools. In the first, a method is chosen for each budget: the
one with the best accuracy over a few draws, judged on CHOOSE rows that nothing is trained on. In
the second, fresh draws compare it with `full`, with `--method=auto` and with logistic regression on
frozen features: TEST rows, differences paired by draw, Student's intervals at 95%. A draw has so
many training labels per class, and a quarter as many to validate (the best epoch, penalties).
--method compares another one, with flags behind it, in place of the one that is chosen.
What was measured is kept in FOLDER/label_budgets.jsonl: run it again to go on.
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
"""Labels a class -> draws to choose by, fresh draws."""
WORK = {
    "vader": {"data": "vader(domain=movie)", "text_length": 48, "backbone": "minilm_l6"},
    "fashion": {"data": "fashion_mnist", "image_size_px": 64, "backbone": "efficientnet_lite0"},
}
HEADER = ["data", "labels per class", "chosen", "accuracy", "less full, points", "less logistic, points",
          "full", "logistic", "auto is", "best less auto, points", "draws"]  # fmt: skip


class Budgets:
    """Runs that are made once.

    Args:
        folder: of the notebook.
    """

    def __init__(self, folder):
        self.notebook = measuring.Notebook(pathlib.Path(folder) / "label_budgets.jsonl")
        self._pools = {}

    def accuracy(self, task, budget, kind, draw, method):
        """Of one method on one draw; kind is choose or fresh; method may be logistic."""
        key = f"{task} {budget} {kind} {draw} {method}"
        made = lambda: {"accuracy": self._measure(task, budget, kind, draw, method)}  # noqa: E731
        return self.notebook.get(key, made)["accuracy"]

    def chosen(self, task, budget):
        """The method with the best mean over the draws to choose by."""
        draws = range(DRAWS[budget][0])
        return max(METHODS, key=lambda method: np.mean([
            self.accuracy(task, budget, "choose", draw, method) for draw in draws]))  # fmt: skip

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
            return _logistic(options, parts)
        trained = training.fit_parts(options, parts).model
        judge, test = evaluators.evaluator_for(trained.core.head), parts["test"]
        found = judge.measure(test.labels, trained.scores(test), trained.class_names)
        return found["accuracy"]

    def _parts(self, task, budget, kind, draw):
        """role -> Source of a draw."""
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
        """Half of a data set, as a Source without roles."""
        if task not in self._pools:
            from tltf.data import loader

            source = loader.load(WORK[task]["data"])
            source = dataclasses.replace(source, roles=None)
            # By content, so that no row is in both.
            side = (source.content_hashes() >> np.uint64(17)) & np.uint64(1)
            self._pools[task] = {
                name: source.take(np.flatnonzero(side == place))
                for place, name in enumerate(("choose", "fresh"))
            }
        return self._pools[task][kind]


def _logistic(options, parts):
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
    given = [(features[role], parts[role].labels) for role in ("train", "validation", "test")]
    row, _ = evaluators.evaluator_for(trained.core.head).linear(*given, trained.class_names)
    return row["test"]["accuracy"]


def with_flags(method):
    """`full --norm=frozen` -> `("full", {"norm": "frozen"})`; numbers are numbers."""
    call, *flags = method.split(" --")
    pairs = dict(flag.split("=", 1) for flag in flags)
    for name, value in pairs.items():
        with contextlib.suppress(ValueError):
            pairs[name] = float(value)
    return call, pairs


def auto_method(task, budget, num_classes):
    """What --method=auto is for a budget."""
    from tltf.config import defaults

    modality = "text" if task == "vader" else "image"
    situation = defaults.Situation(modality, budget * num_classes, num_classes, True, True)
    return defaults.choose_method(None, situation).text


def line(budgets, task, budget, method=""):
    """One line of the table, of a method or of the one that is chosen."""
    num_draws = DRAWS[budget][1]

    def values(method):
        return np.array([budgets.accuracy(task, budget, "fresh", draw, method)
                         for draw in range(num_draws)])  # fmt: skip

    method = method or budgets.chosen(task, budget)
    auto = auto_method(task, budget, 2 if task == "vader" else 10)
    found = {name: values(name) for name in dict.fromkeys((method, "full", "logistic", auto))}
    best = max(found, key=lambda name: found[name].mean())
    return [
        task, str(budget), f"`{method}`", interval(found[method]),
        interval(found[method] - found["full"], 100, 1),
        interval(found[method] - found["logistic"], 100, 1),
        interval(found["full"]), interval(found["logistic"]), f"`{auto}`",
        interval(found[best] - found[auto], 100, 1), str(num_draws),
    ]  # fmt: skip


def main():
    """Prints each line of the table when it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(WORK))
    parser.add_argument("--budgets", default=",".join(map(str, DRAWS)))
    parser.add_argument("--method", default="", help="in place of the one that is chosen")
    parser.add_argument("--folder", default=str(measuring.ROOT / "runs" / "label_budgets"))
    chosen = parser.parse_args()
    budgets = Budgets(chosen.folder)
    print(measuring.table(HEADER, []), flush=True)
    for task in chosen.only.split(","):
        for budget in map(int, chosen.budgets.split(",")):
            print("| " + " | ".join(line(budgets, task, budget, chosen.method)) + " |", flush=True)


if __name__ == "__main__":
    main()
