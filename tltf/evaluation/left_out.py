"""The headline metric without some of the examples, such as those that make a split too easy."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.evaluation.split_metrics import SplitMetrics, from_known_keys

KEY = "without_examples"
"""Name in `SplitMetrics.details` of a list of dicts with the fields of WithoutExamples."""
NEAR = "nearly the same as examples of other splits"
TRAINED = "that the run was trained on"


@dataclasses.dataclass(frozen=True)
class WithoutExamples:
    """The headline metric on the other examples of a split.

    Args:
        which: of the examples are left out, in words that follow them.
        num_left_out: how many these are, at least 1.
        num_examples: how many are left.
        value: of the headline metric on these.
        interval: [low, high] of the value; None where it has none.
    """

    which: str
    num_left_out: int
    num_examples: int
    value: float
    interval: list[float] | None = None


def add(
    metrics: SplitMetrics,
    judge: Evaluator[Any],
    scores: np.ndarray,
    labels: np.ndarray,
    is_left_out: np.ndarray | None,
    which: str,
    *,
    seed: int = 0,
) -> SplitMetrics:
    """The metrics with the headline metric on the examples that are not left out.

    Args:
        metrics: on all examples of the split.
        judge: the evaluator that measured them.
        scores: float32[N, K], what the head states.
        labels: of the N examples.
        is_left_out: bool[N]; None where it is not known.
        which: of the examples are left out, in words that follow them.
        seed: seed of the bootstrap.

    Returns:
        The metrics as they are where nothing is left out, or everything.
    """
    if is_left_out is None:
        return metrics
    rest = np.flatnonzero(~is_left_out)
    if not len(rest) or len(rest) == len(labels):
        return metrics
    candidate = judge.candidate(judge.head, scores[rest])
    found = judge.measure(labels[rest], candidate, metrics.class_names, seed=seed)
    metric = judge.wording.metric
    value = found.scores.get(metric)
    if value is None:
        return metrics
    row = WithoutExamples(
        which, int(is_left_out.sum()), len(rest), value, found.intervals.get(metric)
    )
    rows = [*metrics.details.get(KEY, []), dataclasses.asdict(row)]
    return dataclasses.replace(metrics, details=metrics.details | {KEY: rows})


def of_metrics(metrics: SplitMetrics) -> Iterator[WithoutExamples]:
    """What `add` has added to the metrics of a split."""
    for row in metrics.details.get(KEY, []):
        yield from_known_keys(WithoutExamples, row)
