"""How answers are judged, by the kind of labels: one class, several labels, or a number.

A judge takes what a model states as its *candidate*: `candidate(head, stated)`. For classes that
are the probabilities, for several labels also which of them are given, for numbers quantiles.
"""

from tltf.data import label_kinds
from tltf.evaluation.evaluators.classes import ClassJudge
from tltf.evaluation.evaluators.labels import LabelJudge
from tltf.evaluation.evaluators.numbers import NumberJudge

_KINDS = {
    label_kinds.CLASS: ClassJudge,
    label_kinds.LABELS: LabelJudge,
    label_kinds.NUMBER: NumberJudge,
}


def evaluator_for(head):
    """The judge of a head's answers."""
    return _KINDS[head.target](head)
