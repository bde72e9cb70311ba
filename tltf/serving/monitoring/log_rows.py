"""Rows of a log of predictions, which tltf.predict has written, as Answers; free of TensorFlow."""

import csv
import datetime
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tltf.data.label_kinds import LABELS, SEPARATOR
from tltf.errors import DataError, FlagError, choices_text
from tltf.models.prediction_table import PREDICTED
from tltf.serving.monitoring.answers import Answers, read_given
from tltf.serving.monitoring.growing_file import Record
from tltf.serving.monitoring.reference import About

CSV, JSON = "csv", "json"
TIME_COLUMNS = ("time", "timestamp", "datetime", "date", "created_at")
"""Columns that are read as times where --time names none."""
_MILLISECONDS = 1e11
"""Numbers from which on a time stamp counts milliseconds since 1970, and not seconds."""


def kind_of_log(first_line: str, task: str = "") -> str:
    """CSV or JSON for the first line of a log of predictions; empty for any other file.

    Args:
        first_line: of the file.
        task: whose answers are read, of a run of several heads; otherwise empty.
    """
    if first_line.lstrip().startswith("{"):
        try:
            row = json.loads(first_line)
        except ValueError:
            return ""
        own = _of_task(row, JSON, task) if isinstance(row, dict) else {}
        has_none = bool(task) and isinstance(row, dict) and row.get(task, "") is None
        return JSON if has_none or any(map(_is_answer, own)) else ""
    header: list[str] = next(csv.reader([first_line]), [])
    own = _of_task(dict.fromkeys(header), CSV, task)
    return CSV if any(map(_is_answer, own)) else ""


def _of_task(row: dict[str, Any], kind: str, task: str) -> dict[str, Any]:
    """The cells of a row that are of a task, named as those of a run of one head."""
    if not task:
        return row
    if kind == JSON:
        own = row.get(task)
        return own if isinstance(own, dict) else {}
    start = f"{task}_"
    return {name.removeprefix(start): cell for name, cell in row.items() if name.startswith(start)}


def _is_answer(column: str) -> bool:
    return column.startswith(PREDICTED)


class LogRows:
    """Reads rows of a log of the predictions of a run.

    Args:
        about: what the run states of a row.
        kind: CSV or JSON.
        time: the column with the time of a row; empty for one of TIME_COLUMNS, where there is one.
        task: whose answers are read, of a run of several heads; otherwise empty.
    """

    def __init__(self, about: About, kind: str, time: str = "", task: str = "") -> None:
        self.about, self.kind, self._time, self._task = about, kind, time, task

    def read(self, records: Sequence[Record]) -> Answers:
        """The answers of some rows; those with an error, or that cannot be read, are bad rows.

        Raises:
            DataError: the log is of another run.
            FlagError: there is no column of the time.
        """
        scores: list[list[float]] = []
        texts, time = list[str](), ""
        for record in records:
            row = cells_of(record, self.kind)
            if row is None:
                continue
            time = time_of(row, self._time) or time
            own = _of_task(row, self.kind, self._task)
            found = None if row.get("error") else self._answer(own, record)
            if found is not None:
                texts.append(found[0])
                scores.append(found[1])
        array = np.array(scores, np.float32).reshape(len(scores), len(self.about.columns))
        given = read_given(texts, self.about.kind, self.about.names)
        return Answers(array, given, None, len(records) - len(scores), time)

    def _answer(self, row: dict[str, Any], record: Record) -> tuple[str, list[float]] | None:
        """`(answer as text, scores)` of a row; None where a score is not finite.

        Raises:
            DataError: the row has other columns than those of the run.
        """
        column = f"{PREDICTED}{self.about.answer}"
        values = self._csv_scores(row) if self.kind == CSV else self._json_scores(row)
        if column not in row or values is None:
            raise self._other_run(row, record)
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError):
            return None
        if not all(map(math.isfinite, numbers)):
            return None
        return _text(row[column]), numbers

    def _csv_scores(self, row: dict[str, Any]) -> list[Any] | None:
        columns = self.about.columns
        return [row[name] for name in columns] if set(columns) <= row.keys() else None

    def _json_scores(self, row: dict[str, Any]) -> list[Any] | None:
        found = row.get(self.about.scores_name)
        if not isinstance(found, dict):
            return None
        if self.about.has_classes:
            is_known = found.keys() == set(self.about.names)
            return [found[name] for name in self.about.names] if is_known else None
        flat: list[Any] = []
        for value in found.values():
            flat += value.values() if isinstance(value, dict) else [value]
        return flat if len(flat) == len(self.about.columns) else None

    def _other_run(self, row: dict[str, Any], record: Record) -> DataError:
        """The error for a row that does not have what the run states."""
        wanted = [f"{PREDICTED}{self.about.answer}"]
        wanted += self.about.columns if self.kind == CSV else [self.about.scores_name]
        missing = next((name for name in wanted if name not in row), "")
        what = f"it has no {missing} (columns: {choices_text(missing, row)})"
        if not missing:
            own = choices_text("", self.about.names, 6)
            what = f"its {wanted[-1]} are not those of the run's {own}"
        return DataError(
            f"the log does not hold this run's predictions: {what}",
            flag="input",
            place=record.path,
            fix="the run that made the log, a log without --top_k, or --predict_again",
        )


def cells_of(record: Record, kind: str, delimiter: str = ",") -> dict[str, Any] | None:
    """The cells of a row of a table by column; None where it cannot be read.

    Args:
        record: the row.
        kind: CSV or JSON.
        delimiter: between the cells of CSV.
    """
    text = record.content.decode("utf-8", "replace")
    if kind == JSON:
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return row if isinstance(row, dict) else None
    header, *_ = csv.reader([record.header.decode("utf-8-sig", "replace")], delimiter=delimiter)
    try:
        rows = list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    if len(rows) != 1 or len(rows[0]) != len(header):
        return None
    return dict(zip((name.strip() for name in header), rows[0], strict=True))


def _text(answer: object) -> str:
    """An answer of JSON as the cell that CSV has."""
    if answer is None:
        return ""
    if isinstance(answer, dict):
        answer = list(answer.values())
    return SEPARATOR.join(map(str, answer)) if isinstance(answer, list) else str(answer)


def time_of(row: dict[str, Any], column: str = "") -> str:
    """The time in a row as ISO 8601 in UTC; empty where it has none that can be read.

    Args:
        row: cells by column.
        column: the column of the time; empty for one of TIME_COLUMNS.

    Raises:
        FlagError: there is no such column.
    """
    if column and column not in row:
        what = f"there is no column {column!r} (columns: {choices_text(column, row)})"
        raise FlagError(what, flag="time")
    name = column or next((name for name in TIME_COLUMNS if name in row), "")
    value = str(row[name]).strip() if name else ""
    try:
        if value.replace(".", "", 1).isdigit() and len(value) >= 9:
            seconds = float(value)
            seconds /= 1000 if seconds > _MILLISECONDS else 1
            found = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        else:
            found = datetime.datetime.fromisoformat(value)
    except (ValueError, OverflowError, OSError):
        return ""
    zoned = found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
    return zoned.astimezone(datetime.UTC).isoformat(timespec="seconds")


def count_thresholded(answers: Answers, about: About) -> int:
    """Rows whose answer is not the most probable class, as --threshold of tltf.predict makes them."""
    if about.kind == LABELS or not about.has_classes:
        return 0
    return int(((answers.given >= 0) & (answers.given != answers.scores.argmax(axis=1))).sum())
