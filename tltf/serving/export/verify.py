"""The check of an export: a clean process reloads it, and its answers are compared.

They must be those on which the report has judged the model, or, where there is no report, those of the
Keras model.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, NoReturn

import keras
import numpy as np
import tensorflow as tf

from tltf.data import label_kinds
from tltf.errors import ModelError, StorageError
from tltf.graphs import batch_norm_folding
from tltf.graphs.core import Core
from tltf.heads.head import Head
from tltf.models import example_inputs
from tltf.models.served_model import ServedModel
from tltf.models.transfer_model import TransferModel
from tltf.serving.about import task_start
from tltf.serving.export import clean_process, prepared_rows

LARGEST_DIFFERENCE = 1e-5
"""The largest difference that is allowed between the scores of the export and those of the model, in
the head's unit."""
BATCH = 32
"""Number of rows that the Keras model computes at once."""
TIMEOUT_S = 900
"""Seconds after which the clean process is stopped."""
_started: "dict[str, subprocess.Popen[str]]" = {}
"""Modality -> the clean process that was started for the next check."""


def check_saved_model(
    check: "Check", float32_model: keras.Model, judged: np.ndarray | None
) -> float:
    """The largest difference between the scores of the export and of the model, in the head's unit.

    It is also printed on standard error.

    Args:
        check: the check that was begun.
        float32_model: the core's model, or its copy in float32 where it computes in half precision.
        judged: float32[N, K], the scores of these inputs on which the report judged the model. The
            Keras model computes them anew where they are None or differ by more than
            LARGEST_DIFFERENCE, as after features that were kept in half precision.

    Raises:
        ModelError: the export cannot be run, a difference is above LARGEST_DIFFERENCE, or an answer
            is wrong.
        StorageError: the check takes too long or has no room for its files.
    """
    return _compare(check, check.trained, check.outputs(), float32_model, judged)


def check_tasks(check: "Check", core: Core) -> float:
    """The largest difference of the scores of several heads, each as `check_saved_model` has it.

    Args:
        check: the check that was begun.
        core: of several heads, in float32.

    Raises:
        ModelError, StorageError: as `check_saved_model` says.
    """
    outputs, found = check.outputs(), list[float]()
    for task, own in core.heads.items():
        part = core.of_task(task)
        model = ServedModel(part, check.trained.preprocessing, own.class_names)
        found.append(_compare(check, model, _of_task(outputs, task), part.model, None))
    return max(found)


def _of_task(outputs: dict[str, np.ndarray], task: str) -> dict[str, np.ndarray]:
    """The outputs of a task as those of a model of one head: `raw/stars_value` as `raw/value`."""
    start, found = task_start(task), dict[str, np.ndarray]()
    for name, value in outputs.items():
        kind, slash, output = name.rpartition("/")
        if output.startswith(start):
            found[kind + slash + output.removeprefix(start)] = value
    return found


def _compare(
    check: "Check",
    trained: ServedModel,
    outputs: dict[str, np.ndarray],
    float32_model: keras.Model,
    judged: np.ndarray | None,
) -> float:
    """The largest difference of the scores of one head, see `check_saved_model`.

    Args:
        check: the check.
        trained: the model, or one of its tasks.
        outputs: what the export has computed.
        float32_model: see `check_saved_model`.
        judged: see `check_saved_model`.
    """
    head, columns = trained.core.head, list(check.raw.values())
    largest, what = np.inf, "the answers that were judged"
    if judged is not None:
        largest = _largest_difference(outputs, judged, head)
    if not largest <= LARGEST_DIFFERENCE:
        expected = _reference_scores(trained, float32_model, columns)
        largest, what = _largest_difference(outputs, expected, head), "the model"
    print(
        f"export: reloaded in a clean process; {len(columns[0])} inputs, largest difference "
        f"from {what} {largest:.2g} (limit {LARGEST_DIFFERENCE:.0e})",
        file=sys.stderr,
    )
    if not largest <= LARGEST_DIFFERENCE:
        what = f"the reloaded export differs from the model by {largest:.2g}"
        raise ModelError(what, place=check.folder, fix="--noverify exports it all the same")
    _check_answers(outputs, head, trained.class_names)
    return largest


def judged_scores(trained: TransferModel, limit: int) -> np.ndarray | None:
    """float32[n, K]: the scores of `example_inputs.choose_rows` on which a report judged the model.

    None where they are not known or were computed on another device than a CPU, which rounds
    differently than the clean process.
    """
    found = example_inputs.choose_rows(trained, limit)
    if found is None or found[0] not in trained.judged or tf.config.list_physical_devices("GPU"):
        return None
    role, rows = found
    return trained.judged[role][rows]


def _largest_difference(outputs: dict[str, np.ndarray], expected: np.ndarray, head: Head) -> float:
    """The largest difference of both signatures' scores from `expected`, float32[N, K], in the head's unit."""
    differences = [
        np.abs((_scores(outputs, kind, head) - rows) / head.unit).max()
        for kind, rows in (("raw", expected), ("tensors", expected[:BATCH]))
    ]
    return float(max(differences))


def _reference_scores(
    trained: ServedModel, model: keras.Model, columns: Sequence[Sequence[bytes]]
) -> np.ndarray:
    """float32[N, K]: the scores of the Keras model, its batch norms folded as in the export.

    The model runs on the CPU, as the clean process does, since GPUs round differently. With the batch
    norms as they are, or eagerly, it would differ by up to 7e-6.
    """
    head, rows = trained.core.head, list[np.ndarray]()
    model = batch_norm_folding.fold(model)

    @tf.function(reduce_retracing=True, autograph=False)
    def answer(tensors: dict[str, tf.Tensor]) -> tf.Tensor:
        return head.scores(model(tensors, training=False)[head.name])

    for start in range(0, len(columns[0]), BATCH):
        batch = [tf.constant(column[start : start + BATCH]) for column in columns]
        tensors = prepared_rows.prepare_batch(trained, batch)
        with tf.device("CPU:0"):
            rows.append(answer(tensors).numpy())
    return np.concatenate(rows)


def start_process(modality: str) -> None:
    """Starts the clean process of the next check of this modality, `image` or `text`.

    It imports TensorFlow while the caller goes on. It ends with this process, or after one check. One
    that has ended before its check, such as by Ctrl-C, is replaced.
    """
    waiting = _started.get(modality)
    if waiting is None or waiting.poll() is not None:
        _started[modality] = _new_process(modality)


def _new_process(modality: str) -> "subprocess.Popen[str]":
    modules = ["tensorflow_text"] if modality == "text" else []
    return subprocess.Popen(
        [sys.executable, "-P", clean_process.__file__, *modules],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
    )


class Check:
    """The check of an export by a clean process, which computes while the caller goes on.

    Args:
        folder: folder of the SavedModel.
        trained: the model that was exported.
        raw: input of `serving_default` -> list of N bytes.
    """

    def __init__(
        self, folder: pathlib.Path, trained: TransferModel, raw: dict[str, list[bytes]]
    ) -> None:
        self.folder, self.trained, self.raw = folder, trained, raw
        modality = trained.core.backbone.modality
        start_process(modality)
        self._process = _started.pop(modality)
        self._scratch = tempfile.TemporaryDirectory()
        self._outputs = pathlib.Path(self._scratch.name, "outputs.npz")
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            self._send(pathlib.Path(self._scratch.name, "inputs.npz"))
            stack.pop_all()

    def close(self) -> None:
        """Ends the process and removes its files."""
        self._process.kill()
        self._process.communicate()
        self._scratch.cleanup()

    def outputs(self) -> dict[str, np.ndarray]:
        """The outputs that tltf/serving/export/clean_process.py computes with the export, by name.

        Raises:
            ModelError: the export cannot be run.
            StorageError: the check takes too long or has no room for its files.
        """
        try:
            _, errors = self._process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            what = f"the check of the export took more than {TIMEOUT_S} s"
            raise StorageError(what, place=self.folder) from error
        if self._process.returncode:
            _raise_failure(self._process.returncode, errors, self.folder, self._scratch.name)
        with np.load(self._outputs, allow_pickle=False) as file:
            return dict(file)

    def _send(self, inputs: pathlib.Path) -> None:
        """Writes the inputs and tells the process where they are."""
        columns = list(self.raw.values())
        first = prepared_rows.prepare_batch(
            self.trained, [tf.constant(column[:BATCH]) for column in columns]
        )
        packed = dict[str, Any]()
        for name, items in self.raw.items():
            packed[f"data/{name}"], packed[f"ends/{name}"] = clean_process.pack(items)
        tensors = {name: value.numpy() for name, value in first.items()}
        np.savez(inputs, **(packed | tensors))
        line = json.dumps([os.path.abspath(path) for path in (self.folder, inputs, self._outputs)])
        if self._process.stdin is None:
            raise RuntimeError("the process has no standard input")
        with contextlib.suppress(BrokenPipeError):  # it has ended, and `outputs` says why
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def _raise_failure(code: int, errors: str, folder: pathlib.Path, scratch: str) -> NoReturn:
    """Raises the error for a clean process that failed, with the last line of what it printed."""
    last = (errors.strip().splitlines() or ["no message"])[-1]
    if code == clean_process.CANNOT_WRITE:
        raise StorageError(
            f"the check of the export cannot write its answers: {last}",
            place=scratch,
            fix="free space there, or set TMPDIR",
        )
    what = f"the export cannot be run in a clean process: {last}"
    raise ModelError(what, place=folder, fix="--noverify exports it all the same")


def _scores(outputs: dict[str, np.ndarray], kind: str, head: Head) -> np.ndarray:
    """float[N, K]: the scores among the outputs of `raw` or `tensors`, in the order of `columns`."""
    scores = outputs[f"{kind}/{head.scores_name}"]
    return scores.reshape(len(scores), -1)


def _check_answers(
    outputs: dict[str, np.ndarray], head: Head, class_names: tuple[str, ...]
) -> None:
    """Raises ModelError where an answer of the export is not that of its own scores."""
    texts = head.answers(_scores(outputs, "raw", head), class_names)
    expected: Sequence[str | bytes] = texts
    answers: Sequence[str | bytes]
    if f"raw/{head.name}" in outputs:
        values = outputs[f"raw/{head.name}"]
        rows = values.reshape(len(values), -1).tolist()
        answers = [
            label_kinds.SEPARATOR.join(format(value, ".9g") for value in row) for row in rows
        ]
    else:
        packed = (outputs[f"{part}/raw/{head.name}"] for part in ("data", "ends"))
        answers = clean_process.unpack(*packed)
        expected = [text.encode("utf-8", "replace") for text in texts]
    pairs = enumerate(zip(answers, expected, strict=True))
    wrong = [row for row, (answer, right) in pairs if answer != right]
    if wrong:
        row = wrong[0]
        what = f"input {row} has the {head.name} {answers[row]!r} in place of {expected[row]!r}"
        raise ModelError(what)
