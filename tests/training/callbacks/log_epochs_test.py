"""Callbacks in a real fit of a tiny model."""

import keras
import numpy as np
import pytest

from tltf.runs.metrics_log import MetricsLog, read
from tltf.training.callbacks import log_epochs


class Rows(list):
    write = list.append

    def close(self):
        """Nothing is open."""


def fit(watchers, epochs=2, **kwargs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.25), "mse", **kwargs)
    inputs = np.arange(20, dtype=np.float32).reshape(10, 2) / 20
    targets = inputs.sum(axis=1, keepdims=True)
    return model.fit(
        inputs,
        targets,
        batch_size=4,
        epochs=epochs,
        verbose=0,
        validation_data=(inputs, targets),
        callbacks=watchers,
    )


def test_epochs_are_logged_with_step_and_rate():
    log = Rows()
    watcher = log_epochs.LogEpochs(log, "full")
    history = fit([watcher]).history
    assert watcher.rows == log
    assert [(r["phase"], r["epoch"], r["step"]) for r in log] == [("full", 1, 3), ("full", 2, 6)]
    assert [row["loss"] for row in log] == pytest.approx(history["loss"])
    assert [row["val_loss"] for row in log] == pytest.approx(history["val_loss"])
    assert log[0]["learning_rate"] == 0.25
    assert log[0]["seconds"] > 0


def test_every_log_gets_every_row_and_is_closed(tmp_path):
    kept = MetricsLog(tmp_path / "metrics.jsonl")
    first, second = Rows(), Rows()
    together = log_epochs.EveryLog([first, kept, second])
    fit([log_epochs.LogEpochs(together, "full")])
    assert first == second and len(first) == 2
    assert read(tmp_path / "metrics.jsonl") == first
    together.close()
    assert kept._file.closed
