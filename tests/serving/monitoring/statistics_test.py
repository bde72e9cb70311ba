"""The tests of drift against SciPy, loops and known ratios."""

import numpy as np
import pytest
from scipy import stats

from tltf.serving.monitoring import statistics


def probabilities(rng, num, num_classes, tilt=0.0):
    logits = rng.normal(0, 1, (num, num_classes))
    logits[:, 0] += tilt
    raised = np.exp(logits)
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)


def test_outputs_are_scipys_tests_with_bonferroni():
    rng = np.random.default_rng(0)
    first, second = probabilities(rng, 90, 4), probabilities(rng, 70, 4, tilt=0.4)
    found = statistics.compare_outputs(first, second, tuple("abcd"))
    single = [stats.ks_2samp(first[:, k], second[:, k]).pvalue for k in range(4)]
    assert found.p_value == pytest.approx(4 * min(single)) and found.num_parts == 4
    assert found.part == "abcd"[int(np.argmin(single))]


def test_two_outputs_that_add_up_to_one_are_one_test():
    rng = np.random.default_rng(1)
    first, second = probabilities(rng, 50, 2), probabilities(rng, 60, 2)
    found = statistics.compare_outputs(first, second, ("no", "yes"))
    assert found.p_value == stats.ks_2samp(first[:, 0], second[:, 0]).pvalue
    assert found.num_parts == 1 and not found.part
    labels = statistics.compare_outputs(rng.random((50, 2)), rng.random((60, 2)), ("a", "b"))
    assert labels.num_parts == 2, "two labels are two outputs"


def test_counts_are_scipys_test_and_rare_classes_are_one():
    found = statistics.compare_counts(np.array([50, 30, 20]), np.array([30, 40, 30]))
    table = [[50, 30, 20], [30, 40, 30]]
    assert found.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    found = statistics.compare_counts(np.array([90, 3, 3, 4]), np.array([80, 5, 5, 10]))
    grouped = [[90, 4, 6], [80, 10, 10]]
    assert found.p_value == pytest.approx(stats.chi2_contingency(grouped, correction=False).pvalue)
    assert statistics.compare_counts(np.array([9, 0]), np.array([7, 0])) is None


def test_labels_are_compared_one_by_one():
    rng = np.random.default_rng(2)
    first, second = rng.random((200, 3)) < 0.3, rng.random((150, 3)) < [0.3, 0.5, 0.3]
    found = statistics.compare_label_counts(first, second, ("a", "b", "c"))
    tables = [
        [[part[:, k].sum(), (~part[:, k]).sum()] for part in (first, second)] for k in range(3)
    ]
    single = [stats.chi2_contingency(table, correction=False).pvalue for table in tables]
    assert found.part == "b" and found.p_value == pytest.approx(3 * min(single))


def discrepancy_by_loops(first, second):
    """Lemma 6 of Gretton et al. 2012, and the median heuristic, one pair at a time."""
    rows = [*first, *second]
    distances = [
        float(np.linalg.norm(rows[i] - rows[j])) for i in range(len(rows)) for j in range(i)
    ]
    width = np.median(distances)

    def kernel(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * width**2))

    m, n = len(first), len(second)
    within = sum(kernel(first[i], first[j]) for i in range(m) for j in range(m) if i != j)
    rest = sum(kernel(second[i], second[j]) for i in range(n) for j in range(n) if i != j)
    across = sum(kernel(a, b) for a in first for b in second)
    return within / (m * (m - 1)) + rest / (n * (n - 1)) - 2 * across / (m * n)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_the_discrepancy_is_that_of_the_formula(shift):
    rng = np.random.default_rng(3)
    first, second = rng.normal(0, 1, (17, 5)), rng.normal(shift, 1, (23, 5))
    found = statistics.compare_features(first, second, permutations=199, seed=0)
    assert found.statistic == pytest.approx(discrepancy_by_loops(first, second), abs=1e-12)
    assert (found.p_value < 0.02) == (shift > 0)


def test_its_p_value_is_that_of_permuted_rows(monkeypatch):
    """Each division of the rows is computed anew from the rows, with SciPy's permutation test."""
    rng = np.random.default_rng(4)
    first, second = rng.normal(0, 1, (8, 3)), rng.normal(0.5, 1, (8, 3))
    rows = np.concatenate([first, second])

    def statistic(one, other):
        return discrepancy_by_loops(rows[one.astype(int)], rows[other.astype(int)])

    exact = stats.permutation_test(
        (np.arange(8), np.arange(8, 16)),
        statistic,
        n_resamples=500,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    monkeypatch.setattr(statistics, "ENOUGH_REACHED", 10_000)
    found = statistics.compare_features(first, second, permutations=4000, seed=1)
    assert found.p_value == pytest.approx(exact.pvalue, abs=0.07)
    assert 0.01 < exact.pvalue < 0.6, "the case tells p-values apart"


def test_it_stops_where_the_p_value_is_not_small(monkeypatch):
    """Besag and Clifford's p-values are about those of all permutations, and are drawn sooner."""
    rng = np.random.default_rng(8)
    samples = [(rng.normal(size=(20, 3)), rng.normal(size=(25, 3))) for _ in range(30)]
    drawn = []
    count = statistics._discrepancies
    monkeypatch.setattr(
        statistics,
        "_discrepancies",
        lambda kernel, first: drawn.append(first.shape[1]) or count(kernel, first),
    )

    def p_values():
        drawn.clear()
        return [
            statistics.compare_features(*pair, permutations=1999, seed=0).p_value
            for pair in samples
        ]

    soon, num_soon = p_values(), sum(drawn)
    monkeypatch.setattr(statistics, "ENOUGH_REACHED", 10_000)
    every, num_every = p_values(), sum(drawn)
    assert num_soon < num_every / 5
    np.testing.assert_allclose(soon, every, rtol=0.7)


def test_its_p_values_are_uniform_without_a_shift():
    rng = np.random.default_rng(5)
    p_values = [
        statistics.compare_features(
            rng.normal(size=(20, 4)), rng.normal(size=(30, 4)), permutations=99, seed=seed
        ).p_value
        for seed in range(150)
    ]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert min(p_values) >= 0.01


def test_equal_features_are_no_drift():
    same = np.ones((30, 4))
    assert statistics.compare_features(same, same, permutations=99, seed=0).p_value == 1.0


def labelled(rng, rates, confusion, num):
    """True classes, and answers by a confusion matrix whose rows are the true classes."""
    truths = rng.choice(len(rates), num, p=rates)
    draws = rng.random(num)[:, None]
    return truths, (draws > np.cumsum(confusion[truths], axis=1)).sum(axis=1)


def test_class_shift_finds_known_ratios():
    rng = np.random.default_rng(6)
    confusion = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.2, 0.1, 0.7]])
    before, now = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    truths, answers = labelled(rng, before, confusion, 200_000)
    _, live = labelled(rng, now, confusion, 200_000)
    found = statistics.estimate_class_shift(truths, answers, live, 3)
    np.testing.assert_allclose(found.rates, now, atol=0.01)
    np.testing.assert_allclose(found.ratios, now / before, atol=0.05)
    predicted = np.bincount(live) / len(live)
    assert abs(predicted - now).max() > 0.05, "the predicted rates alone would be wrong"


def test_class_shift_leaves_out_a_class_without_reference_rows():
    truths, answers = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])
    found = statistics.estimate_class_shift(truths, answers, np.array([0, 1, 1, 1]), 3)
    np.testing.assert_allclose(found.rates, [0.25, 0.75, 0], atol=1e-12)
    assert np.isnan(found.ratios[2])


def test_class_shift_is_not_guessed_from_answers_that_say_nothing():
    rng = np.random.default_rng(7)
    truths = rng.integers(0, 2, 500)
    assert statistics.estimate_class_shift(truths, np.zeros(500, int), truths, 2) is None
