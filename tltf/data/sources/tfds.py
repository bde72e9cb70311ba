"""Data sets of TensorFlow Datasets, by any of its names and split specifications."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.registered import DatasetNotFoundError

from tltf.console.progress import SHOWN_AFTER_S, Progress
from tltf.data import label_kinds, row_scan
from tltf.data.assembly import Rows, assemble
from tltf.data.row_scan import Scan
from tltf.data.source import TEST, TRAIN, VALIDATION, LoadSettings, Source, one_field
from tltf.data.sources.tfrecords import check_images
from tltf.errors import FlagError, StorageError, choices_text, nearest

AUTO = "auto"
FETCH_ERRORS = (
    OSError,
    tensorflow_datasets.download.DownloadError,
    NonMatchingChecksumError,
    tf.errors.OpError,
)


def tfds(
    settings: LoadSettings,
    name: str,
    train: str = "train",
    validation: str = AUTO,
    test: str = AUTO,
    image: str = "",
    text: str = "",
    label: str = "label",
    data_dir: str = "",
) -> Source:
    """A data set of TensorFlow Datasets, prepared by its own builder on the first call.

    Args:
        settings: LoadSettings.
        name: name of the data set, such as cifar10 or imdb_reviews/plain_text:1.0.0.
        train: a split specification of TFDS, such as train[:80%].
        validation: as `train`; auto takes the split of that name if there is one, empty takes none.
        test: as `validation`.
        image: name of the feature of images; or
        text: name of the feature of texts. Where both are empty, the input that the data set names
            is taken.
        label: name of the feature of class labels, of numbers to predict or of sequences of labels;
            empty for data without labels.
        data_dir: folder of prepared data; the folder of TFDS by default.

    Raises:
        FlagError: there is no such data set, split or feature.
        DataError: rows cannot be used.
        StorageError: the data set cannot be downloaded.
    """
    builder = _builder(name, data_dir)
    image, text = _inputs(builder, image, text)
    if label:
        row_scan.check_column(label, list(builder.info.features), "label", name)
    _prepare(builder)
    feature = image or text
    splits = _splits(builder, {TRAIN: train, VALIDATION: validation, TEST: test})
    scan = row_scan.Scan("tfds")
    kind = "bytes" if image else "text"
    rows, raw_labels = Rows([], one_field(kind, []), None, []), []
    (field,) = rows.fields
    with Progress("reading", None, "examples", after_s=SHOWN_AFTER_S) as progress:
        for role, spec in splits.items():
            for number, example in enumerate(_examples(builder, spec, feature, label, bool(image))):
                value = example[feature] if image else _text(example[feature])
                rows.append(f"{name}:{spec}:{number}", {field: value}, None, role)
                if label:
                    raw_labels.append(example[label])
                progress.add(1)
    scan.num_found = len(rows.ids)
    names = None
    if label:
        names, rows = _name_labels(builder.info.features[label], raw_labels, rows, scan)
    if image:
        rows = check_images(scan, rows)
    return assemble("tfds", rows, scan, settings, names)


def _builder(name: str, data_dir: str) -> tensorflow_datasets.core.DatasetBuilder:
    try:
        return tensorflow_datasets.builder(name, data_dir=data_dir or None)
    except DatasetNotFoundError as error:
        names = tensorflow_datasets.list_builders(with_community_datasets=False)
        near = nearest(name, names, limit=1)
        raise FlagError(
            f"TFDS has no data set {name!r} (choices: {choices_text(name, names, limit=5)})",
            flag="data",
            fix=f"name={near[0]}" if near else "see the catalog of TensorFlow Datasets",
        ) from error
    except (ValueError, AssertionError) as error:  # an unknown config, an unknown version
        raise _no_such_variant(name, str(error)) from error


def _no_such_variant(name: str, reason: str) -> FlagError:
    """The FlagError for a config or a version in which the data set `name` is not made."""
    data_set, _, config = name.partition(":")[0].partition("/")
    configs = list(tensorflow_datasets.builder_cls(data_set).builder_configs)
    if config in configs or not config:
        reason = reason.splitlines()[0].rpartition('": ')[2].rstrip(".")
        return FlagError(
            f"TFDS cannot build {name!r}: {reason}",
            flag="data",
            fix=f"name={name.partition(':')[0]}",
        )
    near = nearest(config, configs, limit=1)
    return FlagError(
        f"{data_set} has no config {config!r} (configs: {choices_text(config, configs) or 'none'})",
        flag="data",
        fix=f"name={'/'.join([data_set, *near])}",
    )


def _prepare(builder: tensorflow_datasets.core.DatasetBuilder) -> None:
    try:
        builder.download_and_prepare()
    except FETCH_ERRORS as error:
        raise StorageError(
            f"TFDS could not prepare {builder.name}: {error}",
            flag="data",
            fix="prepare it where there is a network and give data_dir=FOLDER",
        ) from error


def _inputs(
    builder: tensorflow_datasets.core.DatasetBuilder, image: str, text: str
) -> tuple[str, str]:
    """`(image, text)`, one of them empty; the input that the data set names where both were empty."""
    features = builder.info.features
    if image and text:
        raise FlagError("tfds takes either image= or text=", flag="data", fix="image=FEATURE")
    if not image and not text:
        input_name = (builder.info.supervised_keys or [""])[0]
        kind = features[input_name] if isinstance(input_name, str) and input_name else None
        if isinstance(kind, tensorflow_datasets.features.Image):
            return input_name, ""
        if isinstance(kind, tensorflow_datasets.features.Text):
            return "", input_name
        raise FlagError(
            f"{builder.name} names no image or text as its input (features: {', '.join(features)})",
            flag="data",
            fix="image=FEATURE or text=FEATURE",
        )
    argument = "image" if image else "text"
    row_scan.check_column(image or text, list(features), argument, builder.name)
    return image, text


def _splits(
    builder: tensorflow_datasets.core.DatasetBuilder, specs: dict[str, str]
) -> dict[str, str]:
    """Role -> split specification, for the splits that are there."""
    chosen = {}
    for role, spec in specs.items():
        spec = (role if role in builder.info.splits else "") if spec == AUTO else spec
        if not spec:
            continue
        try:
            _ = builder.info.splits[spec]
        except (KeyError, ValueError) as error:
            names = list(builder.info.splits)
            near = nearest(spec.partition("[")[0], names, limit=1)
            raise FlagError(
                f"{builder.name} has no split {spec!r} (splits: {', '.join(names)})",
                flag="data",
                fix=f"{role}={near[0]}" if near else f"{role}=SPLIT",
            ) from error
        chosen[role] = spec
    return chosen


def _examples(
    builder: tensorflow_datasets.core.DatasetBuilder,
    spec: str,
    feature: str,
    label: str,
    is_image: bool,
) -> Iterator[dict[str, Any]]:
    """Dicts of numpy values by feature; images stay encoded."""
    features = {name: True for name in (feature, label) if name}
    skip = {feature: tensorflow_datasets.decode.SkipDecoding()} if is_image else None
    decoders = tensorflow_datasets.decode.PartialDecoding(features, decoders=skip)
    dataset = builder.as_dataset(split=spec, decoders=decoders, shuffle_files=False)
    return dataset.as_numpy_iterator()


def _name_labels(
    feature: tensorflow_datasets.features.FeatureConnector,
    raw_labels: Sequence[Any],
    rows: Rows,
    scan: Scan,
) -> tuple[Sequence[str] | None, Rows]:
    """`(class names or None, rows with labels as texts)`; rows with a label below 0 are skipped."""
    feature = getattr(feature, "feature", feature)  # a sequence has that of its items
    names = feature.names if isinstance(feature, tensorflow_datasets.features.ClassLabel) else None
    kept, labels = [], []
    for place, value in enumerate(raw_labels):
        if names and np.ndim(value) == 0 and value < 0:
            scan.skip(rows.ids[place], "has no label")
        else:
            kept.append(place)
            labels.append(_label_text(value, names))
    return names, dataclasses.replace(rows.take(kept), labels=labels)


def _label_text(value: Any, names: Sequence[str] | None) -> str:
    """The text of a label, or of an array of several labels."""
    if np.ndim(value):
        return label_kinds.join_labels(_label_text(item, names) for item in value)
    return names[value] if names else _text(value)


def _text(value: bytes | str | np.generic) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
