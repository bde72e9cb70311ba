"""When a training ends since its rows are learned: by its losses, after an interruption, with averages and mixes."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from tests.training.fit_test import feed, fit, same, weights
from tltf.console import signals
from tltf.methods import wise_ft
from tltf.training import resume
from tltf.training.callbacks import save_state, stop_when_learned
from tltf.training.callbacks.keep_best import KeepBest
from tltf.training.callbacks.stop_when_learned import StopWhenLearned

LEARNS = {
    "train_epochs": 30,
    "learning_rate": 0.1,
    "warmup_fraction": 0.0,
    "norm": "frozen",
    "dropout": 0.0,
    "stop_when_learned": True,
}
"""Flags under which the tiny network learns its 20 rows in fewer epochs."""


def ended(losses, waited=None, num_low=0, num_epochs=9):
    """The epoch, from 1, after which a training with these losses of its epochs ends; None for the last."""
    best = None if waited is None else KeepBest(dict)
    callback = StopWhenLearned(2.0, num_epochs, best, num_low)
    model = types.SimpleNamespace(
        stop_training=False, distribute_strategy=tf.distribute.get_strategy()
    )
    callback.set_model(model)
    for epoch, loss in enumerate(losses):
        if best:
            best.state["waited"] = waited[epoch]
        callback.on_epoch_end(epoch, {"loss": loss})
        assert callback.has_ended == model.stop_training
        if model.stop_training:
            return epoch + 1
    return None


def test_two_epochs_in_a_row_below_a_hundredth_of_knowing_nothing_end_it():
    assert ended([1.0, 0.019, 0.019, 0.0]) == 3
    assert ended([0.019, 0.021, 0.019, 0.019]) == 4
    assert ended([0.019, float("nan"), 0.019]) is None
    assert ended([1.0, 0.019], num_low=1) is None and ended([0.019], num_low=1) == 1
    assert ended([0.1, 0.01, 0.01], num_epochs=3) is None, "the last epoch ends by itself"


def test_it_goes_on_as_long_as_validation_gets_better():
    assert ended([0.01] * 6, waited=[0, 0, 1, 0, 1, 2]) == 6
    assert ended([0.01, 0.01, 0.5, 0.01, 0.01], waited=[2, 0, 2, 3, 4]) == 5


def test_the_first_of_several_workers_decides(monkeypatch):
    """As each has the loss of its own rows; otherwise one would wait for the others without end."""

    def of_the_first(strategy, values):
        assert values.dtype == np.int64 and values.shape == (2,)
        return np.array([1, 0], np.int64)

    monkeypatch.setattr(stop_when_learned.multi_worker, "broadcast_from_chief", of_the_first)
    assert ended([0.5, 0.5]) == 2


def test_a_training_ends_and_says_so(capsys):
    _, run, log = fit(**LEARNS)
    count = len(run.history)
    assert 2 <= count < 30
    limit = 0.01 * np.log(3)
    losses = [row["loss"] for row in run.history]
    assert max(losses[-2:]) < limit <= losses[-3]
    assert [bool(row.get("is_learned")) for row in log.rows] == [False] * (count - 1) + [True]
    said = capsys.readouterr().err
    assert f"ends after epoch {count}, as the training rows are learned" in said
    _, whole, _ = fit(**LEARNS | {"stop_when_learned": False})
    assert len(whole.history) == 30 and not any("is_learned" in row for row in whole.history)
    assert "are learned" not in capsys.readouterr().err
    for row, other in zip(run.history, whole.history, strict=False):
        assert (row["loss"], row["learning_rate"]) == (other["loss"], other["learning_rate"])


@pytest.mark.parametrize(
    "flags", [{}, {"keep": "best"}, {"ema_decay": 0.5}], ids=["last", "best", "averaged"]
)
def test_an_interrupted_training_ends_at_the_same_epoch_with_the_same_weights(
    tmp_path, monkeypatch, flags
):
    """3 steps an epoch; a signal comes in the last epoch but one, and in the last one, after the first low loss.

    Validation has other labels than training, so that it gets no better.
    """
    flags, data = LEARNS | flags, feed(has_validation=True)
    inputs, labels = data.validation
    data = dataclasses.replace(data, validation=(inputs, np.roll(labels, 1)))
    whole, finished, _ = fit(tmp_path / "whole", data=data, **flags)
    count = len(finished.history)
    assert 3 < count < 30
    end_of_step = save_state.SaveState.on_train_batch_end
    for wanted in ((count - 2, 2), (count - 1, 1)):
        reached = []

        def at_end_of_step(self, batch, logs=None, reached=reached):
            reached[:] = [(self._epoch, self._before + batch + 1)]
            end_of_step(self, batch, logs)

        with monkeypatch.context() as patch:
            patch.setattr(save_state.SaveState, "on_train_batch_end", at_end_of_step)
            patch.setattr(signals, "is_end_requested", lambda at=reached, to=wanted: at == [to])
            with pytest.raises(KeyboardInterrupt):
                fit(tmp_path / "cut", data=data, **flags)
    state = resume.newest(tmp_path / "cut", tf.distribute.get_strategy(), is_writer=True)
    assert (state.place.epochs, state.place.steps) == (count - 1, 1) and state.low_epochs >= 1
    resumed, run, _ = fit(tmp_path / "cut", data=data, **flags)
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in one.history]
        for one in (finished, run)
    ]
    assert timeless[0] == timeless[1]
    assert same(weights(whole), weights(resumed))


def test_the_end_of_a_mix_is_the_last_epoch_that_was_run(monkeypatch):
    ends = []
    finish = wise_ft.Interpolation.finish

    def note(method, core, outcome):
        ends.append({name: variable.numpy() for name, variable in outcome.variables.items()})
        return finish(method, core, outcome)

    monkeypatch.setattr(wise_ft.Interpolation, "finish", note)
    flags = LEARNS | {"schedule": "constant", "keep": "last"}
    _, run, _ = fit(method=wise_ft.wise_ft(steps=4), **flags)
    epochs = [row for row in run.history if row["phase"] == "full"]
    assert epochs[-1]["is_learned"] and len(epochs) < 30
    shorter = {"train_epochs": len(epochs), "stop_when_learned": False}
    fit(method=wise_ft.wise_ft(steps=4), **flags | shorter)
    assert ends[0].keys() == ends[1].keys() and same(*ends)
