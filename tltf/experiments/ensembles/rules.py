"""How the answers of candidates become one: fitted on validation rows, and judged on folds of these."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tltf.config.ensemble_options import AUTO, GREEDY, MEAN, STACKING, EnsembleOptions
from tltf.data import label_kinds
from tltf.errors import FlagError
from tltf.evaluation import ensemble_selection, stacking
from tltf.evaluation.ensemble_selection import Loss
from tltf.evaluation.stacking import Stacking
from tltf.heads.head import Head
from tltf.heads.regress import Regress
from tltf.models import ensembles

BEST = "best"
"""The candidate with the smallest loss, alone."""


@dataclasses.dataclass(frozen=True)
class ValidationRows:
    """The rows on which members are chosen.

    Args:
        head: of the ensemble, whose losses are taken.
        scores: float64[M, N, K] of each candidate.
        labels: of the rows.
        groups: uint64[N], equal for rows of the same content.
    """

    head: Head
    scores: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def take(self, is_in: np.ndarray) -> "ValidationRows":
        """Some of the rows, bool[N]."""
        scores, labels = self.scores[:, is_in], self.labels[is_in]
        return ValidationRows(self.head, scores, labels, self.groups[is_in])

    def losses(self, logits: np.ndarray) -> np.ndarray:
        """float64[N]: the loss of each row for logits of the ensemble, float64[N, L]."""
        return np.asarray(self.head.losses(logits, self.labels), np.float64)

    def loss_of(self, metric: str) -> Loss:
        """What is made small of a mean of scores, float64[N, K]: its loss, or its metric and then its loss."""
        sign = 1.0 if self.head.lower_is_better else -1.0

        def loss(mean: np.ndarray) -> tuple[float, ...]:
            logits = ensembles.logits_of_mean(self.head, mean)
            value = float(self.losses(logits).mean())
            if metric == "loss":
                return (value,)
            return sign * float(self.head.metric_value(logits, self.labels)), value

        return loss


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A rule that was fitted.

    Args:
        name: MEAN, GREEDY, STACKING or BEST.
        shares: float64[M], the weight of each candidate in a mean; None for stacking.
        regression: of stacking; None for means.
    """

    name: str
    shares: np.ndarray | None = None
    regression: Stacking | None = None

    def logits(self, head: Head, scores: np.ndarray) -> np.ndarray:
        """float64[N, L]: the logits of the ensemble's head, from float64[M, N, K] scores."""
        if self.shares is not None:
            return ensembles.logits_of_mean(head, np.tensordot(self.shares, scores, 1))
        if self.regression is None:
            raise ValueError("a rule has weights or a regression")
        are_labels = head.target == label_kinds.LABELS
        inputs = ensembles.inputs_of_stacking(scores, are_labels)
        if are_labels:
            return (inputs * self.regression.kernel).sum(axis=1) + self.regression.bias
        return inputs @ self.regression.kernel + self.regression.bias


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """How good a rule is on validation rows that it was not fitted on.

    Args:
        rule: its name.
        loss: the mean.
        score: the metric by which epochs are chosen.
    """

    rule: str
    loss: float
    score: float


def fit_rule(name: str, rows: ValidationRows, options: EnsembleOptions) -> Fitted:
    """The rule of a name, fitted on rows.

    Raises:
        FlagError: stacking of numbers.
    """
    count = len(rows.scores)
    if name == MEAN:
        return Fitted(name, np.full(count, 1.0 / count))
    if name == BEST:
        loss = rows.loss_of(options.metric)
        best = min(range(count), key=lambda place: loss(rows.scores[place]))
        return Fitted(name, np.eye(count)[best])
    if name == GREEDY:
        found = ensemble_selection.select(
            list(rows.scores),
            rows.loss_of(options.metric),
            rounds=options.rounds,
            most_first=options.most_first,
            bags=options.bags,
            seed=options.seed,
        )
        return Fitted(name, found.weights)
    return Fitted(name, regression=_stack(rows))


def _stack(rows: ValidationRows) -> Stacking:
    if isinstance(rows.head, Regress):
        what = "stacking is a logistic regression, and the runs predict numbers"
        raise FlagError(what, flag="combine", fix="--combine=greedy")
    are_labels = rows.head.target == label_kinds.LABELS
    inputs = ensembles.inputs_of_stacking(rows.scores, are_labels)
    if are_labels:
        return stacking.fit_labels(inputs, rows.labels, rows.groups)
    return stacking.fit_classes(inputs, rows.labels, rows.scores.shape[2], rows.groups)


def compare(names: Sequence[str], rows: ValidationRows, options: EnsembleOptions) -> list[HeldOut]:
    """HeldOut of some rules, by cross-validation on the rows; [] where these are too few for folds."""
    found = list[HeldOut]()
    for name in names:
        logits = held_out_logits(name, rows, options)
        if logits is not None:
            score = float(rows.head.metric_value(logits, rows.labels))
            found.append(HeldOut(name, float(rows.losses(logits).mean()), score))
    return found


def held_out_logits(name: str, rows: ValidationRows, options: EnsembleOptions) -> np.ndarray | None:
    """float64[N, L]: what a rule says of each row that it was not fitted on; None for too few rows for folds."""
    folds, logits = stacking.folds_of(rows.groups), None
    if len(np.unique(folds)) < 2:
        return None
    for fold in np.unique(folds):
        held = folds == fold
        fitted = fit_rule(name, rows.take(~held), options)
        own = fitted.logits(rows.head, rows.scores[:, held])
        logits = np.zeros((len(held), own.shape[1])) if logits is None else logits
        logits[held] = own
    return logits


def compared_names(options: EnsembleOptions, head: Head) -> list[str]:
    """The rules that are compared: stacking, which takes longer, only where it is asked for."""
    is_stacked = options.combine in (AUTO, STACKING) and not isinstance(head, Regress)
    return [BEST, MEAN, GREEDY, *([STACKING] if is_stacked else [])]


def choose(compared: Sequence[HeldOut], options: EnsembleOptions) -> str:
    """The name of the rule that --combine asks for; under auto the one with the smallest held-out loss."""
    if options.combine != AUTO:
        return options.combine
    able = [row for row in compared if row.rule != BEST]
    return min(able, key=lambda row: row.loss).rule if able else MEAN
