"""The table of predictions: one row an example, one column for each number that the head states."""

import csv
import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Sequence, Sized
from typing import Any

import numpy as np

from tltf.errors import ShapeError
from tltf.files import atomic_files

AFTER_CONTENTS = ("label", "predicted")
"""The columns behind the contents of rows."""


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of N rows.

    Args:
        ids: N str.
        contents: column -> N str, texts or paths.
        truths: N str, the labels; None for unlabelled examples (the column stays empty).
        answers: N str.
        values: float[N, K], what the head states.
    """

    ids: list[str]
    contents: dict[str, list[str]]
    truths: list[str] | None
    answers: list[str]
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def header(contents: Iterable[str], columns: Sequence[str]) -> list[str]:
    """Names of the columns: `contents` such as `path` or `text`, `columns` those of the values."""
    return ["id", *contents, *AFTER_CONTENTS, *columns]


def write(path: pathlib.Path, table: Table, columns: Sequence[str]) -> None:
    """Writes `predictions.csv`; the file is whole or absent.

    Args:
        path: of the file.
        table: Table; values are written with 9 significant digits, which restore float32.
        columns: K names of the values.

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
        writer.writerow(header(table.contents, columns))
        contents = table.contents.values()
        rows = zip(table.ids, *contents, truths, table.answers, values.tolist(), strict=True)
        for *texts, numbers in rows:
            writer.writerow([*texts, *(format(value, ".9g") for value in numbers)])


def join_tables(tables: Sequence[Table]) -> Table:
    """One Table of the rows of several."""

    def whole(name: str) -> Any:
        return list(itertools.chain.from_iterable(getattr(table, name) for table in tables))

    values = np.concatenate([table.values for table in tables])
    contents = {
        name: list(itertools.chain.from_iterable(table.contents[name] for table in tables))
        for name in tables[0].contents
    }
    return Table(whole("ids"), contents, whole("truths"), whole("answers"), values)


def read(path: pathlib.Path) -> tuple[Table, list[str]]:
    """`(Table, columns)` of a table that `write` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        first, *rows = csv.reader(file)
    places = range(1, len(first))
    end = next(place for place in places if tuple(first[place : place + 2]) == AFTER_CONTENTS)
    ids, *contents, truths, answers = ([row[place] for row in rows] for place in range(end + 2))
    values = np.array([row[end + 2 :] for row in rows], dtype=float).reshape(len(rows), -1)
    by_name = dict(zip(first[1:end], contents, strict=True))
    return Table(ids, by_name, truths, answers, values), first[end + 2 :]
