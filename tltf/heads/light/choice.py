"""Chooses a light model and its setting by cross-validation on the training rows."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tltf.data import blas_threads, hold_out
from tltf.errors import DataError
from tltf.heads.light.light_model import Family, FrozenRows, LightModel
from tltf.heads.temperature import class_losses, fit_of_few
from tltf.heads.temperature import fit as fit_temperature

NUM_FOLDS = 5
FEW_ROWS = 300
"""Rows below which the folds are drawn NUM_REPEATS times, so that the choice hangs less on one draw."""
NUM_REPEATS = 4
ENOUGH_PER_CLASS = 16
"""Rows of each class from which logistic regression is taken where it cannot be told from the best: with more rows than the
folds have it gains more than class means do, 0.2 points on average of seven data sets at 16 labels, and -0.2 at 8."""
MANY_NUMBERS = 2_000_000
"""Features times rows above which one fold alone is held back: what is chosen hardly varies then."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A setting of a family and what it reached on rows that it was not fitted on.

    Args:
        family: the Family.
        setting: one of its settings.
        accuracy: share of the weight of rows that it has right, 0..1.
        loss: cross-entropy at the temperature.
        temperature: what divides its logits, fitted on these rows; that of the chosen one as
            `fit_of_few` does, so that its probabilities are no surer than so few rows can show.
    """

    family: Family
    setting: float
    accuracy: float
    loss: float
    temperature: float

    @property
    def text(self) -> str:
        """`logistic, penalty .1`."""
        return ", ".join(filter(None, [self.family.name, self.family.text(self.setting)]))


@dataclasses.dataclass(frozen=True)
class Choice:
    """A light model that was chosen and fitted on all rows.

    Args:
        model: its logits are scaled so that their softmax can be believed.
        candidate: what was chosen.
        candidates: everything that was tried, in the order of the families.
        num_held: rows on which each was judged, a row once for each draw of the folds.
    """

    model: LightModel
    candidate: Candidate
    candidates: tuple[Candidate, ...]
    num_held: int


def choose(
    families: Sequence[Family],
    rows: FrozenRows,
    seed: int = 0,
) -> Choice:
    """The Choice among all settings of some families.

    A candidate is judged on folds of the rows that it is not fitted on, which have a temperature of
    their own for it. The best one is that with the lowest cross-entropy among those whose
    accuracy cannot be told from the highest one: the mean of the paired difference is at most its standard error. From
    ENOUGH_PER_CLASS rows a class on it is one of logistic regression, if that is among them.

    Args:
        families: at least one, with at least one setting between them.
        rows: the training rows.
        seed: of the draw of the folds.

    Raises:
        DataError: too few rows to hold some back, or a number of rows on which no family is tried.
    """
    labels = rows.targets.argmax(axis=1)
    pairs = _pairs(families, len(labels), rows.targets.shape[1])
    if not any(settings for _, settings in pairs):
        names = ", ".join(family.name for family in families)
        raise DataError(
            f"{names} is not tried on {len(labels)} training rows",
            flag="method",
            fix="--method=probe",
        )
    with blas_threads.limit_threads(rows.features.size):
        return _choose(pairs, rows, labels, seed)


def _pairs(
    families: Sequence[Family], num_rows: int, num_classes: int
) -> Sequence[tuple[Family, Sequence[float]]]:
    """`(family, its settings)` of those that are tried; few rows leave some out where there are others."""
    pairs = [(family, tuple(family.settings(num_rows, num_classes))) for family in families]
    enough = [pair for pair in pairs if num_rows >= pair[0].least_beside_others]
    return enough if any(settings for _, settings in enough) else pairs


def _choose(
    pairs: Sequence[tuple[Family, Sequence[float]]],
    rows: FrozenRows,
    labels: np.ndarray,
    seed: int,
) -> Choice:
    """The Choice among pairs of a family and its settings; see `choose`."""
    held, found = list[np.ndarray](), [list[np.ndarray]() for _, s in pairs for _ in s]
    for is_held in _draws(rows, labels, seed):
        judged, rest = np.flatnonzero(is_held), rows.take(np.flatnonzero(~is_held))
        held.append(judged)
        models = [model for family, settings in pairs for model in solve(family, rest, settings)]
        features = np.asarray(rows.features[judged])
        for logits, model in zip(found, models, strict=True):
            logits.append(model.logits(features))
    places = np.concatenate(held)
    settings = [(family, setting) for family, chosen in pairs for setting in chosen]
    weights = rows.weights[places] / rows.weights[places].sum()
    judged_all = [
        _judge(family, setting, np.concatenate(logits), labels[places], weights)
        for (family, setting), logits in zip(settings, found, strict=True)
    ]
    candidates = tuple(candidate for candidate, _ in judged_all)
    place = _best(candidates, [right for _, right in judged_all], weights, rows.targets.shape)
    divisor = fit_of_few(np.concatenate(found[place]), labels[places], len(labels))
    best = dataclasses.replace(candidates[place], temperature=divisor)
    candidates = (*candidates[:place], best, *candidates[place + 1 :])
    once = dataclasses.replace(rows)  # what it keeps of them is let go with it
    (model,) = solve(best.family, once, [best.setting])
    return Choice(model.scaled(1 / best.temperature), best, candidates, len(places))


def _draws(rows: FrozenRows, labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """bool[N] for each fold of each draw, true where a row is held back."""
    found = list[np.ndarray]()
    for draw in range(NUM_REPEATS if len(labels) < FEW_ROWS else 1):
        folds = hold_out.folds(labels, rows.groups, NUM_FOLDS, seed + draw)
        found += [folds == fold for fold in range(NUM_FOLDS)]
    found = found[:1] if rows.features.size > MANY_NUMBERS else found
    usable = [
        is_held
        for is_held in found
        if rows.weights[is_held].any() and len(np.unique(labels[~is_held & (rows.weights > 0)])) > 1
    ]
    if not usable:
        raise DataError(
            f"{len(labels)} training rows are too few to choose a head by holding some of them back",
            flag="method",
            fix="--method='probe(family=class_means)', which chooses nothing",
        )
    return usable


def solve(family: Family, rows: FrozenRows, settings: Sequence[float]) -> Sequence[LightModel]:
    """The models of a family on rows that may lack some classes.

    The probability of a class that no row has is below 1 / N.
    """
    is_there = (rows.targets * rows.weights[:, None]).sum(axis=0) > 0
    if not settings:
        return []
    if family.takes_absent_classes or is_there.all():
        return family.solve(rows, settings)
    present = np.flatnonzero(is_there)
    models = family.solve(dataclasses.replace(rows, targets=rows.targets[:, present]), settings)
    least = -float(np.log(np.count_nonzero(rows.weights)))
    return [model.with_classes(present, len(is_there), least) for model in models]


def _judge(
    family: Family, setting: float, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[Candidate, np.ndarray]:
    """The Candidate, and bool[M]: which rows it has right."""
    divisor = fit_temperature(logits, labels, class_losses)
    losses = class_losses(logits / divisor, labels)
    is_right = logits.argmax(axis=1) == labels
    found = Candidate(family, setting, float(weights @ is_right), float(weights @ losses), divisor)
    return found, is_right


def _best(
    candidates: Sequence[Candidate],
    is_right: Sequence[np.ndarray],
    weights: np.ndarray,
    shape: tuple[int, ...],
) -> int:
    """The place of the candidate that `choose` takes; `shape` is (training rows, classes)."""
    num_rows, num_classes = shape
    top = max(range(len(candidates)), key=lambda i: (candidates[i].accuracy, -candidates[i].loss))

    def is_near(place: int) -> bool:
        differences = is_right[top].astype(float) - is_right[place]
        mean = float(weights @ differences)
        spread = float(weights @ (differences - mean) ** 2)
        return mean <= np.sqrt(spread / min(num_rows, len(differences)))

    near = [place for place in range(len(candidates)) if is_near(place)]
    if num_rows >= ENOUGH_PER_CLASS * num_classes:
        near = [place for place in near if candidates[place].family.is_steady] or near
    return min(near, key=lambda place: candidates[place].loss)
