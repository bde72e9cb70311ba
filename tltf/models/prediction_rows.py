"""Predictions of any inputs, which are written as CSV or JSON lines while they are made."""

import collections
import contextlib
import csv
import dataclasses
import functools
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TextIO, cast

from tltf.config.command_options import InputOptions, PredictOptions
from tltf.data import label_kinds
from tltf.errors import DataError, FlagError, printable
from tltf.files import atomic_files
from tltf.heads.head import Head
from tltf.models import input_format, inputs
from tltf.models.inputs import Item
from tltf.models.prediction import Prediction
from tltf.models.prediction_table import PREDICTED
from tltf.models.predictor import Predictor
from tltf.models.served_model import ServedModel
from tltf.models.transfer_model import TransferModel

CONFIDENCE = "confidence"
"""The column of the probability of the predicted class."""
IS_SURE = "is_sure"
"""The column that says whether the model is sure of its answer, if the head may say that it is not."""
MOST_NAMED = 5
"""Answers whose numbers the last line names."""
FIRST_INPUTS, CHUNK_BATCHES = 16, 4
"""The inputs whose predictions are written first, so that something is seen at once, and the batches of
inputs that are read before later predictions are written."""


class Answering(Protocol):
    """What predicts: a model in this process, or one on a server."""

    batch_size: int

    def stream(self, inputs: Iterable[object]) -> Iterator[Prediction]:
        """Yields a Prediction for each input, in their order."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """The model that is asked.

    Args:
        modality: `image` or `text`.
        fields: the names of the fields of an example.
        data: a call string that says how the tables of its run are read.
        head: the head, which makes answers of scores.
        class_names: one name per output.
        tasks: of a model of several heads, task -> `(head, class names)`; {} for a model of one.
    """

    modality: str
    fields: tuple[str, ...]
    data: str
    head: Head
    class_names: tuple[str, ...]
    tasks: dict[str, tuple[Head, tuple[str, ...]]] = dataclasses.field(default_factory=dict)


def asked_of(trained: ServedModel) -> Asked:
    """What is asked where a model in this process answers."""
    core, heads = trained.core, trained.core.heads
    return Asked(
        core.backbone.modality,
        trained.preprocessing.fields,
        trained.data,
        core.head,
        trained.class_names,
        {task: (own.head, own.class_names) for task, own in heads.items()} if core.joint else {},
    )


def write(trained: TransferModel, options: PredictOptions) -> None:
    """Writes a row for each input that the options name, answered by a model; see `write_rows`."""
    size, threshold = options.eval_batch_size, options.threshold
    write_rows(
        asked_of(trained), lambda: Predictor(trained, size, threshold, is_final=True), options
    )


def write_rows(asked: Asked, make: Callable[[], Answering], options: PredictOptions) -> None:
    """Writes a row for each input that the options name.

    Standard output gets rows only; their number goes to standard error.

    Args:
        asked: the model.
        make: makes what predicts, after the first input was read.
        options: those of `tltf.predict`.

    Raises:
        FlagError, DataError: there are no inputs, a table cannot be read, or no input can be
            predicted.
        StorageError: the output cannot be written.
    """
    head = asked.head
    if options.top_k and not _has_classes(head):
        what = f"takes a model that predicts one class, and this one has the head {head.name}"
        raise FlagError(what, flag="top_k", fix="leave it out")
    items = items_of(asked, options.inputs)
    predictor = make()
    columns = asked.fields if asked.modality == "text" else ("path",)
    writer: Callable[..., CsvRows | JsonRows | TaskCsvRows | TaskJsonRows]
    writer = CsvRows if options.format == "csv" else JsonRows
    if asked.tasks:
        writer = functools.partial(
            TaskCsvRows if options.format == "csv" else TaskJsonRows, tasks=asked.tasks
        )
    total, bad, reason, answers = 0, 0, "", collections.Counter[str]()
    with _open_output(options.output) as file:
        rows = writer(file, columns, head, asked.class_names, options.top_k)
        for item, prediction in predictions(predictor, items):
            rows.write(item, prediction)
            total, bad = total + 1, bad + bool(prediction.error)
            reason = reason or prediction.error
            if not prediction.error and prediction.probabilities:
                answers[prediction.answer or _unanswered(prediction)] += 1
            if total == FIRST_INPUTS:
                file.flush()  # the first rows are seen at once, also through a pipe
    print(_summary(total, bad, answers), file=sys.stderr)
    if bad == total:
        what = f"none of {total} inputs could be predicted; the first: {reason}"
        raise DataError(what, flag="input", fix="see the column `error` of the rows")


def items_of(asked: Asked, options: InputOptions) -> Iterator[Item]:
    """The inputs of --text, or those that --input names; there is at least one.

    Raises:
        FlagError: there are no inputs; or --text for a model of images, or of several texts per
            example.
    """
    modality, fields = asked.modality, asked.fields
    if options.text:
        if modality != "text" or len(fields) > 1:
            takes = "images" if modality != "text" else f"{len(fields)} texts per input"
            raise FlagError(
                f"takes one text, and the model takes {takes}", flag="text", fix="--input=FILE"
            )
        return iter([Item("text", options.text)])
    form = input_format.format_of(options.table, modality, asked.data, fields)
    items = inputs.read(options.input, form)
    first = next(items, None)  # a wrong flag must be an error before anything is written
    if first is None:
        what, fix = f"{options.input} has no inputs", "--input=FILE"
        if options.input == inputs.STANDARD_INPUT:
            what = "standard input has no lines"
            fix = "pipe texts or paths in, one per line, or --input=FILE"
        raise FlagError(what, flag="input", fix=fix)
    return itertools.chain([first], items)


def _summary(total: int, bad: int, answers: "collections.Counter[str]") -> str:
    """How many inputs were predicted, and which answers were the most frequent."""
    text = f"tltf: {total - bad} of {total} inputs predicted"
    text += f"; {bad} with an error in the row" if bad else ""
    named = [f"{name} {count:,}" for name, count in answers.most_common(MOST_NAMED)]
    if len(answers) > MOST_NAMED:
        named.append(f"{len(answers) - MOST_NAMED} more")
    return printable(f"{text}: {', '.join(named)}" if named else text)


def _unanswered(prediction: Prediction) -> str:
    """What a Prediction without an answer is counted as."""
    return "no label" if prediction.is_sure else "not sure"


def _has_classes(head: Head) -> bool:
    return head.target == label_kinds.CLASS


def _first_ranked(head: Head) -> int:
    """The first of the ranked classes that --top_k writes beside the answer, which may be missing."""
    return 1 if head.abstains else 2


def ranked(prediction: Prediction) -> list[tuple[str, float]]:
    """`(class, probability)`, the most probable first; the answer itself is the first one."""
    pairs = prediction.probabilities.items()
    return sorted(pairs, key=lambda pair: (pair[0] != prediction.label, -pair[1]))


def predictions(predictor: Answering, items: Iterator[Item]) -> Iterator[tuple[Item, Prediction]]:
    """Yields (Item, Prediction) for each Item; the Prediction of one with an error has that error."""
    size = min(FIRST_INPUTS, predictor.batch_size)
    while chunk := list(itertools.islice(items, size)):
        size = CHUNK_BATCHES * predictor.batch_size
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
        top_k: the most probable classes that are written in place of all probabilities; 0 for all.
    """

    file: TextIO
    contents: tuple[str, ...]
    head: Head
    class_names: tuple[str, ...]
    top_k: int = 0

    def __post_init__(self) -> None:
        self.top_k = min(self.top_k, len(self.class_names))
        columns = self.head.columns(self.class_names)
        if self.top_k:
            first = _first_ranked(self.head)
            places = range(first, self.top_k + 1)
            columns = [f"{n}_{k}" for k in places for n in ("label", CONFIDENCE)]
        if _has_classes(self.head):
            columns = [CONFIDENCE, *columns]
        if self.head.abstains:
            columns = [IS_SURE, *columns]
        self.columns = [f"{PREDICTED}{self.head.name}", *columns]
        self._writer = csv.writer(self.file, lineterminator="\n")
        self._begin()

    def _begin(self) -> None:
        """Writes the names of the columns."""
        self._row(["id", *self.contents, *self.columns, "error"])

    def write(self, item: Item, prediction: Prediction) -> None:
        """Writes one row; numbers have 9 significant digits, those of --top_k and confidences four."""
        contents = [value or "" for value in _contents(item, self.contents)]
        self._row([item.id, *contents, *self.cells(prediction), prediction.error])

    def cells(self, prediction: Prediction) -> list[str]:
        """The texts in `columns`."""
        if prediction.error:
            return [prediction.answer, *[""] * (len(self.columns) - 1)]
        return [prediction.answer, *self._values(prediction)]

    def _values(self, prediction: Prediction) -> list[str]:
        """The texts between the answer and the error."""
        numbers = [format(value, ".9g") for value in prediction.scores]
        if not _has_classes(self.head):
            return numbers
        pairs = ranked(prediction)
        confidence = pairs[0][1]
        if self.top_k:
            pairs = pairs[_first_ranked(self.head) - 1 : self.top_k]
            numbers = [text for name, value in pairs for text in (name, f"{value:.4f}")]
        is_sure = [str(prediction.is_sure).lower()] if self.head.abstains else []
        return [*is_sure, f"{confidence:.4f}", *numbers]

    def _row(self, fields: Sequence[str]) -> None:
        self._writer.writerow([_writable(field) for field in fields])


@dataclasses.dataclass
class JsonRows:
    """A writer of JSON lines with the same values as CsvRows; see there for the arguments."""

    file: TextIO
    contents: tuple[str, ...]
    head: Head
    class_names: tuple[str, ...]
    top_k: int = 0

    def write(self, item: Item, prediction: Prediction) -> None:
        """Writes one line."""
        contents = dict(zip(self.contents, _contents(item, self.contents), strict=True))
        row = {"id": item.id, **contents, **self.fields(prediction), "error": prediction.error}
        self.file.write(json.dumps(row) + "\n")

    def fields(self, prediction: Prediction) -> dict[str, Any]:
        """The answer and the numbers of a prediction, by name."""
        answer, scores = (
            getattr(prediction, name) for name in (self.head.name, self.head.scores_name)
        )
        confidence: dict[str, float | bool | None] = {}
        if _has_classes(self.head):
            pairs = ranked(prediction)
            confidence = {CONFIDENCE: pairs[0][1] if pairs else None}
            scores = dict(pairs[: self.top_k]) if self.top_k else scores
        if self.head.abstains:
            confidence[IS_SURE] = None if prediction.error else prediction.is_sure
        return {
            f"{PREDICTED}{self.head.name}": None if answer == "" else answer,
            **confidence,
            self.head.scores_name: scores,
        }


class _PartOfRow(CsvRows):
    """The columns of one of several tasks, which `TaskCsvRows` writes."""

    def _begin(self) -> None:
        """Writes nothing."""


@dataclasses.dataclass
class TaskCsvRows:
    """A writer of CSV rows of a model of several heads: the columns of each begin with its task.

    Args:
        file: see `CsvRows`.
        contents: see `CsvRows`.
        head: not used, like `class_names` and `top_k`: each task has its own.
        class_names: not used.
        top_k: not used.
        tasks: task -> `(head, class names)`.
    """

    file: TextIO
    contents: tuple[str, ...]
    head: Head
    class_names: tuple[str, ...]
    top_k: int = 0
    tasks: dict[str, tuple[Head, tuple[str, ...]]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self._parts = {
            task: _PartOfRow(self.file, self.contents, head, names)
            for task, (head, names) in self.tasks.items()
        }
        columns = [f"{task}_{name}" for task, part in self._parts.items() for name in part.columns]
        self._writer = csv.writer(self.file, lineterminator="\n")
        self._row(["id", *self.contents, *columns, "error"])

    def write(self, item: Item, prediction: Prediction) -> None:
        """Writes one row."""
        cells = []
        for task, part in self._parts.items():
            cells += part.cells(prediction.tasks.get(task, prediction))
        contents = [value or "" for value in _contents(item, self.contents)]
        self._row([item.id, *contents, *cells, prediction.error])

    def _row(self, fields: Sequence[str]) -> None:
        self._writer.writerow([_writable(field) for field in fields])


class TaskJsonRows(TaskCsvRows):
    """A writer of JSON lines of a model of several heads, with an object per task."""

    def __post_init__(self) -> None:
        self._own = {
            task: JsonRows(self.file, self.contents, head, names)
            for task, (head, names) in self.tasks.items()
        }

    def write(self, item: Item, prediction: Prediction) -> None:
        """Writes one line."""
        contents = dict(zip(self.contents, _contents(item, self.contents), strict=True))
        tasks = {
            task: rows.fields(prediction.tasks[task]) if task in prediction.tasks else None
            for task, rows in self._own.items()
        }
        row = {"id": item.id, **contents, **tasks, "error": prediction.error}
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
