"""WiSE-FT: the best point on the way from the probe to the fine-tuned weights."""

import dataclasses
from typing import Any

import numpy as np

from tltf.errors import FlagError
from tltf.methods.method import Method, Phase
from tltf.methods.schedules import lp_ft


def wise_ft(steps: int = 10, solver: str = "lbfgs") -> "Interpolated":
    """LP-FT, then the point between probe and fine-tuned weights that validation likes best.

    (1 - a) w0 + a w1, Wortsman et al. 2021, arXiv:2109.01903, section 3, with a of 0, 1 / steps,
    ..., 1. Departs: w0 is the solved probe on pretrained weights, for the paper's zero-shot head;
    a is chosen on validation (accuracy, then loss), .5 without one.

    Args:
        steps: parts of the way, at least 2.
        solver: as `lp_ft`.

    Raises:
        FlagError: less than 2 steps, or an unknown solver.
    """
    if steps < 2:
        raise FlagError(f"steps is at least 2 (received {steps})", flag="method")
    return Interpolated(steps, lp_ft(solver))


class Interpolated(Method):
    """See `wise_ft`; `chosen` is the a that was taken."""

    mixes_weights = True

    def __init__(self, steps: int, method: Method) -> None:
        super().__init__(method.phases)
        self.steps = steps
        self.chosen: float | None = None

    def phases(self, core: Any) -> list[Phase]:
        """Those of LP-FT; the second one's start is kept."""
        probe, tuned = super().phases(core)
        return [probe, dataclasses.replace(tuned, keeps_start=True)]

    def finish(self, core: Any, outcome: Any) -> Any:
        """Puts the weights to the best point of the way."""
        end = {name: variable.numpy() for name, variable in outcome.variables.items()}
        shares = np.linspace(0, 1, self.steps + 1) if outcome.measure else [0.5]

        def go_to(share: Any) -> None:
            for name, variable in outcome.variables.items():
                variable.assign((1 - share) * outcome.start[name] + share * end[name])

        def quality(share: float) -> Any:
            go_to(share)
            loss, accuracy = outcome.measure()
            return accuracy, -loss

        self.chosen = float(max(shares, key=quality) if outcome.measure else shares[0])
        go_to(self.chosen)
        return core
