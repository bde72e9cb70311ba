"""How answers are judged, by the kind of labels: one class, several labels, or a number.

A judge takes what a model states as its *candidate*: `candidate(head, stated)`. For classes that
are the probabilities, for several labels also which of them are given, for numbers quantiles.
"""

from typing import Any

from tltf.data import label_kinds
from tltf.evaluation.evaluators.classes import ClassEvaluator
from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.evaluation.evaluators.labels import LabelEvaluator
from tltf.evaluation.evaluators.numbers import NumberEvaluator
from tltf.evaluation.report.wording import Wording

_KINDS: dict[str, type[Evaluator]] = {
    label_kinds.CLASS: ClassEvaluator,
    label_kinds.LABELS: LabelEvaluator,
    label_kinds.NUMBER: NumberEvaluator,
}


def evaluator_for(head: Any) -> Evaluator:
    """The Evaluator of a head's answers."""
    return _KINDS[head.target](head)


def wording_for(metrics: dict | None) -> Wording:
    """The Wording of a split's metrics; that of classes for none."""
    return _KINDS[(metrics or {}).get("target", label_kinds.CLASS)].wording
