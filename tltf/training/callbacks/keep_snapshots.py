"""Keeps the weights at the end of each fall of the learning rate."""

import pathlib
from collections.abc import Callable, Collection, Mapping

import keras
import numpy as np

from tltf.runs import snapshots


class KeepSnapshots(keras.callbacks.Callback):
    """Writes the weights of chosen epochs to the run folder; see `Phase.snapshot_epochs`.

    An epoch that is trained again after an interruption has the same weights, so that it replaces its file by the same.

    Args:
        run: the run folder.
        epochs: numbers of the epochs; 1 is the first.
        read_weights: () -> dict of arrays.
    """

    def __init__(
        self,
        run: pathlib.Path,
        epochs: Collection[int],
        read_weights: Callable[[], dict[str, np.ndarray]],
    ) -> None:
        super().__init__()
        self.run, self.epochs, self.read_weights = run, epochs, read_weights

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Removes what a training with other falls has left."""
        snapshots.remove_others(self.run, self.epochs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes the weights where the epoch is one of those."""
        if epoch + 1 in self.epochs:
            snapshots.write(self.run, epoch + 1, self.read_weights())
