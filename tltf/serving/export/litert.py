"""LiteRT (formerly TensorFlow Lite): one file for phones and small devices, whole or quantised."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np

from tltf.errors import FlagError, ModelError, printable
from tltf.models.transfer_model import TransferModel
from tltf.serving.export import litert_packing, litert_process, prepared_rows, scores_graph
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
    those of training rows. A network with layer norms, such as a BERT, has only its products of matrices
    and its embeddings in int8, and the rest in float32.

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
            content = _converted(scratch, self._quantize, ranges, self._has_layer_norms())
        (part / self.files[0]).write_bytes(litert_packing.pack(content))
        self.describe(part, module)

    def _has_layer_norms(self) -> bool:
        layers = self.trained.core.model._flatten_layers()
        return any(isinstance(layer, keras.layers.LayerNormalization) for layer in layers)

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


def _converted(
    folder: str, quantize: str, ranges: dict[str, np.ndarray] | None, is_mixed: bool
) -> bytes:
    """The .tflite file of a SavedModel; int8 is made in a process of its own, where a crash does no harm."""
    if ranges is not None:
        return _converted_apart(folder, quantize, ranges, is_mixed)
    try:
        with scores_graph.hide_notes():
            return litert_process.convert(folder, quantize)
    except Exception as error:  # the converter's own class is not public
        raise _CannotConvertError(_refusal(str(error), type(error).__name__)) from error


def _converted_apart(
    folder: str, quantize: str, ranges: dict[str, np.ndarray], is_mixed: bool
) -> bytes:
    """What `litert_process` makes of a SavedModel."""
    with tempfile.TemporaryDirectory() as scratch:
        rows, target = pathlib.Path(scratch, "rows.npz"), pathlib.Path(scratch, "model.tflite")
        np.savez(rows, **ranges)  # type: ignore[arg-type]
        done = subprocess.run(
            [sys.executable, "-P", litert_process.__file__],
            input=json.dumps([folder, quantize, str(rows), is_mixed, str(target)]) + "\n",
            capture_output=True,
            text=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [""])[-1]
            crash = f"its converter ended with code {done.returncode}"
            raise _CannotConvertError(_refusal("" if done.returncode < 0 else last, crash))
        return target.read_bytes()


def _refusal(message: str, instead: str) -> str:
    first = next(iter(message.strip().splitlines()), instead)
    return f"LiteRT cannot convert this model: {printable(first)[:300]}"
