"""Predictions for raw inputs, of which a bad one does not stop the others."""

import concurrent.futures
import functools
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import tensorflow as tf

from tltf.console import out_of_memory
from tltf.data.images import conversion, files, structure
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.source import is_blank
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import DataError, FlagError
from tltf.graphs import batch_norm_folding, flat_dense, functional
from tltf.graphs.core import Core
from tltf.heads.head import Head
from tltf.models import length_sorting, raw_inputs
from tltf.models.input_format import column_of
from tltf.models.prediction import Prediction
from tltf.models.served_model import ServedModel

MAX_FILE_BYTES = 2**28
"""Size of the largest file that is read as an image."""
FEW = 4
"""The most inputs that are computed without a graph, which takes longer to make than their answers."""
FEW_CALLS = 8
"""Calls with few inputs after which the graph is made all the same."""
TEXT_BATCHES = 8
"""Batches of texts that are read before the first is computed."""
KEPT = "_predictor"
"""Attribute of a model that holds its Predictor."""
Prepared = TypeVar("Prepared")
Tensors = dict[str, tf.Tensor]


def predict(
    model: ServedModel, inputs: object, batch_size: int = 128, threshold: float | None = None
) -> list[Prediction]:
    """A `Prediction` for each input, in their order; that of an input with a fault has an `error`.

    Args:
        model: what predicts.
        inputs: texts, or images: paths, encoded bytes or uint8[H, W] and uint8[H, W, C] arrays
            with C of 1, 3 or 4. One of them is one input; lists, arrays and series hold several;
            of dicts and frames the field of the run's data is read, see `raw_inputs.list_inputs`.
            Inputs of several fields are rows, see `raw_inputs.list_rows`.
        batch_size: inputs per step.
        threshold: see `Predictor`.

    Raises:
        DataError: `inputs` holds no inputs of the model's modality.
        FlagError: a threshold that the model cannot take.
    """
    return list(_kept(model, batch_size, threshold).stream(list_inputs(model, inputs)))


def list_inputs(model: ServedModel, inputs: object) -> Iterable[object]:
    """The inputs of a model, one by one, of whatever a program holds them in, see `predict`.

    Raises:
        DataError: `inputs` holds no inputs of the model's modality.
    """
    modality, fields = model.core.backbone.modality, model.preprocessing.fields
    if len(fields) > 1:
        return raw_inputs.list_rows(inputs, fields)
    return raw_inputs.list_inputs(inputs, modality, column_of(model.data, modality))


def _kept(model: ServedModel, batch_size: int, threshold: float | None) -> "Predictor":
    """The Predictor of earlier calls, so that TensorFlow traces the model once and not in each call."""
    found = vars(model).get(KEPT)
    if not isinstance(found, Predictor) or found.state != functional.state_of(model.core.model):
        found = vars(model)[KEPT] = Predictor(model, batch_size)
    found.set_batch_size(batch_size)
    found.set_threshold(threshold)
    return found


class Predictor:
    """The prediction of a model, to be kept for many calls; it is compiled where inputs are many.

    Until then at most FEW inputs are computed without a graph. Their scores differ in rounding from
    those of the graph, in which batch norms are fused with convolutions: by up to 6e-6.

    Args:
        model: what predicts.
        batch_size: inputs per step.
        threshold: the probability, 0 to 1, from which on the positive class of two, the second by
            name, is the answer; None answers the more probable class.
        is_final: whether the weights of the model stay as they are, so that the graph may have
            copies of them, with its batch norms folded into the convolutions before them.

    Raises:
        FlagError: a threshold for a model that does not give one class of two, or one outside of 0
            to 1.
    """

    def __init__(
        self,
        model: ServedModel,
        batch_size: int = 128,
        threshold: float | None = None,
        is_final: bool = False,
    ) -> None:
        self._model, self.state = model, functional.state_of(model.core.model)
        self._is_final = is_final
        self.set_threshold(threshold)
        self._is_image = model.core.backbone.modality == "image"
        self._num_few, self._is_compiled = 0, False
        self.set_batch_size(batch_size)
        if self._is_image:
            spec = tf.TensorSpec([], tf.string)
            self._decode = tf.function(
                cast(ImagePreprocessing, model.preprocessing).read,
                input_signature=[spec],
                autograph=False,
            )

    def set_threshold(self, threshold: float | None) -> None:
        """Sets the threshold of later calls; raises FlagError for one that the model cannot take."""
        self._threshold = check_threshold(self._model.core.head, self._model.class_names, threshold)

    def set_batch_size(self, batch_size: int) -> None:
        """Sets the inputs per step of later calls."""
        self.batch_size = batch_size
        self._ahead = batch_size if self._is_image else batch_size * TEXT_BATCHES

    def stream(self, inputs: Iterable[object]) -> Iterator[Prediction]:
        """Yields a Prediction for each input, in their order.

        It reads at most one batch of images ahead, or TEXT_BATCHES batches of texts, which are
        computed sorted by length.
        """
        remaining = iter(inputs)
        while batch := list(itertools.islice(remaining, self._ahead)):
            yield from self._batch(batch)

    def tensors(self, inputs: Sequence[object]) -> dict[str, tf.Tensor]:
        """The core's inputs, name -> tensor [N, ...], of inputs that were predicted without an error."""
        good = [value for value, error in self._prepared(inputs) if not error]
        if self._is_image:
            return _stacked(good)
        preprocessing = cast(TextPreprocessing, self._model.preprocessing)
        return preprocessing(*map(tf.constant, zip(*good, strict=True)))

    def _prepared(
        self, batch: Sequence[object]
    ) -> list[tuple[Tensors | tuple[bytes, ...] | None, str]]:
        """`(images float32[S, S, C] by input or encoded texts, "")` of each input, or `(None, reason)`."""
        prepare: Callable[[object], Tensors | tuple[bytes, ...]]
        prepare = self._image if self._is_image else self._texts
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda item: attempt(prepare, item), batch))

    def _batch(self, batch: Sequence[object]) -> Iterator[Prediction]:
        self._num_few += 1
        self._is_compiled |= len(batch) > FEW or self._num_few > FEW_CALLS
        prepared = self._prepared(batch)
        good = [value for value, error in prepared if not error]
        with out_of_memory.explain_out_of_memory("eval_batch_size", self.batch_size):
            rows = iter(self._rows(good) if good else ())
        for item, (_, error) in zip(batch, prepared, strict=True):
            yield self._prediction(item, error, None if error else next(rows))

    def _rows(self, good: Sequence[Any]) -> np.ndarray:
        """float32[N, K] of images float32[S, S, C] by input or of tuples of encoded texts."""
        step = self._step if self._is_compiled else self._scores
        if self._is_image:
            return step(_stacked(good)).numpy()
        preprocessing = cast(TextPreprocessing, self._model.preprocessing)
        tokenize = preprocessing.graph_function if self._is_compiled else preprocessing
        tensors = tokenize(*map(tf.constant, zip(*good, strict=True)))
        if self._model.takes_any_length:
            return length_sorting.run(step, [tensors], list(tensors), self.batch_size)
        batches = (
            {name: tensor[start : start + self.batch_size] for name, tensor in tensors.items()}
            for start in range(0, len(good), self.batch_size)
        )
        return np.concatenate([step(batch).numpy() for batch in batches])

    @functools.cached_property
    def _step(self) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
        """`_scores` as a graph, of copies of the weights where they are final."""
        core = self._model.core
        network = batch_norm_folding.fold(core.model) if self._is_final else core.model

        def scores(tensors: dict[str, tf.Tensor]) -> tf.Tensor:
            with flat_dense.flat_dense():
                return _scores_of(core, network(tensors, training=False))

        return tf.function(scores, reduce_retracing=True, autograph=False)

    def _scores(self, tensors: dict[str, tf.Tensor]) -> tf.Tensor:
        core = self._model.core
        return _scores_of(core, core.model(tensors, training=False))

    def _prediction(self, item: object, error: str, row: np.ndarray | None) -> Prediction:
        core = self._model.core
        if core.joint:
            return _prediction_of_tasks(item, error, row, core)
        return make_prediction(
            item, error, row, core.head, self._model.class_names, self._threshold
        )

    def _texts(self, item: object) -> tuple[bytes, ...]:
        return encode_texts(item, self._model.preprocessing.fields)

    def _image(self, item: object) -> Tensors:
        """Input name -> float32[S, S, C] of a path, bytes or an array."""
        if isinstance(item, np.ndarray):
            if item.dtype != np.uint8 or item.ndim not in (2, 3) or 0 in item.shape:
                raise DataError(f"an image array is uint8[H, W, C], not {item.dtype}{item.shape}")
            pixels = item if item.ndim == 3 else item[..., None]
            if pixels.shape[-1] not in (1, 3, 4):
                raise DataError(f"an image has 1, 3 or 4 channels, not {pixels.shape[-1]}")
            preprocessing = cast(ImagePreprocessing, self._model.preprocessing)
            return preprocessing.read_array(tf.constant(pixels))
        if isinstance(item, (str, os.PathLike)):
            item = read_file(item)
        if not isinstance(item, bytes):
            raise DataError(
                f"an image is a path, bytes or an array (received {type(item).__name__})"
            )
        return self._decoded(item)

    def _decoded(self, contents: bytes) -> Tensors:
        """Input name -> float32[S, S, C] of encoded bytes; the header is read before memory is taken."""
        contents = decodable_image(contents)
        try:
            preprocessing = cast(ImagePreprocessing, self._model.preprocessing)
            decode = self._decode if self._is_compiled else preprocessing.read
            return decode(tf.constant(contents))
        except tf.errors.OpError as error:
            why = files.inspect_bytes(contents).reason or "cannot be decoded"
            raise DataError(why) from error


def _stacked(good: Sequence[Any]) -> Tensors:
    """Input name -> float32[N, S, S, C], from that of each of N images."""
    return {name: tf.stack([tensors[name] for tensors in good]) for name in good[0]}


def _scores_of(core: Core, outputs: dict[str, tf.Tensor]) -> tf.Tensor:
    """float32[B, K]: the scores of the heads of a core, those of several side by side."""
    scores = [own.head.scores(outputs[name]) for name, own in core.heads.items()]
    return scores[0] if len(scores) == 1 else tf.concat(scores, axis=1)


def _prediction_of_tasks(
    item: object, error: str, row: np.ndarray | None, core: Core
) -> Prediction:
    """The Prediction of several heads, from float32[K], their scores side by side."""
    widths = [len(own.head.columns(own.class_names)) for own in core.heads.values()]
    rows: Sequence[np.ndarray | None] = [None] * len(widths)
    if row is not None:
        rows = np.split(row, np.cumsum(widths)[:-1])
    found = {
        task: make_prediction(item, error, part, own.head, own.class_names, None)
        for (task, own), part in zip(core.heads.items(), rows, strict=True)
    }
    first = next(iter(found.values()))
    errors = [own.error for own in found.values() if own.error]
    return Prediction(first.id, error=errors[0]) if errors else Prediction(first.id, tasks=found)


def make_prediction(
    item: object,
    error: str,
    row: np.ndarray | None,
    head: Head,
    class_names: tuple[str, ...],
    threshold: float | None,
) -> Prediction:
    """The Prediction for an input.

    Args:
        item: the input.
        error: why it has no answer; empty otherwise.
        row: float32[K], the head's scores; None where there is an error.
        head: the head.
        class_names: one name per output.
        threshold: see `Predictor`.
    """
    shown = str(item) if isinstance(item, (str, os.PathLike)) else ""
    if isinstance(item, tuple):
        shown = "\n".join(map(str, item))
    if row is not None and not np.isfinite(row).all():
        error = "the model's output is not finite"
    if error or row is None:
        return Prediction(shown, error=error)
    fields = head.read(row, class_names)
    if threshold is not None:
        fields["label"] = class_names[float(row[1]) >= threshold]
    return Prediction(shown, **fields)


def check_threshold(
    head: Head, class_names: tuple[str, ...], threshold: float | None
) -> float | None:
    """The threshold; raises FlagError for one that the head cannot take, or outside of 0 to 1."""
    if threshold is None:
        return None
    head.positive_class(class_names)
    if not 0 <= threshold <= 1:
        raise FlagError(f"takes a number from 0 to 1 (received {threshold})", flag="threshold")
    return threshold


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a regular file.

    Raises:
        DataError: the file is empty, too large or not a regular file (a pipe would block).
        OSError: the file cannot be read.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise DataError("is not a file")
    if not 0 < status.st_size <= MAX_FILE_BYTES:
        raise DataError("is too large" if status.st_size else "is empty")
    with open(path, "rb") as file:
        return file.read()


def decodable_image(contents: bytes) -> bytes:
    """The bytes of an image in a format that TensorFlow decodes, after its header was read.

    Raises:
        DataError: they are no image, or one with too many pixels.
    """
    contents = conversion.make_decodable(contents)
    known = files.format_of(contents)
    height, width = files.size_of(contents, known)
    if conversion.format_of(contents) or height * width > structure.most_pixels(known):
        raise DataError(files.inspect_bytes(contents).reason)
    return contents


def encode_texts(item: object, fields: tuple[str, ...]) -> tuple[bytes, ...]:
    """The encoded texts of an input: a text, or a tuple with one text per field.

    Raises:
        DataError: a text is empty or blank, or is none.
    """
    if len(fields) == 1:
        return (_text(item),)
    pairs = zip(fields, cast(tuple, item), strict=True)
    return tuple(_text(text, f"{name}: ") for name, text in pairs)


def _text(item: object, place: str = "") -> bytes:
    """The UTF-8 of a text; errors begin with `place`."""
    if not isinstance(item, str):
        raise DataError(f"{place}takes texts (received {type(item).__name__})")
    if not item.strip():
        raise DataError(f"{place}the text is empty")
    if is_blank(item):
        raise DataError(f"{place}the text has no visible character")
    return raw_inputs.encode_text(item)


def attempt(prepare: Callable[[object], Prepared], item: object) -> tuple[Prepared | None, str]:
    """`(value, "")`, or `(None, reason)` where the input cannot be used."""
    try:
        return prepare(item), ""
    except DataError as error:
        return None, error.what
    except OSError as error:
        return None, error.strerror or str(error)
