"""Makes the reference of a run: while the run is finished, or later from the run's own data."""

import contextlib
import pathlib
import warnings

import numpy as np

from tltf.caching import frozen_outputs
from tltf.caching.frozen_outputs import NotCached
from tltf.data import label_kinds, run_data, trained_rows
from tltf.data.source import TEST, VALIDATION, Source, Splits
from tltf.errors import DataError, FlagError, StorageError
from tltf.models import loading, task_models
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout
from tltf.serving.monitoring import reference
from tltf.serving.monitoring.answers import Answers, read_given
from tltf.serving.monitoring.reference import About, Reference

MOST_ROWS, MOST_FEATURES = 2000, 1000
"""Rows whose scores and whose features are kept; of more, some are drawn by a fixed seed."""
SEED = 0


def record(trained: TransferModel, run: pathlib.Path, task: str = "") -> bool:
    """Writes the reference of a model that has its splits; returns whether it could.

    It is of the validation split, or of the test split where there is no validation split. Scores that
    a report was judged on are not computed again.

    Args:
        trained: the model, which has been saved in the run folder.
        run: the run folder.
        task: whose head the model has, of a run of several heads; otherwise empty.
    """
    role = next((name for name in (VALIDATION, TEST) if trained.splits.get(name)), None)
    if role is None or len(trained.splits[role]) < 2:
        return False
    made = _make(trained, trained.splits[role], role, run, trained.judged.get(role))
    reference.write(run, made, task)
    return True


def make(run: pathlib.Path, task: str = "") -> Reference:
    """The reference of a run that was made without one, from its own data; it is kept in its folder.

    Args:
        run: the run folder.
        task: see `record`.

    Raises:
        FlagError: there is no run, or its data is gone.
        DataError: the run has no rows that it was not trained on.
        ModelError: its files are refused.
    """
    made = _make_again(run, task)
    try:
        reference.write(run, made, task)
    except StorageError as error:
        warnings.warn(f"the reference is made again at each call: {error.what}", stacklevel=2)
    return made


def _make_again(run: pathlib.Path, task: str = "") -> Reference:
    try:
        parts = run_data.load_parts(str(run))
        if task and all(task in part.label_fields for part in parts.values()):
            parts = Splits({role: part.of_task(task) for role, part in parts.items()})
    except (FlagError, DataError) as error:
        what = f"the run has no {layout.REFERENCE}, and its data cannot be read: {error.what}"
        raise FlagError(
            what, flag="run", fix="a run whose data is there, or train it again"
        ) from error
    role = next((name for name in (VALIDATION, TEST) if parts.get(name)), None)
    part = parts[role] if role else None
    if part is not None:
        is_trained = trained_rows.find_trained(str(run), part)
        if is_trained is not None and is_trained.any():
            part = part.take(np.flatnonzero(~is_trained))
    if role is None or part is None or len(part) < 2:
        what = "the run has no validation and no test rows, and training rows are no reference"
        raise DataError(
            what, flag="run", place=run, fix="a run with --split=holdout(validation=.1)"
        )
    model = task_models.chosen_model(loading.load(run), task, "tltf.monitor")
    return _make(model, part, role, run)


def _make(
    trained: TransferModel,
    part: Source,
    role: str,
    run: pathlib.Path,
    scores: np.ndarray | None = None,
) -> Reference:
    """The reference of rows of a split.

    Args:
        trained: the model.
        part: the rows, of which some are drawn.
        role: of the split.
        run: the run folder, which has the model.
        scores: float32[N, K] of all rows; None to compute those of the drawn ones.
    """
    head, total = trained.core.head, len(part)
    drawn = np.random.default_rng(SEED).permutation(total)[:MOST_ROWS]
    part = part.take(drawn).reorder_classes(trained.class_names)
    scores = trained.scores(part, _batch_size(trained)) if scores is None else scores[drawn]
    scores = np.asarray(scores, np.float32)
    names = trained.class_names or (head.name,)
    given = read_given(head.answers(scores, trained.class_names), head.target, names)
    some = part.take(np.arange(min(len(part), MOST_FEATURES)))
    about = About(
        head.target,
        head.name,
        head.scores_name,
        tuple(head.columns(trained.class_names)),
        names,
        role,
        total,
        reference.weights_sha256(run),
    )
    answers = Answers(scores, given, _compact(_features(trained, some, role)))
    return Reference(about, answers, _truths(np.asarray(part.labels), head.target))


def _truths(labels: np.ndarray, kind: str) -> np.ndarray:
    """The labels as `Answers.given` has answers."""
    if kind == label_kinds.CLASS:
        return labels.astype(np.int32)
    if kind == label_kinds.LABELS:
        return labels.astype(bool)
    return labels.astype(np.float64).reshape(len(labels), -1)


def _features(trained: TransferModel, part: Source, role: str) -> np.ndarray:
    """float32[N, d], from the cache where the run has read them there."""
    if trained.above is not None and len(trained.above[0].model.inputs[0].shape) == 2:
        reading = frozen_outputs.Reading(
            part, trained.preprocessing, trained.takes_any_length, role=role
        )
        with contextlib.suppress(NotCached):
            table = trained.feature_cache.table(trained.feature_model(), reading)
            return next(iter(table.arrays(np.float32).values()))
    return trained.features(part, _batch_size(trained))


def _batch_size(trained: TransferModel) -> int:
    return trained.eval_batch_size if trained.options else 128


def _compact(features: np.ndarray) -> np.ndarray:
    """float16 where no feature is too large for it, else float32."""
    light = np.asarray(features).astype(np.float16)
    return light if np.isfinite(light).all() else np.asarray(features, np.float32)
