"""How a run was started, and how much it prints."""

import dataclasses
import datetime

from tltf.experiments.tracking.tracking import TrackedGroup


def now() -> str:
    """The date and time, ISO 8601 to the second with the zone."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


@dataclasses.dataclass(frozen=True)
class Launch:
    """How a run was started, and how much it prints.

    Args:
        typed: the command or the call that started it, as it was written; empty where it is not
            known.
        started: date and time, ISO 8601 with the zone.
        shows_plan: whether the plan is printed before the first step.
        shows_result: whether the result is printed at the end.
        group: the tracked cross-validation that the run is a fold of; None for other runs.
    """

    typed: str = ""
    started: str = dataclasses.field(default_factory=now)
    shows_plan: bool = True
    shows_result: bool = True
    group: TrackedGroup | None = None
