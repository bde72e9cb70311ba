"""What light heads reach on rows that they saw nothing of, fold by fold, so that classifiers can be compared row by row."""

import dataclasses

import numpy as np

from tltf.data import hold_out
from tltf.evaluation.learning_curve import CurvePoint
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows

FAMILIES = "ridge"
"""The light head that is tried here, whose penalty is chosen within the rows of a fit: as accurate as logistic regression
within a quarter of a point on film reviews and clothes, in a third of its time."""
NUM_FOLDS = 5
HALVINGS = 5
"""A learning curve goes down to a 2^HALVINGS-th of its rows at most."""
FEWEST_PER_CLASS, FEWEST_ROWS = 3, 24
"""Rows of a subset, per class and altogether, below which a learning curve does not go."""
SUBSETS = 2
"""Subsets of each size for each fold, but for the largest, of which there is one."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much more often one classifier is right than another on the same rows.

    Args:
        value: -1..1.
        low: of its interval of 95 %.
        high: likewise.
    """

    value: float
    low: float
    high: float

    @property
    def is_surely_better(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


def folds_of(rows: FrozenRows, seed: int) -> np.ndarray:
    """int64[N]: the fold of each row; the same for all features of the same rows."""
    return hold_out.folds(rows.targets.argmax(axis=1), rows.groups, NUM_FOLDS, seed)


def is_right(rows: FrozenRows, folds: np.ndarray, seed: int, names: str = FAMILIES) -> np.ndarray:
    """bool[N]: whether a light head that was chosen and fitted on the other folds has each row right.

    Args:
        rows: features and labels.
        folds: see `folds_of`.
        seed: of the choices within.
        names: of the families, see `families.pick`.

    Raises:
        DataError: too few rows to choose a head.
    """
    found = np.zeros(len(folds), bool)
    for fold in range(NUM_FOLDS):
        held = np.flatnonzero(folds == fold)
        found[held] = _judge(rows, np.flatnonzero(folds != fold), held, seed, names)
    return found


def sizes_of(num_rows: int, num_classes: int) -> list[int]:
    """The numbers of rows of a learning curve, rising: all rows but one fold, halved again and again."""
    largest = num_rows - -(-num_rows // NUM_FOLDS)
    least = max(FEWEST_PER_CLASS * num_classes, FEWEST_ROWS)
    found = [largest // 2**times for times in range(HALVINGS + 1)]
    return sorted(size for size in found if size >= least)


def curve_points(
    rows: FrozenRows, folds: np.ndarray, seed: int, full: np.ndarray | None = None
) -> list[CurvePoint]:
    """The points of a learning curve: the accuracy on each fold of heads trained on subsets of the other folds.

    Args:
        rows: features and labels.
        folds: see `folds_of`.
        seed: of the subsets and of the choices within.
        full: bool[N], what `is_right` gives, which is the largest point; None computes it.
    """
    labels = rows.targets.argmax(axis=1)
    sizes = sizes_of(len(labels), rows.targets.shape[1])
    full = is_right(rows, folds, seed) if full is None else full
    found = []
    for size in sizes:
        accuracies = list[float]()
        for fold in range(NUM_FOLDS):
            held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            if size == sizes[-1]:
                accuracies.append(float(full[held].mean()))
                continue
            for number in range(SUBSETS):
                random = np.random.default_rng([seed, size, fold, number])
                some = draw(labels, rest, size, random)
                accuracies.append(float(_judge(rows, some, held, seed, FAMILIES).mean()))
        found.append(CurvePoint(size, tuple(accuracies), len(labels) // NUM_FOLDS))
    return found


def draw(
    labels: np.ndarray, places: np.ndarray, size: int, random: np.random.Generator
) -> np.ndarray:
    """int64[size]: some of the places, of each class about its share and at least one."""
    order = random.permutation(places)
    order = order[np.argsort(labels[order], kind="stable")]
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    # the rank of a row within its class as a share of the class: a cut through the ranks keeps the shares
    within = np.arange(len(order)) - np.repeat(starts, counts)
    ranks = (within + random.random(len(order))) / np.repeat(counts, counts)
    ranks[starts] = -1.0
    return np.sort(order[np.argsort(ranks, kind="stable")[:size]])


def compare(right: np.ndarray, other: np.ndarray) -> Difference:
    """The Difference of two classifiers, bool[N] each, by the paired differences of the rows."""
    gaps = right.astype(np.float64) - other
    error = float(gaps.std(ddof=1)) / np.sqrt(len(gaps)) if len(gaps) > 1 else np.inf
    value = float(gaps.mean())
    return Difference(value, value - 1.96 * error, value + 1.96 * error)


def _judge(
    rows: FrozenRows, train: np.ndarray, held: np.ndarray, seed: int, names: str
) -> np.ndarray:
    """bool[M]: whether a head that is chosen on some rows has others right."""
    model = choice.choose(families.pick(names), rows.take(train), seed).model
    answers = model.logits(np.asarray(rows.features[held])).argmax(axis=1)
    found: np.ndarray = answers == rows.targets[held].argmax(axis=1)
    return found
