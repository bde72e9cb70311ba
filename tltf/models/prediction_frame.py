"""Predictions as a pandas DataFrame, for who has given one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tltf.graphs.core import CoreHead
from tltf.heads.head import Head
from tltf.models.prediction import Prediction

if TYPE_CHECKING:
    import pandas


def make_frame(
    predictions: Sequence[Prediction], head: Head, class_names: Sequence[str], index: Any
) -> "pandas.DataFrame":
    """A row per prediction: the answer, how sure it is of a class, and all that the head states.

    Args:
        predictions: one per row.
        head: whose answers they are.
        class_names: of the model.
        index: of the frame.

    Returns:
        DataFrame with `predicted_label` and `confidence` (the probability of that class; before it
        `is_sure`, if the head may say that it is not sure), or
        `predicted_labels`, `predicted_value`, or `predicted_NAME` for each of several numbers; the
        columns of `Head.columns`, NaN in rows without an answer; and `error`.
    """
    import pandas

    columns = head.columns(class_names)
    cells = [head.answer_cells(vars(row), class_names) for row in predictions]
    answers: dict[str, list[Any]] = {
        name: [row[name] for row in cells] for name in (cells[0] if cells else {})
    }
    blank = [np.nan] * len(columns)
    scores = np.array([row.scores or blank for row in predictions], float)
    for place, column in enumerate(columns):
        answers[column] = scores.reshape(len(predictions), len(columns))[:, place].tolist()
    answers["error"] = [row.error for row in predictions]
    return pandas.DataFrame(answers, index=index)


def make_task_frame(
    predictions: Sequence[Prediction], heads: Mapping[str, CoreHead], index: Any
) -> "pandas.DataFrame":
    """A row per prediction of a model of several heads, with the columns of each behind its task.

    Args:
        predictions: one per row.
        heads: task -> its head.
        index: of the frame.

    Returns:
        DataFrame with the columns of `make_frame` as `TASK_predicted_label` and so on, and `error`.
    """
    import pandas

    frames = []
    for task, own in heads.items():
        rows = [row.tasks.get(task, Prediction(row.id, error=row.error)) for row in predictions]
        frame = make_frame(rows, own.head, own.class_names, index).drop(columns="error")
        frames.append(frame.add_prefix(f"{task}_"))
    errors = pandas.Series([row.error for row in predictions], index=index, name="error")
    return pandas.concat([*frames, errors], axis=1)
