"""Exports a trained model as a SavedModel for TF Serving, and has the export checked."""

import contextlib
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tltf.data import pipeline
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.several_preprocessings import SeveralTexts
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import printable
from tltf.evaluation.report.format_rows import FormatRow
from tltf.files import atomic_folders
from tltf.graphs import batch_norm_folding, flat_dense
from tltf.graphs.core import Core
from tltf.models import example_inputs
from tltf.models.transfer_model import TransferModel
from tltf.serving import about
from tltf.serving.about import AboutModel, task_start
from tltf.serving.export import bundle, measuring, scores_graph
from tltf.serving.export import verify as export_verify
from tltf.serving.export.format_export import Abandoned
from tltf.serving.export.measuring import Subject
from tltf.serving.export.prepared_rows import PreparedRows

TOKEN_IDS = "token_ids"
"""The signature that takes token ids, and its input."""
NUM_VERIFIED = 256
"""The most inputs on which an export is checked."""


class SavedModelExport:
    """An export that is written, and checked in a clean process until `finish` is called.

    The signature `serving_default` takes `image_bytes` (encoded images) or `text` (UTF-8), or the
    texts of several fields by their names, each tf.string[B]; `tensors` takes by name what the
    preprocessing makes of them; `token_ids`, of models of one text per input, takes int32[B, L], for
    clients with a tokenizer. They return the outputs that the head serves: `label` tf.string[B]
    and `probabilities` float32[B, C], and `is_sure` bool[B] if the model may say that it is not sure,
    whose `label` is then empty; `labels` tf.string[B] such as `cat|dog`, `is_given` bool[B, C]
    and `probabilities`; or `value` float32[B] and `quantiles` float32[B, Q]. A batch may be empty.
    The signature `about` tells what the model is, see `tltf.serving.about`.
    The graph is float32 on one device, whatever the training ran on, with its batch norms folded into
    the convolutions before them. assets/class_names.txt has one name per line. The outputs of several
    heads begin with their task, such as `stars_value` and `topic_label`, and so do the lines.

    Args:
        trained: the model; its test split, if it has one, gives the inputs of the check.
        folder: the folder of the versions.
        version: whole number above 0, or None for the next one.
        verify: whether the export is reloaded in a clean process and compared with the answers on
            which the report judged the model, or with the Keras model.
        warmup: the inputs of the requests with which a server warms up before its first answer:
            made_up; real, which are rows of the run's own data, so that the export holds user data;
            or none.
        warmup_batches: the batch sizes of these requests; those that will be served.

    Raises:
        FlagError: the version exists, or the requests cannot be made.
        StorageError: the folder cannot be written.
    """

    def __init__(
        self,
        trained: TransferModel,
        folder: pathlib.Path | str,
        version: int | None = None,
        verify: bool = True,
        /,
        warmup: str = bundle.MADE_UP,
        warmup_batches: tuple[int, ...] = bundle.WARMUP_BATCHES,
    ) -> None:
        self._warmup = bundle.Warmup(warmup, tuple(warmup_batches))
        self.target = atomic_folders.new_version(folder, version)
        self._trained = trained
        self._core = trained.core
        self._part = pathlib.Path()
        self._check: export_verify.Check | None = None
        if verify:
            export_verify.start_process(trained.core.backbone.modality)
        with contextlib.ExitStack() as stack:
            part = stack.enter_context(atomic_folders.new_folder(self.target))
            self._part = part
            self._write(part)
            if verify:
                raw = example_inputs.take_examples(trained, NUM_VERIFIED)
                self._check = export_verify.Check(part, trained, raw)
                stack.callback(self._check.close)
            self._stack = stack.pop_all()

    def finish(self) -> pathlib.Path:
        """Waits for the check and returns `folder`/`version`, which is there from now on.

        Raises:
            ModelError: the reloaded export gives other answers; then nothing is left in `folder`.
            StorageError: the folder cannot be written.
        """
        with self._stack:
            if self._check and self._core.joint:
                export_verify.check_tasks(self._check, self._core)
            elif self._check:
                judged = export_verify.judged_scores(self._trained, NUM_VERIFIED)
                export_verify.check_saved_model(self._check, self._core.model, judged)
        return self.target

    @property
    def subject(self) -> Subject:
        """The written files, for `measure`; raw texts need the operators of TensorFlow Text."""
        is_text = self._core.backbone.modality == "text"
        needs = {"import": "tensorflow_text"} if is_text else {}
        return Subject("saved_model", self._part, "tensorflow", (".",), settings=needs)

    def measure(self, rows: PreparedRows) -> FormatRow:
        """The FormatRow of the signature `tensors` on these rows, by TensorFlow in a clean process.

        Raises:
            ModelError: it cannot be run, or it differs from the model.
            StorageError: it takes too long or has no room for its answers.
        """
        return measuring.measure(self.subject, self._trained, rows)

    def abandon(self) -> None:
        """Removes what was written, unless `finish` was called."""
        with contextlib.suppress(Abandoned), self._stack:
            raise Abandoned

    def _write(self, part: pathlib.Path) -> None:
        """Writes the SavedModel into a folder."""
        trained = self._trained
        self._core = scores_graph.float32_core(trained.core)
        with tempfile.TemporaryDirectory() as scratch:
            facts = bundle.describe(trained)
            module = Servable(self._core, trained.preprocessing, facts, scratch)
            with scores_graph.hide_notes():
                tf.saved_model.save(module, str(part), signatures=module.signatures())
        bundle.write_extras(part, trained, self._core, self._warmup)


def export_saved_model(
    trained: TransferModel,
    folder: pathlib.Path | str,
    version: int | None = None,
    verify: bool = True,
    /,
    **arguments: Any,
) -> pathlib.Path:
    """Writes the export to `folder`/`version`/ and returns that path; see SavedModelExport."""
    return SavedModelExport(trained, folder, version, verify, **arguments).finish()


class Servable(tf.Module):
    """The module that is served: preprocessing, core and decoding.

    Args:
        core: the core in float32.
        preprocessing: makes the inputs of the core from raw inputs.
        facts: what the model tells of itself, with the names of its C classes.
        scratch: folder in which class_names.txt is written before it is copied.
    """

    def __init__(
        self,
        core: Core,
        preprocessing: ImagePreprocessing | TextPreprocessing,
        facts: AboutModel,
        scratch: str,
    ) -> None:
        super().__init__()
        self._core = dataclasses.replace(core, model=batch_norm_folding.fold(core.model))
        self._preprocessing = preprocessing
        self._facts = facts
        names = {
            output: own.class_names if core.joint else facts.class_names
            for output, own in core.heads.items()
        }
        self._labels = {
            output: [name.encode("utf-8", "replace") for name in given]
            for output, given in names.items()
        }
        path = pathlib.Path(scratch) / "class_names.txt"
        lines = "".join(
            f"{output}: {printable(name)}\n" if core.joint else f"{printable(name)}\n"
            for output, given in names.items()
            for name in given
        )
        path.write_text(lines, encoding="utf-8")
        self.class_names_file = tf.saved_model.Asset(str(path))
        self.weights = [weight.value for weight in self._core.model.weights]
        self.tokenizer = core.backbone.tokenizer

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Signature name -> concrete function; all call the same graph of the core."""
        prepare, answer = _graph(self.prepare), _graph(self.answer)
        names = self._facts.inputs
        raw = {name: tf.TensorSpec([None], tf.string, name) for name in names}
        tensors = prepare.get_concrete_function(*raw.values()).structured_outputs
        prepared = {
            k: tf.TensorSpec(tensor.shape, tensor.dtype, k) for k, tensor in tensors.items()
        }

        def from_raw(**raw: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(prepare(*(_require_shape(name, raw[name]) for name in names)))

        def from_tensors(**tensors: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(
                {k: _require_finite(k, _require_shape(k, tensor)) for k, tensor in tensors.items()}
            )

        made = {
            "serving_default": _graph(from_raw).get_concrete_function(**raw),
            "tensors": _graph(from_tensors).get_concrete_function(**prepared),
            about.SIGNATURE: self._about_signature(),
        }
        preprocessing = self._preprocessing
        if isinstance(preprocessing, SeveralTexts) or len(names) > 1:
            return made
        if not isinstance(preprocessing, TextPreprocessing):
            return made

        def from_token_ids(token_ids: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(preprocessing.from_token_ids(token_ids))

        ids = tf.TensorSpec([None, None], tf.int32, TOKEN_IDS)
        return made | {TOKEN_IDS: _graph(from_token_ids).get_concrete_function(token_ids=ids)}

    def _about_signature(self) -> tf.types.experimental.ConcreteFunction:
        """The signature that gives the JSON of AboutModel for each of any strings."""
        text = json.dumps(self._facts.to_json()).encode()

        def tell(key: tf.Tensor) -> dict[str, tf.Tensor]:
            return {about.OUTPUT: tf.fill(tf.shape(key), tf.constant(text))}

        spec = tf.TensorSpec([None], tf.string, about.INPUT)
        return _graph(tell).get_concrete_function(key=spec)

    def prepare(self, *raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Input of the core -> tensor [B, ...], from tf.string[B] of each field."""
        if isinstance(self._preprocessing, ImagePreprocessing):
            return self._preprocessing.read_batch(*raw)
        return self._preprocessing(*raw)

    def answer(self, tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Output name -> tensor [B, ...], from inputs of the core: the head's `serving_outputs`."""
        padded, count = _pad_empty(tensors)
        if self._core.backbone.takes_any_length:
            padded = pipeline.cut_padding(padded)
        with flat_dense.flat_dense():
            outputs = self._core.model(padded, training=False)
        found = dict[str, tf.Tensor]()
        for name, own in self._core.heads.items():
            served = own.head.serving_outputs(
                own.head.scores(outputs[name][:count]), self._labels[name]
            )
            start = task_start(name) if self._core.joint else ""
            found |= {start + key: value for key, value in served.items()}
        return found


def _graph(
    function: Callable[..., dict[str, tf.Tensor]],
) -> tf.types.experimental.PolymorphicFunction:
    """The function as a graph, without AutoGraph, which takes longer than the trace itself."""
    return tf.function(function, autograph=False)


def _pad_empty(tensors: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """`(tensors, number of rows before)`: an empty batch gets a row of zeros.

    Fused convolutions fail on an empty batch.
    """
    count = tf.shape(next(iter(tensors.values())))[0]
    missing = tf.cast(count == 0, tf.int32)
    return {
        name: tf.concat([tensor, tf.zeros([missing, *tensor.shape[1:]], tensor.dtype)], axis=0)
        for name, tensor in tensors.items()
    }, count


def _require_shape(name: str, tensor: tf.Tensor) -> tf.Tensor:
    """The tensor, whose graph refuses by the input's name any other shape than the signature's.

    Nothing else compares the shapes. The known shape is hidden before the comparison, since
    TensorFlow would otherwise remove the comparison.
    """
    hidden = tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=None, name=f"input_{name}")
    return tf.ensure_shape(hidden, tensor.shape)


def _require_finite(name: str, tensor: tf.Tensor) -> tf.Tensor:
    """The tensor, whose graph refuses NaN and infinite numbers, which TF Serving's JSON may hold."""
    if not tensor.dtype.is_floating:
        return tensor
    return tf.debugging.check_numerics(tensor, f"input {name} has numbers that are not finite")
