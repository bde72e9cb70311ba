"""Measures what is learned and forgotten in steps, on cached features, and prints a table.

    python tools/continual.py [--folder=runs/continual] [--only=fashion,digits,vader] [--seeds=5] [--tune=2]

Each case computes the features of its rows once. Of a seed come the order of the steps and the draws of the
memory; every method trains a linear head on the same rows, by the same code as a run. Settings are chosen on
the validation rows of all steps under other seeds than those that are reported. Prints means over seeds with
Student's 95% intervals, on test rows, and the accuracy matrices of some methods: a row is what each step had right after
that step was learned. Measurements are kept in FOLDER/continual.jsonl.
"""

import argparse
import dataclasses
import itertools
import pathlib
import types

import continual_rows
import keras
import measuring
import numpy as np
import tensorflow as tf

from tltf.config import call_strings
from tltf.config.catalogs import HEADS, METHODS
from tltf.config.options import make
from tltf.console import lines
from tltf.data import kept_rows
from tltf.data.kept_rows import KeptRows, Stream
from tltf.evaluation.report import folds
from tltf.evaluation.step_accuracies import StepAccuracies
from tltf.graphs import functional
from tltf.graphs.core import attach_head
from tltf.methods.context import FitContext
from tltf.runs import carried
from tltf.training.callbacks.log_epochs import EveryLog
from tltf.training.fit import Fit

IMAGES = ["--backbone=efficientnet_lite0", "--image_size_px=96"]
TEXTS = ["--backbone=minilm_l6", "--text_length=48"]
FASHION, DIGITS = "fashion_mnist(num_train=2000, num_test=1500)", "digits"
DOMAINS = [
    f"vader(domain={name}, num_train=600, num_test=600)"
    for name in ("movie", "amazon", "nyt", "tweets")
]
CASES = {
    "fashion": (f"class_steps(data='{FASHION}', step=5, rows=all)", IMAGES),
    "digits": (f"class_steps(data={DIGITS}, step=5, rows=all)", IMAGES),
    "vader": (f"sequence(steps=[{', '.join(DOMAINS)}], step=4, rows=all)", TEXTS),
}
TITLES = {
    "fashion": "Split-Fashion, 5 steps of 2 classes, EfficientNet-Lite0 at 96 px",
    "digits": "Split-digits, 5 steps of 2 classes, EfficientNet-Lite0 at 96 px",
    "vader": "vader, 4 domains in turn, MiniLM",
}
LOGISTIC = "probe(family=logistic)"
RATES = (0.001, 0.01)
NUM_EPOCHS, BATCH = 20, 32
SHOWN = ("ewc", "replay, 500 by herding", "ncm")
"""Methods whose accuracy matrices are printed."""


@dataclasses.dataclass(frozen=True)
class Way:
    """A method with its settings.

    Args:
        method: call string.
        rate: learning rate, where it takes steps.
        memory: rows that are kept.
        choice: which ones.
        rows: what a step trains on, see tltf.data.sources.steps.
        is_balanced: whether classes weigh the same.
    """

    method: str
    rate: float = 0.001
    memory: int = 0
    choice: str = "reservoir"
    rows: str = "step"
    is_balanced: bool = False


def _ewc(strength, rate):
    return Way(f"ewc(strength={strength:g}, fisher_rows=300)", rate)


def _lwf(weight, rate):
    return Way(f"lwf(weight={weight}, backbone_rate=0, old_head=shared)", rate)


def replay(memory, choice):
    """Replay with a logistic regression whose penalty is chosen by cross-validation."""
    return Way(LOGISTIC, memory=memory, choice=choice, is_balanced=True)


def gdumb(memory):
    """GDumb with the same head."""
    return Way(LOGISTIC, memory=memory, choice="balanced", rows="memory")


WAYS = {
    "joint": [Way(LOGISTIC, rows="all")],
    "naive": [Way("linear_probe", rate) for rate in RATES],
    "ewc": [
        _ewc(strength, rate) for strength, rate in itertools.product((1, 1e2, 1e4, 1e6, 1e8), RATES)
    ],
    "lwf": [_lwf(weight, rate) for weight, rate in itertools.product((1.0, 10.0), RATES)],
    "replay, 100 by reservoir": [replay(100, "reservoir")],
    "replay, 100 by herding": [replay(100, "herding")],
    "replay, 500 by reservoir": [replay(500, "reservoir")],
    "replay, 500 by herding": [replay(500, "herding")],
    "gdumb, 100": [gdumb(100)],
    "gdumb, 500": [gdumb(500)],
    "ncm": [Way("ncm(scaled=true)"), Way("ncm(scaled=false)")],
}
"""Name in the table -> settings, of which one is chosen."""


@dataclasses.dataclass
class Learner:
    """What a method has after some steps."""

    core: object = None
    names: tuple[str, ...] = ()
    left: object = None


def learn(way, rows, names, before, seed):
    """The Learner after a step.

    Args:
        way: Way.
        rows: Rows that the step may read.
        names: of the classes so far.
        before: Learner; an empty one starts anew.
        seed: of new weights and of the order of rows.
    """
    keras.utils.set_random_seed(seed)
    name = "." if before.core is not None else "identity"  # a folder, as that of a run is
    call = call_strings.pick(HEADS, "classify")
    core = attach_head(continual_rows.identity(rows.features.shape[1], name), call, len(names))
    if before.core is not None:
        old = functional.named_weights(before.core.groups[-1].layers)
        for key, variable in functional.named_weights(core.groups[-1].layers).items():
            value = variable.numpy()
            known = carried.by_class(old[key].numpy(), before.names, names, np.nan)
            variable.assign(np.where(np.isnan(known), value, known))
    options = make(
        method=way.method,
        train_epochs=NUM_EPOCHS,
        batch_size=BATCH,
        eval_batch_size=512,
        optimizer="adam",
        learning_rate=way.rate,
        schedule="cosine",
        warmup_fraction=0.0,
        weight_decay=0.0,
        norm="frozen",
        keep="last",
        seed=seed,
    )
    method = call_strings.pick(METHODS, way.method).build()
    teacher = types.SimpleNamespace(core=before.core, class_names=before.names)
    fit = Fit(
        core,
        method,
        continual_rows.feed_of(rows, names, way.is_balanced, seed, BATCH),
        options,
        tf.distribute.get_strategy(),
        EveryLog(),
    )
    fit.prepare(FitContext(tuple(names), "", lambda run: teacher, carried=before.left))
    return Learner(fit(), tuple(names), method.carried)


def sequence(way, rows, role, seed):
    """The StepAccuracies of a method, judged on the rows of a role."""
    rows, count = rows.shuffled(seed), int(rows.steps.max()) + 1
    training = rows.take(np.flatnonzero(rows.roles == "train"))
    judged = rows.take(np.flatnonzero(rows.roles == role))
    matrix, chances = np.full((count, count), np.nan), np.empty(count)
    learner, kept = Learner(), KeptRows()
    for step in range(count):
        names = rows.names[: rows.labels[rows.steps <= step].max() + 1]
        held = np.isin(training.ids, kept.ids)
        own = training.steps == step
        after = remember(way, kept, training, own, seed)
        if way.rows == "memory":
            used = np.isin(training.ids, after.ids)
        else:
            used = training.steps <= step if way.rows == "all" else own | held
        if way.rows != "step":
            learner = Learner()
        learner, kept = learn(way, training.take(np.flatnonzero(used)), names, learner, seed), after
        logits = np.asarray(
            learner.core.model.predict_on_batch({"features": judged.features})["label"]
        )
        is_right = logits.argmax(axis=1) == judged.labels
        for other in range(count):
            if set(judged.labels[judged.steps == other].tolist()) <= set(range(len(names))):
                matrix[step, other] = is_right[judged.steps == other].mean()
        chances[step] = 1 / len(names)
        keras.backend.clear_session()
    return StepAccuracies(matrix, chances, [str(step) for step in range(count)])


def remember(way, kept, training, own, seed):
    """The memory after the rows of a step."""
    if not way.memory:
        return kept
    new = training.take(np.flatnonzero(own))
    classes = [training.names[label] for label in new.labels]
    places = {name: place for place, name in enumerate(training.ids.tolist())}
    old = [places[name] for name in kept.ids]
    features = np.concatenate([training.features[old], new.features])
    return kept_rows.update(
        kept, Stream(new.ids.tolist(), classes, features), way.choice, way.memory, seed
    )


def measure(way, rows, role, seed):
    """What the notebook keeps of a sequence."""
    with lines.quiet():
        return sequence(way, rows, role, seed).to_json()


class Case:
    """The measurements of a case; features are computed when something is missing."""

    def __init__(self, folder, name, notebook):
        self.folder, self.name, self.notebook, self._rows = folder, name, notebook, None

    @property
    def rows(self):
        """The Rows."""
        if self._rows is None:
            self._rows = continual_rows.rows_of(self.folder, self.name, *CASES[self.name])
        return self._rows

    def get(self, way, role, seed):
        """The measurement of a method under a seed."""
        key = f"{self.name} {role} {seed} {dataclasses.astuple(way)}"
        return self.notebook.get(key, lambda: measure(way, self.rows, role, seed))

    def choose(self, ways, seeds):
        """The settings with the best average accuracy on validation rows."""
        if len(ways) == 1:
            return ways[0]
        scores = [
            np.mean([self.get(way, "validation", seed)["average_accuracy"] for seed in seeds])
            for way in ways
        ]
        return ways[int(np.argmax(scores))]


def cell(values):
    """`81.2 (80.1 to 82.3)`, in percent."""
    if any(value is None for value in values):
        return ""
    low, high = folds.mean_interval(values, folds.DRAWS) or [values[0]] * 2
    return f"{100 * np.mean(values):.1f} ({100 * low:.1f} to {100 * high:.1f})"


def matrix_table(title, rows):
    """The table of the mean accuracy matrix of a method over seeds, in percent; empty where a class is not known yet."""
    values = 100 * np.mean([np.array(row["accuracies"], float) for row in rows], axis=0)
    count = len(values)
    cells = [
        [f"{title}, after step {step + 1}", *("" if np.isnan(v) else f"{v:.1f}" for v in own)]
        for step, own in enumerate(values)
    ]
    return measuring.table(["", *(f"step {step + 1}" for step in range(count))], cells)


def main():
    """Measures what is missing and prints a table for each case."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/continual")
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tune", type=int, default=2)
    options = parser.parse_args()
    folder = pathlib.Path(options.folder).resolve()
    notebook = measuring.Notebook(folder / "continual.jsonl")
    measures = (
        "average_accuracy",
        "incremental_accuracy",
        "forgetting",
        "backward_transfer",
        "forward_transfer",
    )
    for name in options.only.split(","):
        case, table, matrices = Case(folder, name, notebook), [], []
        for title, ways in WAYS.items():
            way = case.choose(ways, range(101, 101 + options.tune))
            found = [case.get(way, "test", seed) for seed in range(1, 1 + options.seeds)]
            cells = [cell([row[measure_] for row in found]) for measure_ in measures]
            told = f"{way.method}, rate {way.rate:g}" if len(ways) > 1 else way.method
            table.append([title, *cells, told])
            if title in SHOWN:
                matrices.append(matrix_table(title, found))
        print(TITLES[name], end="\n\n")
        header = [
            "method",
            "average accuracy",
            "mean over steps",
            "forgetting",
            "backward transfer",
            "forward transfer",
            "chosen",
        ]
        print(measuring.table(header, table), *matrices, sep="\n\n", end="\n\n")


if __name__ == "__main__":
    main()
