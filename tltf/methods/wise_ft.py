"""WiSE-FT: the best point between the weights of the probe and the fine-tuned weights."""

import dataclasses

import numpy as np

from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.methods.method import Method, Phase, TrainingOutcome
from tltf.methods.schedules import lp_ft


def wise_ft(steps: int = 10, solver: str = "lbfgs") -> "Interpolation":
    """LP-FT, then the point between probe and fine-tuned weights that is best on validation rows.

    (1 - a) w0 + a w1, Wortsman et al. 2021, arXiv:2109.01903, section 3, with a of 0, 1 / steps,
    ..., 1. Departs: w0 is the solved probe on pretrained weights, in place of the paper's zero-shot
    head; a is chosen on the validation split (accuracy, then loss), and is .5 without one.

    Args:
        steps: number of parts of the way, at least 2.
        solver: see `lp_ft`.

    Raises:
        FlagError: fewer than 2 steps, or an unknown solver.
    """
    if steps < 2:
        raise FlagError(f"steps must be at least 2 (received {steps})", flag="method")
    return Interpolation(steps, lp_ft(solver))


class Interpolation(Method):
    """The method that `wise_ft` makes; `chosen` is the a that was taken, None before."""

    mixes_weights = True

    def __init__(self, steps: int, method: Method) -> None:
        super().__init__(method.phases)
        self.steps = steps
        self.chosen: float | None = None

    def phases(self, core: Core) -> list[Phase]:
        """The phases of LP-FT; the weights at the start of the second one are kept."""
        probe, tuned = super().phases(core)
        return [probe, dataclasses.replace(tuned, keeps_start=True)]

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """The core with the weights of the best point."""
        end = {name: variable.numpy() for name, variable in outcome.variables.items()}
        shares = np.linspace(0, 1, self.steps + 1) if outcome.measure else np.array([0.5])

        def go_to(share: float) -> None:
            for name, variable in outcome.variables.items():
                variable.assign((1 - share) * outcome.start[name] + share * end[name])

        def quality(share: float) -> tuple[float, float]:
            go_to(share)
            return outcome.quality()

        self.chosen = float(max(shares, key=quality) if outcome.measure else shares[0])
        go_to(self.chosen)
        return core
