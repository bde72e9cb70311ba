"""Predictions of any inputs, which are written as CSV or JSON lines while they are made."""

import contextlib
import csv
import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO, cast

from tltf.config.command_options import PredictOptions
from tltf.errors import DataError, FlagError
from tltf.files import atomic_files
from tltf.heads.head import Head
from tltf.models import inputs
from tltf.models.inputs import Item
from tltf.models.prediction import Prediction
from tltf.models.prediction_table import PREDICTED
from tltf.models.predictor import Predictor
from tltf.models.transfer_model import TransferModel

CHUNK_BATCHES = 4
"""Batches of inputs that are read before their predictions are written."""


def write(trained: TransferModel, options: PredictOptions) -> None:
    """Writes a row for each input that the options name.

    Standard output gets rows only; their number goes to standard error.

    Args:
        trained: the model.
        options: those of `tltf.predict`.

    Raises:
        FlagError, DataError: there are no inputs, a table cannot be read, or no input can be
            predicted.
        StorageError: the output cannot be written.
    """
    modality = trained.core.backbone.modality
    fields = trained.preprocessing.fields
    items = inputs.read(options.input, inputs.format_of(options, modality, trained.data, fields))
    first = next(items, None)  # a wrong flag must be an error before anything is written
    if first is None:
        raise FlagError(f"{options.input} has no inputs", flag="input")
    predictor = Predictor(trained, options.eval_batch_size, options.threshold)
    columns = fields if modality == "text" else ("path",)
    writer = CsvRows if options.format == "csv" else JsonRows
    total, bad, reason = 0, 0, ""
    with _open_output(options.output) as file:
        rows = writer(file, columns, trained.core.head, trained.class_names)
        for item, prediction in predictions(predictor, itertools.chain([first], items)):
            rows.write(item, prediction)
            total, bad = total + 1, bad + bool(prediction.error)
            reason = reason or prediction.error
    note = f"; {bad} with an error in the row" if bad else ""
    print(f"tltf: {total - bad} of {total} inputs predicted{note}", file=sys.stderr)
    if bad == total:
        what = f"none of {total} inputs could be predicted; the first: {reason}"
        raise DataError(what, flag="input", fix="see the column `error` of the rows")


def predictions(predictor: Predictor, items: Iterator[Item]) -> Iterator[tuple[Item, Prediction]]:
    """Yields (Item, Prediction) for each Item; the Prediction of one with an error has that error."""
    while chunk := list(itertools.islice(items, CHUNK_BATCHES * predictor.batch_size)):
        made = predictor.stream(item.value for item in chunk if not item.error)
        for item in chunk:
            yield item, (Prediction(item.id, error=item.error) if item.error else next(made))


@dataclasses.dataclass
class CsvRows:
    """A writer of CSV rows: id, contents, answer, numbers of the prediction, error.

    Args:
        file: the open file.
        contents: the columns of the contents.
        head: the head that predicts.
        class_names: one name per output.
    """

    file: TextIO
    contents: tuple[str, ...]
    head: Head
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        columns = self.head.columns(self.class_names)
        self._num_values = len(columns)
        self._writer = csv.writer(self.file, lineterminator="\n")
        self._row(["id", *self.contents, f"{PREDICTED}{self.head.name}", *columns, "error"])

    def write(self, item: Item, prediction: Prediction) -> None:
        """Writes one row; numbers have 9 significant digits."""
        numbers = [format(value, ".9g") for value in prediction.scores] or [""] * self._num_values
        contents = [value or "" for value in _contents(item, self.contents)]
        self._row([item.id, *contents, prediction.answer, *numbers, prediction.error])

    def _row(self, fields: Sequence[str]) -> None:
        self._writer.writerow([_writable(field) for field in fields])


@dataclasses.dataclass
class JsonRows:
    """A writer of JSON lines with the same values as CsvRows; see there for the arguments."""

    file: TextIO
    contents: tuple[str, ...]
    head: Head
    class_names: tuple[str, ...]

    def write(self, item: Item, prediction: Prediction) -> None:
        """Writes one line."""
        answer = getattr(prediction, self.head.name)
        row = {
            "id": item.id,
            **dict(zip(self.contents, _contents(item, self.contents), strict=True)),
            f"{PREDICTED}{self.head.name}": None if answer == "" else answer,
            self.head.scores_name: getattr(prediction, self.head.scores_name),
            "error": prediction.error,
        }
        self.file.write(json.dumps(row) + "\n")


def _contents(item: Item, columns: tuple[str, ...]) -> tuple[str | None, ...]:
    """The contents of an Item, one for each column; None where it has an error."""
    if isinstance(item.value, tuple):
        return item.value
    return (item.value,) * len(columns)


def _writable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextlib.contextmanager
def _open_output(path: str) -> Iterator[TextIO]:
    if path in ("", "-"):
        yield sys.stdout
        sys.stdout.flush()
    else:
        with atomic_files.replace_file(path, newline="") as file:
            yield cast(TextIO, file)
