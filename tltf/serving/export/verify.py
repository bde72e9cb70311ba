"""Reloads an export in a clean process and compares its answers with the Keras model's."""

import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tltf.data import label_kinds
from tltf.errors import ModelError, StorageError
from tltf.heads.head import Head
from tltf.models.trained import Trained
from tltf.serving.export import clean_process

LARGEST_DIFFERENCE = 1e-5
BATCH = 32
TIMEOUT_S = 900


def check_saved_model(
    folder: pathlib.Path, trained: Trained, float32_model: Any, raw: dict[str, list[bytes]]
) -> float:
    """The largest difference of what the head states, which is also printed on standard error.

    Args:
        folder: of the SavedModel.
        trained: Trained; the reference, unless it computes in half precision.
        float32_model: its copy in float32, the reference in that case.
        raw: input of `serving_default` -> list of bytes.

    Raises:
        ModelError: the reload fails, a difference is above LARGEST_DIFFERENCE, or a label is
            another one.
    """
    reference = trained.core.model
    if any(layer.compute_dtype in ("float16", "bfloat16") for layer in reference.layers):
        reference = float32_model
    expected, tensors = _expected(trained, reference, raw)
    given = _reloaded(folder, raw, tensors, trained.core.backbone.modality)
    head, count = trained.core.head, len(expected)
    differences = [
        np.abs((_scores(given, kind, head) - rows) / head.unit).max()
        for kind, rows in (("raw", expected), ("tensors", expected[: min(BATCH, count)]))
    ]
    largest = float(max(differences))
    print(
        f"export: reloaded in a clean process; {count} inputs, largest difference "
        f"{largest:.2g} (limit {LARGEST_DIFFERENCE:.0e})",
        file=sys.stderr,
    )
    if not largest <= LARGEST_DIFFERENCE:
        what = f"the reloaded export differs from the model by {largest:.2g}"
        raise ModelError(what, place=folder, fix="--noverify exports it all the same")
    _check_answers(given, head, trained.class_names)
    return largest


def _expected(
    trained: Trained, model: Any, raw: dict[str, list[bytes]]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """float32[N, K] of the Keras model, and the tensors of the first batch.

    On the CPU, as the clean process: GPUs round otherwise. In a graph, as `predict` and `evaluate` of Keras run it: eagerly, TensorFlow fuses no batch
    norm into convolutions, and rounds otherwise by up to 6e-6.
    """
    head, rows = trained.core.head, list[np.ndarray]()
    first: Any = None

    @tf.function(reduce_retracing=True)
    def answer(tensors: Any) -> Any:
        return head.scores(model(tensors, training=False)[head.name])

    columns = list(raw.values())
    for start in range(0, len(columns[0]), BATCH):
        batch = [tf.constant(column[start : start + BATCH]) for column in columns]
        tensors = _prepared(trained, batch)
        first = tensors if first is None else first
        with tf.device("CPU:0"):
            rows.append(answer(tensors).numpy())
    return np.concatenate(rows), {name: value.numpy() for name, value in first.items()}


def _prepared(trained: Trained, raw: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
    if trained.core.backbone.modality == "text":
        return trained.preprocessing(*raw)
    images = tf.stack([trained.preprocessing(item) for item in raw[0]])
    return {next(iter(trained.core.backbone.inputs)): images}


def _reloaded(
    folder: pathlib.Path, raw: dict[str, list[bytes]], tensors: Any, modality: str
) -> dict[str, np.ndarray]:
    """What tltf/serving/export/clean_process.py writes."""
    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = pathlib.Path(scratch, "inputs.npz"), pathlib.Path(scratch, "outputs.npz")
        packed = dict[str, Any]()
        for name, items in raw.items():
            packed[f"data/{name}"], packed[f"ends/{name}"] = clean_process.pack(items)
        np.savez(inputs, **packed, **tensors)
        modules = ["tensorflow_text"] if modality == "text" else []
        files = [str(path) for path in (folder, inputs, outputs)]
        command = [sys.executable, "-P", clean_process.__file__, *files, *modules]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment
            )
        except subprocess.TimeoutExpired as error:
            raise StorageError(f"the check took over {TIMEOUT_S} s", place=folder) from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            if done.returncode == clean_process.CANNOT_WRITE:
                raise StorageError(
                    f"the check of the export cannot write its answers: {last}",
                    place=scratch,
                    fix="free space there, or set TMPDIR",
                )
            what = f"the export cannot be run in a clean process: {last}"
            raise ModelError(what, place=folder, fix="--noverify exports it all the same")
        with np.load(outputs, allow_pickle=False) as file:
            return dict(file)


def _scores(given: dict[str, np.ndarray], kind: str, head: Head) -> np.ndarray:
    """float[N, K]: the scores among the outputs of `raw` or `tensors`, in the order of `columns`."""
    found = given[f"{kind}/{head.scores_name}"]
    return found.reshape(len(found), -1)


def _check_answers(given: dict[str, np.ndarray], head: Head, class_names: tuple[str, ...]) -> None:
    """The answers of the export must be those of the numbers that it states."""
    texts = head.answers(_scores(given, "raw", head), class_names)
    answers: Sequence[str | bytes] = texts
    if f"raw/{head.name}" in given:
        values = given[f"raw/{head.name}"]
        rows = values.reshape(len(values), -1).tolist()
        told = [label_kinds.SEPARATOR.join(format(value, ".9g") for value in row) for row in rows]
    else:
        packed = (given[f"{part}/raw/{head.name}"] for part in ("data", "ends"))
        told = clean_process.unpack(*packed)
        answers = [text.encode("utf-8", "replace") for text in texts]
    wrong = [row for row, pair in enumerate(zip(told, answers, strict=True)) if len(set(pair)) > 1]
    if wrong:
        row = wrong[0]
        what = f"input {row} has the {head.name} {told[row]!r} in place of {answers[row]!r}"
        raise ModelError(what)
