"""What a model said of some rows: its scores, its answers, and the features from which it said so."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tltf.data.label_kinds import CLASS, LABELS, SEPARATOR
from tltf.errors import DataError

NOTHING = -1
"""The class of a row that the model gave no class."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """The answers on N rows.

    Args:
        scores: float32[N, K], probabilities or quantiles, as the head states them.
        given: int32[N], the class of each row, NOTHING for none; bool[N, C] of several labels; or
            float64[N, V] of numbers.
        features: float[F, d], the pooled features of these rows or of some of them; None where they
            are not known.
        num_bad: rows beside these that could not be read or predicted.
        time: when the last row came, as its log has it; empty where it does not say.
    """

    scores: np.ndarray
    given: np.ndarray
    features: np.ndarray | None = None
    num_bad: int = 0
    time: str = ""

    def __len__(self) -> int:
        return len(self.scores)


def read_given(texts: Sequence[str], kind: str, names: Sequence[str]) -> np.ndarray:
    """The answers that texts of the column `predicted_...` mean, as `Answers.given`.

    Args:
        texts: N answers, such as `cat`, `cat|dog` or `3.5`.
        kind: the kind of labels of the head, a name of label_kinds.KINDS.
        names: of the C classes or labels; of the V numbers, or one for a single number.

    Raises:
        DataError: an answer is none of the names, or is not a number.
    """
    if kind == CLASS:
        places = {name: place for place, name in enumerate(names)} | {"": NOTHING}
        return np.array([_place(text, places) for text in texts], np.int32)
    if kind == LABELS:
        places = {name: place for place, name in enumerate(names)}
        given = np.zeros((len(texts), len(names)), bool)
        for row, text in enumerate(texts):
            given[row, [_place(part, places) for part in text.split(SEPARATOR) if part]] = True
        return given
    try:
        rows = [[float(part) for part in text.split(SEPARATOR)] for text in texts]
        return np.array(rows, np.float64).reshape(len(texts), len(names))
    except ValueError as error:
        raise DataError(f"an answer is not {len(names)} numbers ({error})", flag="input") from error


def _place(text: str, places: dict[str, int]) -> int:
    try:
        return places[text]
    except KeyError:
        known = ", ".join(name for name in list(places)[:6] if name)
        what = f"the answer {text!r} is none of the run's classes ({known})"
        raise DataError(
            what, flag="input", fix="the log of this run, or the run of this log"
        ) from None


def join(parts: Sequence[Answers]) -> Answers:
    """The answers of several parts of a log, in their order."""
    features = [part.features for part in parts if part.features is not None and len(part)]
    return Answers(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.given for part in parts]),
        np.concatenate(features) if features else None,
        sum(part.num_bad for part in parts),
        parts[-1].time,
    )
