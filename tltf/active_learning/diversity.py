"""Query strategies that look at the rows together: BADGE, the k-centre core set and TypiClust."""

import numpy as np

from tltf.active_learning.pool_view import PoolView

KNOWN_AT_ONCE, ROWS_AT_ONCE = 256, 1024
"""Known rows to which, and rows of a cluster from which, distances are computed together."""
SHORTEST = 1e-12
"""The least length and the least distance that is divided by."""


def badge(pool: PoolView, count: int) -> np.ndarray:
    """int64[count]: rows drawn by k-means++ on the gradients of the last layer.

    The gradient of the loss at the predicted class y by the weights of the last layer is
    g_x = (p - e_y) (outer product) x, Ash et al. 2020, arXiv:1906.03671, eq. 1; the next row is drawn in
    proportion to its squared distance from the nearest row drawn before (Arthur & Vassilvitskii 2007).
    Distances need no outer product: <g_x, g_z> = <a_x, a_z> <x, z>, with a = p - e_y. Departs: the
    first row is the one with the longest gradient, as in the authors' code.
    """
    features = np.asarray(pool.features, np.float64)
    factors = pool.probabilities.copy()
    factors[np.arange(len(factors)), factors.argmax(axis=1)] -= 1.0
    lengths = (factors**2).sum(axis=1) * (features**2).sum(axis=1)
    chosen = [int(lengths.argmax())]
    distances = np.full(len(features), np.inf)
    while True:
        place = chosen[-1]
        products = (factors @ factors[place]) * (features @ features[place])
        distances = np.minimum(distances, np.maximum(lengths + lengths[place] - 2 * products, 0.0))
        distances[chosen] = 0.0
        if len(chosen) == count:
            return np.array(chosen, np.int64)
        total = distances.sum()
        if total <= 0:  # all that is left is a copy of what was drawn
            distances = np.ones(len(features))
            distances[chosen] = 0.0
            total = distances.sum()
        chosen.append(int(pool.random.choice(len(features), p=distances / total)))


def coreset(pool: PoolView, count: int) -> np.ndarray:
    """int64[count]: rows that are far from all known ones and from each other.

    u = argmax_i min_j |x_i - x_j| over the known rows and those taken before: the greedy k-centre of Sener
    & Savarese 2018, arXiv:1708.00489, algorithm 1. Without a known row the first is the one nearest
    to the mean.
    """
    features = np.asarray(pool.features, np.float64)
    distances = np.full(len(features), np.inf)
    for start in range(0, len(pool.known), KNOWN_AT_ONCE):
        part = np.asarray(pool.known[start : start + KNOWN_AT_ONCE], np.float64)
        distances = np.minimum(distances, _squared_distances(features, part).min(axis=1))
    chosen = list[int]()
    for _ in range(count):
        if np.isinf(distances).all():
            center = features.mean(axis=0, keepdims=True)
            place = int(_squared_distances(features, center)[:, 0].argmin())
        else:
            place = int(distances.argmax())
        chosen.append(place)
        new = _squared_distances(features, features[[place]])[:, 0]
        distances = np.minimum(distances, new)
        distances[chosen] = -1.0
    return np.array(chosen, np.int64)


def typiclust(
    pool: PoolView, count: int, most_clusters: int = 500, least_size: int = 5, neighbors: int = 20
) -> np.ndarray:
    """int64[count]: of each of the largest clusters without a known row the most typical one.

    All rows are clustered by k-means into as many clusters as there are known rows and rows to choose, on
    features of length 1. The typicality of a row is the inverse of its mean distance to its nearest
    neighbours in its cluster: Hacohen et al. 2022, arXiv:2202.02794, eq. 4 and algorithm 1. It needs no
    head, so it is a good first round. Departs: where every cluster is smaller than `least_size`, all count.

    Args:
        pool: the rows.
        count: how many are chosen.
        most_clusters: the most clusters that are made.
        least_size: clusters with fewer rows are left out.
        neighbors: nearest neighbours whose distance is counted, fewer in a small cluster.
    """
    rows = np.concatenate([pool.known, pool.features]).astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), SHORTEST)
    num_known = len(pool.known)
    num_clusters = min(num_known + count, most_clusters, len(rows))
    labels = _clusters(rows, num_clusters, int(pool.random.integers(2**31)))
    known = np.bincount(labels[:num_known], minlength=num_clusters)
    sizes = np.bincount(labels, minlength=num_clusters)
    free = labels.copy()
    free[:num_known] = -1
    is_large = sizes >= least_size
    order = np.lexsort((-sizes, known))
    order = order[is_large[order]] if is_large.any() else order
    chosen = list[int]()
    while len(chosen) < count:
        taken = len(chosen)
        for cluster in order:
            members = np.flatnonzero(free == cluster)
            if len(members) and len(chosen) < count:
                place = int(members[_typicality(rows[members], neighbors).argmax()])
                chosen.append(place)
                free[place] = -1
        if len(chosen) == taken:  # what is left lies in clusters that were too small
            order = np.lexsort((-sizes, known))
    return np.array(chosen, np.int64) - num_known


def _clusters(rows: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """int[N]: the cluster of each row; as the paper does, in small batches for more than 50 clusters."""
    from sklearn.cluster import KMeans, MiniBatchKMeans  # a second, which others do not need

    if num_clusters <= 50:
        return KMeans(num_clusters, random_state=seed).fit_predict(rows)
    means = MiniBatchKMeans(num_clusters, batch_size=5000, n_init=1, random_state=seed)
    return means.fit_predict(rows)


def _typicality(rows: np.ndarray, neighbors: int) -> np.ndarray:
    """float64[N]: the inverse mean distance to the nearest neighbours among the rows."""
    count = min(neighbors, len(rows) - 1)
    if count < 1:
        return np.ones(len(rows))
    sums = list[np.ndarray]()
    for start in range(0, len(rows), ROWS_AT_ONCE):
        squared = _squared_distances(rows[start : start + ROWS_AT_ONCE], rows)
        squared[np.arange(len(squared)), start + np.arange(len(squared))] = 0.0  # to itself
        nearest = np.partition(squared, count, axis=1)[:, : count + 1]
        sums.append(np.sqrt(nearest).sum(axis=1))
    return count / np.maximum(np.concatenate(sums), SHORTEST)


def _squared_distances(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float64[N, M]: |x - z|^2."""
    products = rows @ others.T
    lengths = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)
    return np.maximum(lengths - 2 * products, 0.0)
