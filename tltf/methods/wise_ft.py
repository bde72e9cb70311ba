"""WiSE-FT: a point between the weights of the probe and the fine-tuned weights."""

import dataclasses
from collections.abc import Callable

import numpy as np

from tltf.console import lines
from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.heads import temperature
from tltf.methods.method import TrainingOutcome
from tltf.methods.rules import LIGHT
from tltf.methods.schedules import LightStart, lp_ft_phases

CHOICES = ("best", "mean")
UNSEEN = 0.8
"""The a of choice=mean where no rows can choose it."""


def wise_ft(steps: int = 10, solver: str = "lbfgs", choice: str = "best") -> "Interpolation":
    """LP-FT, then a point between probe and fine-tuned weights that validation rows choose.

    (1 - a) w0 + a w1, Wortsman et al. 2021, arXiv:2109.01903, section 3, with a of 0, 1 / steps,
    ..., 1. Departs: w0 is the solved probe on pretrained weights, in place of the paper's zero-shot
    head; a is chosen on the validation split (accuracy, then loss), and is .5 without one. With choice=mean it is
    the mean of all a, each weighed by its likelihood on the validation rows, once its probabilities have their
    temperature: few rows then choose a point between those that they cannot tell apart. Without a validation split it
    is UNSEEN then, about what validation rows chose on the draws that settings were chosen on.

    Args:
        steps: number of parts of the way, at least 2.
        solver: see `lp_ft`.
        choice: best or mean; a head that is not of one class a row takes the best.

    Raises:
        FlagError: fewer than 2 steps, an unknown solver, or an unknown choice.
    """
    if steps < 2:
        raise FlagError(f"steps must be at least 2 (received {steps})", flag="method")
    if choice not in CHOICES:
        what = f"there is no choice {choice!r} (choices: {', '.join(CHOICES)})"
        raise FlagError(what, flag="method", fix="--method='wise_ft(choice=best)'")
    return Interpolation(steps, solver, choice)


class Interpolation(LightStart):
    """The method that `wise_ft` makes; `chosen` is the a that was taken, None before."""

    mixes_weights = True

    def __init__(self, steps: int, solver: str, choice: str) -> None:
        probe, tuned = lp_ft_phases(solver, others=(LIGHT,))
        phases = [probe, dataclasses.replace(tuned, keeps_start=True)]
        super().__init__(lambda core: list(phases), solver)
        self.steps, self.choice = steps, choice
        self.chosen: float | None = None

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """The core with the weights of the point that is chosen."""
        end = {name: variable.numpy() for name, variable in outcome.variables.items()}

        def go_to(share: float) -> None:
            for name, variable in outcome.variables.items():
                variable.assign((1 - share) * outcome.start[name] + share * end[name])

        self.chosen = self._choose(outcome, go_to)
        lines.say(
            "mixed", f"{self.chosen:.0%} of the way from the probe to the end of the training"
        )
        go_to(self.chosen)
        return core

    def _choose(self, outcome: TrainingOutcome, go_to: Callable[[float], None]) -> float:
        """The a that validation rows choose."""
        shares = np.linspace(0, 1, self.steps + 1)
        if outcome.measure is None:
            return 0.5 if self.choice == "best" else UNSEEN
        if self.choice == "best" or outcome.judged is None:

            def quality(share: float) -> tuple[float, float]:
                go_to(share)
                return outcome.quality()

            return float(max(shares, key=quality))
        sums = []
        for share in shares:
            go_to(share)
            logits, labels = outcome.judged()
            sums.append(loss_of_few(logits, labels))
        return mean_share(shares, np.array(sums))


def loss_of_few(logits: np.ndarray, labels: np.ndarray) -> float:
    """The sum over rows of the cross-entropy of softmax(z / T), in nats, T the temperature by these rows.

    Args:
        logits: float[N, C].
        labels: int[N].
    """
    divided = logits / temperature.fit_of_few(logits, labels, len(labels))
    return float(temperature.class_losses(divided, labels).sum())


def mean_share(shares: np.ndarray, sums: np.ndarray) -> float:
    """sum_a a exp(-L_a) / sum_a exp(-L_a) of float[S] shares a and sums L_a of losses in nats."""
    likelihood = np.exp(sums.min() - sums)
    return float(likelihood @ shares / likelihood.sum())
