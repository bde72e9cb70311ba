"""Percentile bootstrap of metrics that are functions of sums over examples."""

import numpy as np

from tltf.evaluation import bootstrap

NUM_RESAMPLES, CONFIDENCE = 1000, 0.95


def values(sums, metrics, *, seed, num_resamples=NUM_RESAMPLES):
    """Metric -> float64[R] for each candidate, all on the same resamples of the examples.

    Args:
        sums: list of float[K, N] (dense or sparse), one a candidate: what is summed.
        metrics: float64[K, R] sums -> dict of float64[R].
        seed: of the resampling.
        num_resamples: R.
    """
    rng, parts = np.random.default_rng(seed), [[] for _ in sums]
    for counts in bootstrap.counts(rng, sums[0].shape[1], num_resamples):
        for part, matrix in zip(parts, sums, strict=True):
            part.append(matrix @ counts)
    return [metrics(np.concatenate(part, axis=1)) for part in parts]


def intervals(sums, metrics, shares=(), *, seed):
    """Metric -> [low, high]; a metric whose interval has no width has none.

    Args:
        sums: as one of `values`.
        metrics: the same.
        shares: metrics that are shares of the examples; their interval is Wilson's.
        seed: of the resampling.
    """
    (found,) = values([sums], metrics, seed=seed)
    num_examples = sums.shape[1]
    points = metrics(sums @ np.ones((num_examples, 1)))
    bounds = {
        name: bootstrap.share_interval(
            round(float(points[name][0]) * num_examples), num_examples, CONFIDENCE
        )
        if name in shares
        else bootstrap.interval(array, CONFIDENCE)
        for name, array in found.items()
    }
    return {name: pair for name, pair in bounds.items() if pair}


def differences(sums, metrics, *, seed):
    """Metric -> dict `difference` (first minus second) and `interval` (None without a width)."""
    first, second = values(sums, metrics, seed=seed)
    ones = [matrix @ np.ones((matrix.shape[1], 1)) for matrix in sums]
    points = [metrics(total) for total in ones]
    return {
        name: {
            "difference": float(points[0][name][0] - points[1][name][0]),
            "interval": bootstrap.interval(first[name] - second[name], CONFIDENCE),
        }
        for name in first
    }
