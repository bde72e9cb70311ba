"""--abstain: the rules by which a model says that it is not sure of a class.

A rule chooses a threshold on the probabilities of validation examples, which is saved with the head.
Those examples may also have chosen the epoch and the temperature, so what is chosen promises a little
more than new examples keep; a report says what it comes to on the test split.
"""

import dataclasses
import math
from typing import Protocol

import numpy as np

from tltf.console import lazy_imports
from tltf.errors import FlagError

stats = lazy_imports.Module("scipy.stats")

NEVER = 2.0
"""A threshold that no probability reaches."""
NUM_TRIES = 20
"""Thresholds that `accuracy` tries: those that 5%, 10%, ... 100% of the examples reach."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a rule chooses; one of the two is a number.

    Args:
        sure_from: the probability of the answer from which on the model is sure; None for no limit.
        set_from: the probability from which on a class is in the set of those that are possible; the
            model is sure where the set has one class. None for no sets.
    """

    sure_from: float | None = None
    set_from: float | None = None


class Rule(Protocol):
    """A rule of --abstain."""

    @property
    def least_rows(self) -> int:
        """The fewest validation examples with which the rule can be kept."""

    def choose(self, probabilities: np.ndarray, labels: np.ndarray) -> Limits:
        """The Limits for float32[N, C] probabilities and int[N] labels of validation examples."""


def coverage(share: float = 0.9) -> "Coverage":
    """A rule that is sure of about a share of the examples, those with the highest probabilities.

    Args:
        share: of the validation examples, above 0 and at most 1.

    Raises:
        FlagError: the share is out of its range.
    """
    if not 0.0 < share <= 1.0:
        raise FlagError(
            f"coverage takes a share above 0 and at most 1 (received {share})",
            flag="abstain",
            fix="--abstain='coverage(.9)'",
        )
    return Coverage(share)


@dataclasses.dataclass(frozen=True)
class Coverage:
    """The rule that `coverage` makes: the (1 - share) quantile of the answers' probabilities."""

    share: float
    least_rows = 1

    def choose(self, probabilities: np.ndarray, labels: np.ndarray) -> Limits:
        """The largest threshold that `share` of the examples or more reach."""
        tops = np.sort(np.asarray(probabilities, np.float32).max(axis=1))[::-1]
        count = math.ceil(self.share * len(tops) - 1e-9)
        return Limits(sure_from=_number(tops[count - 1]))


def accuracy(least: float = 0.95, confidence: float = 0.95) -> "Accuracy":
    """A rule that is sure where the answers are right at least so often, with a confidence.

    Args:
        least: the accuracy of the answers that the model is sure of, above 0 and below 1.
        confidence: of that promise, above 0 and below 1.

    Raises:
        FlagError: a number out of its range.
    """
    if not (0.0 < least < 1.0 and 0.0 < confidence < 1.0):
        raise FlagError(
            f"accuracy takes numbers above 0 and below 1 (received {least}, {confidence})",
            flag="abstain",
            fix="--abstain='accuracy(.95)'",
        )
    return Accuracy(least, confidence)


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """The rule that `accuracy` makes: selection with guaranteed risk.

    Geifman & El-Yaniv 2017, arXiv:1705.08500: a threshold is good where the exact one-sided bound of
    Clopper & Pearson 1934 on the accuracy of the answers above it reaches `least`. Departs: the paper
    searches by halves; here the thresholds are those that NUM_TRIES fixed shares of the examples
    reach, each tried with its part of the error (Bonferroni), so that all bounds hold together
    whatever the labels are, and the lowest good one is taken. Without any the model is sure of
    nothing.
    """

    least: float
    confidence: float = 0.95

    @property
    def least_rows(self) -> int:
        """The fewest answers whose bound reaches `least`, if all of them are right."""
        return math.ceil(math.log(self._error) / math.log(self.least) - 1e-9)

    @property
    def _error(self) -> float:
        """The error of each of the bounds."""
        return (1.0 - self.confidence) / NUM_TRIES

    def choose(self, probabilities: np.ndarray, labels: np.ndarray) -> Limits:
        """The lowest threshold whose bound reaches `least`."""
        probabilities = np.asarray(probabilities, np.float32)
        tops, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        falling = np.sort(tops)[::-1]
        for number in range(NUM_TRIES, 0, -1):
            place = math.ceil(number / NUM_TRIES * len(tops) - 1e-9) - 1
            is_answered = tops >= falling[place]
            right, count = int(is_right[is_answered].sum()), int(is_answered.sum())
            if right and stats.beta.ppf(self._error, right, count - right + 1) >= self.least:
                return Limits(sure_from=_number(falling[place]))
        return Limits(sure_from=NEVER)


def conformal(error: float = 0.1) -> "Conformal":
    """A rule that is sure where a conformal prediction set has a single class.

    Args:
        error: the largest share of new examples whose set lacks the true class, above 0 and below 1.

    Raises:
        FlagError: the share is out of its range.
    """
    if not 0.0 < error < 1.0:
        raise FlagError(
            f"conformal takes a share above 0 and below 1 (received {error})",
            flag="abstain",
            fix="--abstain='conformal(.1)'",
        )
    return Conformal(error)


@dataclasses.dataclass(frozen=True)
class Conformal:
    """The rule that `conformal` makes: split conformal sets of the classes that are probable enough.

    The set of an example has the classes with 1 - p <= q, q the ceil((n + 1)(1 - error))-th smallest of
    the n values 1 - p of the true classes: Sadinle et al. 2019, arXiv:1609.00451 (LAC), and
    Angelopoulos & Bates 2021, arXiv:2107.07511, section 1. Departs: nothing.
    """

    error: float

    @property
    def least_rows(self) -> int:
        """The fewest examples with which a set need not have all classes."""
        return math.ceil((1.0 - self.error) / self.error - 1e-9)

    def choose(self, probabilities: np.ndarray, labels: np.ndarray) -> Limits:
        """The probability of which 1 - p is q; 0 where the examples are too few."""
        count = len(labels)
        place = math.ceil((count + 1) * (1.0 - self.error) - 1e-9)
        if place > count:
            return Limits(set_from=0.0)
        falling = np.sort(np.asarray(probabilities, np.float32)[np.arange(count), labels])[::-1]
        return Limits(set_from=_number(falling[place - 1]))


def _number(value: np.float32) -> float:
    """The shortest number that is this one in float32."""
    return float(np.format_float_scientific(np.float32(value), unique=True))
