"""Tests of differences round by round, against all signs that they could have had, and against scipy."""

import itertools
import types

import numpy as np
import pytest
import scipy.stats

from tltf.evaluation.report.folds import Fold
from tltf.experiments.comparison import paired_rounds


def run(scores, kind="draw"):
    """Stands in for a finished run whose rounds have some accuracies."""
    folds = [Fold({"accuracy": float(score)}, examples={"test": 40}) for score in scores]
    return types.SimpleNamespace(report=types.SimpleNamespace(folds=folds, round_kind=kind))


def signed_rank_probability(differences):
    """The two-sided p of Wilcoxon's test: the share of all choices of signs with as uneven a sum of ranks."""
    ranks = scipy.stats.rankdata(np.abs(differences))
    signs = np.array(list(itertools.product((0, 1), repeat=len(ranks))))
    sums = signs @ ranks
    middle, own = ranks.sum() / 2, ranks[np.asarray(differences) > 0].sum()
    return float((np.abs(sums - middle) >= abs(own - middle) - 1e-9).mean())


@pytest.mark.parametrize("count", [6, 7, 10])
def test_wilcoxon_is_that_of_all_choices_of_signs(count):
    random = np.random.default_rng(count)
    first, other = random.uniform(0.5, 1, (2, count))
    test = paired_rounds.compare(run(other), run(first), "accuracy")
    differences = other - first
    np.testing.assert_allclose(test.differences, differences)
    expected = signed_rank_probability(differences)
    assert test.wilcoxon_probability == pytest.approx(expected)
    assert expected == pytest.approx(scipy.stats.wilcoxon(other, first).pvalue)
    t = scipy.stats.ttest_rel(other, first)  # draws share no rows that they are judged on
    assert test.t_probability == pytest.approx(t.pvalue)
    swapped = paired_rounds.compare(run(first), run(other), "accuracy")
    assert swapped.wilcoxon_probability == pytest.approx(expected)


def test_its_least_value_is_that_of_six_rounds_that_are_all_better():
    better = 0.5 + 0.01 * np.arange(6)
    test = paired_rounds.compare(run(better + 0.01 * np.arange(1, 7)), run(better), "accuracy")
    assert test.wilcoxon_probability == pytest.approx(2**-5)
    few = paired_rounds.compare(run(better[:5] + 0.1), run(better[:5]), "accuracy")
    assert few.wilcoxon_probability is None
    alike = paired_rounds.compare(run(better), run(better), "accuracy")
    assert alike.wilcoxon_probability is None and alike.t_probability is None
