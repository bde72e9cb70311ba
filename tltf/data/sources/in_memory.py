"""Data that a program holds: frames, dicts of columns, arrays and data sets of TensorFlow."""

import collections.abc
import dataclasses
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from tltf.config.call_strings import IN_MEMORY, Call, render
from tltf.config.catalogs.row import Row
from tltf.data import label_kinds, row_scan
from tltf.data.assembly import Rows, assemble
from tltf.data.row_scan import Scan
from tltf.data.source import Column, LoadSettings, Source
from tltf.data.sources.image_folder import check_files
from tltf.data.sources.label_cells import LabelReader
from tltf.data.sources.record_reader import find_text_fault
from tltf.data.sources.table_files import columns_of, field
from tltf.data.sources.tables import fields_of_columns
from tltf.data.sources.tfrecords import check_images
from tltf.errors import DataError, FlagError

LABEL = "label"
"""The column of the labels of a pair `(x, y)` or of a data set."""


@dataclasses.dataclass(frozen=True)
class MemoryPart:
    """The rows of one split, or all rows.

    Args:
        role: `train`, `validation` or `test`; None where these are all rows.
        columns: name -> values, all of one length.
        ids: str per row, unique in the data.
    """

    role: str | None
    columns: Mapping[str, Sequence[Any] | np.ndarray]
    ids: list[str]


@dataclasses.dataclass(frozen=True)
class MemoryRequest:
    """Which columns of the data are read, and how.

    Args:
        text: column of texts, or several that are one example, such as `question|answer`; or
        image: column of pictures: paths, encoded bytes, uint8 arrays or pictures of Pillow.
        label: column of labels, or several columns joined with `|`; empty without labels.
        root: folder that paths are relative to; empty: the working directory.
        class_names: names of labels that are places in them; () where labels are names.
    """

    text: str = ""
    image: str = ""
    label: str = LABEL
    root: str = ""
    class_names: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = {"text": self.text, "image": self.image, "label": self.label}
        return render(IN_MEMORY, {key: name for key, name in named.items() if name})


@dataclasses.dataclass(frozen=True)
class MemoryCall(Call[Row]):
    """What `--data` would name: `build` gives the Source of data in memory.

    Args:
        parts: the data.
        request: which columns are read.
    """

    parts: tuple[MemoryPart, ...] = ()
    request: MemoryRequest = dataclasses.field(default_factory=MemoryRequest)

    def build(self, *given: Any, **also: Any) -> Source:
        """The Source of the data; takes the LoadSettings."""
        (settings,) = given
        return read(settings, self.parts, self.request)


def make_call(parts: Sequence[MemoryPart], request: MemoryRequest) -> MemoryCall:
    """The call of some parts of data in memory."""
    return MemoryCall(
        IN_MEMORY, "", {}, None, str(request), (), parts=tuple(parts), request=request
    )


def make_part(data: Any, role: str | None, is_image: bool, label: str = LABEL) -> MemoryPart:
    """The rows of a frame, a dict of columns, a pair `(x, y)` or a data set of TensorFlow.

    Args:
        data: a pandas DataFrame; a dict of columns; a tuple of examples and labels, each a list, an
            array or a series; or a `tf.data.Dataset` of such pairs, in batches or one by one.
        role: of the rows; None where they are all rows.
        is_image: whether examples of a pair are pictures.
        label: column that the labels of a pair get, or several joined with `|`, for labels [N, D].

    Raises:
        FlagError: data of another kind, or columns of different lengths.
    """
    ids = None
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        ids = list(map(str, data.index))
        columns = {str(name): data[name] for name in data.columns}
    elif isinstance(data, collections.abc.Mapping):
        columns = {str(name): values for name, values in data.items()}
    else:
        if isinstance(data, tf.data.Dataset):
            data = _read_dataset(data)
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            what = f"takes a DataFrame, a dict of columns, a pair (x, y) or a tf.data.Dataset (received {type(data).__name__})"
            raise FlagError(what, flag="data", fix="tltf.fit((texts, labels), backbone=...)")
        columns = {"image" if is_image else "text": data[0], **_label_columns(data[1], label)}
    columns = {name: _values(values) for name, values in columns.items()}
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) != 1:
        shown = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        raise FlagError(f"the columns have different lengths: {shown or 'none'}", flag="data")
    count = next(iter(counts.values()))
    if ids is None or len(set(ids)) < count:
        ids = [f"row {place}" for place in range(count)]
    return MemoryPart(role, columns, [f"{role}:{i}" if role else i for i in ids])


def _read_dataset(dataset: tf.data.Dataset) -> tuple[list[Any], np.ndarray]:
    """Examples and labels of a data set of pairs, which is read once."""
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2 or isinstance(spec[0], (dict, tuple)):
        what = f"a data set holds pairs of an example and its label (received {spec})"
        raise FlagError(what, flag="data", fix="dataset.map(lambda x, y: (x, y))")
    is_picture = spec[0].dtype != tf.string
    if len(spec[0].shape) > (3 if is_picture else 0):
        dataset = dataset.unbatch()
    examples, labels = [], []
    for example, label in dataset.as_numpy_iterator():
        examples.append(example)
        labels.append(label)
    return examples, np.array(labels)


def _label_columns(labels: Any, name: str) -> dict[str, Any]:
    """The columns of the labels of a pair: one, or one per column of labels [N, D]."""
    values = labels if hasattr(labels, "tolist") else np.asarray(labels, object)
    if getattr(values, "ndim", 1) != 2:
        return {name: labels}
    array = np.asarray(values)
    names = name.split(label_kinds.SEPARATOR)
    if len(names) != array.shape[1]:
        raise FlagError(
            f"labels of shape {list(array.shape)} with {len(names)} names ({name})",
            flag="data",
            fix="label='NAME|NAME|...', or y.argmax(axis=1) for classes that are one-hot",
        )
    return {column: array[:, place] for place, column in enumerate(names)}


def _values(values: Any) -> Sequence[Any] | np.ndarray:
    """The values of a column: arrays of pictures stay, others become a list of Python's types."""
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return values
    if hasattr(values, "tolist"):
        return values.tolist() if getattr(values, "ndim", 1) else [values.tolist()]
    return list(values)


def read(settings: LoadSettings, parts: Sequence[MemoryPart], request: MemoryRequest) -> Source:
    """The Source of data in memory, after the checks that all sources share.

    Args:
        settings: LoadSettings.
        parts: of the data.
        request: which columns are read.

    Raises:
        FlagError: a column is missing.
        DataError: rows that cannot be used.
    """
    scan = Scan("memory")
    fields = fields_of_columns("memory", request.text, request.image)
    reader = _RowReader(request, fields, LabelReader(request.label, settings.target), scan)
    has_roles = parts[0].role is not None
    kind = reader.kind_of(parts)
    columns = {name: Column(kind, []) for name in fields}
    rows = Rows([], columns, [] if request.label else None, [] if has_roles else None)
    for part in parts:
        for number, (row_id, record) in enumerate(_records(part)):
            if number == 0:
                reader.require_columns(record)
            scan.num_found += 1
            with scan.collect_errors():
                reader.add(rows, record, row_id, part.role)
    reader.label.warn_of_other_separators(scan)
    scan.stop_if_failed()
    if kind == "path":
        rows = check_files(scan, rows, os.sep, follows_links=True)
    elif kind == "bytes":
        rows = check_images(scan, rows)
    elif kind == "array":
        rows = dataclasses.replace(
            rows, fields={"image": Column(kind, np.stack(list(rows.values)))}
        )
    names = reader.label.class_names or request.class_names or None
    return assemble("memory", rows, scan, settings, names, kind=reader.label.kind)


def _records(part: MemoryPart) -> Iterator[tuple[str, dict[str, Any]]]:
    names = list(part.columns)
    for row_id, values in zip(part.ids, zip(*part.columns.values(), strict=True), strict=True):
        yield row_id, dict(zip(names, values, strict=True))


@dataclasses.dataclass(frozen=True)
class _RowReader:
    """A reader of the rows of data in memory.

    Args:
        request: which columns are read.
        fields: field of an example -> its column.
        label: the reader of labels.
        scan: the scan of the source.
    """

    request: MemoryRequest
    fields: dict[str, str]
    label: LabelReader
    scan: Scan

    def require_columns(self, record: dict[str, Any]) -> None:
        """Raises FlagError for the first column that is asked for and missing."""
        argument = "image" if self.request.image else "text"
        for name in self.fields.values():
            row_scan.check_column(name, columns_of(record, name), argument, "")
        for name in self.label.find_columns(record):
            row_scan.check_column(name, columns_of(record, name), "label", "")

    def kind_of(self, parts: Sequence[MemoryPart]) -> str:
        """The kind of the Column: text, or `path`, `array` or `bytes` as all pictures can be held.

        Raises:
            FlagError: pictures of another type.
        """
        if not self.request.image:
            return "text"
        columns = [part.columns.get(self.request.image, ()) for part in parts]
        values = [value for column in columns for value in column]
        if all(isinstance(value, (str, os.PathLike)) for value in values):
            return "path"
        shapes = {value.shape for value in values if isinstance(value, np.ndarray)}
        is_one_array = all(isinstance(value, np.ndarray) for value in values) and len(shapes) == 1
        return "array" if is_one_array else "bytes"

    def add(self, rows: Rows, record: dict[str, Any], row_id: str, role: str | None) -> None:
        """Adds a record to the rows unless it is bad."""
        values: dict[str, Any] = {}
        for name, column in self.fields.items():
            values[name], reason = self._value(field(record, column), rows.fields[name].kind)
            if reason:
                label = self.label.try_label(record) if self.label.has_labels else ""
                self.scan.skip(row_id, f"{column} {reason}", label)
                return
        text = self._label(record, row_id)
        if self.label.has_labels and text is None:
            return
        rows.append(row_id, values, text, role)

    def _label(self, record: dict[str, Any], row_id: str) -> str | None:
        if not self.label.has_labels:
            return None
        text, names = self.label(record, row_id, self.scan), self.request.class_names
        if text is None or not names:
            return text
        if not text.isdecimal() or int(text) >= len(names):
            what = f"label {text} is not one of the places 0 to {len(names) - 1} in class_names"
            raise DataError(what, flag="data", place=row_id)
        return names[int(text)]

    def _value(self, value: Any, kind: str) -> tuple[Any, str]:
        """`(value as its Column holds it, "")`, or the value and why it cannot be used."""
        if kind == "text":
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            return text, find_text_fault(text)
        if kind == "path":
            path = os.path.join(self.request.root, os.path.expanduser(value))
            return os.path.abspath(path), ""
        if isinstance(value, np.ndarray):
            pixels = _pixels(value)
            return (
                (pixels, "")
                if kind == "array"
                else (_encode(Image.fromarray(pixels.squeeze())), "")
            )
        if isinstance(value, Image.Image):
            return _encode(value), ""
        if isinstance(value, bytes):
            return value, ""
        return value, f"is {type(value).__name__}, not a picture"


def _pixels(array: np.ndarray) -> np.ndarray:
    """uint8[H, W, C] of a picture.

    Raises:
        FlagError: an array that holds no pixels from 0 to 255.
    """
    pixels = array[..., None] if array.ndim == 2 else array
    if pixels.dtype.kind == "f" and pixels.ndim == 3:
        is_share = pixels.min() >= 0 and pixels.max() <= 1
        if is_share or not 0 <= pixels.min() <= pixels.max() <= 255:
            found = "from 0 to 1" if is_share else "below 0 or above 255"
            raise FlagError(
                f"a picture has fractions {found} in place of pixels",
                flag="data",
                fix="give pixels from 0 to 255, such as (255 * x).astype('uint8')",
            )
        pixels = np.rint(pixels).astype(np.uint8)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4):
        what = f"a picture is uint8[H, W], [H, W, 1], [H, W, 3] or [H, W, 4] (received {array.dtype}{list(array.shape)})"
        raise FlagError(what, flag="data", fix="give pixels from 0 to 255 as uint8")
    return pixels


def _encode(picture: Image.Image) -> bytes:
    """A picture as PNG, turned as its camera noted."""
    upright, file = ImageOps.exif_transpose(picture), io.BytesIO()
    is_png = upright.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    (upright if is_png else upright.convert("RGB")).save(file, "PNG")
    return file.getvalue()
