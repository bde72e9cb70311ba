"""Evaluators, which judge answers: one for each kind of labels.

An evaluator judges a *candidate*, which its `candidate(head, stated)` makes of what a head states:
probabilities for one class per row, probabilities and the labels that are given for several labels
per row, and quantiles for numbers.
"""

from typing import TYPE_CHECKING, Any

from tltf.data import label_kinds
from tltf.evaluation.evaluators.classes import ClassEvaluator
from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.evaluation.evaluators.labels import LabelEvaluator
from tltf.evaluation.evaluators.multi_numbers import MultiNumberEvaluator
from tltf.evaluation.evaluators.numbers import NumberEvaluator
from tltf.evaluation.report.wording import Wording
from tltf.evaluation.split_metrics import SplitMetrics

if TYPE_CHECKING:
    from tltf.heads.head import Head

_KINDS: dict[str, type[Evaluator[Any]]] = {
    label_kinds.CLASS: ClassEvaluator,
    label_kinds.LABELS: LabelEvaluator,
    label_kinds.NUMBER: NumberEvaluator,
    label_kinds.NUMBERS: MultiNumberEvaluator,
}


def evaluator_for(head: "Head") -> Evaluator[Any]:
    """The Evaluator of a head's answers."""
    return _KINDS[head.target](head)


def evaluator_of(metrics: SplitMetrics | None) -> type[Evaluator[Any]]:
    """The class of the Evaluator that measured a split; that of classes for None."""
    return _KINDS[metrics.target if metrics else label_kinds.CLASS]


def wording_for(metrics: SplitMetrics | None) -> Wording:
    """The Wording of a split's metrics; that of classes for None."""
    return evaluator_of(metrics).wording
