"""Query strategies that look at each row alone: by chance, or where the head is least certain."""

import numpy as np

from tltf.active_learning.pool_view import PoolView


def random(pool: PoolView, count: int) -> np.ndarray:
    """int64[count]: rows drawn by chance, which every other strategy has to beat."""
    return pool.random.choice(len(pool.features), count, replace=False)


def margin(pool: PoolView, count: int) -> np.ndarray:
    """int64[count]: the rows whose two most probable classes are nearest to each other.

    x* = argmin p(y1 | x) - p(y2 | x), Scheffer et al. 2001, IDA, section 3; Settles 2009, eq. 2. Of
    equals the first in the pool.
    """
    ranked = np.sort(pool.probabilities, axis=1)
    second = ranked[:, -2] if ranked.shape[1] > 1 else 0.0
    return np.argsort(ranked[:, -1] - second, kind="stable")[:count]


def entropy(pool: PoolView, count: int) -> np.ndarray:
    """int64[count]: the rows whose probabilities have the largest entropy.

    x* = argmax -sum_y p(y | x) log p(y | x), Shannon 1948; Settles 2009, eq. 3. Of equals the first in
    the pool.
    """
    stated = pool.probabilities
    surprise = np.log(np.where(stated > 0, stated, 1.0))
    return np.argsort((stated * surprise).sum(axis=1), kind="stable")[:count]
