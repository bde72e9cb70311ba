"""One look at a window of live rows: tests against the reference, and what was answered how often."""

import dataclasses
import math
from typing import Any

import numpy as np

from tltf.data.label_kinds import CLASS, LABELS
from tltf.errors import FlagError
from tltf.serving.monitoring import statistics
from tltf.serving.monitoring.answers import Answers
from tltf.serving.monitoring.reference import About, Reference
from tltf.serving.monitoring.statistics import Tested

OUTPUTS, ANSWERS, FEATURES = "outputs", "answers", "features"
TESTS = {
    OUTPUTS: "Kolmogorov-Smirnov, each output",
    ANSWERS: "chi-squared, how often each class is predicted",
    FEATURES: "kernel two-sample test (MMD), features",
}
"""Test -> what it is."""
LEAST_ROWS = 20
"""Rows that a window must have to be tested."""
LEAST_PERMUTATIONS, MOST_PERMUTATIONS = 999, 19_999
SPARE_PERMUTATIONS = 3
"""How many of the permutations, at least, may reach the statistic where a test just rejects."""
SEED = 0


@dataclasses.dataclass(frozen=True)
class Summary:
    """How often a model gave each answer.

    Args:
        rates: class or label -> share of the rows that were given it; {} for numbers.
        means: name -> mean of each predicted number; {} for classes.
        confidence: mean probability of the most probable class; None for other heads.
    """

    rates: dict[str, float]
    means: dict[str, float]
    confidence: float | None = None

    @property
    def not_sure(self) -> float:
        """The share of the rows whose class the model was not sure of, 0..1; 0 for other heads."""
        if self.confidence is None:
            return 0.0
        left = 1.0 - sum(self.rates.values())
        return left if left > 1e-9 else 0.0


@dataclasses.dataclass(frozen=True)
class Ring:
    """An alarm that rang.

    Args:
        alarm: its call string.
        text: what was found, as a sentence without a full stop.
        value: what was compared with the limit.
        limit: of the alarm.
    """

    alarm: str
    text: str
    value: float
    limit: float


@dataclasses.dataclass(frozen=True)
class Look:
    """What was found in one window.

    Args:
        number: of the window, from 1.
        num_rows: rows that were compared.
        num_bad: rows beside them that could not be read or predicted.
        time: when its last row came; when it was looked at where the log does not say.
        summary: of its answers.
        p_values: test -> p-value, corrected for the parts of the test; a test that was not made is
            absent.
        parts: test -> the part with the smallest p-value, where it has several.
        p_value: the smallest p-value, corrected for all tests of this look; None without tests.
        discrepancy: the squared maximum mean discrepancy of the features; None without them.
        class_shift: class -> estimated rate of the true class; None where it cannot be estimated.
        rings: alarms that rang.
    """

    number: int
    num_rows: int
    num_bad: int
    time: str
    summary: Summary
    p_values: dict[str, float] = dataclasses.field(default_factory=dict)
    parts: dict[str, str] = dataclasses.field(default_factory=dict)
    p_value: float | None = None
    discrepancy: float | None = None
    class_shift: dict[str, float] | None = None
    rings: tuple[Ring, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The look as JSON data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Look":
        """The look that `to_json` gave.

        Raises:
            KeyError, TypeError: it is not one.
        """
        rings = tuple(Ring(**ring) for ring in content["rings"])
        return cls(**{**content, "summary": Summary(**content["summary"]), "rings": rings})


def summarize(answers: Answers, about: About) -> Summary:
    """How often each answer was given; empty without rows."""
    if not len(answers):
        return Summary({}, {})
    if not about.has_classes:
        return Summary({}, dict(zip(about.names, answers.given.mean(axis=0).tolist(), strict=True)))
    if about.kind == LABELS:
        shares = answers.given.mean(axis=0)
        return Summary(dict(zip(about.names, shares.tolist(), strict=True)), {})
    counts = _counts(answers.given, len(about.names))
    rates = dict(zip(about.names, (counts / len(answers)).tolist(), strict=True))
    return Summary(rates, {}, float(answers.scores.max(axis=1).mean()))


def _counts(given: np.ndarray, num: int) -> np.ndarray:
    return np.bincount(given[given >= 0], minlength=num)


def permutations_for(alpha: float) -> int:
    """The permutations from which the kernel test can reject at a level for all tests of a look.

    Raises:
        FlagError: there would be more than MOST_PERMUTATIONS.
    """
    needed = math.ceil(SPARE_PERMUTATIONS * len(TESTS) / alpha) - 1
    if needed > MOST_PERMUTATIONS:
        least = SPARE_PERMUTATIONS * len(TESTS) / (MOST_PERMUTATIONS + 1)
        what = (
            f"alpha is too small for the permutation test (received {alpha:g}; at least {least:g})"
        )
        raise FlagError(what, flag="alarm", fix=f"--alarm='drift(alpha={least:g})'")
    return max(needed, LEAST_PERMUTATIONS)


def look_at(
    answers: Answers, reference: Reference, number: int, time: str, permutations: int
) -> Look:
    """Compares a window with the reference; alarms are not looked at.

    p-values of all tests of the look are corrected by their number (Bonferroni), so that a look without
    a shift has one below alpha with a probability of at most alpha, whatever their dependence.

    Args:
        answers: of the window; fewer than LEAST_ROWS rows are counted and not tested.
        reference: of the run.
        number: of the window.
        time: when its last row came.
        permutations: of the kernel test, see `permutations_for`.
    """
    found = _tests(answers, reference, permutations)
    p_values = {name: result.p_value for name, result in found.items()}
    return Look(
        number,
        len(answers),
        answers.num_bad,
        time,
        summarize(answers, reference.about),
        p_values,
        {name: result.part for name, result in found.items() if result.part},
        min(1.0, len(found) * min(p_values.values())) if found else None,
        found[FEATURES].statistic if FEATURES in found else None,
        _class_shift(answers, reference),
    )


def _tests(answers: Answers, reference: Reference, permutations: int) -> dict[str, Tested]:
    about, own = reference.about, reference.answers
    if len(answers) < LEAST_ROWS:
        return {}
    found: dict[str, Tested | None] = {
        OUTPUTS: statistics.compare_outputs(own.scores, answers.scores, about.columns)
    }
    if about.kind == CLASS:
        num = len(about.names)
        found[ANSWERS] = statistics.compare_counts(
            *(_counts(part.scores.argmax(axis=1), num) for part in (own, answers))
        )
    elif about.kind == LABELS:
        found[ANSWERS] = statistics.compare_label_counts(own.given, answers.given, about.names)
    if own.features is not None and answers.features is not None and len(answers.features) > 1:
        found[FEATURES] = statistics.compare_features(
            own.features, answers.features, permutations=permutations, seed=SEED
        )
    return {name: result for name, result in found.items() if result is not None}


def _class_shift(answers: Answers, reference: Reference) -> dict[str, float] | None:
    about = reference.about
    if about.kind != CLASS or len(answers) < LEAST_ROWS:
        return None
    shift = statistics.estimate_class_shift(
        reference.truths,
        reference.answers.scores.argmax(axis=1),
        answers.scores.argmax(axis=1),
        len(about.names),
    )
    return None if shift is None else dict(zip(about.names, shift.rates.tolist(), strict=True))
