"""The time of a preset: how much is left, and what is kept for the end."""

import dataclasses
import time

from tltf.experiments.advice.advising import Advice

SHARE_OF_ADVICE = 1 / 3
"""The share of a budget after which the advice begins nothing more."""
MOST_TRIALS = 8
END_S = 75.0
"""Seconds from the choice of a model to the end of its run, without its rows: report, explanations, export and its check. 72
were measured with 300 digits on two busy cores."""
ENSEMBLE_S = 120.0
"""Seconds that are kept for reading three trials, judging an ensemble of them and perhaps making it."""
HOPELESS = 4.0
"""How many times what is left a trial may be expected to take and still be begun."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """The seconds of a preset.

    Args:
        seconds: for everything.
        began: time.monotonic() when this process began with it.
        earlier_s: seconds that an interrupted process has spent of it.
    """

    seconds: float
    began: float = dataclasses.field(default_factory=time.monotonic)
    earlier_s: float = 0.0

    @property
    def spent_s(self) -> float:
        """Seconds that are over."""
        return time.monotonic() - self.began + self.earlier_s

    @property
    def left_s(self) -> float:
        """Seconds that are left; below 0 where it was exceeded."""
        return self.seconds - self.spent_s


def reserve_s(advice: Advice) -> float:
    """Seconds that the end takes: the chosen model's validation and test rows, the report and the export."""
    facts, one = advice.facts, advice.networks[0].ms_per_example / 1000
    return END_S + one * (facts.num_validation + facts.num_test)


def ensemble_s(seconds: float) -> float:
    """Seconds that the preset best keeps for an ensemble, of all its seconds."""
    return min(ENSEMBLE_S, seconds / 4)


def num_trials(left_s: float, first_s: float, next_s: float) -> int:
    """How many trials are begun at most; those for which the time does not suffice are stopped.

    The first is quick and always there. Others are begun unless it is hopeless: expected times are rough, and time that is
    left over is of no use.

    Args:
        left_s: seconds for trials.
        first_s: of the first, as expected.
        next_s: of the second.
    """
    return 1 if next_s > HOPELESS * (left_s - first_s) else MOST_TRIALS
