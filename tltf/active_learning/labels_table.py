"""The CSV of the labels that a person gave, which is whole after every answer."""

import csv
import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from tltf.config import call_strings
from tltf.data.source import Source
from tltf.errors import DataError, FlagError, choices_text
from tltf.files import atomic_files
from tltf.models import raw_inputs

ID, LABEL, ASKED_BY, ROUND = "id", "label", "asked_by", "asked_in_round"
PNG = b"\x89PNG"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a person said of a row.

    Args:
        place: of the row in the pool.
        label: the name of its class; empty for a row that was skipped.
        asked_by: the query strategy that chose the row.
        round: in which it was asked, from 1.
    """

    place: int
    label: str
    asked_by: str
    round: int


class LabelsTable:
    """The files of the answers: one of the labels, and beside it one of the rows that were skipped.

    Args:
        path: of the CSV of the labels.
        source: the pool.
        class_names: the labels that may be given.

    Raises:
        FlagError: a column of the pool has the name of one of the table's own.
    """

    def __init__(self, path: str, source: Source, class_names: Sequence[str]) -> None:
        self.path = pathlib.Path(path)
        self.skipped_path = self.path.with_name(f"{self.path.stem}_skipped{self.path.suffix}")
        self._source, self._names = source, tuple(class_names)
        self._fields = tuple(source.fields)
        clash = {ID, LABEL, ASKED_BY, ROUND} & set(self._fields)
        if clash:
            what = f"the pool has a column {min(clash)}, which the table of the labels needs"
            raise FlagError(what, flag="pool", fix="rename the column")

    def read(self) -> list[Answer]:
        """The answers of earlier sessions; [] where there are none.

        Raises:
            DataError: a file is not of this pool, or has a label that is not a class.
        """
        places = {row_id: place for place, row_id in enumerate(self._source.ids)}
        found = list[tuple[int, Answer]]()
        for path in (self.path, self.skipped_path):
            if not path.exists():
                continue
            with open(path, encoding="utf-8", newline="") as file:
                for number, row in enumerate(csv.DictReader(file), 2):
                    found.append((number, self._answer(row, places, f"{path}:{number}")))
        return [one for _, one in sorted(found, key=lambda pair: (pair[1].round, pair[0]))]

    def _answer(self, row: dict[str, str], places: dict[str, int], where: str) -> Answer:
        try:
            place, label = places[row[ID]], row[LABEL]
            answer = Answer(place, label, row[ASKED_BY], int(row[ROUND]))
            is_same = row[self._fields[0]] == self._content(place)[0]
        except (KeyError, ValueError, TypeError):
            is_same = False
        if not is_same:
            what = "is not a row of this pool, so its labels cannot be gone on with"
            raise DataError(what, flag="output", place=where, fix="--output=OTHER.csv")
        if label and label not in self._names:
            what = f"{label!r} is not a class (classes: {choices_text(label, self._names)})"
            raise DataError(what, flag="output", place=where, fix=f"--new_classes={label}")
        return answer

    def write(self, answers: Sequence[Answer]) -> None:
        """Replaces both files.

        Raises:
            StorageError: a file cannot be written.
        """
        for path, is_label in ((self.path, True), (self.skipped_path, False)):
            rows = [answer for answer in answers if bool(answer.label) == is_label]
            if not rows and not is_label:
                path.unlink(missing_ok=True)
                continue
            with atomic_files.replace_file(path, newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([ID, *self._fields, LABEL, ASKED_BY, ROUND])
                for one in rows:
                    content = self._content(one.place)
                    row_id = self._source.ids[one.place]
                    writer.writerow([row_id, *content, one.label, one.asked_by, one.round])

    def _content(self, place: int) -> tuple[str, ...]:
        """The texts of a row, or the path of its picture."""
        if self._source.modality == "text":
            return tuple(texts[place] for texts in self._source.text_columns())
        return (self.picture_path(place),)

    def picture_path(self, place: int) -> str:
        """The absolute path of the picture of a row, which is written where it has no file of its own."""
        column = self._source.column
        if column.kind == "path":
            return os.path.abspath(column.values[place])
        (content,) = raw_inputs.encode_column(column.take([place]))
        name = f"{int(self._source.take(np.array([place])).content_hashes()[0]):016x}"
        suffix = ".png" if content.startswith(PNG) else ".jpg"
        path = self.path.absolute().with_name(f"{self.path.stem}_images") / f"{name}{suffix}"
        if not path.exists():
            with atomic_files.replace_file(path, "wb") as file:
                file.write(content)
        return str(path)

    def data(self) -> str:
        """The call string of --data that reads the labels."""
        arguments = {"path": str(self.path), "label": LABEL}
        if self._source.modality == "text":
            return call_strings.render("csv", arguments | {"text": "|".join(self._fields)})
        with open(self.path, encoding="utf-8", newline="") as file:
            folders = [os.path.dirname(row[self._fields[0]]) for row in csv.DictReader(file)]
        root = os.path.commonpath(folders) if folders else str(self.path.absolute().parent)
        return call_strings.render("csv", arguments | {"image": self._fields[0], "root": root})
