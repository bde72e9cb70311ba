"""Exports a trained model as a SavedModel for TF Serving, and has the export checked."""

import contextlib
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tltf.data import pipeline
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import printable
from tltf.evaluation.report.format_rows import FormatRow
from tltf.files import atomic_folders
from tltf.graphs import batch_norm_folding, flat_dense
from tltf.graphs.core import Core
from tltf.models import example_inputs, raw_inputs
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout
from tltf.serving.export import measuring, scores_graph
from tltf.serving.export import verify as export_verify
from tltf.serving.export.format_export import Abandoned
from tltf.serving.export.measuring import Subject
from tltf.serving.export.prepared_rows import PreparedRows

WARMUP_BATCHES = (1, 8)
"""Batch sizes of the requests with which TF Serving warms up."""
NUM_VERIFIED = 256
"""The most inputs on which an export is checked."""


class SavedModelExport:
    """An export that is written, and checked in a clean process until `finish` is called.

    The signature `serving_default` takes `image_bytes` (encoded images) or `text` (UTF-8), or the
    texts of several fields by their names, each tf.string[B]; `tensors` takes by name what the
    preprocessing makes of them. Both return the outputs that the head serves: `label` tf.string[B]
    and `probabilities` float32[B, C]; `labels` tf.string[B] such as `cat|dog`, `is_given` bool[B, C]
    and `probabilities`; or `value` float32[B] and `quantiles` float32[B, Q]. A batch may be empty.
    The graph is float32 on one device, whatever the training ran on, with its batch norms folded into
    the convolutions before them. assets/class_names.txt has one name per line.

    Args:
        trained: the model; its test split, if it has one, gives the inputs of the check.
        folder: the folder of the versions.
        version: whole number above 0, or None for the next one.
        verify: whether the export is reloaded in a clean process and compared with the answers on
            which the report judged the model, or with the Keras model.

    Raises:
        FlagError: the version exists.
        StorageError: the folder cannot be written.
    """

    def __init__(
        self,
        trained: TransferModel,
        folder: pathlib.Path | str,
        version: int | None = None,
        verify: bool = True,
        /,
    ) -> None:
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
            if self._check:
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
            module = Servable(self._core, trained.preprocessing, trained.class_names, scratch)
            with scores_graph.hide_notes():
                tf.saved_model.save(module, str(part), signatures=module.signatures())
        _write_extras(part, module, trained)


def export_saved_model(
    trained: TransferModel,
    folder: pathlib.Path | str,
    version: int | None = None,
    verify: bool = True,
    /,
) -> pathlib.Path:
    """Writes the export to `folder`/`version`/ and returns that path; see SavedModelExport."""
    return SavedModelExport(trained, folder, version, verify).finish()


class Servable(tf.Module):
    """The module that is served: preprocessing, core and decoding.

    Args:
        core: the core in float32.
        preprocessing: makes the inputs of the core from raw inputs.
        class_names: names of the C classes.
        scratch: folder in which class_names.txt is written before it is copied.
    """

    def __init__(
        self,
        core: Core,
        preprocessing: ImagePreprocessing | TextPreprocessing,
        class_names: tuple[str, ...],
        scratch: str,
    ) -> None:
        super().__init__()
        self._core = dataclasses.replace(core, model=batch_norm_folding.fold(core.model))
        self._preprocessing = preprocessing
        self._labels = [name.encode("utf-8", "replace") for name in class_names]
        path = pathlib.Path(scratch) / "class_names.txt"
        path.write_text("".join(f"{printable(name)}\n" for name in class_names), encoding="utf-8")
        self.class_names_file = tf.saved_model.Asset(str(path))
        self.weights = [weight.value for weight in self._core.model.weights]
        self.tokenizer = core.backbone.tokenizer
        self.is_image = core.backbone.modality == "image"

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs of `serving_default`, one per field."""
        return list(raw_inputs.input_names(self._preprocessing.fields).values())

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Signature name -> concrete function; both call the same graph of the core."""
        prepare, answer = _graph(self.prepare), _graph(self.answer)
        names = self.input_names
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

        return {
            "serving_default": _graph(from_raw).get_concrete_function(**raw),
            "tensors": _graph(from_tensors).get_concrete_function(**prepared),
        }

    def prepare(self, *raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Input of the core -> tensor [B, ...], from tf.string[B] of each field."""
        if isinstance(self._preprocessing, ImagePreprocessing):
            return {next(iter(self._core.backbone.inputs)): self._preprocessing.decode_batch(*raw)}
        return self._preprocessing(*raw)

    def answer(self, tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Output name -> tensor [B, ...], from inputs of the core: the head's `serving_outputs`."""
        padded, count = _pad_empty(tensors)
        if self._core.backbone.takes_any_length:
            padded = pipeline.cut_padding(padded)
        with flat_dense.flat_dense():
            logits = self._core.model(padded, training=False)[self._core.head.name][:count]
        head = self._core.head
        return head.serving_outputs(head.scores(logits), self._labels)


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


def _write_extras(folder: pathlib.Path, module: Servable, trained: TransferModel) -> None:
    """Writes assets.extra/: tltf.json, and warm-up requests if tensorflow-serving-api is installed.

    The inputs of the requests are made up, since an export is given to others, who must not find the
    user's data in it.
    """
    extra = folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    names = module.input_names
    facts = {
        **({"input": names[0]} if len(names) == 1 else {"inputs": names}),
        "class_names": [label.decode("utf-8") for label in module._labels],
        "tensorflow": tf.__version__,
        "needs": [] if module.is_image else ["tensorflow_text"],
    }
    (extra / layout.EXPORT_FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        return
    raw = example_inputs.make_probes(trained)
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for size in WARMUP_BATCHES:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = "serving_default"
            for name, items in raw.items():
                batch = np.array((items * size)[:size], object)
                request.inputs[name].CopyFrom(tf.make_tensor_proto(batch))
            writer.write(log.SerializeToString())
