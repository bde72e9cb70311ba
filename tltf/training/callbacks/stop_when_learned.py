"""Ends a training whose rows are learned, so that more epochs change next to nothing."""

from collections.abc import Mapping

import keras
import numpy as np

from tltf.training.callbacks.keep_best import KeepBest
from tltf.training.distribution import multi_worker

SHARE = 0.01
"""A loss below this share of that of a model that knows nothing is spent. For two classes that is 0.007 nats a row, a
probability of .993 for the right class; for ten classes 0.023 nats, or .977. A share fits every kind of labels and
every number of classes, and that of the loss of the first epoch does not: after a solved head that is small itself."""
EPOCHS = 2
"""Epochs in a row with such a loss, and without a better one on validation, after which the training ends."""


class StopWhenLearned(keras.callbacks.Callback):
    """Ends a phase when its training loss is spent and validation does not get better any more.

    The gradient of a cross-entropy is at most about as large as the loss, so what is left of it moves the network no
    further than a small share of the first steps did. The learning rate is that of the whole training until then.

    With several workers the first one decides for all, as each has the loss of its own rows.

    Args:
        knowing_nothing: the mean training loss of a model that knows nothing.
        num_epochs: epochs of the phase.
        best: KeepBest of the phase, which is called before; None where no epoch is kept.
        num_low: `num_low` of an earlier instance, to go on from.
    """

    def __init__(
        self,
        knowing_nothing: float,
        num_epochs: int,
        best: KeepBest | None = None,
        num_low: int = 0,
    ) -> None:
        super().__init__()
        self.limit, self.num_epochs, self.best = SHARE * knowing_nothing, num_epochs, best
        self.num_low, self.has_ended = num_low, False
        """Epochs in a row with a loss below the limit; whether this has ended the phase before its last epoch."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Looks at the mean loss of the epoch."""
        is_low = float((logs or {}).get("loss", np.inf)) < self.limit
        is_better = self.best is not None and self.best.state["waited"] < EPOCHS
        said = np.array([is_low, is_better], np.int64)
        is_low, is_better = multi_worker.broadcast_from_chief(self.strategy, said).astype(bool)
        self.num_low = self.num_low + 1 if is_low else 0
        if self.num_low >= EPOCHS and not is_better and epoch + 1 < self.num_epochs:
            self.has_ended = self.model.stop_training = True

    @property
    def strategy(self) -> object:
        """The tf.distribute.Strategy of the model."""
        return self.model.distribute_strategy
