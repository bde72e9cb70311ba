"""An alarm on how often a class is predicted."""

import dataclasses

from tltf.errors import FlagError
from tltf.serving.monitoring.alarms.alarm import View, outside, require_bounds, require_name
from tltf.serving.monitoring.look import Ring
from tltf.serving.monitoring.reference import About


def rate(label: str, above: float | None = None, below: float | None = None) -> "Rate":
    """An alarm on the share of the rows of a window that are given a class or label.

    It compares shares with fixed bounds and is no test: near a bound it rings by chance.

    Args:
        label: the class or label.
        above: rings where the share is larger, from 0 to 1.
        below: rings where the share is smaller, from 0 to 1.

    Raises:
        FlagError: there is no bound, or one is not from 0 to 1.
    """
    require_bounds("rate", above, below)
    for bound in (above, below):
        if bound is not None and not 0 <= bound <= 1:
            what = f"a rate has bounds from 0 to 1 (received {bound:g})"
            raise FlagError(what, flag="alarm", fix=f"above={min(bound / 100, 1):g}")
    return Rate(label, above, below)


@dataclasses.dataclass(frozen=True)
class Rate:
    """See `rate`."""

    label: str
    above: float | None
    below: float | None
    alpha: float = 0.0

    def check(self, about: About) -> None:
        """Raises FlagError where the run does not predict the class."""
        require_name(self.label, about, has_classes=True)

    def ring(self, view: View, text: str) -> Ring | None:
        """A Ring where the share is outside of the bounds."""
        value = view.look.summary.rates.get(self.label)
        limit = None if value is None else outside(value, self.above, self.below)
        if value is None or limit is None:
            return None
        side = "above" if value > limit else "below"
        usual = view.reference.rates[self.label]
        said = f"{self.label} is {value:.1%} of the answers, {side} {limit:.1%} (reference {usual:.1%})"
        return Ring(text, said, value, limit)
