"""Exports a trained core as a SavedModel for TF Serving, reloaded elsewhere and compared."""

import contextlib
import json
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tltf.backbones.builder import save_assets
from tltf.config.call_strings import Call
from tltf.config.catalogs import Row
from tltf.config.command_options import ExportOptions
from tltf.data.source import Splits
from tltf.errors import DataError, FlagError, ModelError, StorageError, printable
from tltf.files import atomic_folders
from tltf.graphs import functional, precision
from tltf.graphs.core import Core
from tltf.models import core_builder, loading, raw_inputs, saving
from tltf.models.trained import Trained
from tltf.runs import layout
from tltf.serving.export import verify as export_verify

WARMUP_BATCHES = (1, 8)
NUM_VERIFIED = 256


def export_saved_model(
    trained: Trained, folder: pathlib.Path | str, version: int | None = None, verify: bool = True, /
) -> pathlib.Path:
    """Writes `folder`/`version`/ and returns that path.

    Signatures: `serving_default` takes `image_bytes` (encoded images) or `text` (UTF-8), or the texts
    of several fields by their names, tf.string[B]; `tensors` takes what the preprocessing makes of it, by name. Both return what the
    head serves: `label` tf.string[B] and `probabilities` float32[B, C]; `labels` tf.string[B] such as
    `cat|dog`, `is_given` bool[B, C] and `probabilities`; or `value` float32[B] and `quantiles`
    float32[B, Q]. A batch may be empty.
    The graph is float32 on one device, whatever the training ran on. assets/class_names.txt
    has one name per line.

    Args:
        trained: Trained; its test split, where it has one, gives the inputs of the check.
        folder: the folder of the versions.
        version: whole number above 0, or None for the next one.
        verify: reload the export in a clean process and compare it with the Keras model.

    Raises:
        FlagError: the version exists.
        ModelError: the reloaded export answers otherwise; nothing is left in `folder`.
        StorageError: the place cannot be written.
    """
    target = atomic_folders.new_version(folder, version)
    raw = raw_inputs.of_run(trained, NUM_VERIFIED)
    core = on_one_device(trained.core)
    with atomic_folders.new_folder(target) as part, tempfile.TemporaryDirectory() as scratch:
        module = Servable(core, trained.preprocessing, trained.class_names, scratch)
        with _without_notes():
            tf.saved_model.save(module, str(part), signatures=module.signatures())
        _write_extras(part, module, trained)
        if verify:
            export_verify.check_saved_model(part, trained, core.model, raw)
    return target


def export_run(options: ExportOptions, call: Call[Row]) -> pathlib.Path:
    """Exports a run as ExportOptions say; returns the new folder.

    The check uses the run's own test split where its data can still be read and is not code.

    Args:
        options: ExportOptions.
        call: what --format names.
    """
    trained = loading.load(options.run)
    if options.verify and trained.options is not None:
        trained.splits = _splits(options.run)
    folder = options.output or pathlib.Path(options.run) / layout.EXPORT
    return call.build(trained, folder, options.version, options.verify)


def _splits(run: str) -> Splits | dict:
    from tltf.data import run_data

    try:
        return run_data.parts(run)
    except (FlagError, DataError, ModelError, StorageError) as error:
        print(
            f"export: the run's data cannot be read ({printable(error.what)}); made-up inputs "
            "take their place in the check",
            file=sys.stderr,
        )
        return {}


def on_one_device(core: Core) -> Core:
    """A Core of the same blueprint and weights in float32; call it outside of a strategy."""
    with tempfile.TemporaryDirectory() as assets, precision.policy("float32"):
        save_assets(core.backbone, pathlib.Path(assets))
        fresh = core_builder.rebuild(core.blueprint, pathlib.Path(assets))
    arrays = saving.weights_of(core.model)
    for name, weight in functional.named_weights(fresh.model.layers).items():
        weight.assign(arrays[name])
    return fresh


@contextlib.contextmanager
def _without_notes() -> Iterator[Any]:
    """Keeps TensorFlow's notes on its own saving off standard error; warnings stay."""
    before = logging.get_verbosity()
    logging.set_verbosity(min(before, logging.WARNING))
    try:
        yield
    finally:
        logging.set_verbosity(before)


class Servable(tf.Module):
    """The graph that is served: preprocessing, core and decoding.

    Args:
        core: Core.
        preprocessing: ImagePreprocessing or TextPreprocessing.
        class_names: C strings.
        scratch: folder in which the asset is written before it is copied.
    """

    def __init__(
        self,
        core: Core,
        preprocessing: Any,
        class_names: tuple[str, ...],
        scratch: str,
    ) -> None:
        super().__init__()
        self._core, self._preprocessing = core, preprocessing
        self._labels = [name.encode("utf-8", "replace") for name in class_names]
        path = pathlib.Path(scratch) / "class_names.txt"
        path.write_text("".join(f"{printable(name)}\n" for name in class_names), encoding="utf-8")
        self.class_names_file = tf.saved_model.Asset(str(path))
        self.weights = [weight.value for weight in core.model.weights]
        self.tokenizer = core.backbone.tokenizer
        self.is_image = core.backbone.modality == "image"

    @property
    def input_names(self) -> list[str]:
        """The inputs of `serving_default`, one for each field."""
        return list(raw_inputs.input_names(self._preprocessing.fields).values())

    def signatures(self) -> dict[str, Any]:
        """Signature name -> concrete function."""
        raw = {name: tf.TensorSpec([None], tf.string, name) for name in self.input_names}
        prepared = {
            name: tf.TensorSpec(tensor.shape, tensor.dtype, name)
            for name, tensor in self._tensor_specs().items()
        }
        return {
            "serving_default": tf.function(self._from_raw).get_concrete_function(**raw),
            "tensors": tf.function(self._from_tensors).get_concrete_function(**prepared),
        }

    def prepare(self, *raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Input name -> tensor [B, ...] of tf.string[B] of each field."""
        if self.is_image:
            return {next(iter(self._core.backbone.inputs)): self._preprocessing.decode_batch(*raw)}
        return self._preprocessing(*raw)

    def answer(self, tensors: Any) -> Any:
        """Name -> tensor [B, ...] of prepared tensors, see the head's `serving_outputs`."""
        padded, count = _not_empty(tensors)
        logits = self._core.model(padded, training=False)[self._core.head.name][:count]
        head = self._core.head
        return head.serving_outputs(head.scores(logits), self._labels)

    def _from_raw(self, **raw: Any) -> Any:
        columns = [_of_shape(name, raw[name]) for name in self.input_names]
        return self.answer(self.prepare(*columns))

    def _from_tensors(self, **tensors: Any) -> Any:
        return self.answer(
            {name: _checked(name, _of_shape(name, tensor)) for name, tensor in tensors.items()}
        )

    def _tensor_specs(self) -> dict[str, tf.Tensor]:
        example = [tf.TensorSpec([None], tf.string)] * len(self.input_names)
        return tf.function(self.prepare).get_concrete_function(*example).structured_outputs


def _not_empty(tensors: Any) -> Any:
    """`(tensors, count)`: an empty batch gets a row, as fused convolutions fail without one."""
    count = tf.shape(next(iter(tensors.values())))[0]
    missing = tf.cast(count == 0, tf.int32)
    return {
        name: tf.concat([tensor, tf.zeros([missing, *tensor.shape[1:]], tensor.dtype)], axis=0)
        for name, tensor in tensors.items()
    }, count


def _of_shape(name: Any, tensor: Any) -> Any:
    """Refuses, by the input's name, another shape than the signature's, which nothing else compares.

    The shape is hidden first, since TensorFlow removes a comparison with what it takes for known.
    """
    given = tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=None, name=f"input_{name}")
    return tf.ensure_shape(given, tensor.shape)


def _checked(name: Any, tensor: Any) -> Any:
    """Refuses NaN and infinite numbers, which TF Serving's JSON parser lets through."""
    if not tensor.dtype.is_floating:
        return tensor
    return tf.debugging.check_numerics(tensor, f"input {name} has numbers that are not finite")


def _write_extras(folder: pathlib.Path, module: Servable, trained: Trained) -> None:
    """assets.extra/: tltf.json, and warm-up requests where tensorflow-serving-api is there.

    Their inputs are made up: an export goes to others, who must not find the user's data in it.
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
    (extra / "tltf.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        return
    raw = raw_inputs.probes(trained)
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for size in WARMUP_BATCHES:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = "serving_default"
            for name, items in raw.items():
                batch = np.array((items * size)[:size], object)
                request.inputs[name].CopyFrom(tf.make_tensor_proto(batch))
            writer.write(log.SerializeToString())
