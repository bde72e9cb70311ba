"""The rows on which one of two runs is right, or closer, and the other one is not."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.data import label_kinds, run_data
from tltf.errors import TltfError
from tltf.evaluation.evaluators.evaluator import Evaluator
from tltf.evaluation.report.wording import percent
from tltf.experiments.comparison.common_rows import CommonRows
from tltf.experiments.comparison.finished_run import FinishedRun
from tltf.models.prediction_table import DIGEST

PATH = "path"
"""The column of the paths of pictures in a table of answers."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one run says of a row.

    Args:
        run: its name.
        text: the answer; empty for none.
        detail: its probability, in words; empty where answers have none.
        is_better: whether it is the right one of two, or the closer one.
    """

    run: str
    text: str
    detail: str
    is_better: bool


@dataclasses.dataclass(frozen=True)
class DisagreedRow:
    """A row on which two runs disagree.

    Args:
        id: of the row.
        label: the true answer, as text; empty for none.
        answers: of the better run, then of the other one.
        text: the example, if it is one.
        image: the example, if it is one and can be read: pixels, bytes or a path. It is shown in the
            page and is not in the JSON.
    """

    id: str
    label: str
    answers: list[Answer]
    text: str | None = None
    image: np.ndarray | bytes | str | pathlib.Path | None = dataclasses.field(
        default=None, compare=False, repr=False
    )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        values = {**vars(self), "answers": [vars(answer) for answer in self.answers]}
        return {k: value for k, value in values.items() if k != "image" and value is not None}


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """The rows on which one run is better than another.

    Args:
        better: the name of the run that is right, or closer.
        other: the name of the other one.
        count: rows of all common rows.
        rows: some of them, those of the largest difference first.
    """

    better: str
    other: str
    count: int
    rows: list[DisagreedRow]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**vars(self), "rows": [row.to_json() for row in self.rows]}


def find(runs: Sequence[FinishedRun], common: CommonRows, most: int) -> list[Disagreement]:
    """The disagreements of each run with the first one, in both directions.

    Args:
        runs: the runs.
        common: their common rows.
        most: rows that are named of each disagreement.
    """
    pairs = zip(common.judges, common.candidates, strict=True)
    errors = [judge.row_errors(common.labels, candidate) for judge, candidate in pairs]
    found = []
    for other in range(1, len(runs)):
        for better, worse in ((other, 0), (0, other)):
            if common.are_comparable[other]:
                found.append(_disagreement(runs, common, errors, (better, worse), most))
    return found


def _disagreement(
    runs: Sequence[FinishedRun],
    common: CommonRows,
    errors: Sequence[np.ndarray],
    pair: tuple[int, int],
    most: int,
) -> Disagreement:
    """The rows on which the first run of a pair is better than the second."""
    better, worse = pair
    gaps = errors[worse] - errors[better]
    is_better = gaps > 0
    if label_kinds.KINDS[runs[0].metrics.target].has_classes:
        is_better &= errors[better] == 0  # of two wrong answers none is the better one
    order = np.argsort(np.where(is_better, -gaps, np.inf), kind="stable")
    rows = order[: min(most, int(is_better.sum()))].tolist()
    return Disagreement(
        runs[better].name,
        runs[worse].name,
        int(is_better.sum()),
        [_row(runs, common, row, pair) for row in rows],
    )


def _row(
    runs: Sequence[FinishedRun], common: CommonRows, row: int, pair: tuple[int, int]
) -> DisagreedRow:
    first = runs[0].table
    place = int(common.places[0][row])
    texts = [cells[place] for name, cells in first.contents.items() if name not in (DIGEST, PATH)]
    answers = []
    for number in pair:
        table, own = runs[number].table, int(common.places[number][row])
        detail = _detail(common.judges[number], common.candidates[number], row)
        answers.append(Answer(runs[number].name, table.answers[own], detail, number == pair[0]))
    return DisagreedRow(
        first.ids[place],
        (first.truths or [])[place],
        answers,
        "\n".join(texts) if texts else None,
    )


def _detail(judge: Evaluator[Any], candidate: Any, row: int) -> str:
    """The probability of an answer that is one class; empty for other answers."""
    is_one_class = label_kinds.KINDS[judge.head.target].is_one_class
    return percent(float(candidate[row].max())) if is_one_class else ""


def add_pictures(found: Sequence[Disagreement], run: FinishedRun) -> tuple[list[Disagreement], str]:
    """`(the disagreements with pictures, why there are none)`; texts need none.

    Pictures are read from the data of a run, if it is still there and is not code.

    Args:
        found: of which the rows are in the table of the run.
        run: the first one of those that are compared.
    """
    rows = [row for part in found for row in part.rows]
    if not rows or rows[0].text is not None:
        return list(found), ""
    try:
        images = _images(run, {row.id for row in rows})
    except TltfError as error:
        return list(found), f"The pictures are not shown, since their data cannot be read: {error}"
    return [
        dataclasses.replace(
            part,
            rows=[dataclasses.replace(row, image=images.get(row.id)) for row in part.rows],
        )
        for part in found
    ], ""


def _images(run: FinishedRun, ids: set[str]) -> dict[str, Any]:
    """Id of a row -> its picture: the file that the table names, else what the run's data has.

    Raises:
        TltfError: the data of the run cannot be read.
    """
    paths = dict(zip(run.table.ids, run.table.contents.get(PATH, []), strict=True))
    if all(pathlib.Path(paths[name]).is_file() for name in ids):
        return {name: paths[name] for name in ids}
    part = run_data.load_parts(str(run.folder)).test
    if part is None:
        return {}
    places = {name: place for place, name in enumerate(part.ids) if name in ids}
    return {name: part.column.values[place] for name, place in places.items()}
