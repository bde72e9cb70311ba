"""The choice among light heads sees no row that it is judged on, and keeps groups and classes right."""

import dataclasses

import numpy as np
import pytest

from tests.heads.light.families_test import blobs
from tltf.data import hold_out
from tltf.errors import DataError
from tltf.heads.light import choice, light_model
from tltf.heads.light.families import FAMILIES, pick
from tltf.heads.light.light_model import Family, FrozenRows, Linear


class Memory(Family):
    """Knows the labels of the rows that it was fitted on by heart, and nothing else."""

    name = "memory"

    def settings(self, num_rows, num_classes):
        return (0.0,)

    def solve(self, rows, settings):
        return [_Remembered(rows)]

    def text(self, setting):
        return ""


class _Remembered:
    def __init__(self, rows):
        self.rows = rows

    def logits(self, features):
        same = (features[:, None] == self.rows.features[None]).all(2)
        return same @ self.rows.targets - 0.0

    def scaled(self, factor):
        return self


def test_a_model_that_learns_by_heart_is_judged_by_rows_it_has_not_seen():
    rows, _ = blobs(count=60)
    found = choice.choose([Memory(), *pick("ridge")], rows)
    by_name = {candidate.family.name: candidate for candidate in found.candidates}
    assert by_name["memory"].accuracy == pytest.approx(1 / 3, abs=0.01)
    assert found.candidate.family.name == "ridge"


def test_copies_of_a_row_stay_together():
    rows, _ = blobs(count=30)
    twice = FrozenRows(
        *(np.concatenate([a, a]) for a in (rows.features, rows.targets, rows.weights))
    )
    groups = np.concatenate([np.arange(30), np.arange(30)])
    alone = choice.choose([Memory()], dataclasses.replace(twice, groups=groups)).candidate.accuracy
    assert alone == pytest.approx(1 / 3, abs=0.01)
    assert choice.choose([Memory()], twice).candidate.accuracy > 0.6


def test_folds_spread_every_class_and_keep_groups():
    labels = np.repeat([0, 1, 2], [50, 10, 5])
    groups = np.arange(65) // 5
    folds = hold_out.folds(labels, None, 5, seed=3)
    for label, count in zip((0, 1, 2), (10, 2, 1), strict=True):
        np.testing.assert_array_equal(np.bincount(folds[labels == label], minlength=5), count)
    kept = hold_out.folds(labels, groups, 5, seed=3)
    assert all(len(set(kept[groups == group])) == 1 for group in range(13))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_class_without_rows_is_improbable(name):
    rows, fresh = blobs(count=60)
    targets = np.insert(rows.targets, 1, 0.0, axis=1)
    family = FAMILIES[name]()
    setting = list(family.settings(1000, 4))[-1]
    (model,) = choice.solve(family, FrozenRows(rows.features, targets, rows.weights), [setting])
    stated = np.exp(model.logits(fresh))
    stated /= stated.sum(1, keepdims=True)
    assert stated.shape == (40, 4) and stated[:, 1].max() < 1 / 60 + 1e-3
    (without,) = family.solve(rows, [setting])
    same = model.logits(fresh)[:, [0, 2, 3]].argmax(1) == without.logits(fresh).argmax(1)
    assert same.all()


def test_probabilities_can_be_believed_after_the_choice():
    """Ridge's scores lie between 0 and 1, so that their softmax is far too timid."""
    rows, fresh = blobs(count=300, seed=1)
    found = choice.choose(pick("ridge"), rows)
    assert found.candidate.temperature < 0.5
    raw = choice.solve(found.candidate.family, rows, [found.candidate.setting])[0]
    ratio = found.model.logits(fresh) / raw.logits(fresh)
    np.testing.assert_allclose(ratio, 1 / found.candidate.temperature, rtol=1e-3)


def test_equals_are_decided_by_the_loss():
    rows, _ = blobs(count=300, seed=2)
    found = choice.choose(pick("auto"), rows)
    best = max(candidate.accuracy for candidate in found.candidates)
    error = np.sqrt(best * (1 - best) / 300)
    assert found.candidate.accuracy >= best - error
    assert isinstance(found.model, Linear) or found.candidate.loss < 1.0
    assert found.num_held == 300


def test_few_rows_are_judged_in_several_draws():
    rows, _ = blobs(count=30)
    assert choice.choose(pick("ridge"), rows).num_held == 4 * 30


def test_a_family_that_is_not_worth_its_time_is_refused_by_name():
    rows, _ = blobs(count=60)
    with pytest.raises(DataError, match="hidden_layer is not tried on 60 training rows"):
        choice.choose(pick("hidden_layer"), rows)


def test_too_few_rows_are_refused():
    rows, _ = blobs(count=2, num_classes=2)
    with pytest.raises(DataError, match="2 training rows are too few"):
        choice.choose(pick("ridge"), rows)


def test_nearest_examples_are_not_tried_beside_others_on_few_rows():
    few, _ = blobs(count=60)
    many, _ = blobs(count=320)
    both = pick("class_means|neighbors")

    def names(rows, given):
        return {one.family.name for one in choice.choose(given, rows).candidates}

    assert names(few, both) == {"class_means"}
    assert names(few, pick("neighbors")) == {"neighbors"}
    assert names(few, pick("neighbors|hidden_layer")) == {"neighbors"}
    assert names(many, both) == {"class_means", "neighbors"}


def test_what_is_standardised_is_computed_once_for_all_families(monkeypatch):
    rows, _ = blobs(count=60)
    made, standard = [], light_model.StandardInputs
    monkeypatch.setattr(light_model, "StandardInputs", lambda *a: made.append(1) or standard(*a))
    choice.choose(pick("ridge|class_means|discriminant"), rows)
    assert len(made) == choice.NUM_FOLDS * choice.NUM_REPEATS + 1


@pytest.mark.parametrize(("count", "taken"), [(15, "class_means"), (60, "logistic")])
def test_logistic_regression_is_taken_among_equals_from_enough_rows_on(count, taken):
    rows, _ = blobs(count=count)
    given = pick("class_means|logistic")
    candidates = [
        choice.Candidate(family, 1.0, 0.8, loss, 1.0)
        for family, loss in zip(given, (0.5, 0.6), strict=True)
    ]
    is_right = [np.arange(count) % 5 > 0] * 2
    place = choice._best(candidates, is_right, np.ones(count) / count, rows.targets.shape)
    assert candidates[place].family.name == taken
