"""Predictions as a pandas DataFrame, for who has given one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

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
        DataFrame with `predicted_label` and `confidence` (the highest probability), or
        `predicted_labels`, `predicted_value`, or `predicted_NAME` for each of several numbers; the
        columns of `Head.columns`, NaN in rows without an answer; and `error`.
    """
    import pandas

    columns = head.columns(class_names)
    answers: dict[str, list[Any]] = {}
    if head.name == "values":
        for name in class_names:
            answers[f"predicted_{name}"] = [row.values.get(name, np.nan) for row in predictions]
    elif head.name == "value":
        answers["predicted_value"] = [
            np.nan if row.value is None else row.value for row in predictions
        ]
    else:
        answers[f"predicted_{head.name}"] = [
            None if row.error else row.label for row in predictions
        ]
    if head.name == "label":
        answers["confidence"] = [max(row.scores, default=np.nan) for row in predictions]
    blank = [np.nan] * len(columns)
    scores = np.array([row.scores or blank for row in predictions], float)
    for place, column in enumerate(columns):
        answers[column] = scores.reshape(len(predictions), len(columns))[:, place].tolist()
    answers["error"] = [row.error for row in predictions]
    return pandas.DataFrame(answers, index=index)
