"""Runs an exported format with its own runtime in a clean process, and compares it with the model."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from tltf.data import label_kinds
from tltf.errors import ModelError, StorageError
from tltf.evaluation import evaluators
from tltf.evaluation.baseline_row import Gain
from tltf.evaluation.report.format_rows import FormatRow
from tltf.heads.head import Head
from tltf.models.transfer_model import TransferModel
from tltf.runs import machine
from tltf.serving.export import runtime_process
from tltf.serving.export.prepared_rows import PreparedRows
from tltf.serving.export.runtime_process import Task, Timing

LARGEST_DIFFERENCE, MOST_BEYOND, FARTHEST = 1e-5, 0.001, 1e-4
"""A float format is refused where the scores of more than this share of the rows differ from those of
the model by more than the first number, or those of any row by more than the last, in the head's unit.

Engines add numbers in other orders. Over 10,000 pictures LiteRT's probabilities of EfficientNet-Lite0
differ by 3e-7 at the median, 6e-6 at one row in a thousand and 1.3e-5 at most, where both it and
TensorFlow are up to 1e-5 away from the network in float64; a graph that is not the same differs by far
more at most rows.
"""
TIMED = (1, 32)
"""Batch sizes that are timed."""
TIMEOUT_S = 3600
"""Seconds after which a runtime is stopped."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A written format that is to be measured.

    Args:
        name: its call string.
        folder: its folder.
        runtime: a name of runtime_process.RUNTIMES.
        files: what the runtime loads, the first of which is named to it; "." for the whole folder.
        is_exact: whether it must answer as the model does, up to rounding.
        settings: of the runtime, by its own names.
        note: what else must be known of it.
    """

    name: str
    folder: pathlib.Path
    runtime: str
    files: tuple[str, ...]
    is_exact: bool = True
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    note: str = ""

    @property
    def num_bytes(self) -> int:
        """The size of the files that the runtime loads."""
        places = [self.folder / name for name in self.files]
        found = [p for place in places for p in ([place] if place.is_file() else place.rglob("*"))]
        return sum(path.stat().st_size for path in found if path.is_file())


def measure(subject: Subject, trained: TransferModel, rows: PreparedRows) -> FormatRow:
    """The FormatRow of a written format: difference and headline metric on these rows, and times.

    Raises:
        ModelError: the runtime cannot run it, or an exact format differs, see LARGEST_DIFFERENCE.
        StorageError: the runtime takes too long or has no room for its answers.
    """
    head: Head = trained.core.head
    timing, outputs = run(subject, rows, timed=TIMED)
    scores = scores_of(outputs, head)
    differences = differences_of(scores, rows.scores, head)
    largest, num_beyond = float(differences.max()), int((differences > LARGEST_DIFFERENCE).sum())
    is_same = largest <= FARTHEST and num_beyond <= MOST_BEYOND * len(scores)
    if subject.is_exact and not is_same:
        what = f"{subject.name} differs from the model by {largest:.2g} in {timing.runtime}"
        raise ModelError(what, place=subject.folder, fix="--noverify exports it all the same")
    note = subject.note
    if subject.is_exact and num_beyond:
        beyond = (
            f"{num_beyond} of {len(scores):,} rows differ by more than {LARGEST_DIFFERENCE:.0e}"
        )
        note = "; ".join(filter(None, [note, beyond]))
    if not subject.is_exact and head.target == label_kinds.CLASS:
        scores = scores / scores.sum(axis=1, keepdims=True)  # steps of 1/256 need not sum to 1
    score, gain = _judged(head, rows, scores, trained.class_names)
    return FormatRow(
        name=subject.name,
        runtime=timing.runtime,
        num_bytes=subject.num_bytes,
        num_inputs=len(scores),
        largest_difference=largest,
        split=rows.split,
        first_call_ms=timing.first_call_ms,
        latency_ms=timing.latency_ms,
        threads=timing.threads,
        note=note,
        score=score,
        gain=gain,
    )


def _judged(
    head: Head, rows: PreparedRows, scores: np.ndarray, class_names: tuple[str, ...]
) -> tuple[float | None, Gain | None]:
    """`(score, gain)` of a FormatRow; None without labels."""
    if rows.labels is None:
        return None, None
    judge = evaluators.evaluator_for(head)
    metric = judge.wording.metric
    candidate, own = (judge.candidate(head, values) for values in (scores, rows.scores))
    measured = judge.measure(rows.labels, candidate, class_names)
    return measured.score(metric), judge.difference(rows.labels, candidate, own).gains.get(metric)


def own_row(trained: TransferModel, rows: PreparedRows, name: str) -> FormatRow:
    """The FormatRow of the model itself on these rows, with the size of its weights in float32."""
    head: Head = trained.core.head
    num_bytes = sum(4 * int(np.prod(w.shape)) for w in trained.core.model.weights)
    score, _ = _judged(head, rows, rows.scores, trained.class_names)
    return FormatRow(name, num_bytes=num_bytes, split=rows.split, score=score)


def run(
    subject: Subject,
    rows: PreparedRows,
    *,
    timed: tuple[int, ...] = (),
    num_rows: int = 0,
    settings: dict[str, str] | None = None,
    python: str = sys.executable,
) -> tuple[Timing, dict[str, np.ndarray]]:
    """`(timing, outputs)` of the format's runtime in a clean process.

    Args:
        subject: the format.
        rows: what it computes.
        timed: batch sizes that are timed.
        num_rows: how many rows, the first ones; 0 for all.
        settings: of the runtime in place of the subject's own.
        python: the interpreter, which may be that of another environment.

    Raises:
        ModelError: the runtime fails.
        StorageError: it takes too long or has no room for its answers.
    """
    with tempfile.TemporaryDirectory() as scratch:
        answers = pathlib.Path(scratch, "outputs.npz")
        task = Task(
            runtime=subject.runtime,
            model=str((subject.folder / subject.files[0]).resolve()),
            inputs={name: str(path) for name, path in rows.files.items()},
            outputs=str(answers),
            num_rows=num_rows,
            timed=timed,
            threads=machine.this_machine().cores,
            settings=subject.settings if settings is None else settings,
        )
        printed = _start(task, subject, python, scratch)
        with np.load(answers, allow_pickle=False) as file:
            return Timing(**json.loads(printed.splitlines()[-1])), dict(file)


def _start(task: Task, subject: Subject, python: str, scratch: str) -> str:
    """Runs the program for a task and returns what it printed."""
    try:
        done = subprocess.run(
            [python, "-P", runtime_process.__file__],
            input=json.dumps(dataclasses.asdict(task)) + "\n",
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        what = f"the check of {subject.name} took more than {TIMEOUT_S} s"
        raise StorageError(what, place=subject.folder) from error
    if not done.returncode:
        return done.stdout
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if done.returncode == runtime_process.CANNOT_WRITE:
        what = f"the check of {subject.name} cannot write its answers: {last}"
        raise StorageError(what, place=scratch, fix="free space there, or set TMPDIR")
    what = f"{subject.name} cannot be run in a clean process: {last}"
    raise ModelError(what, place=subject.folder, fix="--noverify exports it all the same")


def scores_of(outputs: dict[str, np.ndarray], head: Head) -> np.ndarray:
    """float32[N, K]: the scores among the outputs of a format, or those that its logits mean.

    Logits of a format are divided by the temperatures already.
    """
    if head.scores_name not in outputs:
        return np.asarray(head.without_temperatures().scores(outputs["logits"]))
    scores = outputs[head.scores_name]
    return scores.reshape(len(scores), -1)


def differences_of(scores: np.ndarray, expected: np.ndarray, head: Head) -> np.ndarray:
    """float[N]: the largest difference in each row of two float32[N, K] scores, in the head's unit.

    What is not finite counts as infinite.
    """
    found = np.abs((scores - expected[: len(scores)]) / head.unit).max(axis=1)
    return np.where(np.isfinite(found), found, np.inf)
