"""Scores that say from features and labels alone how well a pretrained network suits a data set.

None of them trains the network: each is computed from what the frozen network gives for the training rows, in
seconds. Higher is better for all.
"""

import numpy as np

MOST_ROUNDS = 100
"""Rounds of the fixed point of LogME, which needs about five."""
SMALLEST = 1e-12
NEIGHBORS = 5
ROWS_AT_ONCE = 2048


def log_me(features: np.ndarray, targets: np.ndarray) -> float:
    """The logarithm of the maximum evidence of a linear model on the features, per row.

    For a target y with y = F w + noise, w ~ N(0, 1 / alpha), noise ~ N(0, 1 / beta), A = alpha I + beta F'F and
    m = beta A^-1 F'y, You et al. 2021, arXiv:2102.11005, eq. 2:

        L = n/2 log beta + D/2 log alpha - n/2 log 2 pi - beta/2 |F m - y|^2 - alpha/2 m'm - 1/2 log |A|

    which is largest where alpha = gamma / m'm and beta = (n - gamma) / |F m - y|^2 with
    gamma = sum s_i / (s_i + alpha / beta) over the squared singular values s of F; this is the fixed point of
    MacKay that the paper's algorithm 3 looks for. The mean over targets of L / n is returned.

    Args:
        features: float[n, D].
        targets: float[n, K]: 1 at the class of a row and 0 elsewhere, or numbers.
    """
    rows = np.asarray(features, np.float64)
    squares, left = _spectrum(rows)
    values = [
        _evidence(squares, left.T @ target, float(target @ target), rows.shape)
        for target in np.asarray(targets, np.float64).T
    ]
    return float(np.mean(values))


def _spectrum(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(s^2, U)` of the singular value decomposition U S V' of float64[n, D], without the directions where s is 0.

    They are those of the smaller one of F F' and F'F, which takes a fraction of a decomposition's time.
    """
    is_wide = rows.shape[0] <= rows.shape[1]
    squares, vectors = np.linalg.eigh(rows @ rows.T if is_wide else rows.T @ rows)
    kept = squares > squares.max(initial=0) * SMALLEST
    squares, vectors = squares[kept], vectors[:, kept]
    return squares, vectors if is_wide else rows @ vectors / np.sqrt(squares)


def _evidence(
    squares: np.ndarray, projected: np.ndarray, length: float, shape: tuple[int, ...]
) -> float:
    """The log evidence per row of one target, see `log_me`.

    Args:
        squares: float64[R], the squared singular values of the features that are not 0.
        projected: float64[R], the target in the basis of the left singular vectors.
        length: of the target, squared.
        shape: `(n, D)` of the features.
    """
    (num, width), outside = shape, max(length - float(projected @ projected), 0.0)
    alpha, beta = 1.0, 1.0
    for _ in range(MOST_ROUNDS):
        before = alpha / beta
        gamma, weights, residual = _moments(squares, projected, outside, before)
        alpha = gamma / max(weights, SMALLEST)
        beta = (num - gamma) / max(residual, SMALLEST)
        if abs(alpha / beta - before) <= 1e-6 * before:
            break
    _, weights, residual = _moments(squares, projected, outside, alpha / beta)
    determinant = np.log(alpha + beta * squares).sum() + (width - len(squares)) * np.log(alpha)
    total = (
        num / 2 * np.log(beta)
        + width / 2 * np.log(alpha)
        - num / 2 * np.log(2 * np.pi)
        - beta / 2 * residual
        - alpha / 2 * weights
        - determinant / 2
    )
    return float(total / num)


def _moments(
    squares: np.ndarray, projected: np.ndarray, outside: float, ratio: float
) -> tuple[float, float, float]:
    """`(gamma, m'm, |F m - y|^2)` at alpha / beta = `ratio`."""
    gamma = float((squares / (squares + ratio)).sum())
    weights = float((squares * projected**2 / (squares + ratio) ** 2).sum())
    residual = float(((ratio / (squares + ratio) * projected) ** 2).sum()) + outside
    return gamma, weights, residual


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """How much of the features' covariance lies between classes, with a shrunk covariance.

    H = tr(S_a^-1 (1 - a) S_z), with S_z the covariance of the class means that stand for their rows and
    S_a = (1 - a) S + a (tr S / D) I, whose `a` is Ledoit and Wolf's: Bao et al. 2019, eq. 3, shrunk as by
    Ibrahim et al. 2022, arXiv:2110.06893, eq. 6.

    Args:
        features: float[n, D].
        labels: int[n], places of classes.
    """
    from sklearn.covariance import ledoit_wolf  # a second, which the other scores do not need

    rows = np.asarray(features, np.float64)
    rows = rows - rows.mean(axis=0)
    covariance, shrinkage = ledoit_wolf(rows, assume_centered=True)
    means = np.zeros_like(rows)
    for name in np.unique(labels):
        means[labels == name] = rows[labels == name].mean(axis=0)
    between = means.T @ means / len(rows)
    scale = np.trace(covariance) / len(covariance) * 1e-9
    solved = np.linalg.solve(covariance + scale * np.eye(len(covariance)), between)
    return float((1 - shrinkage) * np.trace(solved))


def leep(source: np.ndarray, labels: np.ndarray) -> float:
    """The mean log likelihood of the labels by what the network says of its own classes.

    With P(y, z) = 1/n sum_i s_i(z) [y_i = y]: LEEP = 1/n sum_i log sum_z P(y_i | z) s_i(z), Nguyen et al. 2020,
    arXiv:2002.12462, eq. 2.

    Args:
        source: float[n, Z], the probabilities of the network's own classes.
        labels: int[n], places of classes.
    """
    stated = np.asarray(source, np.float64)
    joint = np.eye(int(labels.max()) + 1)[labels].T @ stated / len(labels)
    conditional = joint / np.maximum(joint.sum(axis=0), SMALLEST)
    likelihood = (stated @ conditional.T)[np.arange(len(labels)), labels]
    return float(np.log(np.maximum(likelihood, SMALLEST)).mean())


def nce(source_labels: np.ndarray, labels: np.ndarray) -> float:
    """The negative conditional entropy of the labels given what the network calls the rows.

    NCE = sum_z,y P(z, y) log P(y | z), Tran et al. 2019, arXiv:1908.08142, eq. 7.

    Args:
        source_labels: int[n], places of the network's own classes.
        labels: int[n], places of classes.
    """
    return leep(np.eye(int(source_labels.max()) + 1)[source_labels], labels)


def nearest(features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> float:
    """The share of rows whose class is that of most of their 5 nearest neighbours by cosine, leave-one-group-out.

    Of classes with equally many neighbours that of the nearest one counts. A row without any neighbour is not right.

    Args:
        features: float[n, D].
        labels: int[n], places of classes.
        groups: [n], equal for rows that are not neighbours of each other, such as copies; None where each is alone.
    """
    rows = np.asarray(features, np.float32)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), SMALLEST)
    alone = np.arange(len(rows)) if groups is None else groups
    count, right = min(NEIGHBORS, len(rows) - 1), 0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        own = slice(start, start + ROWS_AT_ONCE)
        near = rows[own] @ rows.T
        near[alone[own, None] == alone] = -np.inf  # itself among them
        places = np.argsort(-near, axis=1, kind="stable")[:, :count]
        at = np.arange(len(near))
        votes = np.zeros((len(near), int(labels.max()) + 1))
        for rank in range(count):
            is_neighbor = np.isfinite(near[at, places[:, rank]])
            votes[at, labels[places[:, rank]]] += is_neighbor * (1 + 1e-3 * 0.5**rank)
        is_right = (votes.argmax(axis=1) == labels[own]) & (votes.max(axis=1) > 0)
        right += int(is_right.sum())
    return right / len(rows)
