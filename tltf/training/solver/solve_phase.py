"""A phase without steps: the head is solved for, and the history has a row for each thing tried."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tltf.console import lines
from tltf.data.label_kinds.several import IS_KNOWN, VALUES
from tltf.graphs.core import Core
from tltf.graphs.frozen_prefix import Cut
from tltf.heads.head import Head
from tltf.heads.light.light_model import FrozenRows
from tltf.heads.solving import weighted_examples
from tltf.heads.solving.convex import Solution
from tltf.methods.method import Method
from tltf.training.callbacks import non_finite
from tltf.training.feed import Batches, DataAbove, PhaseRows
from tltf.training.fit_parts import FitParts
from tltf.training.judges import VALIDATION
from tltf.training.solver import solve_head
from tltf.training.solver.solve_head import ReadExamples


def solve_phase(
    fit: FitParts, phase: str, parts: Cut, above: DataAbove, training: Batches, rows: PhaseRows
) -> None:
    """Trains the head of a core on a frozen backbone without steps.

    Args:
        fit: FitParts.
        phase: name of the phase.
        parts: Cut of the core's model.
        above: DataAbove of the prefix of that cut.
        training: `Batches` that the phase trains on.
        rows: PhaseRows of the phase.

    Raises:
        NumericError: features are not finite.
    """
    given = _read(fit, phase, parts, above, training, rows)
    judged = None
    if VALIDATION in fit.judges:
        judged = _judged_features(fit, parts, above)
        non_finite.require_finite_features(
            rows, phase, judged[0], role=VALIDATION, is_kept=bool(fit.run)
        )
    if not fit.core.joint:
        dense, smoothing = fit.core.groups[-1].layers[0], fit.options.train.label_smoothing
        groups = None if judged else given.groups()
        own = given.examples.only
        solution = solve_head.solve(dense, own, judged, smoothing, groups, head=fit.core.head)
        lines.say(phase, _solution_text(solution, fit.core.head))
        _record(fit, phase, solution.rows)
        return
    for task in fit.core.heads:
        solution = _solve_task(fit, task, given, judged)
        text = _solution_text(solution, fit.core.heads[task].head)
        lines.say(phase, f"{task}: {text}")
        _record(fit, phase, [{"task": task, **row} for row in solution.rows])


def _solve_task(
    fit: FitParts, task: str, given: "_Given", judged: tuple[np.ndarray, np.ndarray] | None
) -> Solution:
    """Solves for one of several heads on the rows with a label of it, as a run of that head alone does.

    Args:
        fit: FitParts.
        task: name of the head.
        given: the training examples of all tasks.
        judged: `(float32[M, d], labels of all tasks)` of the validation split, or None.
    """
    (dense,) = (
        layer
        for layer in fit.core.of_task(task).groups[-1].layers
        if isinstance(layer, keras.layers.Dense)
    )
    known = given.examples.weights[task] > 0
    targets = given.examples.targets[task][known]
    own = _rows(given.examples.features, known), targets, np.ones(len(targets))
    validation, groups = None, None
    if judged is not None and judged[1][task][IS_KNOWN].any():
        rows = judged[1][task][IS_KNOWN]
        validation = _rows(judged[0], rows), judged[1][task][VALUES][rows]
    else:
        every = given.groups()
        groups = None if every is None else every[known]
    smoothing, head = fit.options.train.label_smoothing, fit.core.heads[task].head
    return solve_head.solve(dense, own, validation, smoothing, groups, head=head)


def _rows(features: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Some rows of features, of which a memory map is not copied if it stays whole."""
    return features if kept.all() else features[kept]


def solve_by_method(
    method: Method,
    fit: FitParts,
    phase: str,
    parts: Cut,
    above: DataAbove,
    training: Batches,
    rows: PhaseRows,
) -> Core:
    """The core with the head that `Method.solve` makes; see `solve_phase` for the other arguments."""
    given = _read(fit, phase, parts, above, training, rows)
    features, targets, weights = given.examples.only
    num_classes, smoothing = fit.core.num_classes, fit.options.train.label_smoothing
    soft = solve_head.smoothed(targets, num_classes, smoothing)
    checked, _ = weighted_examples.check_examples((features, soft, weights), None, num_classes)
    light = FrozenRows(*checked, given.groups())
    solved = method.solve(fit.core, light, fit.options.runtime.seed, _unlabelled(fit, parts, above))
    lines.say(phase, solved.text)
    rows_tried = [{"candidate": f"{phase} {n}", **row} for n, row in enumerate(solved.history, 1)]
    _record(fit, phase, rows_tried)
    return solved.core


def _unlabelled(fit: FitParts, parts: Cut, above: DataAbove) -> np.ndarray | None:
    """float32[M, d]: the features of the rows without labels that the method reads, each once."""
    read = fit.feed.unlabelled_in_order
    if read is None:
        return None
    if above.training:
        return solve_head.read_features(read(parts.prefix), None, _limit_bytes(fit))
    return solve_head.read_features(read(None), parts.prefix, _limit_bytes(fit))


def _record(fit: FitParts, phase: str, rows: Sequence[dict[str, Any]]) -> None:
    """Adds a row to the history for each thing that was tried."""
    for number, row in enumerate(rows, 1):
        fit.record.history.append({"phase": phase, "epoch": number, **row})
        fit.log.write(fit.record.history[-1])


@dataclasses.dataclass(frozen=True)
class _Given:
    """The examples of a phase, and the function that gives the row of the data behind each."""

    examples: ReadExamples
    groups: Callable[[], np.ndarray | None]


def _read(
    fit: FitParts, phase: str, parts: Cut, above: DataAbove, training: Batches, rows: PhaseRows
) -> _Given:
    """The training examples of a phase; see `solve_phase` for the arguments and the errors."""
    options = fit.options
    views = max(1, options.cache.cache_views) if options.data.augment else 1
    is_drawn = options.train.sampling == "balanced" or fit.core.joint is not None
    once = {"is_drawn": False} if is_drawn else {}
    batches = training(rows.epochs_before, views, **once)
    prefix = None if above.training else parts.prefix
    examples = solve_head.read_examples(batches, prefix, _limit_bytes(fit))
    is_kept = bool(fit.run)
    non_finite.require_finite_features(
        rows, phase, examples.features, passes=views, is_kept=is_kept
    )
    origins = fit.feed.origins

    def groups() -> np.ndarray | None:
        return origins(rows.epochs_before, views, **once) if origins else None

    return _Given(examples, groups)


def _solution_text(solution: Solution, head: Head) -> str:
    """What was chosen, with its score on validation where that chose it."""
    row = next(row for row in solution.rows if row["penalty"] == solution.penalty)
    text = f"solved, penalty {solution.penalty:g} of {len(solution.rows)} tried"
    score = row.get(f"val_{head.metric}")
    if score is None:
        return text
    told = f"{score * head.unit:.4g}" if head.lower_is_better else f"{score:.1%}"
    return f"{text}; validation {head.metric.replace('_', ' ')} {told}"


def _judged_features(fit: FitParts, parts: Cut, above: DataAbove) -> tuple[np.ndarray, np.ndarray]:
    """`(float32[M, d], labels)` of the validation split."""
    split = fit.judges.splits[VALIDATION]
    prefix = None if above.validation else parts.prefix
    read = solve_head.read_examples(split.dataset, prefix, _limit_bytes(fit))
    return read.features[: len(split.labels)], split.labels


def _limit_bytes(fit: FitParts) -> int:
    """The number of bytes of a split's features above which they lie in a file."""
    return fit.options.cache.cache_memory_mb * 2**20
