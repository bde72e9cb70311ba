"""What every alarm has, and what it is shown of a look."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from tltf.errors import FlagError, choices_text, nearest
from tltf.serving.monitoring.look import Look, Ring, Summary
from tltf.serving.monitoring.reference import About


@dataclasses.dataclass(frozen=True)
class View:
    """What an alarm is shown.

    Args:
        look: at the window, as yet without rings.
        about: what the reference rows are.
        reference: the summary of the reference rows.
        num_reference: the number of these.
        earlier: the looks before it, the oldest first.
    """

    look: Look
    about: About
    reference: Summary
    num_reference: int
    earlier: Sequence[Look] = ()


class Alarm(Protocol):
    """An alarm. Its text is the call string that made it."""

    @property
    def alpha(self) -> float:
        """The probability that it rings at a look without any change; 0 where it is no test."""
        ...

    def check(self, about: About) -> None:
        """Raises FlagError where it does not fit the run."""
        ...

    def ring(self, view: View, text: str) -> Ring | None:
        """The Ring where it rings, else None.

        Args:
            view: the look, and what it is compared with.
            text: the alarm's call string.
        """
        ...


def require_bounds(alarm: str, above: float | None, below: float | None) -> None:
    """Raises FlagError for an alarm without a bound, or with one that is no number."""
    bounds = [bound for bound in (above, below) if bound is not None]
    if not bounds or not all(type(bound) in (int, float) for bound in bounds):
        what = f"{alarm} needs a number as its bound: above, below or both"
        raise FlagError(what, flag="alarm", fix=f"--alarm='{alarm}(..., above=NUMBER)'")


def require_name(name: str, about: About, *, has_classes: bool) -> None:
    """Raises FlagError where a run does not give such answers, or not this class or number."""
    if about.has_classes != has_classes:
        is_of = "numbers" if has_classes else "classes"
        other = "mean(above=NUMBER)" if has_classes else "rate(label=LABEL, above=SHARE)"
        what = f"this run predicts {is_of}, which the alarm cannot look at"
        raise FlagError(what, flag="alarm", fix=f"--alarm='{other}'")
    if name not in about.names:
        near = nearest(name, about.names, limit=1) or [about.names[0]]
        what = f"the run does not predict {name!r} (it predicts: {choices_text(name, about.names)})"
        raise FlagError(
            what, flag="alarm", fix=f"label={near[0]}" if has_classes else f"name={near[0]}"
        )


def outside(value: float, above: float | None, below: float | None) -> float | None:
    """The bound that a value is outside of; None where it is inside."""
    if above is not None and value > above:
        return above
    return below if below is not None and value < below else None
