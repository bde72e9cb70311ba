import math
import types

import keras
import numpy as np
import pytest

from tests.training.fit_test import feed, fit
from tltf.runs import checkpoints
from tltf.training.callbacks import keep_best, plateau, validate


def keeper(**arguments):
    weights = iter(range(100))
    found = keep_best.KeepBest(lambda: {"w": next(weights)}, **arguments)
    found.set_model(types.SimpleNamespace(stop_training=False))
    return found


def show(keep, *epochs):
    for number, (accuracy, loss) in enumerate(epochs):
        keep.on_epoch_end(number, {"val_accuracy": accuracy, "val_loss": loss})


def test_best_is_the_highest_accuracy_and_at_a_tie_the_lowest_loss():
    keep = keeper()
    show(keep, (0.5, 1.0), (0.7, 0.9), (0.7, 0.8), (0.7, 0.85), (0.6, 0.1))
    assert keep.state["epoch"] == 3 and keep.state["loss"] == 0.8
    assert keep.weights == {"w": 2}


def test_a_value_that_is_not_finite_is_never_the_best():
    keep = keeper()
    show(keep, (0.9, math.nan), (math.nan, 0.1), (0.2, 2.0))
    assert keep.state["epoch"] == 3


def test_patience_stops_after_so_many_worse_epochs():
    keep = keeper(patience_epochs=2)
    show(keep, (0.5, 1.0), (0.4, 1.0))
    assert not keep.model.stop_training
    show(keep, (0.4, 1.0))
    assert keep.model.stop_training


def test_state_goes_on_where_it_was():
    first = keeper()
    show(first, (0.8, 1.0))
    second = keeper(state=first.state, weights=first.weights)
    show(second, (0.7, 0.1))
    assert second.state["quality"] == 0.8 and second.weights == first.weights


def test_validation_writes_under_its_prefix():
    logs = {}
    validate.Validate(lambda: (0.25, 0.75), "test").on_epoch_end(0, logs)
    assert logs == {"test_loss": 0.25, "test_accuracy": 0.75}


def test_plateau_takes_up_its_former_state():
    callback = plateau.plateau(
        rise=plateau.Rise(0.0, 0), has_validation=True, state={"best": 0.3, "wait": 1.0}
    )
    callback.on_train_begin()
    assert (callback.best, callback.wait, callback.monitor) == (0.3, 1.0, "val_loss")
    assert plateau.plateau(rise=plateau.Rise(0.0, 0), has_validation=False).monitor == "loss"


def test_averages_are_judged_and_training_goes_on_from_the_weights():
    """The same run judged and not judged: the same weights, bit by bit, until the last swap."""
    data = feed(has_validation=True)
    ema = {"ema_decay": 0.5, "keep": "last", "train_epochs": 2}
    judged, run, log = fit(data=data, **ema)
    alone, _, _ = fit(data=feed(), **ema)
    for first, second in zip(judged.model.weights, alone.model.weights, strict=True):
        np.testing.assert_array_equal(first, second, err_msg=first.path)
    loss, accuracy = run.judges.measure()
    assert log.rows[-1]["val_loss"] == pytest.approx(loss, rel=1e-5)
    assert log.rows[-1]["val_accuracy"] == accuracy
    raw, _, _ = fit(data=feed(), **{**ema, "ema_decay": 0.0})
    assert np.abs(raw.model.weights[0].numpy() - judged.model.weights[0].numpy()).max() > 1e-5


def test_a_run_of_averages_that_was_cut_ends_with_the_same_weights(tmp_path, monkeypatch):
    data, ema = feed(has_validation=True), {"ema_decay": 0.8}
    whole, _, _ = fit(tmp_path / "whole", data=data, **ema)
    save = checkpoints.save

    def save_once(run, step, checkpoint):
        save(run, step, checkpoint)
        raise KeyboardInterrupt

    for number in range(4):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "save", save_once)
            if number < 3:
                with pytest.raises(KeyboardInterrupt):
                    fit(tmp_path / "cut", data=data, **ema)
    resumed, _, _ = fit(tmp_path / "cut", data=data, **ema)
    for first, second in zip(whole.model.weights, resumed.model.weights, strict=True):
        np.testing.assert_array_equal(first, second, err_msg=first.path)


@pytest.mark.parametrize("steps", [1, 4, 16])
def test_the_rate_is_at_its_peak_after_the_rise_with_any_number_of_steps_a_call(steps):
    """16 steps an epoch, 6 of them in the rise."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5), "mse", steps_per_execution=steps)
    rising = plateau.plateau(rise=plateau.Rise(0.5, 6), has_validation=False)
    rows = np.zeros((64, 2), np.float32), np.zeros((64, 1), np.float32)
    model.fit(*rows, batch_size=4, epochs=2, callbacks=[rising], verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.5)
