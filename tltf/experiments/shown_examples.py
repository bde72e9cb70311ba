"""The examples that a report shows: the worst mistakes, borderline answers and confused classes."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tltf.data import label_kinds
from tltf.data.source import Source
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.data.texts.unread import unread_parts
from tltf.evaluation import evaluators
from tltf.evaluation.report.report import ConfusedPair, Mistake, Report
from tltf.models.transfer_model import TransferModel

NUM_MISTAKES = 24
"""The most mistakes that a report shows."""
NUM_BORDERLINE = 8
"""The most right answers of which the model was least sure that a report shows."""
NUM_PAIRS, NUM_PER_PAIR = 5, 3
"""The most pairs of confused classes that a report shows with examples, and the examples of each."""
Rows = Sequence[Mistake]


def with_examples(
    report: Report, trained: TransferModel, stated: Mapping[str, Any], parts: Mapping[str, Source]
) -> Report:
    """The report with the examples of the test split, or of the validation split where there is none.

    Args:
        report: of these splits.
        trained: the trained model.
        stated: role -> candidate of the head's evaluator.
        parts: role -> Source.
    """
    role = "test" if "test" in stated else "validation"
    if role not in stated:
        return report
    part, candidate = parts[role], stated[role]
    labels, names = np.asarray(part.labels), trained.class_names
    judge = evaluators.evaluator_for(trained.core.head)
    worst = judge.worst(labels, candidate, names, part.ids, NUM_MISTAKES)
    borderline, pairs = list[Mistake](), list[ConfusedPair]()
    if label_kinds.kind_of(labels).is_one_class:
        borderline = least_sure(labels, candidate, names, part.ids)
        pairs = confused_pairs(labels, candidate, names, part.ids)
    shown = [*worst, *borderline, *(row for pair in pairs for row in pair.examples)]
    found = _with_contents(shown, part, trained.preprocessing)
    return dataclasses.replace(
        report,
        worst_mistakes=_filled(worst, found),
        borderline=_filled(borderline, found),
        confused=[
            dataclasses.replace(pair, examples=_filled(pair.examples, found)) for pair in pairs
        ],
    )


def least_sure(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], ids: Sequence[str]
) -> list[Mistake]:
    """The right answers with the lowest probabilities, the lowest first.

    Args:
        labels: int[N], places in the class names.
        probabilities: float[N, C].
        class_names: C names.
        ids: of the N rows.
    """
    predicted, stated = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = np.flatnonzero(predicted == labels)
    order = right[np.argsort(stated[right], kind="stable")][:NUM_BORDERLINE]
    return [
        _example(
            row,
            labels,
            probabilities,
            class_names,
            ids,
            _rival_text(row, probabilities, class_names),
        )
        for row in order.tolist()
    ]


def _rival_text(row: int, probabilities: np.ndarray, class_names: Sequence[str]) -> str:
    """`60.1%, then dog 39.0%`: how sure an answer is, and what it would have been instead."""
    second, first = np.argsort(probabilities[row], kind="stable")[-2:].tolist()
    best, next_best = probabilities[row, first], probabilities[row, second]
    return f"{best:.1%}, then {class_names[second]} {next_best:.1%}"


def confused_pairs(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], ids: Sequence[str]
) -> list[ConfusedPair]:
    """The most confused pairs of classes, each with its most confident mistakes; arguments as `least_sure`."""
    predicted, stated = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    counts = collections.Counter(
        zip(labels[wrong].tolist(), predicted[wrong].tolist(), strict=True)
    )
    pairs = []
    for (label, answer), count in counts.most_common(NUM_PAIRS):
        rows = wrong[(labels[wrong] == label) & (predicted[wrong] == answer)]
        rows = rows[np.argsort(-stated[rows], kind="stable")][:NUM_PER_PAIR]
        examples = [_example(row, labels, probabilities, class_names, ids) for row in rows.tolist()]
        pairs.append(ConfusedPair(class_names[label], class_names[answer], count, examples))
    return pairs


def _example(
    row: int,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    ids: Sequence[str],
    detail: str | None = None,
) -> Mistake:
    answer, label = int(probabilities[row].argmax()), int(labels[row])
    return Mistake(
        row,
        str(ids[row]),
        str(class_names[label]),
        str(class_names[answer]),
        float(probabilities[row, answer]),
        float(probabilities[row, label]),
        detail,
    )


def _with_contents(rows: Rows, part: Source, prepared: object) -> dict[int, Mistake]:
    """Row of a split -> a Mistake with nothing but its text or its picture.

    Args:
        rows: of which the contents are wanted.
        part: the split.
        prepared: the preprocessing of the model, which says where its texts are cut.
    """
    places = sorted({row.index for row in rows})
    if part.modality != "text":
        values = part.column.values
        return {place: Mistake(place, "", "", "", image=values[place]) for place in places}
    columns = [[column.values[place] for place in places] for column in part.fields.values()]
    unread: Sequence[list[list[int]] | None] = [None] * len(places)
    if places and isinstance(prepared, TextPreprocessing):
        unread = unread_parts(prepared, columns)
    texts = ["\n".join(row) for row in zip(*columns, strict=True)]
    return {
        place: Mistake(place, "", "", "", text=text, unread=cut)
        for place, text, cut in zip(places, texts, unread, strict=True)
    }


def _filled(rows: Rows, found: Mapping[int, Mistake]) -> list[Mistake]:
    """The rows with the texts or pictures of the same rows in `found`."""
    return [
        dataclasses.replace(
            row,
            text=found[row.index].text,
            unread=found[row.index].unread,
            image=found[row.index].image,
        )
        for row in rows
    ]
