"""How answers are judged, by the kind of labels: one class, several labels, or a number.

A judge takes what a model states as its *candidate*: `candidate(head, stated)`. For classes that
are the probabilities, for several labels also which of them are given, for numbers quantiles.
"""

from tltf.data import label_kinds
from tltf.judging.classes import ClassJudge
from tltf.judging.labels import LabelJudge
from tltf.judging.numbers import NumberJudge

_KINDS = {
    label_kinds.CLASS: ClassJudge,
    label_kinds.LABELS: LabelJudge,
    label_kinds.NUMBER: NumberJudge,
}


def of(head):
    """The judge of a head's answers."""
    return _KINDS[head.target](head)
