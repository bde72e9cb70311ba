"""Percentile bootstrap over examples, of one model or of two on the same examples.

Efron & Tibshirani 1993, chapter 13. Every metric here is a function of sums over examples, so
one sparse product of those sums with the resampling counts gives all metrics of all resamples.
"""

import numpy as np
import scipy.sparse

from tltf import calibration

METRICS = ("accuracy", "loss", "macro_f1", "calibration_error")
_CELLS_PER_CHUNK = 4_000_000


def example_losses(labels, probabilities):
    """float64[N]: -log of the probability of the true class, kept finite at probability 0."""
    tiny = np.finfo(np.float64).eps
    chosen = np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    return -np.log(np.clip(chosen, tiny, 1.0))


def distributions(labels, candidates, *, seed, num_resamples):
    """The metrics of each candidate on the same resamples of the examples.

    Args:
        labels: int[N].
        candidates: list of float[N, C] probabilities, one entry a model.
        seed: of the resampling.
        num_resamples: R.

    Returns:
        list, one entry a candidate, of dict metric -> float64[R], for `METRICS`.
    """
    rng = np.random.default_rng(seed)
    sums = [_sums(labels, probabilities) for probabilities in candidates]
    parts = [[] for _ in candidates]
    for drawn in counts(rng, len(labels), num_resamples):
        for part, matrix in zip(parts, sums, strict=True):
            part.append(matrix @ drawn)
    totals = [np.concatenate(part, axis=1) for part in parts]
    return [
        _metrics(total, len(labels), candidate.shape[1])
        for total, candidate in zip(totals, candidates, strict=True)
    ]


def interval(values, confidence):
    """`[low, high]`: the percentile interval of `values` (floats)."""
    tail = 100 * (1 - confidence) / 2
    return [float(bound) for bound in np.percentile(values, [tail, 100 - tail])]


def counts(rng, num_examples, num_resamples):
    """float64[N, chunk] each: how often a resample holds each example."""
    step = max(1, _CELLS_PER_CHUNK // num_examples)
    for start in range(0, num_resamples, step):
        size = min(step, num_resamples - start)
        drawn = rng.integers(0, num_examples, (num_examples, size))
        flat = (drawn * size + np.arange(size)).ravel()
        counts = np.bincount(flat, minlength=num_examples * size)
        yield counts.reshape(num_examples, size).astype(np.float64)


def _sums(labels, probabilities):
    """csr[2 + 3 C + bins, N]: rows whose weighted sums give every metric of a resample."""
    num_classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    is_correct = (predicted == labels).astype(float)
    confidence = probabilities.max(axis=1).astype(float)
    bins = calibration.bin_indices(confidence)
    ones = np.ones(len(labels))
    return scipy.sparse.vstack(
        [
            scipy.sparse.csr_matrix(np.stack([is_correct, example_losses(labels, probabilities)])),
            _rows(labels, ones, num_classes),
            _rows(predicted, ones, num_classes),
            _rows(labels, is_correct, num_classes),
            _rows(bins, confidence - is_correct, calibration.NUM_BINS),
        ],
        format="csr",
    )


def _rows(index, values, num_rows):
    columns = np.arange(len(index))
    return scipy.sparse.csr_matrix((values, (index, columns)), shape=(num_rows, len(index)))


def _metrics(totals, num_examples, num_classes):
    support, predicted, hits = (
        totals[2 + part * num_classes : 2 + (part + 1) * num_classes] for part in range(3)
    )
    either = support + predicted
    f1 = 2 * hits / np.maximum(either, 1)
    gaps = np.abs(totals[2 + 3 * num_classes :]).sum(axis=0)
    return {
        "accuracy": totals[0] / num_examples,
        "loss": totals[1] / num_examples,
        "macro_f1": f1.sum(axis=0) / (either > 0).sum(axis=0),
        "calibration_error": gaps / num_examples,
    }
