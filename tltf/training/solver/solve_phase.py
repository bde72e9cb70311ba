"""A phase without steps: the head is solved for, and the history has a row for each thing tried."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tltf.console import lines
from tltf.graphs.core import Core
from tltf.graphs.frozen_prefix import Cut
from tltf.heads.light.light_model import FrozenRows
from tltf.heads.solving import weighted_examples
from tltf.heads.solving.convex import Examples, Solution
from tltf.methods.method import Method
from tltf.training.callbacks import non_finite
from tltf.training.feed import Batches, DataAbove, PhaseRows
from tltf.training.fit_parts import FitParts
from tltf.training.judges import VALIDATION
from tltf.training.solver import solve_head


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
    (dense,) = fit.core.groups[-1].layers
    smoothing = fit.options.train.label_smoothing
    groups = None if judged else given.groups()
    solution = solve_head.solve(dense, given.examples, judged, smoothing, groups)
    lines.say(phase, _solution_text(solution, fit.core.head.metric))
    _record(fit, phase, solution.rows)


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
    features, targets, weights = given.examples
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

    examples: Examples
    groups: Callable[[], np.ndarray | None]


def _read(
    fit: FitParts, phase: str, parts: Cut, above: DataAbove, training: Batches, rows: PhaseRows
) -> _Given:
    """The training examples of a phase; see `solve_phase` for the arguments and the errors."""
    options = fit.options
    views = max(1, options.cache.cache_views) if options.data.augment else 1
    once = {"is_drawn": False} if options.train.sampling == "balanced" else {}
    batches = training(rows.epochs_before, views, **once)
    prefix = None if above.training else parts.prefix
    examples = solve_head.read_examples(batches, prefix, _limit_bytes(fit))
    is_kept = bool(fit.run)
    non_finite.require_finite_features(rows, phase, examples[0], passes=views, is_kept=is_kept)
    origins = fit.feed.origins

    def groups() -> np.ndarray | None:
        return origins(rows.epochs_before, views, **once) if origins else None

    return _Given(examples, groups)


def _solution_text(solution: Solution, metric: str) -> str:
    """What was chosen, with its score on validation where that chose it."""
    row = next(row for row in solution.rows if row["penalty"] == solution.penalty)
    text = f"solved, penalty {solution.penalty:g} of {len(solution.rows)} tried"
    score = row.get(f"val_{metric}")
    return text if score is None else f"{text}; validation {metric} {score:.1%}"


def _judged_features(fit: FitParts, parts: Cut, above: DataAbove) -> tuple[np.ndarray, np.ndarray]:
    """`(float32[M, d], labels)` of the validation split."""
    split = fit.judges.splits[VALIDATION]
    prefix = None if above.validation else parts.prefix
    features, _, _ = solve_head.read_examples(split.dataset, prefix, _limit_bytes(fit))
    return features[: len(split.labels)], split.labels


def _limit_bytes(fit: FitParts) -> int:
    """The number of bytes of a split's features above which they lie in a file."""
    return fit.options.cache.cache_memory_mb * 2**20
