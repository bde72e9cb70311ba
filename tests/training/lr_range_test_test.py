"""The range test: its schedule, what it proposes, what it saves, and what it leaves alone."""

import csv

import keras
import numpy as np
import pytest

from tltf import lr_find
from tltf.config.command_options import FindOptions
from tltf.config.options import make
from tltf.errors import FlagError
from tltf.training import lr_range_test
from tltf.training.optimizers import learning_rates, optimizer

FLAGS = {
    "data": "mnist_5k(num_train=200, num_test=20)",
    "backbone": "small_cnn(filters=[4, 8])",
    "batch_size": 20,
    "image_size_px": 28,
    "split": "holdout(validation=0)",
}


def test_the_rate_rises_by_the_same_factor():
    rate = learning_rates.Rising(1e-6, 1e-2, 41)
    expected = np.geomspace(1e-6, 1e-2, 41)
    np.testing.assert_allclose([rate(step) for step in range(41)], expected, rtol=1e-4)
    assert float(rate(100)) == pytest.approx(1e-2, rel=1e-4)
    assert rate.from_config(rate.get_config()).get_config() == rate.get_config()


def fastais(losses):
    """fastai's `valley`, its loops as they stand in fastai/callback/schedule.py."""
    n = len(losses)
    max_end = 0
    lds = [1] * n
    for i in range(1, n):
        for j in range(i):
            if losses[i] < losses[j] and lds[i] < lds[j] + 1:
                lds[i] = lds[j] + 1
            if lds[max_end] < lds[i]:
                max_end = i
    max_start = max_end - lds[max_end]
    sections = (max_end - max_start) / 3
    return max_start + int(sections) + int(sections / 2)


@pytest.mark.parametrize("seed", range(5))
def test_the_valley_is_that_of_fastai(seed):
    rng = np.random.default_rng(seed)
    x = np.linspace(-2, 2, 60)
    losses = np.concatenate([np.full(20, 4.0), x**2 + 0.5]) + rng.normal(0, 0.05, 80)
    assert lr_range_test.valley(losses) == fastais(losses)
    assert 20 < lr_range_test.valley(losses) < 50


def test_the_running_mean_has_no_bias_to_its_start():
    np.testing.assert_allclose(lr_range_test.smooth_losses(np.full(7, 3.0)), 3.0)
    np.testing.assert_allclose(lr_range_test.smooth_losses([1.0, 2.0])[1], (0.9 * 0.1 + 0.2) / 0.19)


def curve(losses):
    found = lr_range_test.Curve(list(np.geomspace(1e-7, 1, len(losses))))
    found.losses = list(losses)
    return found


def test_the_rate_is_held_near_the_default():
    """A curve that falls to the end proposes more than any fine-tuning stands."""
    found = lr_range_test.propose_rate(curve(np.linspace(2, 1, 50)), 1e-5)
    assert found.valley > 1e-4 and found.rate == pytest.approx(5e-5)
    assert "held within 5 times" in lr_range_test.result_text(found)
    near = lr_range_test.propose_rate(curve(np.linspace(2, 1, 50)), found.valley)
    assert near.rate == near.valley and "held" not in lr_range_test.result_text(near)


def test_it_ends_when_the_loss_has_multiplied(monkeypatch):
    found = lr_range_test.Curve([0.1] * 50)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    found.set_model(model)
    chosen = make(FindOptions, **FLAGS, optimizer="sgd", momentum=0.0).train
    model.compile(optimizer.build(chosen, {}, 0.1), "mse")
    model.optimizer.build(model.trainable_variables)
    monkeypatch.setattr(model.optimizer.broken, "read", lambda num_steps: None)
    model.stop_training = False
    for number, loss in enumerate([1.0] * 10 + [500.0]):
        found.on_train_batch_end(number, {"loss": loss})
    assert model.stop_training and len(found.losses) == 11
    model.stop_training = False
    found.on_train_batch_end(0, {"loss": float("nan")})
    assert model.stop_training and len(found.losses) == 11


def test_the_command_prints_a_rate_and_saves_its_curve(tmp_path, capsys):
    argv = [f"--{name}={value}" for name, value in FLAGS.items()]
    flags = ["--method=linear_probe", "--snapshots=3", "--num_steps=40"]  # of a run with snapshots
    assert lr_find.main([*argv, *flags, f"--output={tmp_path / 'found'}"]) == 0
    printed = capsys.readouterr().out
    assert "--learning_rate=" in printed
    with open(tmp_path / "found" / "lr_find.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert 5 < len(rows) <= 40
    rates = np.array([float(row["learning_rate"]) for row in rows])
    np.testing.assert_allclose(rates[1:] / rates[:-1], (1e7) ** (1 / 39), rtol=1e-3)
    losses = np.array([float(row["loss"]) for row in rows])
    assert losses[:3].std() > 0, "each batch has its own loss"
    assert (tmp_path / "found" / "lr_find.png").read_bytes()[:4] == b"\x89PNG"


def test_a_solver_takes_no_steps_but_what_follows_it_does():
    chosen = make(FindOptions, **FLAGS, method="linear_probe(solver=lbfgs)")
    with pytest.raises(FlagError, match="takes no steps"):
        lr_range_test.find(chosen, 20)
    found = lr_range_test.find(make(FindOptions, **FLAGS, method="lp_ft"), 20)
    random = lr_range_test.find(make(FindOptions, **FLAGS, method="full"), 20)
    assert found.losses[0] < random.losses[0] - 0.2, "the head is solved for before the first step"


def test_too_few_steps():
    with pytest.raises(FlagError, match="at least 20"):
        lr_range_test.find(make(FindOptions, **FLAGS), 19)
