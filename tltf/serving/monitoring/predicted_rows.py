"""Rows of raw inputs, texts or images, that the run itself predicts, as Answers."""

import itertools
import pathlib
from collections.abc import Sequence
from typing import cast

import numpy as np

from tltf.config.command_options import MonitorOptions
from tltf.data.images import conversion
from tltf.data.source import Column, ScanCounts, Source
from tltf.errors import DataError, FlagError
from tltf.models import input_format, inputs, prediction_rows, predictor
from tltf.models.inputs import Item
from tltf.models.predictor import Predictor
from tltf.models.transfer_model import TransferModel
from tltf.serving.monitoring.answers import Answers, read_given
from tltf.serving.monitoring.growing_file import Record
from tltf.serving.monitoring.log_rows import CSV, JSON, cells_of, time_of
from tltf.serving.monitoring.statistics import MOST_PERMUTED

MULTIBYTE = ("utf-16", "utf-32", "utf16", "utf32")
"""Beginnings of encodings in which the byte of a line break is not always a line break."""


class PredictedRows:
    """Predicts rows of a file, or files of a folder.

    Args:
        trained: the model of the run.
        options: of the command.
        path: the file or the folder.
        beginning: the first bytes of a file; empty for a folder.

    Raises:
        FlagError: the options do not fit the run.
    """

    def __init__(
        self, trained: TransferModel, options: MonitorOptions, path: pathlib.Path, beginning: bytes
    ) -> None:
        self._trained, self._options = trained, options
        modality = trained.core.backbone.modality
        if path.is_dir() and modality != "image":
            what = f"{path} is a folder, and this model takes texts"
            raise FlagError(what, flag="input", fix="--input=FILE")
        self._form = input_format.format_of(
            options.table, modality, trained.data, trained.preprocessing.fields
        )
        if self._form.dialect.encoding.lower().startswith(MULTIBYTE):
            what = f"a log in {self._form.dialect.encoding} cannot be read row by row"
            raise DataError(what, flag="input", place=path, fix="write it as UTF-8")
        text = beginning.decode(self._form.dialect.encoding, "replace").removeprefix("\ufeff")
        self.kind = inputs.kind_of(path.suffix.lower(), text, self._form) if text else inputs.LINES
        self._predictor = Predictor(trained, options.eval_batch_size, is_final=True)

    @property
    def quote(self) -> bytes:
        """The character that may stand around line breaks; empty for none."""
        quote = self._form.dialect.quote
        return quote.encode() if self.kind == inputs.CSV and len(quote) == 1 else b""

    def read(self, records: Sequence[Record]) -> Answers:
        """The answers on some rows, with their features; what cannot be read or predicted is a bad row.

        Raises:
            FlagError: the table has no such column.
        """
        items = self._items(records)
        found = list(prediction_rows.predictions(self._predictor, iter(items)))
        good = [(item, prediction) for item, prediction in found if not prediction.error]
        head = self._trained.core.head
        names = self._trained.class_names or (head.name,)
        num_scores = len(head.columns(self._trained.class_names))
        scores = np.array([prediction.scores for _, prediction in good], np.float32)
        texts = [prediction.answer for _, prediction in good]
        return Answers(
            scores.reshape(len(good), num_scores),
            read_given(texts, head.target, names),
            self._features([item for item, _ in good]) if good else None,
            len(found) - len(good),
            self._time(records[-1]),
        )

    def _items(self, records: Sequence[Record]) -> list[Item]:
        """An Item per row; where one breaks the table, each row is read for itself."""
        items = list[Item]()
        for _, group in itertools.groupby(records, lambda record: (record.path, record.header)):
            part = list(group)
            try:
                items += self._read(part)
            except DataError:
                items += [self._read_alone(record) for record in part]
        return items

    def _read_alone(self, record: Record) -> Item:
        try:
            return self._read([record])[0]
        except DataError as error:
            return Item(str(record.path), None, error.what)

    def _read(self, records: Sequence[Record]) -> list[Item]:
        first = records[0]
        header = first.header if self.kind == inputs.CSV else b""
        contents = header + b"".join(record.content for record in records)
        items = inputs.read_rows(contents, self.kind, first.path, self._form)
        if len(items) != len(records):
            raise DataError("rows and lines do not fit together", flag="input", place=first.path)
        return items

    def _features(self, items: Sequence[Item]) -> np.ndarray:
        """float32[N, d], the pooled features of inputs that could be predicted, of at most MOST_PERMUTED."""
        step = -(-len(items) // MOST_PERMUTED)
        source = _source_of(items[::step], self._trained)
        return self._trained.features(source, self._options.eval_batch_size)

    def _time(self, record: Record) -> str:
        kinds = {inputs.CSV: CSV, inputs.JSON: JSON}
        if self.kind not in kinds:
            return ""
        row = cells_of(record, kinds[self.kind], self._form.dialect.delimiter)
        return time_of(row, self._options.time) if row else ""


def _source_of(items: Sequence[Item], trained: TransferModel) -> Source:
    """A Source of inputs that could be predicted, in their order."""
    if trained.core.backbone.modality == "image":
        contents = [
            conversion.make_decodable(predictor.read_file(cast(str, item.value))) for item in items
        ]
        fields = {"image": Column("bytes", contents)}
    else:
        rows = [item.value if isinstance(item.value, tuple) else (item.value,) for item in items]
        columns = zip(*rows, strict=True)
        fields = {
            name: Column("text", list(column))
            for name, column in zip(trained.preprocessing.fields, columns, strict=True)
        }
    ids = [item.id for item in items]
    return Source("live rows", fields, {}, ids, None, ScanCounts(len(ids), len(ids)))
