"""What comes of a model that says where it is not sure: how much it answers, and how well."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from tltf.evaluation import binary_curves, bootstrap
from tltf.evaluation.split_metrics import from_known_keys

if TYPE_CHECKING:
    from tltf.heads.head import Head

DETAILS = "abstention"
"""The name of Abstention in `SplitMetrics.details`."""
LEAST_ANSWERS = bootstrap.LEAST_SUPPORT
"""Answers from which on their accuracy is a point of the curve."""


@dataclasses.dataclass(frozen=True)
class Sets:
    """The conformal sets of the rows.

    Args:
        num_covered: rows whose set has the true class.
        num_empty: rows whose set is empty.
        mean_size: classes per set.
    """

    num_covered: int
    num_empty: int
    mean_size: float


@dataclasses.dataclass(frozen=True)
class Abstention:
    """The answers of a model that abstains.

    Args:
        rule: --abstain of the run; empty where it is not known.
        threshold: the probability from which on the model is sure, or from which on a class is in
            the conformal set.
        num_examples: rows, at least 1.
        num_answered: rows of which the model is sure.
        num_right: of them, those that are right.
        num_right_of_all: rows on which the most probable class is right, sure or not.
        curve: [coverage, accuracy], each 0..1, rising coverage: what comes of answering only the rows
            with the highest probabilities.
        sets: of a conformal rule; None for others.
    """

    rule: str
    threshold: float
    num_examples: int
    num_answered: int
    num_right: int
    num_right_of_all: int
    curve: list[list[float]]
    sets: Sets | None = None

    @property
    def coverage(self) -> float:
        """The share of the rows of which the model is sure, 0..1."""
        return self.num_answered / self.num_examples

    @property
    def accuracy(self) -> float | None:
        """The share of its answers that is right, 0..1; None without answers."""
        return self.num_right / self.num_answered if self.num_answered else None

    @property
    def accuracy_interval(self) -> list[float] | None:
        """Wilson's interval of the accuracy; None without answers."""
        if not self.num_answered:
            return None
        return bootstrap.share_interval(self.num_right, self.num_answered, bootstrap.CONFIDENCE)

    @classmethod
    def from_details(cls, details: dict[str, Any]) -> "Abstention | None":
        """The Abstention among the details of a split's metrics; None where there is none.

        Details may come from a file that somebody has changed: values of another form count as none.
        """
        values = details.get(DETAILS)
        try:
            found = from_known_keys(cls, values or {})
            sets = found.sets and from_known_keys(Sets, vars(found)["sets"])
            counts = found.num_examples, found.num_answered, found.num_right
            is_usable = found.num_examples > 0 and all(type(count) is int for count in counts)
            return dataclasses.replace(found, sets=sets) if is_usable else None
        except (KeyError, TypeError, AttributeError):
            return None


def details(
    head: "Head", labels: np.ndarray, probabilities: np.ndarray, rule: str = ""
) -> dict[str, Any]:
    """The Abstention of a head, by its name, as plain JSON; {} for a head that always answers.

    Args:
        head: Head of the model that is judged.
        labels: int[N].
        probabilities: float32[N, C].
        rule: --abstain of the run; empty where it is not known.
    """
    if not head.abstains:
        return {}
    is_sure, is_right = head.is_sure(probabilities), probabilities.argmax(axis=1) == labels
    sets, threshold = None, getattr(head, "sure_from", None)
    edge = getattr(head, "set_from", None)
    if edge is not None:
        threshold = edge if threshold is None else threshold
        is_in = np.asarray(probabilities, np.float32) >= np.float32(edge)
        covered = int(is_in[np.arange(len(labels)), labels].sum())
        sizes = is_in.sum(axis=1)
        sets = Sets(covered, int((sizes == 0).sum()), float(sizes.mean()))
    found = Abstention(
        rule,
        float(threshold or 0.0),
        len(labels),
        int(is_sure.sum()),
        int((is_sure & is_right).sum()),
        int(is_right.sum()),
        curve(probabilities.max(axis=1), is_right),
        sets,
    )
    return {DETAILS: dataclasses.asdict(found)}


def curve(confidence: np.ndarray, is_right: np.ndarray) -> list[list[float]]:
    """[coverage, accuracy] of the rows above each threshold, rising; El-Yaniv & Wiener 2010.

    Rows of the same confidence are answered together. Accuracies of fewer than LEAST_ANSWERS answers
    are left out, unless there are no others.

    Args:
        confidence: float[N], N >= 1.
        is_right: bool[N].
    """
    order = np.argsort(-confidence, kind="stable")
    ranked, counts = confidence[order], np.arange(1, len(order) + 1)
    accuracy = np.cumsum(is_right[order]) / counts
    is_border = np.append(ranked[1:] < ranked[:-1], True)
    kept = is_border & (counts >= min(LEAST_ANSWERS, len(order)))
    return binary_curves.thinned(counts[kept] / len(order), accuracy[kept])
