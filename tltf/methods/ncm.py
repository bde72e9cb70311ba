"""The nearest class mean: a head whose classes are learned apart, so that none is forgotten."""

import dataclasses

import numpy as np
from scipy import special

from tltf.errors import DataError
from tltf.graphs.core import Core
from tltf.heads.light.light_model import FrozenRows, Linear
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, Solved
from tltf.methods.probe import put_into
from tltf.methods.rules import HEAD
from tltf.runs import carried
from tltf.runs.carried import Carried

NAME = "ncm"
FACTORS = 2.0 ** -np.arange(0.0, 16.0)
"""Factors of the logits that are tried."""
SMALLEST_VARIANCE = 1e-12


def ncm(scaled: bool = True) -> "NearestClassMean":
    """A method that answers the class whose mean of frozen features is nearest, in closed form.

    The logits are x . m_c - |m_c|^2 / 2: Mensink et al. 2013, IEEE TPAMI 35(11), eq. 3 with W = 1.
    With --backbone=RUN of this method the sums over its rows, and over those of the runs before it,
    are added to those of the new rows. So the means are those of all rows that ever came, in whatever
    order they came. Departs: with `scaled` each feature is divided by its deviation within classes; a
    factor of all logits, which changes no answer, is chosen by the loss of the training rows.

    Args:
        scaled: whether features are divided by their deviation within classes.
    """
    return NearestClassMean(scaled)


@dataclasses.dataclass(frozen=True)
class ClassSums:
    """Sums over rows, from which the means follow.

    Args:
        counts: float64[C], the weight of the rows of each class.
        sums: float64[d, C], of their features.
        squares: float64[d], of the squared features, over all classes.
    """

    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, rows: FrozenRows) -> "ClassSums":
        """The sums over some rows."""
        features = np.asarray(rows.features, np.float64)
        parts = rows.targets * rows.weights[:, None]
        return cls(parts.sum(axis=0), features.T @ parts, rows.weights @ features**2)

    def add(self, other: "ClassSums") -> "ClassSums":
        """The sums over both."""
        return ClassSums(
            self.counts + other.counts, self.sums + other.sums, self.squares + other.squares
        )

    def head(self, scaled: bool) -> Linear:
        """The nearest class mean as a linear head; see `ncm`.

        Every class has a weight above 0.
        """
        means = self.sums / self.counts
        within = self.squares - (means**2) @ self.counts
        variances = np.maximum(within / self.counts.sum(), SMALLEST_VARIANCE) if scaled else 1.0
        kernel = (means.T / variances).T
        bias = -0.5 * (means * kernel).sum(axis=0)
        return Linear(kernel, bias)


class NearestClassMean(Method):
    """The method that `ncm` makes."""

    def __init__(self, scaled: bool) -> None:
        super().__init__(lambda core: [Phase(NAME, (HEAD,), norm="frozen", solver="method")])
        self.scaled = scaled
        self.class_names: tuple[str, ...] = ()
        self.before: Carried | None = None

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The same core; the sums of earlier runs are noted."""
        self.class_names, self.before = context.class_names, context.carried
        return core

    def solve(
        self, core: Core, rows: FrozenRows, seed: int, unlabelled: np.ndarray | None
    ) -> Solved:
        """The core with the means as its head.

        Raises:
            DataError: a class has no row, and had none before.
        """
        sums = ClassSums.of(rows)
        if self.before is not None:
            sums = sums.add(_sums_of(self.before, self.class_names))
        empty = np.flatnonzero(sums.counts == 0)
        if len(empty):
            name = self.class_names[empty[0]] if self.class_names else str(empty[0])
            fix = "--backbone=RUN, the run that was trained on its rows with --method=ncm"
            raise DataError(f"the class {name!r} has no training rows", flag="data", fix=fix)
        whole = sums.head(self.scaled)
        logits = whole.logits(rows.features)
        losses = [_loss(logits * factor, rows) for factor in FACTORS]
        head = Linear(whole.kernel, whole.bias).scaled(float(FACTORS[int(np.argmin(losses))]))
        arrays = {name: np.asarray(getattr(sums, name)) for name in ("counts", "sums", "squares")}
        self.carried = Carried(NAME, self.class_names, arrays)
        text = f"means of {len(sums.counts)} classes over {sums.counts.sum():,.0f} rows so far"
        history = [{"num_classes": len(sums.counts), "loss": float(min(losses))}]
        return Solved(put_into(core, head), history, text)


def _sums_of(before: Carried, class_names: tuple[str, ...]) -> ClassSums:
    """The sums of earlier runs, with zeros for new classes."""
    counts, sums = (
        carried.by_class(before.arrays[name], before.class_names, class_names)
        for name in ("counts", "sums")
    )
    return ClassSums(counts, sums, before.arrays["squares"])


def _loss(logits: np.ndarray, rows: FrozenRows) -> float:
    """The mean cross-entropy of float[N, C] logits."""
    losses = -(rows.targets * special.log_softmax(logits, axis=1)).sum(axis=1)
    return float(np.average(losses, weights=rows.weights))
