"""Means of weights, what is chosen for them, and real runs."""

import keras
import numpy as np
import pytest

from tltf import training
from tltf.errors import FlagError, ModelError
from tltf.methods import soups
from tltf.methods.method import Ended
from tltf.options import make

WEIGHTS = {"a": 1.0, "b": 3.0, "c": 11.0}


def choose(accuracies, monkeypatch, greedy=True, **more):
    """The Soup and its variable where validation likes values of the weight as given."""
    monkeypatch.setattr(soups, "_weights", lambda run, _: {"w": np.full(2, WEIGHTS[run], "float32")})  # fmt: skip
    variable = keras.Variable(np.zeros(2, "float32"))

    def measure():
        return 1.0, accuracies.get(round(float(variable.numpy()[0]), 3), 0.0)

    method = soups.soup(("a", "b", "c"), greedy)
    method.finish(None, Ended({"w": variable}, {}, measure if accuracies else None))
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


def test_fewer_than_two_runs():
    with pytest.raises(FlagError, match=r"at least two runs .received a"):
        soups.soup(("a",))


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
        training.train(make(**FLAGS, method="scratch", learning_rate=rate, output=folder))
        for rate, folder in zip((1e-3, 5e-3), folders, strict=True)
    ]
    mean = training.train(make(**FLAGS, method=f"soup(runs=[{', '.join(folders)}], greedy=false)"))
    names = trained[0].core.named_weights()
    assert mean.core.named_weights().keys() == names.keys()
    for name, variable in mean.core.named_weights().items():
        parts = [run.core.named_weights()[name].numpy() for run in trained]
        np.testing.assert_allclose(variable, np.mean(parts, axis=0), rtol=1e-5, atol=1e-7)
    assert mean.history == [] and mean.plans
    greedy = training.train(make(**FLAGS, method=f"soup(runs=[{', '.join(folders)}])"))
    assert greedy.stated(greedy.splits["test"]).shape == (20, 10)
    with pytest.raises(ModelError, match="trained on other rows"):
        training.train(make(**{**FLAGS, "seed": 4}, method=f"soup(runs=[{', '.join(folders)}])"))
    other = {**FLAGS, "backbone": "small_cnn(filters=[4, 6])"}
    with pytest.raises(ModelError, match=r"conv_2/kernel is \(3, 3, 4, 6\) here"):
        training.train(make(**other, method=f"soup(runs=[{', '.join(folders)}])"))
