"""The table of predictions, with one row per example and one column per number of the prediction."""

import csv
import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Sequence, Sized

import numpy as np

from tltf.errors import ShapeError
from tltf.files import atomic_files

TRUE, PREDICTED = "true_", "predicted_"
"""The beginnings of the columns of truths and of answers."""
DIGEST = "content_digest"
"""The column of a run's own table that tells rows apart by their contents, in hexadecimal digits."""
OLD_NAMES = ("label", "predicted")
"""These columns in tables of earlier versions."""


@dataclasses.dataclass(frozen=True)
class Table:
    """The columns of a table with N rows.

    Args:
        ids: N str.
        contents: column -> N str, texts or paths.
        truths: N str, the labels; None for unlabelled examples, whose column stays empty.
        answers: N str, the predicted labels or numbers.
        values: float[N, K], the probabilities or quantiles.
    """

    ids: list[str]
    contents: dict[str, list[str]]
    truths: list[str] | None
    answers: list[str]
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> "Table":
        """The table with the rows `rows` (int[M]) only, in that order."""
        places = rows.tolist()
        return Table(
            [self.ids[row] for row in places],
            {name: [cells[row] for row in places] for name, cells in self.contents.items()},
            None if self.truths is None else [self.truths[row] for row in places],
            [self.answers[row] for row in places],
            self.values[rows],
        )


def header(contents: Iterable[str], columns: Sequence[str], answer: str = "label") -> list[str]:
    """The names of all columns.

    Args:
        contents: the columns of the contents, such as `path` or `text`.
        columns: the columns of the values.
        answer: what is predicted, as `Head.name`, such as `label` or `value`.
    """
    return ["id", *contents, f"{TRUE}{answer}", f"{PREDICTED}{answer}", *columns]


def write(path: pathlib.Path, table: Table, columns: Sequence[str], answer: str = "label") -> None:
    """Writes `predictions.csv`; the file is whole or absent.

    Args:
        path: the file.
        table: Table; values are written with 9 significant digits, which restore float32.
        columns: the K names of the columns of the values.
        answer: what is predicted, see `header`.

    Raises:
        ShapeError: the lengths differ.
        StorageError: the file cannot be written.
    """
    values = np.asarray(table.values)
    truths = [""] * len(table) if table.truths is None else table.truths
    parts: dict[str, Sized] = {
        "ids": table.ids,
        **table.contents,
        "labels": truths,
        "answers": table.answers,
        "values": values,
    }
    sizes = {name: len(part) for name, part in parts.items()}
    if len(set(sizes.values())) > 1 or values.shape[1:] != (len(columns),):
        counts = ", ".join(f"{count} {name}" for name, count in sizes.items())
        raise ShapeError(
            f"{counts} do not make one table with {len(columns)} columns of values "
            f"(they have the shape {values.shape})"
        )
    with atomic_files.replace_file(path, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header(table.contents, columns, answer))
        contents = table.contents.values()
        rows = zip(table.ids, *contents, truths, table.answers, values.tolist(), strict=True)
        for *texts, numbers in rows:
            writer.writerow([*texts, *(format(value, ".9g") for value in numbers)])


def join_tables(tables: Sequence[Table]) -> Table:
    """One Table with the rows of several."""
    truths = [table.truths for table in tables if table.truths is not None]
    join = itertools.chain.from_iterable
    contents = {
        name: list(join(table.contents[name] for table in tables)) for name in tables[0].contents
    }
    return Table(
        list(join(table.ids for table in tables)),
        contents,
        list(join(truths)) if truths else None,
        list(join(table.answers for table in tables)),
        np.concatenate([table.values for table in tables]),
    )


def read(path: pathlib.Path) -> tuple[Table, list[str]]:
    """`(Table, columns)` of a table that `write` wrote, in this version or in an earlier one."""
    with open(path, newline="", encoding="utf-8") as file:
        first, *rows = csv.reader(file)
    places = range(1, len(first))
    end = next(place for place in places if _are_answers(*first[place : place + 2]))
    ids, *contents, truths, answers = ([row[place] for row in rows] for place in range(end + 2))
    values = np.array([row[end + 2 :] for row in rows], dtype=float).reshape(len(rows), -1)
    by_name = dict(zip(first[1:end], contents, strict=True))
    return Table(ids, by_name, truths, answers, values), first[end + 2 :]


def _are_answers(truth: str, answer: str = "") -> bool:
    """Whether two neighbouring columns are those of truths and answers."""
    is_pair = truth.startswith(TRUE) and answer == PREDICTED + truth.removeprefix(TRUE)
    return is_pair or (truth, answer) == OLD_NAMES
