"""An alarm on the mean of a predicted number."""

import dataclasses

from tltf.serving.monitoring.alarms.alarm import View, outside, require_bounds, require_name
from tltf.serving.monitoring.look import Ring
from tltf.serving.monitoring.reference import About


def mean(name: str = "value", above: float | None = None, below: float | None = None) -> "Mean":
    """An alarm on the mean of the numbers that are predicted in a window.

    Args:
        name: of the number, where a run predicts several.
        above: rings where the mean is larger.
        below: rings where the mean is smaller.

    Raises:
        FlagError: there is no bound.
    """
    require_bounds("mean", above, below)
    return Mean(name, above, below)


@dataclasses.dataclass(frozen=True)
class Mean:
    """See `mean`."""

    name: str
    above: float | None
    below: float | None
    alpha: float = 0.0

    def check(self, about: About) -> None:
        """Raises FlagError where the run does not predict the number."""
        require_name(self.name, about, has_classes=False)

    def ring(self, view: View, text: str) -> Ring | None:
        """A Ring where the mean is outside of the bounds."""
        value = view.look.summary.means.get(self.name)
        limit = None if value is None else outside(value, self.above, self.below)
        if value is None or limit is None:
            return None
        side = "above" if value > limit else "below"
        usual = view.reference.means[self.name]
        said = f"the mean {self.name} is {value:.6g}, {side} {limit:g} (reference {usual:.6g})"
        return Ring(text, said, value, limit)
