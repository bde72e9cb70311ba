"""Self-training: which rows get labels, and what the last head was fitted on."""

import numpy as np
import pytest

from tests import tiny
from tltf.errors import FlagError
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows
from tltf.methods.self_training import self_training, surest


def test_each_class_gets_its_share_of_sure_rows():
    sure = np.array([0.9, 0.6, 0.7, 0.8, 0.95, 0.55])
    answers = np.array([0, 0, 0, 0, 1, 1])
    probabilities = np.where(np.eye(2)[answers] == 1, sure[:, None], 1 - sure[:, None])
    assert surest(probabilities, 0.5, True).tolist() == [0, 3, 4]
    assert surest(probabilities, 0.5, False).tolist() == [0, 3, 4]
    assert surest(probabilities, 0.3, True).tolist() == [0, 3, 4]
    assert surest(probabilities, 0.3, False).tolist() == [0, 4]
    assert len(surest(probabilities, 1.0, True)) == 6


def shifted(seed, shift, count=80):
    """`(float32[N, 4], labels)` of two classes whose second coordinate is shifted."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    features = rng.normal(0, 0.6, (count, 4)).astype("f")
    features[:, 0] += 2 * labels - 1
    features[:, 1] += (2 * labels - 1) + shift
    return features, labels


def test_the_last_head_is_fitted_on_its_own_answers(monkeypatch):
    features, labels = shifted(0, 0.0)
    others, truth = shifted(1, 1.5)
    rows = FrozenRows(features, np.eye(2)[labels], np.ones(80))
    given, solve = [], choice.solve
    monkeypatch.setattr(choice, "solve", lambda f, r, s: given.append(r) or solve(f, r, s))
    method = self_training(rounds=3, share=0.6, family="logistic")
    core = tiny.core(num_classes=2)
    solved = method.solve(core, rows, 0, others)
    first = choice.choose(families.pick("logistic"), rows, 0).model
    before = (first.logits(others).argmax(axis=1) == truth).mean()
    dense = solved.core.model.get_layer("label_logits")
    after = ((others @ dense.kernel.numpy() + dense.bias).argmax(axis=1) == truth).mean()
    assert [row["pseudo_labels"] for row in solved.history] == sorted(
        row["pseudo_labels"] for row in solved.history
    )
    last = solved.history[-1]["pseudo_labels"]
    assert 48 <= last <= 50, "60% of 80 rows, rounded up in each class"
    assert max(len(one.features) for one in given) == 80 + last
    assert after >= before


def test_numbers_out_of_range_are_refused():
    for given in ({"rounds": 0}, {"share": 0.0}, {"share": 1.5}):
        with pytest.raises(FlagError, match="rounds"):
            self_training(**given)
