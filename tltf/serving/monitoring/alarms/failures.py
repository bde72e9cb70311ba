"""An alarm on rows that could not be read or predicted."""

import dataclasses

from tltf.errors import FlagError
from tltf.serving.monitoring.alarms.alarm import View
from tltf.serving.monitoring.look import Ring
from tltf.serving.monitoring.reference import About


def failures(above: float = 0.05) -> "Failures":
    """An alarm on the share of rows of a window that have an error in place of an answer.

    Args:
        above: rings where the share is larger, from 0 to below 1.

    Raises:
        FlagError: the bound is out of its range.
    """
    if not 0 <= above < 1:
        what = f"failures takes above from 0 to below 1 (received {above:g})"
        raise FlagError(what, flag="alarm", fix="--alarm='failures(above=.05)'")
    return Failures(above)


@dataclasses.dataclass(frozen=True)
class Failures:
    """See `failures`."""

    above: float
    alpha: float = 0.0

    def check(self, about: About) -> None:
        """It fits every run."""

    def ring(self, view: View, text: str) -> Ring | None:
        """A Ring where the share is above the bound."""
        total = view.look.num_rows + view.look.num_bad
        value = view.look.num_bad / total if total else 0.0
        if value <= self.above:
            return None
        said = f"{view.look.num_bad} of {total} rows could not be read or predicted"
        return Ring(text, said, value, self.above)
