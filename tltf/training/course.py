"""The course of a fit: which phases it runs, for how long, at which rate, with which callbacks."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TypeAlias

import keras

from tltf.config.train_options import TrainOptions
from tltf.errors import FlagError
from tltf.graphs import frozen_prefix
from tltf.methods.method import Method, Phase
from tltf.training.optimizers import learning_rates
from tltf.training.option_value import value_of
from tltf.training.phase_callbacks import PhaseCallbacks

Rate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


class Course:
    """The course that the options and the method set; the range test has a course of its own.

    Args:
        train: TrainOptions with every `auto` resolved.
        num_replicas: number of devices.
        also: callbacks of the user, who sees what validation has logged.
    """

    def __init__(
        self,
        train: TrainOptions,
        num_replicas: int = 1,
        also: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        self.train, self.num_replicas, self.also = train, num_replicas, also

    def phases(self, phases: list[Phase]) -> list[Phase]:
        """The phases that are run, of all phases of the method; the last one has the snapshots."""
        count = self.train.snapshots
        if not count:
            return phases
        return [*phases[:-1], dataclasses.replace(phases[-1], num_snapshots=count)]

    def num_epochs(self, phase: Phase) -> int:
        """The number of passes over the training split in steps; a solver takes no steps."""
        return phase.num_epochs(value_of(self.train.train_epochs))

    def rate(self, phase: Phase, num_steps: int) -> Rate:
        """The learning rate of a phase that has `num_steps` optimizer steps."""
        if phase.num_snapshots:
            epochs = self.num_epochs(phase)
            ends = [epoch * num_steps // epochs for epoch in phase.snapshot_epochs(epochs)]
            return learning_rates.falling_rate(self.train, phase, ends)
        return learning_rates.learning_rate(self.train, phase, num_steps)

    def steps_together(self, model: keras.Model, steps: int) -> int:
        """The number of steps of an epoch that run together, without callbacks between them.

        It is 1 with several devices, because Keras's loop fails on their iterators, and with
        callbacks of the user, who may want every step.

        Args:
            model: the model that is about to be compiled.
            steps: number of steps per epoch.
        """
        is_single = self.num_replicas > 1 or self.also
        return 1 if is_single else frozen_prefix.steps_together(model, steps)

    def callbacks(
        self, made: PhaseCallbacks, model: keras.Model, num_epochs: int
    ) -> Sequence[keras.callbacks.Callback]:
        """The callbacks of a phase.

        Args:
            made: PhaseCallbacks of the phase.
            model: the compiled model.
            num_epochs: number of epochs of the phase.
        """
        return made.build(model, num_epochs, self.also)


def require_snapshots(train: TrainOptions, method: Method, phases: Sequence[Phase]) -> None:
    """Checks that a training can keep the weights at the end of several falls of the rate.

    Args:
        train: TrainOptions with every `auto` resolved.
        method: Method.
        phases: its phases.

    Raises:
        FlagError: weights of its steps are not all of its network, or there are fewer epochs than falls.
    """
    if not train.snapshots:
        return
    reason, fix = "takes no steps", "--method=lp_ft, or --snapshots=0"
    if any(phase.solver == "gradient" for phase in phases):
        reason, fix = _snapshot_refusal(train, method, phases[-1], fix)
    if reason:
        what = f"takes {train.snapshots} falls of the rate, and {train.method} {reason}"
        raise FlagError(what, flag="snapshots", fix=fix)


def _snapshot_refusal(
    train: TrainOptions, method: Method, last: Phase, fix: str
) -> tuple[str, str]:
    """`(why a method takes no snapshots, a fix)`; the reason is empty where it does.

    Args:
        train: TrainOptions with every `auto` resolved.
        method: Method.
        last: its last phase.
        fix: where no other is known.
    """
    epochs = last.num_epochs(value_of(train.train_epochs))
    if last.solver != "gradient":
        return "makes its head after the last step, so that earlier weights have none", fix
    if method.mixes_weights or method.changes_trained:
        why = "changes the network when its steps are over, so that earlier weights do not fit it"
        return why, fix
    if last.norm_policy(train.norm) == "recalibrate":
        return "computes statistics when its steps are over", "--norm=frozen, or --norm=train"
    if epochs < train.snapshots:
        wanted = math.ceil(4 * train.snapshots / last.epochs_share)
        return f"has {epochs} epochs in its last phase", f"--train_epochs={wanted}"
    return "", ""
