"""The file predictions.csv of a run or of an evaluation."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.data.source import Source
from tltf.evaluation import evaluators
from tltf.heads.head import Head
from tltf.models import prediction_table


def write(
    path: pathlib.Path, part: Source, head: Head, candidate: Any, class_names: Sequence[str]
) -> None:
    """Writes predictions.csv of one split.

    Args:
        path: path of the file.
        part: the split.
        head: the head that gave the answers.
        candidate: the candidate of the head's evaluator on the rows of the split.
        class_names: the class names of the run.
    """
    judge = evaluators.evaluator_for(head)
    table = prediction_table.Table(
        list(part.ids),
        _contents(part),
        judge.truths(np.asarray(part.labels), class_names),
        judge.answers(candidate, class_names),
        judge.values(candidate),
    )
    prediction_table.write(path, table, head.columns(class_names), head.name)


def _contents(part: Source) -> dict[str, list[str]]:
    """Column of predictions.csv -> the texts or paths of the rows; ids if images have no path.

    The last one tells rows apart by their contents, so that runs can be compared on the same rows.
    """
    digests = [f"{digest:016x}" for digest in part.content_hashes().tolist()]
    if part.modality == "text":
        texts = {name: list(column.values) for name, column in part.fields.items()}
        return {**texts, prediction_table.DIGEST: digests}
    paths = list(part.column.values if part.column.kind == "path" else part.ids)
    return {"path": paths, prediction_table.DIGEST: digests}
