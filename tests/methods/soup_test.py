"""Means of weights, what is chosen for them, and real runs."""

import types

import keras
import numpy as np
import pytest

from tests import tiny
from tests.training.fit_test import feed, fit
from tltf.config.options import make
from tltf.errors import FlagError, ModelError
from tltf.methods import soup
from tltf.methods.method import TrainingOutcome
from tltf.runs import model_folder
from tltf.training import training

WEIGHTS = {"a": 1.0, "b": 3.0, "c": 11.0}


def choose(accuracies, monkeypatch, greedy=True, **more):
    """The Soup and its variable where validation likes values of the weight as given."""
    monkeypatch.setattr(soup, "_weights", lambda run, _: {"w": np.full(2, WEIGHTS[run], "float32")})
    variable = keras.Variable(np.zeros(2, "float32"))

    def measure():
        return 1.0, accuracies.get(round(float(variable.numpy()[0]), 3), 0.0)

    method = soup.soup(("a", "b", "c"), greedy)
    core = types.SimpleNamespace(named_weights=lambda: {"w": variable})
    method.finish(core, TrainingOutcome({}, {}, measure if accuracies else None))
    return method, variable.numpy()[0]


def test_runs_are_added_from_the_best_while_the_mean_is_no_worse(monkeypatch):
    """b is best alone; with a (mean 2) better, with c as well (mean 5) worse."""
    found, weight = choose({3.0: 0.9, 1.0: 0.8, 11.0: 0.7, 2.0: 0.95, 5.0: 0.94}, monkeypatch)
    assert found.chosen == ("b", "a") and weight == 2.0
    found, weight = choose({3.0: 0.9, 1.0: 0.8, 11.0: 0.7, 2.0: 0.5, 7.0: 0.9}, monkeypatch)
    assert found.chosen == ("b", "c") and weight == 7.0, "no worse is good enough"
    found, weight = choose({3.0: 0.9}, monkeypatch)
    assert found.chosen == ("b",) and weight == 3.0


def test_the_mean_of_all(monkeypatch):
    found, weight = choose({}, monkeypatch, greedy=False)
    assert found.chosen == ("a", "b", "c") and weight == 5.0
    with pytest.raises(FlagError, match="takes a validation split"):
        choose({}, monkeypatch)


@pytest.fixture
def tiny_runs(monkeypatch):
    """Run -> weights of a tiny core, random, as the reader of runs gives them."""
    found = {}
    for seed, run in enumerate("ab"):
        random = np.random.default_rng(seed)
        found[run] = {
            name: random.uniform(0.5, 1.5, v.shape).astype("float32")
            for name, v in tiny.core().named_weights().items()
        }
    monkeypatch.setattr(model_folder, "read_core", lambda run: ({}, found[run]))
    return found


def soup_of_tiny_runs(norm):
    return fit(method=soup.soup(("a", "b"), greedy=False), norm=norm, dropout=0.0)[0]


@pytest.mark.parametrize("norm", ["train", "frozen"])
def test_batch_norms_are_averaged_like_all_else_whatever_a_training_would_do(tiny_runs, norm):
    for name, variable in soup_of_tiny_runs(norm).named_weights().items():
        mean = (tiny_runs["a"][name] + tiny_runs["b"][name]) / 2
        np.testing.assert_allclose(variable, mean, rtol=1e-6, err_msg=name)


def test_statistics_of_the_mean_are_computed_anew(tiny_runs):
    core = soup_of_tiny_runs("recalibrate")
    images = np.concatenate([batch[0]["image"] for batch in feed().training(0, 1)])
    outputs = np.asarray(core.model.get_layer("conv_1")(images / 127.5 - 1))
    norm = core.model.get_layer("norm_1")
    np.testing.assert_allclose(norm.moving_mean, outputs.mean(axis=(0, 1, 2)), rtol=1e-3)
    np.testing.assert_allclose(norm.moving_variance, outputs.var(axis=(0, 1, 2)), rtol=1e-3)
    gamma = (tiny_runs["a"]["norm_1/gamma"] + tiny_runs["b"]["norm_1/gamma"]) / 2
    np.testing.assert_allclose(norm.gamma, gamma, rtol=1e-6)


def test_parts_that_the_network_lacks_are_refused(tiny_runs):
    tiny_runs["b"]["conv_1/adapter_up"] = np.zeros((2, 4), "float32")
    with pytest.raises(ModelError, match=r"b: has conv_1/adapter_up, .*--backbone=b"):
        soup_of_tiny_runs("train")
    del tiny_runs["b"]["conv_1/adapter_up"], tiny_runs["b"]["conv_1/bias"]
    with pytest.raises(
        ModelError, match=r"conv_1/bias has the shape \(4,\) here, the run has nothing"
    ):
        soup_of_tiny_runs("train")


def test_fewer_than_two_runs():
    with pytest.raises(FlagError, match=r"at least two runs .received a"):
        soup.soup(("a",))


def test_runs_are_paths(monkeypatch):
    monkeypatch.setenv("HOME", "/at/home")
    assert soup.soup(("~/runs/a", 2)).runs == ("/at/home/runs/a", "2")


FLAGS = {
    "data": "mnist_5k(num_train=60, num_test=20)",
    "backbone": "small_cnn(filters=[4, 8])",
    "image_size_px": 28,
    "train_epochs": 1,
    "batch_size": 20,
    "seed": 3,
}


@pytest.mark.large
def test_a_soup_of_real_runs(tmp_path):
    folders = [str(tmp_path / name) for name in "ab"]
    trained = [
        training.train(make(**FLAGS, method="scratch", learning_rate=rate, output=folder)).model
        for rate, folder in zip((1e-3, 5e-3), folders, strict=True)
    ]
    mean = training.train(make(**FLAGS, method=f"soup(runs=[{', '.join(folders)}], greedy=false)"))
    names = trained[0].core.named_weights()
    assert mean.model.core.named_weights().keys() == names.keys()
    for name, variable in mean.model.core.named_weights().items():
        parts = [run.core.named_weights()[name].numpy() for run in trained]
        np.testing.assert_allclose(variable, np.mean(parts, axis=0), rtol=1e-5, atol=1e-7)
    assert mean.history == [] and mean.plans
    greedy = training.train(make(**FLAGS, method=f"soup(runs=[{', '.join(folders)}])")).model
    assert greedy.scores(greedy.splits["test"]).shape == (20, 10)
    with pytest.raises(ModelError, match="trained on other rows"):
        training.train(make(**{**FLAGS, "seed": 4}, method=f"soup(runs=[{', '.join(folders)}])"))
    other = {**FLAGS, "backbone": "small_cnn(filters=[4, 6])"}
    with pytest.raises(ModelError, match=r"conv_2/kernel has the shape \(3, 3, 4, 6\) here"):
        training.train(make(**other, method=f"soup(runs=[{', '.join(folders)}])"))
