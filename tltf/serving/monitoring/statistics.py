"""Tests of whether rows come from where other rows come from, and an estimate of how classes shifted.

All are of two samples of independent rows. Rows that repeat each other, or that came in a burst of one
kind, are not, and are found to differ more often than the tests' levels say.
"""

import dataclasses

import numpy as np
from scipy import stats

LEAST_EXPECTED = 5.0
"""The least expected count of a cell of the chi-squared test; rarer classes are counted together."""
LEAST_SINGULAR = 0.05
"""Of a confusion matrix whose columns are distributions, the least singular value from which on class
rates are estimated; below it some classes are hardly told apart."""
MOST_PERMUTED = 1000
"""Rows of each sample that the kernel test compares; more of them are a random choice."""
PERMUTATIONS_AT_ONCE = 128
ENOUGH_REACHED = 20
"""Permutations that reach the statistic after which no more are drawn, since the p-value is not small."""


@dataclasses.dataclass(frozen=True)
class Tested:
    """The result of a test.

    Args:
        p_value: of the hypothesis that both samples have one distribution, corrected for the number of
            parts that were tested.
        statistic: of the part with the smallest p-value.
        part: the name of that part; empty where the test has one part only.
        num_parts: the parts, by the number of which p-values were multiplied.
    """

    p_value: float
    statistic: float
    part: str = ""
    num_parts: int = 1


def compare_outputs(reference: np.ndarray, live: np.ndarray, names: tuple[str, ...]) -> Tested:
    """The Kolmogorov-Smirnov test of each output of a model, with Bonferroni's correction.

    Rabanser, Günnemann & Lipton 2019, arXiv:1810.11953, section 3 (BBSDs): a shift is found where the
    p-value of any of K outputs is below alpha / K. Departs: of two outputs that always add up to one,
    the second is left out, since its test is that of the first.

    Args:
        reference: float[M, K], the model's scores.
        live: float[N, K].
        names: of the K outputs.
    """
    num = reference.shape[1]
    if num == 2 and all(np.allclose(rows.sum(axis=1), 1, atol=1e-3) for rows in (reference, live)):
        num = 1
    found = [stats.ks_2samp(reference[:, place], live[:, place]) for place in range(num)]
    p_values = np.array([result.pvalue for result in found])
    best = int(p_values.argmin())
    p_value = min(1.0, num * float(p_values[best]))
    return Tested(p_value, float(found[best].statistic), names[best] if num > 1 else "", num)


def compare_counts(reference: np.ndarray, live: np.ndarray) -> Tested | None:
    """The chi-squared test of whether classes are predicted as often as before.

    Args:
        reference: int[C], how often each class was predicted for reference rows.
        live: int[C].

    Returns:
        None where fewer than two classes, or groups of rare classes, were predicted.
    """
    table = np.stack([reference, live]).astype(float)
    total = table.sum()
    if not total or (table.sum(axis=1) == 0).any():
        return None
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / total
    is_rare = expected.min(axis=0) < LEAST_EXPECTED
    columns = [table[:, place] for place in np.flatnonzero(~is_rare)]
    rare = table[:, is_rare].sum(axis=1)
    if rare.any():
        columns.append(rare)
    if len(columns) < 2:
        return None
    found = stats.chi2_contingency(np.stack(columns, axis=1), correction=False)
    return Tested(float(found.pvalue), float(found.statistic))


def compare_label_counts(
    reference: np.ndarray, live: np.ndarray, names: tuple[str, ...]
) -> Tested | None:
    """`compare_counts` of each of several labels, given or not, with Bonferroni's correction.

    Args:
        reference: bool[M, C], the labels that reference rows were given.
        live: bool[N, C].
        names: of the C labels.
    """
    found = {
        name: compare_counts(_yes_and_no(reference[:, place]), _yes_and_no(live[:, place]))
        for place, name in enumerate(names)
    }
    known = {name: result for name, result in found.items() if result}
    if not known:
        return None
    best = min(known, key=lambda name: known[name].p_value)
    p_value = min(1.0, len(known) * known[best].p_value)
    return Tested(p_value, known[best].statistic, best, len(known))


def _yes_and_no(given: np.ndarray) -> np.ndarray:
    return np.array([given.sum(), (1 - given.astype(int)).sum()])


def squared_distances(rows: np.ndarray) -> np.ndarray:
    """float64[N, N], the squared Euclidean distances of float[N, d] rows; exactly 0 on the diagonal."""
    rows = np.asarray(rows, np.float64)
    rows = rows - rows.mean(axis=0)
    norms = np.einsum("nd,nd->n", rows, rows)
    squares = np.maximum(norms[:, None] + norms - 2 * rows @ rows.T, 0)
    np.fill_diagonal(squares, 0)
    return squares


def median_bandwidth(squares: np.ndarray) -> float:
    """The median distance between two rows, of float[N, N] squared distances; 1 where that is 0."""
    upper = squares[np.triu_indices(len(squares), 1)]
    return float(np.median(np.sqrt(upper))) or 1.0


def compare_features(
    reference: np.ndarray, live: np.ndarray, *, permutations: int, seed: int
) -> Tested:
    """The kernel two-sample test: the squared maximum mean discrepancy, with a permutation test.

    Gretton et al. 2012, JMLR 13, lemma 6: the unbiased estimator

        sum_{i != j} k(x_i, x_j) / (m (m - 1)) + sum_{i != j} k(y_i, y_j) / (n (n - 1))
        - 2 sum_{i, j} k(x_i, y_j) / (m n)

    with k(a, b) = exp(-||a - b||^2 / (2 s^2)), where s is the median distance of the rows of both
    samples (the heuristic of section 8). The p-value is (1 + how many permutations of the rows reach
    the statistic) / (1 + permutations), so its test has its level at any number of rows. Where
    ENOUGH_REACHED of them do before all are drawn, it is that number by how many were drawn, which is
    as valid (Besag & Clifford 1991, Biometrika 78) and saves most of the work where nothing changed.

    Args:
        reference: float[M, d], M >= 2. A random choice of MOST_PERMUTED of them is compared.
        live: float[N, d], N >= 2; likewise.
        permutations: how many are drawn; p-values are at least 1 / (1 + permutations).
        seed: of the permutations.
    """
    rng = np.random.default_rng(seed)
    reference, live = (_some(rows, MOST_PERMUTED, rng) for rows in (reference, live))
    squares = squared_distances(np.concatenate([reference, live]))
    kernel = np.exp(-squares / (2 * median_bandwidth(squares) ** 2))
    np.fill_diagonal(kernel, 0)
    first = np.zeros(len(kernel))
    first[: len(reference)] = 1
    observed = float(_discrepancies(kernel, first[:, None])[0])
    light, reached = kernel.astype(np.float32), np.zeros(0, bool)
    least = float(_discrepancies(light, first[:, None])[0])
    for start in range(0, permutations, PERMUTATIONS_AT_ONCE):
        count = min(PERMUTATIONS_AT_ONCE, permutations - start)
        drawn = rng.permuted(np.repeat(first[:, None], count, axis=1), axis=0)
        reached = np.append(reached, _discrepancies(light, drawn) >= least)
        if reached.sum() >= ENOUGH_REACHED:
            last = int(np.flatnonzero(reached)[ENOUGH_REACHED - 1])
            return Tested(ENOUGH_REACHED / (last + 1), observed)
    return Tested((1 + int(reached.sum())) / (1 + permutations), observed)


def _some(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` rows, drawn without replacement."""
    return rows if len(rows) <= most else rows[rng.choice(len(rows), most, replace=False)]


def _discrepancies(kernel: np.ndarray, first: np.ndarray) -> np.ndarray:
    """float64[P], the unbiased estimate for each of P divisions of the rows into two samples.

    Args:
        kernel: float[N, N] with zeros on its diagonal.
        first: float[N, P], 1 for the rows of the first sample and 0 for those of the second.
    """
    weights = first.astype(kernel.dtype)
    product = (kernel @ weights).astype(np.float64)
    within = np.einsum("np,np->p", first, product)
    sums = kernel.sum(axis=1, dtype=np.float64)
    both = first.T @ sums - within
    rest = sums.sum() - within - 2 * both
    m = first.sum(axis=0)
    n = len(kernel) - m
    return within / (m * (m - 1)) + rest / (n * (n - 1)) - 2 * both / (m * n)


@dataclasses.dataclass(frozen=True)
class ClassShift:
    """The estimated rates of the true classes of live rows.

    Args:
        rates: float[C], of the true classes among the live rows; they add up to 1.
        ratios: float[C], each rate by that among the reference rows; NaN for a class without any.
        singular: the least singular value of the confusion matrix: near 0 classes are not told apart.
    """

    rates: np.ndarray
    ratios: np.ndarray
    singular: float


def estimate_class_shift(
    truths: np.ndarray, predicted: np.ndarray, live: np.ndarray, num_classes: int
) -> ClassShift | None:
    """Black box shift estimation of the rates of true classes, for which no live label is needed.

    Lipton, Wang & Smola 2018, arXiv:1802.03916, section 4: w solves C w = mu, where C[i, j] is the
    share of reference rows with the answer i and the truth j, and mu[i] is the share of live rows with
    the answer i. It holds where classes became more or less frequent and rows of each class look as
    before. Departs: negative ratios count as 0 and rates are scaled to a sum of 1, as in the authors'
    code. Classes without reference rows are left out.

    Args:
        truths: int[M], the classes of the reference rows.
        predicted: int[M], the answers on these rows.
        live: int[N], the answers on the live rows.
        num_classes: C.

    Returns:
        None where the confusion matrix, with columns as distributions, has a singular value below
        LEAST_SINGULAR, so that the answers say too little about the classes.
    """
    joint = np.zeros((num_classes, num_classes))
    np.add.at(joint, (predicted, truths), 1 / len(truths))
    own = joint.sum(axis=0)
    is_there = own > 0
    given_class = joint[:, is_there] / own[is_there]
    singular = float(np.linalg.svd(given_class, compute_uv=False)[-1])
    if singular < LEAST_SINGULAR:
        return None
    answered = np.bincount(live, minlength=num_classes) / len(live)
    solved = np.linalg.lstsq(joint[:, is_there], answered, rcond=None)[0]
    ratios, rates = np.full(num_classes, np.nan), np.zeros(num_classes)
    rates[is_there] = np.maximum(solved, 0) * own[is_there]
    rates /= rates.sum() or 1.0
    ratios[is_there] = rates[is_there] / own[is_there]
    return ClassShift(rates, ratios, singular)
