"""An alarm that rings where live rows are not like the reference rows."""

import dataclasses

from tltf.errors import FlagError
from tltf.serving.monitoring import look
from tltf.serving.monitoring.alarms.alarm import View
from tltf.serving.monitoring.look import Ring
from tltf.serving.monitoring.reference import About

_SAID = {
    look.OUTPUTS: "the model's outputs",
    look.ANSWERS: "the predicted classes",
    look.FEATURES: "the features",
}


def drift(alpha: float = 0.01) -> "Drift":
    """An alarm on a difference from the reference, by all tests of a look together.

    Args:
        alpha: the probability of a false alarm at one look, for all its tests together.

    Raises:
        FlagError: alpha is not between 0 and 1, or too small for the permutation test.
    """
    if not 0 < alpha < 1:
        what = f"alpha takes a number between 0 and 1 (received {alpha:g})"
        raise FlagError(what, flag="alarm", fix="--alarm='drift(alpha=.01)'")
    look.permutations_for(alpha)
    return Drift(alpha)


@dataclasses.dataclass(frozen=True)
class Drift:
    """See `drift`."""

    alpha: float

    def check(self, about: About) -> None:
        """It fits every run."""

    def ring(self, view: View, text: str) -> Ring | None:
        """A Ring where the p-value of the look is below alpha."""
        found = view.look
        if found.p_value is None or found.p_value >= self.alpha:
            return None
        limit = self.alpha / len(found.p_values)
        parts = [
            _SAID[test] + (f" ({found.parts[test]})" if test in found.parts else "")
            for test, p_value in sorted(found.p_values.items(), key=lambda item: item[1])
            if p_value < limit
        ]
        joined = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
        said = f"{joined} differ from the reference (p {found.p_value:.2g})"
        return Ring(text, said, found.p_value, self.alpha)
