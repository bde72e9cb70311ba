"""Greedy selection of members of an ensemble on validation rows.

Caruana et al. 2004, "Ensemble selection from libraries of models", ICML: members are added with
replacement, each time the one with which the mean of the scores is best; sections 2.2 to 2.4 are the
sorted start, the replacement and the bags.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

Loss = Callable[[np.ndarray], tuple[float, ...]]
"""A function of float[N, K] scores, less of which is better; later numbers decide where the first are equal."""
BAG_SHARE = 0.5
"""The share of the candidates in a bag."""


@dataclasses.dataclass(frozen=True)
class Selection:
    """The members that were selected.

    Args:
        weights: float64[M], the share of each candidate, 0 for those that were left out; their sum is 1.
        losses: the loss after each addition of the last bag, from the start on.
    """

    weights: np.ndarray
    losses: tuple[tuple[float, ...], ...]


def select(
    scores: Sequence[np.ndarray],
    loss: Loss,
    *,
    rounds: int,
    most_first: int = 1,
    bags: int = 0,
    seed: int = 0,
) -> Selection:
    """The Selection of some candidates.

    Args:
        scores: float[N, K] of each of M candidates, M >= 1.
        loss: of a mean of scores on the validation rows.
        rounds: members that are added one after the other, counted with those of the start, at least 1.
        most_first: the sorted start takes at most so many of the best candidates, as many of them as
            give the best mean.
        bags: selections from random halves of the candidates, whose weights are averaged; 0 selects
            once, from all.
        seed: of the bags.
    """
    stacked = np.asarray(scores, np.float64)
    if not bags:
        return _select(stacked, loss, rounds, most_first)
    random, found = np.random.default_rng(seed), list[Selection]()
    size = max(1, round(BAG_SHARE * len(stacked)))
    weights = np.zeros(len(stacked))
    for _ in range(bags):
        places = np.sort(random.permutation(len(stacked))[:size])
        found.append(_select(stacked[places], loss, rounds, most_first))
        weights[places] += found[-1].weights / bags
    return Selection(weights, found[-1].losses)


def _select(scores: np.ndarray, loss: Loss, rounds: int, most_first: int) -> Selection:
    """One selection from float64[M, N, K]; of all means on its way it keeps the best, the first of equals."""
    alone = [loss(candidate) for candidate in scores]
    order = sorted(range(len(scores)), key=lambda place: alone[place])
    counts, total = np.zeros(len(scores), np.int64), np.zeros(scores.shape[1:])
    starts = list[tuple[float, ...]]()
    for count, place in enumerate(order[: min(most_first, rounds)], 1):
        total = total + scores[place]
        starts.append(loss(total / count))
    num_first = starts.index(min(starts)) + 1
    counts[order[:num_first]] = 1
    total = scores[order[:num_first]].sum(axis=0)
    path = [(starts[num_first - 1], counts.copy())]
    for count in range(num_first + 1, rounds + 1):
        tried = [loss((total + candidate) / count) for candidate in scores]
        place = tried.index(min(tried))
        counts[place] += 1
        total = total + scores[place]
        path.append((tried[place], counts.copy()))
    _, best = min(path, key=lambda step: step[0])
    return Selection(best / best.sum(), tuple(value for value, _ in path))
