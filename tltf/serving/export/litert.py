"""LiteRT (formerly TensorFlow Lite): one file for phones and small devices, whole or quantised."""

import contextlib
import pathlib
import tempfile
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tltf.errors import FlagError, ModelError, printable
from tltf.models.transfer_model import TransferModel
from tltf.serving.export import prepared_rows, scores_graph
from tltf.serving.export.format_export import GraphExport
from tltf.serving.export.measuring import Subject

QUANTIZE = ("none", "float16", "dynamic", "int8")
"""The choices of `quantize`."""
NUM_REPRESENTATIVE = 256
"""Training rows whose activations set the ranges of int8."""


class LiteRtExport(GraphExport):
    """A LiteRT export, `model.tflite`.

    Inputs and outputs stay float32 (token ids int32) whatever is quantised inside. `float16` halves
    the weights. `dynamic` has int8 weights and computes activations in float32 or, where the runtime
    can, in int8 with ranges of each call. `int8` computes in int8 throughout, with one range per
    activation and one per channel of each kernel (Jacob et al. 2018, arXiv:1712.05877); the ranges are
    those of training rows.

    Args:
        trained: the model.
        folder: the folder of the format's versions.
        version: whole number above 0, or None for the next one.
        verify: whether it is compared with the model before it is in place.
        quantize: `none`, `float16`, `dynamic` or `int8`.

    Raises:
        FlagError: an unknown way of quantising, or ai-edge-litert is missing.
        ModelError: the model cannot be converted, or there are no training rows for int8.
    """

    extra = "litert"
    packages = ("ai_edge_litert",)
    runtime = "litert"
    files = ("model.tflite",)

    def __init__(
        self,
        trained: TransferModel,
        folder: pathlib.Path | str,
        version: int | None = None,
        verify: bool = True,
        /,
        quantize: str = "none",
    ) -> None:
        if quantize not in QUANTIZE:
            raise FlagError(
                f"litert has no quantize={quantize} (choices: {', '.join(QUANTIZE)})",
                flag="format",
                fix="--format='litert(quantize=int8)'",
            )
        self._quantize, self._note = quantize, ""
        self.name = "litert" if quantize == "none" else f"litert(quantize={quantize})"
        super().__init__(trained, folder, version, verify)

    @property
    def subject(self) -> Subject:
        """The written file, which answers as the model does only where nothing is quantised."""
        is_exact = self._quantize == "none"
        return Subject(
            self.name, self.part, self.runtime, self.files, is_exact=is_exact, note=self._note
        )

    def write(self, part: pathlib.Path) -> None:
        """Writes model.tflite for batches of any size, or, where LiteRT cannot, for one row."""
        ranges = self._representative() if self._quantize == "int8" else None
        try:
            self._convert(part, None, ranges)
        except _CannotConvertError:  # such as a loop over steps, whose lists need fixed shapes
            self._convert(part, 1, ranges)
            self._note = "takes one row per call"

    def _convert(
        self, part: pathlib.Path, batch_size: int | None, ranges: dict[str, np.ndarray] | None
    ) -> None:
        module = scores_graph.ScoresModule(self.trained, batch_size)
        with tempfile.TemporaryDirectory() as scratch:
            module.save(scratch)
            content = _converted(scratch, self._quantize, ranges)
        (part / self.files[0]).write_bytes(content)
        self.describe(part, module)

    def _representative(self) -> dict[str, np.ndarray]:
        """Input -> array of training rows at equal distances."""
        found = prepared_rows.take_inputs(self.trained, "train", NUM_REPRESENTATIVE)
        if found is None:
            raise ModelError(
                "quantize=int8 needs the run's training examples, which cannot be read",
                fix="--format='litert(quantize=dynamic)' needs none",
            )
        return found


class _CannotConvertError(ModelError):
    """The converter refuses the graph."""


def _converted(folder: str, quantize: str, ranges: dict[str, np.ndarray] | None) -> bytes:
    """The .tflite file of a SavedModel."""
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if ranges is not None:
        converter.representative_dataset = _one_by_one(ranges)
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
    try:
        with scores_graph.hide_notes(), _hide_converter_messages():
            content: bytes = converter.convert()
    except Exception as error:  # the converter's own class is not public
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise _CannotConvertError(
            f"LiteRT cannot convert this model: {printable(first)[:300]}"
        ) from error
    return content


@contextlib.contextmanager
def _hide_converter_messages() -> Iterator[None]:
    """A block without the converter's note on a class of its own that is deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        yield


def _one_by_one(ranges: dict[str, np.ndarray]) -> Callable[[], Iterator[dict[str, np.ndarray]]]:
    """The representative data set of the converter: one row after the other, as inputs by name."""
    count = len(next(iter(ranges.values())))

    def rows() -> Iterator[dict[str, np.ndarray]]:
        for row in range(count):
            yield {
                name: array[row : row + 1].astype(
                    np.float32 if array.dtype.kind == "f" else np.int32
                )
                for name, array in ranges.items()
            }

    return rows
