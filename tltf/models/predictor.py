"""Predictions for raw inputs, one at a time in result: a bad input harms no other."""

import concurrent.futures
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tltf.console import out_of_memory
from tltf.data.images import conversion, files, structure
from tltf.data.source import is_blank
from tltf.errors import DataError
from tltf.models import by_length, raw_inputs
from tltf.models.inputs import column_of
from tltf.models.prediction import Prediction

MAX_FILE_BYTES = 2**28
TEXT_BATCHES = 8
"""Batches of texts that are read before the first is computed."""


def predict(trained: Any, inputs: Any, batch_size: int = 128) -> Any:
    """A `Prediction` for each input, in their order.

    Args:
        trained: Trained.
        inputs: texts, or images: paths, encoded bytes or uint8[H, W] and uint8[H, W, C] arrays
            with C of 1, 3 or 4. One of them is one input; lists, arrays and series hold one each;
            of dicts and frames the field of the run's data is read, see `raw_inputs.list_inputs`.
            Inputs of several fields are rows, see `raw_inputs.list_rows`.
        batch_size: inputs at a time.

    Raises:
        DataError: what holds no inputs of the model's kind.

    Returns:
        list of Prediction; one that cannot be read has an `error` and no label.
    """
    data = trained.options.data.data if trained.options else ""
    modality = trained.core.backbone.modality
    fields = trained.preprocessing.fields
    given: Iterator[Any] | list[Any]
    if len(fields) > 1:
        given = raw_inputs.list_rows(inputs, fields)
    else:
        given = raw_inputs.list_inputs(inputs, modality, column_of(data, modality))
    return list(Predictor(trained, batch_size).stream(given))


class Predictor:
    """Compiled prediction of a Trained; keep it for many calls.

    Args:
        trained: Trained.
        batch_size: inputs at a time.
    """

    def __init__(self, trained: Any, batch_size: int = 128) -> None:
        self._trained = trained
        self.batch_size = batch_size
        self._is_image = trained.core.backbone.modality == "image"
        self._step = tf.function(self._stated, reduce_retracing=True)
        self._ahead = batch_size if self._is_image else batch_size * TEXT_BATCHES
        if self._is_image:
            spec = tf.TensorSpec([], tf.string)
            self._decode = tf.function(trained.preprocessing.__call__, input_signature=[spec])

    def stream(self, inputs: Iterator[Any] | Sequence[Any]) -> Iterator[Any]:
        """Yields a Prediction for each of an iterable's inputs, in their order.

        Reads one batch of images ahead at most, of texts TEXT_BATCHES, which are computed by length.
        """
        inputs = iter(inputs)
        while batch := list(itertools.islice(inputs, self._ahead)):
            yield from self._batch(batch)

    def _batch(self, batch: Sequence[Any]) -> Iterator[Any]:
        prepare = self._image if self._is_image else self._texts
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            prepared = list(pool.map(lambda item: _attempt(prepare, item), batch))
        good = [value for value, error in prepared if not error]
        with out_of_memory.explain_out_of_memory("eval_batch_size", self.batch_size):
            rows = iter(self._rows(good) if good else ())
        for item, (_, error) in zip(batch, prepared, strict=True):
            yield self._prediction(item, error, None if error else next(rows))

    def _rows(self, good: Sequence[Any]) -> np.ndarray:
        """float32[N, K] of images float32[S, S, C] or of tuples of encoded texts."""
        if self._is_image:
            name = next(iter(self._trained.core.backbone.inputs))
            return self._step({name: tf.stack(good)}).numpy()
        tensors = self._trained.preprocessing.graph_function(
            *map(tf.constant, zip(*good, strict=True))
        )
        if self._trained.takes_any_length:
            return by_length.run(self._step, [tensors], list(tensors), self.batch_size)
        batches = (
            {name: tensor[start : start + self.batch_size] for name, tensor in tensors.items()}
            for start in range(0, len(good), self.batch_size)
        )
        return np.concatenate([self._step(batch).numpy() for batch in batches])

    def _stated(self, tensors: Any) -> Any:
        core = self._trained.core
        return core.head.scores(core.model(tensors, training=False)[core.head.name])

    def _prediction(self, item: Any, error: str, row: np.ndarray | None) -> Prediction:
        shown = str(item) if isinstance(item, (str, os.PathLike)) else ""
        if isinstance(item, tuple):
            shown = "\n".join(map(str, item))
        if row is not None and not np.isfinite(row).all():
            error = "the model's output is not finite"
        if error:
            return Prediction(shown, error=error)
        return Prediction(shown, **self._trained.core.head.read(row, self._trained.class_names))

    def _texts(self, item: Any) -> tuple[bytes, ...]:
        """The encoded texts of the fields, of a text or of a tuple of them."""
        fields = self._trained.preprocessing.fields
        if len(fields) == 1:
            return (_text(item),)
        return tuple(_text(text, f"{name}: ") for name, text in zip(fields, item, strict=True))

    def _image(self, item: Any) -> tf.Tensor:
        """float32[S, S, C] of a path, bytes or an array."""
        if isinstance(item, np.ndarray):
            if item.dtype != np.uint8 or item.ndim not in (2, 3) or 0 in item.shape:
                raise DataError(f"an image array is uint8[H, W, C], not {item.dtype}{item.shape}")
            pixels = item if item.ndim == 3 else item[..., None]
            if pixels.shape[-1] not in (1, 3, 4):
                raise DataError(f"an image has 1, 3 or 4 channels, not {pixels.shape[-1]}")
            return self._trained.preprocessing.resize(tf.constant(pixels))
        if isinstance(item, (str, os.PathLike)):
            item = read_file(item)
        if not isinstance(item, bytes):
            raise DataError(f"takes paths, bytes or arrays (received {type(item).__name__})")
        return self._decoded(item)

    def _decoded(self, contents: bytes) -> tf.Tensor:
        """float32[S, S, C] of encoded bytes; the header is read before memory is taken."""
        contents = conversion.make_decodable(contents)
        known = files.format_of(contents)
        height, width = files.size_of(contents, known)
        if conversion.format_of(contents) or height * width > structure.most_pixels(known):
            raise DataError(files.inspect_bytes(contents).reason)
        try:
            return self._decode(tf.constant(contents))
        except tf.errors.OpError as error:
            why = files.inspect_bytes(contents).reason or "cannot be decoded"
            raise DataError(why) from error


def read_file(path: Any) -> bytes:
    """The bytes of a regular file.

    Raises:
        DataError: empty, too large, or no regular file (a pipe would block).
        OSError: it cannot be read.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise DataError("is not a file")
    if not 0 < status.st_size <= MAX_FILE_BYTES:
        raise DataError("is too large" if status.st_size else "is empty")
    with open(path, "rb") as file:
        return file.read()


def _text(item: Any, place: str = "") -> bytes:
    """UTF-8 of a text; `place` begins the errors."""
    if not isinstance(item, str):
        raise DataError(f"{place}takes texts (received {type(item).__name__})")
    if not item.strip():
        raise DataError(f"{place}the text is empty")
    if is_blank(item):
        raise DataError(f"{place}the text has no character that is shown")
    return raw_inputs.encode_text(item)


def _attempt(prepare: Callable[[Any], Any], item: Any) -> tuple[Any, str]:
    """`(value, "")`, or `(None, why not)`."""
    try:
        return prepare(item), ""
    except DataError as error:
        return None, error.what
    except OSError as error:
        return None, error.strerror or str(error)
