"""TFRecord files of tf.train.Example messages."""

import dataclasses
import functools
import glob
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tltf.console.progress import SHOWN_AFTER_S, Progress
from tltf.data import label_kinds, row_scan
from tltf.data.assembly import Rows, assemble
from tltf.data.images import files
from tltf.data.row_scan import Scan
from tltf.data.source import TEST, TRAIN, VALIDATION, LoadSettings, Source, one_field
from tltf.data.sources.image_folder import warn_of_converted
from tltf.errors import DataError, FlagError

SHARD = re.compile(r"(.*)-(\d{5,})-of-(\d{5,})(.*)$")
GZIP_MAGIC = b"\x1f\x8b"
GRAPH_PLACE = re.compile(r"\{\{.*?\}\}\s*")
"""What TensorFlow puts before the message of an operation."""


def tfrecord(
    settings: LoadSettings,
    path: str = "",
    train: str = "",
    validation: str = "",
    test: str = "",
    text: str = "",
    image: str = "",
    label: str = "label",
    class_names: tuple[str, ...] = (),
) -> Source:
    """Examples in TFRecord files, plain or gzip, by the names of their features.

    Args:
        settings: LoadSettings.
        path: the files, a pattern such as data/part-*; or
        train: a pattern per split.
        validation: as `train`.
        test: as `train`.
        text: name of the feature of texts; or
        image: name of the feature of encoded images.
        label: name of the feature of labels: integers or bytes, also numbers to predict or several
            labels; empty for data without labels.
        class_names: names of integer labels, counted from 0.

    Raises:
        FlagError: there is no such file, or the arguments do not fit together.
        DataError: a shard or a feature is missing, records are damaged, or rows cannot be used.
    """
    by_role = {None: path, TRAIN: train, VALIDATION: validation, TEST: test}
    patterns = {role: pattern for role, pattern in by_role.items() if pattern}
    if bool(text) == bool(image) or not patterns or (path and len(patterns) > 1):
        raise FlagError(
            "tfrecord takes path= or train= and test=, and either text= or image=",
            flag="data",
            fix="tfrecord(path=data/part-*, image=image, label=label)",
        )
    scan = row_scan.Scan("tfrecord")
    kind = "bytes" if image else "text"
    rows = Rows([], one_field(kind, []), [] if label else None, None if path else [])
    read_label = _LabelReader(label, class_names, settings.target == label_kinds.LABELS)
    files = [(file, role) for role, pattern in patterns.items() for file in _files(pattern, scan)]
    with Progress("reading", None, "records", after_s=SHOWN_AFTER_S) as progress:
        for file, role in files:
            with scan.collect_errors():
                for row_id, example in _examples(file, scan, settings.scan.skip_bad_shards):
                    with scan.collect_errors():
                        _add(rows, row_id, example(), role, text or image, read_label)
                    progress.add(1)
    if image:
        rows = check_images(scan, rows)
    else:
        texts = [value.decode("utf-8", "replace") for value in rows.values]
        rows = dataclasses.replace(rows, fields=one_field("text", texts))
    names = tuple(class_names) or None
    return assemble("tfrecord", rows, scan, settings, names)


def check_images(scan: Scan, rows: Rows) -> Rows:
    """The `rows` of encoded images that can be decoded; the others are skipped."""
    kept, hashes, good = [], [], []
    values = list(rows.values)
    findings = files.inspect_all(values, files.inspect_bytes)
    for place, finding in enumerate(findings):
        if finding.reason:
            scan.skip(rows.ids[place], finding.reason, rows.labels[place] if rows.labels else "")
        else:
            kept.append(place)
            hashes.append(finding.hash)
            good.append(finding)
            if finding.converted:
                values[place] = pathlib.Path(finding.converted).read_bytes()

    warn_of_converted(scan, [rows.ids[place] for place in kept], good)
    rows = dataclasses.replace(rows, fields=one_field("bytes", values))
    return dataclasses.replace(rows.take(kept), hashes=np.array(hashes, np.uint64))


def _files(pattern: str, scan: Scan) -> list[str]:
    """The paths that match a pattern; missing shards, and a pattern that matches no file, are faults."""
    files = sorted(glob.glob(os.path.expanduser(pattern)))
    if not files:
        with scan.collect_errors():
            row_scan.existing_path(pattern)
    shards = [SHARD.match(file) for file in files]
    for shard in filter(None, shards):
        stem, _, total, end = shard.groups()
        names = [f"{stem}-{n:0{len(total)}}-of-{total}{end}" for n in range(int(total))]
        missing = sorted(set(names) - set(files))
        if missing:
            scan.fail(
                f"{len(missing)} of {int(total)} shards are missing, such as {missing[0]}",
                fix="copy all shards",
            )
            break
    return files


def _examples(
    file: str, scan: Scan, skips_bad: bool
) -> Iterator[tuple[str, Callable[[], dict[str, list[Any]]]]]:
    """Pairs of `file:number` and a function that returns the features, name -> list of values.

    Args:
        file: path.
        scan: Scan.
        skips_bad: whether a damaged file ends at the damage; otherwise the damage is an error.
    """
    with open(file, "rb") as opened:
        compression = "GZIP" if opened.read(2) == GZIP_MAGIC else ""
    records = iter(tf.data.TFRecordDataset(file, compression).as_numpy_iterator())
    number = 0
    while True:
        row_id = f"{file}:{number}"
        try:
            record = next(records)
        except StopIteration:
            return
        except tf.errors.DataLossError as error:
            scan.num_found += 1
            message = GRAPH_PLACE.sub("", error.message)
            if "truncated" in message:
                scan.skip(row_id, f"is cut ({message})")
                return
            if skips_bad:
                scan.skip(row_id, f"is damaged, and the rest of its shard is left out ({message})")
                return
            kind = "damaged, read as gzip by its first bytes" if compression else "damaged"
            raise DataError(
                f"{kind}: {message}",
                flag="data",
                place=row_id,
                fix="copy the file again, or give --skip_bad_shards",
            ) from error
        number += 1
        scan.num_found += 1
        yield row_id, functools.partial(_features, record, row_id)


def _features(record: bytes, row_id: str) -> dict[str, list[Any]]:
    try:
        example = tf.train.Example.FromString(record)
    except DecodeError as error:
        what = "the record is not a tf.train.Example"
        raise DataError(
            what, flag="data", place=row_id, fix="write tf.train.Example messages"
        ) from error
    return {name: _values(item) for name, item in example.features.feature.items()}


def _values(feature: tf.train.Feature) -> list[bytes | float]:
    return list(getattr(feature, feature.WhichOneof("kind") or "int64_list").value)


@dataclasses.dataclass(frozen=True)
class _LabelReader:
    """A reader of the labels of examples.

    Args:
        name: name of the feature; empty without labels.
        class_names: names of integer labels, or ().
        is_several: whether an example has any number of labels.
    """

    name: str
    class_names: tuple[str, ...]
    is_several: bool

    def __call__(self, example: dict[str, list[Any]], row_id: str) -> str:
        """The text of the label of an example."""
        values = example.get(self.name, [])
        names = [_class_name(value, self.class_names, row_id) for value in values]
        return label_kinds.join_labels(names) if self.is_several else names[0]

    @property
    def needed_feature(self) -> str:
        """The feature that every example must have."""
        return "" if self.is_several else self.name


def _add(
    rows: Rows,
    row_id: str,
    example: dict[str, list[Any]],
    role: str | None,
    name: str,
    label: _LabelReader,
) -> None:
    """Adds an example to rows; DataError where it lacks a feature."""
    for needed in filter(None, (name, label.needed_feature)):
        if not example.get(needed):
            shown = ", ".join(
                f"{key} ({type(values[0]).__name__})"
                for key, values in sorted(example.items())
                if values
            )
            raise DataError(
                f"no feature {needed!r} (keys found: {shown})", flag="data", place=row_id
            )
    value = example[name][0]
    if not isinstance(value, bytes):
        raise DataError(
            f"feature {name!r} is {type(value).__name__}, not bytes", flag="data", place=row_id
        )
    (field,) = rows.fields
    rows.append(row_id, {field: value}, label(example, row_id) if label.name else None, role)


def _class_name(value: int, class_names: tuple[str, ...], row_id: str) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not class_names:
        return str(value)
    if isinstance(value, float) or not 0 <= value < len(class_names):
        raise DataError(
            f"label {value} is not one of the {len(class_names)} classes", flag="data", place=row_id
        )
    return str(class_names[value])
