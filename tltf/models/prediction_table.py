"""The table of predictions: one row an example, one column for each number that the head states."""

import csv
import dataclasses
import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.errors import ShapeError
from tltf.files import atomic_files


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of N rows.

    Args:
        ids: N str.
        contents: N str, texts or paths.
        truths: N str, the labels; None for unlabelled examples (the column stays empty).
        answers: N str.
        values: float[N, K], what the head states.
    """

    ids: list
    contents: list
    truths: list | None
    answers: list
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def header(column: str, columns: Sequence[str]) -> list[str]:
    """Names of the columns; `column` is `path` or `text`, `columns` those of the values."""
    return ["id", column, "label", "predicted", *columns]


def write(path: pathlib.Path, table: Any, column: str, columns: Sequence[str]) -> None:
    """Writes `prediction_table.csv`; the file is whole or absent.

    Args:
        path: of the file.
        table: Table; values are written with 9 significant digits, which restore float32.
        column: `text` or `path`.
        columns: K names of the values.

    Raises:
        ShapeError: the lengths differ.
        StorageError: the file cannot be written.
    """
    values = np.asarray(table.values)
    truths = [""] * len(table) if table.truths is None else table.truths
    parts = {"ids": table.ids, column: table.contents, "labels": truths,
             "answers": table.answers, "values": values}  # fmt: skip
    sizes = {name: len(part) for name, part in parts.items()}
    if len(set(sizes.values())) > 1 or values.shape[1:] != (len(columns),):
        counts = ", ".join(f"{count} {name}" for name, count in sizes.items())
        raise ShapeError(
            f"{counts} do not make one table with {len(columns)} columns of values "
            f"(they have the shape {values.shape})"
        )
    with atomic_files.replace_file(path, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header(column, columns))
        rows = zip(table.ids, table.contents, truths, table.answers, values.tolist(), strict=True)
        for *texts, numbers in rows:
            writer.writerow([*texts, *(format(value, ".9g") for value in numbers)])


def join_tables(tables: Sequence[Table]) -> Table:
    """One Table of the rows of several."""

    def whole(name: str) -> Any:
        return list(itertools.chain.from_iterable(getattr(table, name) for table in tables))

    values = np.concatenate([table.values for table in tables])
    return Table(whole("ids"), whole("contents"), whole("truths"), whole("answers"), values)


def read(path: pathlib.Path) -> Any:
    """`(Table, column, columns)` of a table that `write` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        first, *rows = csv.reader(file)
    ids, contents, truths, answers = ([row[place] for row in rows] for place in range(4))
    values = np.array([row[4:] for row in rows], dtype=float).reshape(len(rows), -1)
    return Table(ids, contents, truths, answers, values), first[1], first[4:]
