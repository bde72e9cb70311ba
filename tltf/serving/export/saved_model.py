"""Exports a trained model as a SavedModel for TF Serving, and has the export checked."""

import contextlib
import dataclasses
import json
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from absl import logging

from tltf.config.call_strings import Call
from tltf.config.catalogs import Row
from tltf.config.command_options import ExportOptions
from tltf.data import pipeline, run_data
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.source import Source, Splits
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import DataError, FlagError, ModelError, StorageError, printable
from tltf.files import atomic_folders
from tltf.graphs import batch_norm_folding, flat_dense, precision
from tltf.graphs.core import Core
from tltf.models import core_builder, example_inputs, loading
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout
from tltf.serving import about
from tltf.serving.about import AboutModel
from tltf.serving.export import bundle
from tltf.serving.export import verify as export_verify

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
    the convolutions before them. assets/class_names.txt has one name per line.

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
        self._check: export_verify.Check | None = None
        if verify:
            export_verify.start_process(trained.core.backbone.modality)
        with contextlib.ExitStack() as stack:
            part = stack.enter_context(atomic_folders.new_folder(self.target))
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

    def abandon(self) -> None:
        """Removes what was written, unless `finish` was called."""
        with contextlib.suppress(_Abandoned), self._stack:
            raise _Abandoned

    def _write(self, part: pathlib.Path) -> None:
        """Writes the SavedModel into a folder."""
        trained = self._trained
        if not _is_plain(trained.core):
            self._core = core_builder.float32_copy(trained.core)
        with tempfile.TemporaryDirectory() as scratch:
            facts = bundle.describe(trained)
            module = Servable(self._core, trained.preprocessing, facts, scratch)
            with _hide_notes():
                tf.saved_model.save(module, str(part), signatures=module.signatures())
        bundle.write_extras(part, trained, self._core, self._warmup)


class _Abandoned(Exception):
    """Ends an export that is not wanted any more."""


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


def export_run(options: ExportOptions, call: Call[Row]) -> pathlib.Path:
    """Exports a run and returns the new folder.

    The check uses the run's own test split if its data can still be read and is not code.

    Args:
        options: the options of the command.
        call: the call that --format names.
    """
    trained = loading.load(options.run)
    needs_data = options.verify or call.kwargs.get("warmup") == bundle.REAL
    if needs_data and trained.options is not None:
        trained.splits = _splits_of(options.run)
    folder = options.output or pathlib.Path(options.run) / layout.EXPORT
    export: SavedModelExport = call.build(trained, folder, options.version, options.verify)
    return export.finish()


def _splits_of(run: str) -> Splits | dict[str, Source]:
    """The splits of a run; {} if its data cannot be read."""
    try:
        return run_data.load_parts(run)
    except (FlagError, DataError, ModelError, StorageError) as error:
        print(
            f"export: the run's data cannot be read ({printable(error.what)}); made-up inputs "
            "take their place in the check",
            file=sys.stderr,
        )
        return {}


def _is_plain(core: Core) -> bool:
    """Whether the core computes in float32 alone and its weights are not spread over devices."""
    values = tf.distribute.DistributedValues
    return not precision.is_half(core.model) and not any(
        isinstance(w.value, values) for w in core.model.weights
    )


@contextlib.contextmanager
def _hide_notes() -> Iterator[None]:
    """A block in which TensorFlow prints warnings about saving, but no notes."""
    before = logging.get_verbosity()
    logging.set_verbosity(min(before, logging.WARNING))
    try:
        yield
    finally:
        logging.set_verbosity(before)


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
        self._labels = [name.encode("utf-8", "replace") for name in facts.class_names]
        path = pathlib.Path(scratch) / "class_names.txt"
        lines = "".join(f"{printable(name)}\n" for name in facts.class_names)
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
        if not isinstance(preprocessing, TextPreprocessing) or len(names) > 1:
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
