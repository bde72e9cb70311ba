"""Label propagation: labels spread over a graph of near rows, and a light head learns what they have become."""

import dataclasses

import numpy as np
from scipy import sparse, special
from scipy.sparse import linalg

from tltf.console import lazy_imports
from tltf.data import blas_threads
from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows
from tltf.heads.light.named_prototypes import unit_rows
from tltf.methods.method import Method, Phase, Solved
from tltf.methods.probe import put_into
from tltf.methods.rules import HEAD

neighbors_of = lazy_imports.Module("sklearn.neighbors")

POWER = 3
"""The power of a cosine that weighs an edge, gamma in Iscen et al. 2019."""
TOLERANCE = 1e-6
"""Of the conjugate gradients, in terms of the length of the right side."""
SMALLEST = 1e-12
"""The least sum of a class's shares that they are divided by."""


def label_propagation(
    neighbors: int = 20, alpha: float = 0.9, balanced: bool = True, family: str = "logistic"
) -> "LabelPropagation":
    """A method that spreads labels from row to near row, then fits a tuned light head on all rows.

    Rows, with labels and without, are the nodes of a graph. With v the unit vectors of the centered features,
    A_ij = max(v_i . v_j, 0)^3 where i is among the k nearest of j and 0 elsewhere, W = A + A^T and D its row
    sums, Z = (1 - a) (I - a D^-1/2 W D^-1/2)^-1 Y, Y the labels as 0 and 1: Zhou et al. 2003, "Learning with
    local and global consistency", and Iscen et al. 2019, arXiv:1904.04717, eq. 3, 4 and 6, by
    conjugate gradients. A row then has the class of its largest share of Z, and weighs 1 - H / log C, H the
    entropy of its shares (eq. 11); a labelled row keeps its label and weighs 1.
    Departs: the network is frozen, so the graph is made once; with `balanced` each class has the same sum
    in Z, in place of weights of classes in the loss (eq. 12); and the head is solved for.

    Args:
        neighbors: k, at least 1.
        alpha: a, above 0 and below 1: how far labels spread.
        balanced: see above; right where the classes have about as many rows each.
        family: one of the families of light heads that `probe` takes, several joined with |, or `auto` for
            all; the setting is chosen by cross-validation on all rows with the labels that they got.

    Raises:
        FlagError: a number out of its range, or an unknown family.
    """
    if neighbors < 1 or not 0 < alpha < 1:
        what = f"neighbors must be at least 1 and alpha in (0, 1) (received {neighbors}, {alpha})"
        raise FlagError(what, flag="method", fix="--method=label_propagation")
    return LabelPropagation(neighbors, alpha, balanced, family)


class LabelPropagation(Method):
    """The method that `label_propagation` makes."""

    def __init__(self, neighbors: int, alpha: float, balanced: bool, family: str) -> None:
        super().__init__(
            lambda core: [Phase("label_propagation", (HEAD,), norm="frozen", solver="method")]
        )
        self.neighbors, self.alpha, self.balanced = neighbors, alpha, balanced
        self.families = families.pick(family)

    def solve(
        self, core: Core, rows: FrozenRows, seed: int, unlabelled: np.ndarray | None
    ) -> Solved:
        """The core with the light head of all rows."""
        if unlabelled is None:
            raise ValueError("label_propagation has no rows without labels")
        spread = spread_labels(rows, unlabelled, self.neighbors, self.alpha, self.balanced)
        chosen = choice.choose(self.families, joined(rows, unlabelled, spread), seed)
        best = chosen.candidate
        history = [{"candidate": best.text, "held_out_accuracy": best.accuracy}]
        text = (
            f"{best.text}; labels of {len(rows.features):,} rows reached {spread.num_reached:,} of "
            f"{len(unlabelled):,} others, {spread.certainty.mean():.0%} sure on average"
        )
        return Solved(put_into(core, chosen.model), history, text)


@dataclasses.dataclass(frozen=True)
class Spread:
    """What labels have become in a graph.

    Args:
        answers: int64[M], the class of each row without a label.
        certainty: float64[M], 1 - H / log C: from 0, nothing is known, to 1.
    """

    answers: np.ndarray
    certainty: np.ndarray

    @property
    def num_reached(self) -> int:
        """The number of rows that a label has reached."""
        return int(np.count_nonzero(self.certainty > 0))


def spread_labels(
    rows: FrozenRows, unlabelled: np.ndarray, neighbors: int, alpha: float, balanced: bool
) -> Spread:
    """The Spread of labels to float[M, d] rows without labels; see `label_propagation`."""
    num, num_classes = len(rows.features), rows.targets.shape[1]
    features = np.concatenate([np.asarray(rows.features), unlabelled]).astype(np.float32)
    labels = np.full(len(features), -1)
    labels[:num] = np.where(rows.weights > 0, rows.targets.argmax(axis=1), -1)
    graph = affinities(features, min(neighbors, len(features) - 1))
    shares = diffused(graph, labels, num_classes, alpha)
    if balanced:
        shares /= np.maximum(shares.sum(axis=0), SMALLEST)
        sums = shares.sum(axis=1, keepdims=True)
        shares /= np.where(sums, sums, 1.0)
    found = shares[num:]
    entropy = special.entr(found).sum(axis=1)
    certainty = np.where(found.any(axis=1), 1.0 - entropy / np.log(num_classes), 0.0)
    return Spread(found.argmax(axis=1), np.clip(certainty, 0.0, 1.0))


def diffused(
    graph: sparse.csr_array, labels: np.ndarray, num_classes: int, alpha: float
) -> np.ndarray:
    """float64[N, C]: the rows of Z of `label_propagation`, divided by their sums; 0 where no label has come.

    Args:
        graph: float[N, N], W.
        labels: int[N], -1 where there is none.
        num_classes: C.
        alpha: a.
    """
    sums = np.asarray(graph.sum(axis=1))
    roots = sparse.diags_array(1 / np.sqrt(np.where(sums > 0, sums, 1.0)))
    system = sparse.eye_array(len(labels)) - alpha * (roots @ graph @ roots)
    found = np.zeros((len(labels), num_classes))
    for label in np.unique(labels[labels >= 0]):
        given = (labels == label).astype(float)
        found[:, label] = linalg.cg(system, given, rtol=TOLERANCE)[0]
    found = np.maximum(found, 0.0)  # it is never below 0 but for rounding
    totals = found.sum(axis=1, keepdims=True)
    return found / np.where(totals > 0, totals, 1.0)


def affinities(features: np.ndarray, neighbors: int) -> sparse.csr_array:
    """float32[N, N], sparse and symmetric: W of `label_propagation` for float32[N, d] features."""
    units = unit_rows(features - features.mean(axis=0)).astype(np.float32)
    with blas_threads.limit_threads(units.size):
        graph = neighbors_of.kneighbors_graph(units, neighbors, mode="distance")
    graph.data = np.maximum(1.0 - graph.data**2 / 2, 0.0) ** POWER  # of the cosines
    graph = sparse.csr_array(graph)
    return graph + graph.T


def joined(rows: FrozenRows, unlabelled: np.ndarray, spread: Spread) -> FrozenRows:
    """The labelled rows, and those that a label has reached with the class that they got."""
    reached = np.flatnonzero(spread.certainty > 0)
    weights = spread.certainty[reached] * rows.weights.mean()
    return FrozenRows(
        np.concatenate([np.asarray(rows.features), unlabelled[reached]]),
        np.concatenate([rows.targets, np.eye(rows.targets.shape[1])[spread.answers[reached]]]),
        np.concatenate([rows.weights, weights]),
    )
