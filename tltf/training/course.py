"""The course of a fit: which phases it runs, how long, at which rate, and what watches them."""

from collections.abc import Sequence
from typing import TypeAlias

import keras

from tltf.config.options import TrainOptions
from tltf.graphs import frozen_prefix
from tltf.methods.method import Phase
from tltf.training.optimizers import optimizer as optimizers_optimizer
from tltf.training.option_value import value_of
from tltf.training.phase_callbacks import PhaseCallbacks

Rate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


class Course:
    """The course that the options and the method set; the range test has one of its own.

    Args:
        train: TrainOptions with every `auto` resolved.
        num_replicas: number of devices.
    """

    def __init__(self, train: TrainOptions, num_replicas: int = 1) -> None:
        self.train, self.num_replicas = train, num_replicas

    def phases(self, phases: list[Phase]) -> list[Phase]:
        """Those of the method's phases that are run."""
        return phases

    def num_epochs(self, phase: Phase) -> int:
        """Passes over the training split with steps; a solver takes none."""
        if phase.solver != "gradient":
            return 0
        return max(1, round(value_of(self.train.train_epochs) * phase.epochs_share))

    def rate(self, phase: Phase, num_steps: int) -> Rate:
        """The learning rate of a phase of so many optimizer steps."""
        return optimizers_optimizer.learning_rate(self.train, phase, num_steps)

    def steps_together(self, model: keras.Model, steps: int) -> int:
        """How many of the steps of an epoch run between two callbacks.

        Several devices take single steps: Keras's loop fails on the iterators of theirs.
        """
        return 1 if self.num_replicas > 1 else frozen_prefix.steps_together(model, steps)

    def callbacks(
        self, made: PhaseCallbacks, model: keras.Model, num_epochs: int
    ) -> Sequence[keras.callbacks.Callback]:
        """What watches a phase.

        Args:
            made: PhaseCallbacks of the phase.
            model: the compiled model.
            num_epochs: of the phase.
        """
        return made.build(model, num_epochs)
