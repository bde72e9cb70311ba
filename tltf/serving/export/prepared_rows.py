"""The rows on which exported formats are compared: as the core takes them, in files, with its answers."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator
from typing import cast

import keras
import numpy as np
import tensorflow as tf

from tltf.data import pipeline
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.several_preprocessings import SeveralImages
from tltf.errors import StorageError
from tltf.files import atomic_files
from tltf.graphs import batch_norm_folding
from tltf.heads.head import Head
from tltf.models import example_inputs
from tltf.models.served_model import ServedModel
from tltf.models.transfer_model import TransferModel
from tltf.serving.export import scores_graph

MOST_BYTES = 2**31
"""The most bytes that the files of prepared rows take; of a larger split rows at equal distances."""
BATCH = 32
"""Rows that the core computes at once."""


@dataclasses.dataclass(frozen=True)
class PreparedRows:
    """Rows of a split in files, with the scores of the core.

    Args:
        files: input of the core -> .npy file; images uint8[N, S, S, C], texts int32[N, L].
        scores: float32[N, K], of the core in float32 on the processor.
        labels: of the rows; None for made-up inputs.
        split: `test`, or the split that takes its place; empty for made-up inputs.
    """

    files: dict[str, pathlib.Path]
    scores: np.ndarray
    labels: np.ndarray | None = None
    split: str = ""


@contextlib.contextmanager
def prepare(trained: TransferModel, limit: int | None = None) -> Iterator[PreparedRows]:
    """A block that has the PreparedRows of a model's test split, or of made-up inputs without data.

    Args:
        trained: the model, with its splits if they are at hand.
        limit: the most rows; None for as many as MOST_BYTES take.

    Raises:
        StorageError: there is no room for the files.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = _write(trained, pathlib.Path(folder), limit)
        except OSError as error:
            what = f"the rows of the check cannot be written: {error.strerror or error}"
            raise StorageError(what, place=folder, fix=atomic_files.fix_of(error)) from error
        yield rows


def take_inputs(trained: TransferModel, split: str, limit: int) -> dict[str, np.ndarray] | None:
    """Input of the core -> array, of up to `limit` rows of a split; None where it has no rows.

    Args:
        trained: the model.
        split: `train`, `validation` or `test`.
        limit: the most rows, which are at equal distances in the split.
    """
    source = trained.splits.get(split)
    if source is None or not len(source):
        return None
    rows = np.unique(np.linspace(0, len(source) - 1, min(limit, len(source))).astype(int))
    batches = pipeline.build(
        source.take(rows), trained.preprocessing, batch_size=BATCH, cache_bytes=0
    )
    parts = [{name: value.numpy() for name, value in batch[0].items()} for batch in batches]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _write(trained: TransferModel, folder: pathlib.Path, limit: int | None) -> PreparedRows:
    """Writes the files and computes the scores, batch by batch."""
    most = limit or max(1, MOST_BYTES // _bytes_of_row(trained))
    chosen = example_inputs.choose_rows(trained, most)
    split, labels, batches = "", None, _probes(trained)
    count = len(next(iter(example_inputs.make_probes(trained).values())))
    if chosen is not None:
        split, rows = chosen
        source = trained.splits[split].take(rows)
        count, labels = len(rows), None if source.labels is None else np.asarray(source.labels)
        batches = pipeline.build(source, trained.preprocessing, batch_size=BATCH, cache_bytes=0)
    score, files, scores, start = _scorer(trained), dict[str, np.memmap](), [], 0
    for batch in batches:
        inputs = batch[0]
        for name, value in inputs.items():
            array = value.numpy()
            if name not in files:
                dtype = np.uint8 if array.dtype.kind == "f" else np.int32
                shape = (count, *array.shape[1:])
                path = folder / f"{name}.npy"
                files[name] = np.lib.format.open_memmap(path, "w+", dtype, shape)
            files[name][start : start + len(array)] = array
        scores.append(score(inputs).numpy())
        start += len(scores[-1])
    for file in files.values():
        file.flush()
    paths = {name: folder / f"{name}.npy" for name in files}
    return PreparedRows(paths, np.concatenate(scores), labels, split)


def _probes(trained: TransferModel) -> Iterator[tuple[dict[str, tf.Tensor]]]:
    """One batch with the inputs of the core for made-up raw inputs."""
    columns = [tf.constant(items) for items in example_inputs.make_probes(trained).values()]
    yield (prepare_batch(trained, columns),)


def prepare_batch(trained: ServedModel, raw: list[tf.Tensor]) -> dict[str, tf.Tensor]:
    """The inputs of the core for a batch of raw inputs, one tf.string[B] per field."""
    if trained.core.backbone.modality == "text":
        return trained.preprocessing(*raw)
    images = [cast(ImagePreprocessing, trained.preprocessing).read(item) for item in raw[0]]
    return {name: tf.stack([tensors[name] for tensors in images]) for name in images[0]}


def _scorer(trained: TransferModel) -> tf.types.experimental.PolymorphicFunction:
    """The function from inputs of the core to its scores, in float32 on the processor.

    Batch norms are folded, as in every export: with those as they are, or eagerly, the scores would
    differ by up to 7e-6.
    """
    core = scores_graph.float32_core(trained.core)
    head: Head = core.head
    model: keras.Model = batch_norm_folding.fold(core.model)

    @tf.function(reduce_retracing=True, autograph=False)
    def score(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        with tf.device("CPU:0"):
            return head.scores(model(inputs, training=False)[head.name])

    return score


def _bytes_of_row(trained: TransferModel) -> int:
    """The bytes of a row in the files."""
    preprocessing = trained.preprocessing
    if isinstance(preprocessing, SeveralImages):
        return sum(part.size_px**2 * part.channels for part in preprocessing.parts)
    if isinstance(preprocessing, ImagePreprocessing):
        return preprocessing.size_px**2 * preprocessing.channels
    return 4 * preprocessing.length * len(preprocessing.inputs)
