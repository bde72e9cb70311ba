"""A trial of a search: what it is given, what is heard of it while it runs, and how it ends."""

import dataclasses
from collections.abc import Callable
from typing import Protocol

from tltf.config.flag_fields import FlagValue
from tltf.config.options import Options

COMPLETE, PRUNED, FAILED, UNFINISHED = "complete", "pruned", "failed", "unfinished"
"""How a trial ends. One that is unfinished is gone on with later."""


@dataclasses.dataclass(frozen=True)
class Score:
    """How good a trained model is on validation.

    Args:
        value: of the metric.
        loss: on the same rows; it decides between equal values.
        metric: name of the metric.
        lower_is_better: whether it is an error.
        num_rows: the number of validation rows.
        best_epoch: the epoch whose weights were kept, from 1; 0 for a solved start; None where that is not one epoch.
    """

    value: float
    loss: float
    metric: str
    lower_is_better: bool = False
    num_rows: int = 0
    best_epoch: int | None = None

    @property
    def quality(self) -> float:
        """The value as a number that is larger where the model is better."""
        return -self.value if self.lower_is_better else self.value


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial has ended.

    Args:
        status: COMPLETE, PRUNED, FAILED or UNFINISHED.
        score: of a complete trial; the mean over its rounds, where it has several.
        reason: why it failed; empty otherwise.
        is_of_data: whether it failed by the data, by which every other trial fails too.
        same_as: the number of the trial whose score it has without a training of its own; None for others.
    """

    status: str
    score: Score | None = None
    reason: str = ""
    is_of_data: bool = False
    same_as: int | None = None


@dataclasses.dataclass(frozen=True)
class Watch:
    """What a runner tells of a trial, and asks.

    Args:
        report: (step from 1, quality) -> whether the trial is to be given up, since others are better.
        is_over: () -> whether the time of the search is spent.
    """

    report: Callable[[int, float], bool]
    is_over: Callable[[], bool]


class Runner(Protocol):
    """Runs a trial in the folder that its --output names, or goes on with it there."""

    def __call__(self, options: Options, watch: Watch) -> Outcome:
        """How the trial ends."""


@dataclasses.dataclass(frozen=True)
class TrialRow:
    """A trial as it is shown.

    Args:
        number: from 0.
        status: how it ended; UNFINISHED also while it runs.
        values: flag -> value.
        score: of a complete trial; None for others.
        curve: (step, quality) of each step that was heard of.
        seconds: that it ran, over all attempts.
        reason: why it failed.
        same_as: the number of the earlier trial whose score it has, since it would have trained the same; None for
            a trial that was trained.
    """

    number: int
    status: str
    values: dict[str, FlagValue]
    score: Score | None
    curve: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0
    reason: str = ""
    same_as: int | None = None

    @property
    def is_trained(self) -> bool:
        """Whether it has a score of its own, and with it a network."""
        return self.score is not None and self.same_as is None


def best_of(rows: list[TrialRow], count: int = 1) -> list[TrialRow]:
    """The best trained trials, the best first; of equals the one with the lower loss, then the earlier one."""
    complete = [(row, row.score) for row in rows if row.is_trained and row.score is not None]
    complete.sort(key=lambda pair: (-pair[1].quality, pair[1].loss, pair[0].number))
    return [row for row, _ in complete[:count]]
