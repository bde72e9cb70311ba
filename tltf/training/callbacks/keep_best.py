"""Callbacks of a fit that judge its epochs and keep what is worth it."""

import dataclasses
import math
import time

import keras
import numpy as np

from tltf.console import signals
from tltf.heads.classify import Classify


class Validate(keras.callbacks.Callback):
    """Adds a split's loss and the head's metric, exact over all its examples, to an epoch's logs.

    Keras's own validation averages over batches of padded replicas; this one sums.

    Args:
        measure: () -> (loss, metric).
        prefix: of the names in the logs.
        metric: its name.
        broken_off: (epoch) -> None, called before a KeyboardInterrupt of `measure` goes on.
    """

    def __init__(self, measure, prefix="val", metric="accuracy", broken_off=None):
        super().__init__()
        self.measure, self.prefix, self.metric = measure, prefix, metric
        self.broken_off = broken_off

    def on_epoch_end(self, epoch, logs=None):
        """Measures."""
        try:
            loss, value = self.measure()
        except KeyboardInterrupt:
            if self.broken_off:
                self.broken_off(epoch)
            raise
        logs[f"{self.prefix}_loss"], logs[f"{self.prefix}_{self.metric}"] = loss, value


def quality(head, value):
    """The value of a head's metric as a number of which more is better."""
    return -value if head.lower_is_better else value


def reached(quality=-math.inf, loss=math.inf, epoch=0):
    """The state of a `KeepBest` whose best so far is that; a value that is not finite is none."""
    if not np.isfinite([quality, loss]).all():
        quality, loss = -math.inf, math.inf
    return {"quality": quality, "loss": loss, "epoch": epoch, "waited": 0}


class KeepBest(keras.callbacks.Callback):
    """Holds the weights of the epoch with the best validation metric, loss deciding ties.

    A value that is not finite is never the best.

    Args:
        read_weights: () -> dict of arrays.
        patience_epochs: stops after so many epochs without a better one; 0 never stops.
        state: `state` of a former instance, to go on from.
        weights: its best weights.
        head: what names the metric.
    """

    def __init__(self, read_weights, patience_epochs=0, state=None, weights=None, head=Classify):
        super().__init__()
        self.read_weights, self.patience_epochs = read_weights, patience_epochs
        self.head = head
        self.state, self.weights = dict(state or reached()), weights or {}

    def on_epoch_end(self, epoch, logs=None):
        """Compares the epoch with the best so far."""
        loss, value = logs["val_loss"], quality(self.head, logs[f"val_{self.head.metric}"])
        better = (value, -loss) > (self.state["quality"], -self.state["loss"])
        if better and np.isfinite([loss, value]).all():
            self.state = reached(value, loss, epoch + 1)
            self.weights = self.read_weights()
            return
        self.state["waited"] += 1
        if self.patience_epochs and self.state["waited"] >= self.patience_epochs:
            self.model.stop_training = True


class Average(keras.callbacks.Callback):
    """Puts the average of the weights in their place, before those who judge an epoch's end.

    a_t = d a_(t-1) + (1 - d) w_t, a_1 = w_1: the optimizer's `use_ema`. Keras's SwapEMAWeights
    swaps by sums, which rounds the weights that training goes on from; this one copies. `back()`
    is the callback, to stand behind the judges, that puts the weights back.
    """

    def on_epoch_end(self, epoch, logs=None):
        """Swaps weights and averages."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        averages = optimizer._model_variables_moving_average
        for variable, average in zip(optimizer._trainable_variables, averages, strict=True):
            weights = variable.numpy()
            variable.assign(average.numpy())
            average.assign(weights)

    def back(self):
        """keras.callbacks.Callback."""
        return keras.callbacks.LambdaCallback(on_epoch_end=self.on_epoch_end)


class SaveState(keras.callbacks.Callback):
    """Saves at the end of each epoch, after all other callbacks, and in between.

    In between: where so much time has passed, and where a signal has asked for an end, which
    then comes as KeyboardInterrupt; after the last step before the epoch is judged.

    Args:
        save: (resuming.Place) -> None.
        begun: resuming.Place from which the phase goes on.
        interval_s: seconds; 0 saves at the end of epochs only.
    """

    def __init__(self, save, begun, interval_s):
        super().__init__()
        self.save, self.begun, self.interval_s = save, begun, interval_s
        self._epoch = self._before = 0
        self._saved = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        """Notes how much of the epoch was done before."""
        self._epoch = epoch
        self._before = self.begun.steps if epoch == self.begun.epochs else 0

    def on_train_batch_end(self, batch, logs=None):
        """Saves if it is time; if only the time says so, the last step leaves it to the epoch."""
        is_last = batch + 1 >= self.params["steps"]
        is_due = 0 < self.interval_s < time.monotonic() - self._saved
        if (is_due and not is_last) or signals.requested():
            self._save(dataclasses.replace(self.begun, epochs=self._epoch,
                                           steps=self._before + batch + 1))  # fmt: skip

    def on_epoch_end(self, epoch, logs=None):
        """Saves."""
        self._save(dataclasses.replace(self.begun, epochs=epoch + 1, steps=0))

    def _save(self, place):
        self.save(place)
        self._saved = time.monotonic()
        if signals.requested():
            raise KeyboardInterrupt


PLATEAU_STATE = ("best", "wait", "cooldown_counter")


def plateau(has_validation, state=None):
    """ReduceLROnPlateau: a fifth of the rate after two epochs without a better loss.

    Args:
        has_validation: whether val_loss is there to watch; else the training loss is.
        state: values of PLATEAU_STATE to go on from.
    """
    monitor = "val_loss" if has_validation else "loss"
    callback = _Plateau(monitor=monitor, factor=0.2, patience=2)
    callback.restored = state
    return callback


class _Plateau(keras.callbacks.ReduceLROnPlateau):
    """Keras resets its state when a fit begins; this one goes on from `restored`.

    Keras takes a NaN in the first epoch as the best, which nothing falls below; this one never.
    """

    restored: dict | None = None
    has_begun = False

    def on_train_begin(self, logs=None):
        if self.has_begun:  # an epoch that was interrupted is a fit of its own
            return
        self.has_begun = True
        super().on_train_begin(logs)
        for name, value in (self.restored or {}).items():
            setattr(self, name, value)

    def _is_improvement(self, monitor_value, reference_value):
        is_better = super()._is_improvement(monitor_value, reference_value)
        return math.isfinite(monitor_value) and is_better
