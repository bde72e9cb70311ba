"""How scores and values of trials are written."""

from collections.abc import Mapping

from tltf.config.flag_fields import FlagValue, flag_text
from tltf.evaluation.report.wording import percent
from tltf.experiments.search.trial import Score

SHARES = ("accuracy", "macro_f1", "average_precision", "mean_quality")
"""Metrics that are shares of 1."""


def value_text(value: FlagValue) -> str:
    """A value of a flag; numbers with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else flag_text(value)


def values_text(values: Mapping[str, FlagValue]) -> str:
    """The values of a trial."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in values.items())


def number_text(value: float, metric: str) -> str:
    """The value of a metric."""
    return percent(value) if metric in SHARES else f"{value:.4g}"


def score_text(score: Score | None) -> str:
    """A score with the name of its metric."""
    if score is None:
        return "nothing"
    return f"{score.metric.replace('_', ' ')} {number_text(score.value, score.metric)}"
