"""The examples of a linear probe: checked, turned into soft targets, and partly held back."""

import numpy as np

from tltf.data import hold_out
from tltf.errors import DataError, NumericError, ShapeError

_BLOCK = 4096


def blocks(count: int) -> list[slice]:
    """Slices that cover `count` rows, so that a memory map is read one block after another."""
    return [slice(first, first + _BLOCK) for first in range(0, count, _BLOCK)]


def check_examples(
    training: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    validation: tuple[np.ndarray, ...] | None,
    num_classes: int,
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray] | None]:
    """Checked training and validation examples, which fit together; see `convex.path`.

    Args:
        training: (features, targets, weights or None).
        validation: (features, labels), or None.
        num_classes: C; 0 takes the largest label or the width of the soft targets.

    Returns:
        `((float[N, d], float64[N, C] whose rows sum to 1, float64[N]), validation)`.

    Raises:
        DataError, ShapeError, NumericError: where `convex.path` raises them.
    """
    validation = None if validation is None else _checked_validation(*validation)
    num_classes = num_classes or _count_classes(training[1], validation)
    training = _checked_training(training, num_classes)
    if validation is None:
        return training, None
    widths = training[0].shape[1], validation[0].shape[1]
    if widths[0] != widths[1]:
        raise ShapeError(f"training has {widths[0]} features, validation {widths[1]}")
    if validation[1].max() >= num_classes:
        raise DataError(f"a validation label is {validation[1].max()} of {num_classes} classes")
    return training, validation


def check_initial(initial: tuple[np.ndarray, ...], training: tuple[np.ndarray, ...]) -> None:
    """Raises an error where the weights to start from do not fit the examples.

    Raises:
        ShapeError: the weights are of other widths.
        NumericError: a weight is not finite.
    """
    kernel, bias = initial
    fitting = (training[0].shape[1], training[1].shape[1])
    if np.shape(kernel) != fitting or np.shape(bias) != fitting[1:]:
        raise ShapeError(
            f"a kernel {np.shape(kernel)} and a bias {np.shape(bias)} to start from do not fit "
            f"{fitting[0]} features and {fitting[1]} classes"
        )
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise NumericError("the weights to start from are not finite")


def hold_back(
    training: tuple[np.ndarray, ...], seed: int, groups: np.ndarray | None = None
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Holds back a fifth of each class, drawn at random; copies of one row stay together.

    Args:
        training: as `check_examples` returns it.
        seed: of the draw.
        groups: see `hold_out.held_groups`.

    Returns:
        `((features, targets, weights), (features, labels, rows))`: first all examples, where those
        that are held back have the weight 0, then the labels and the rows of those that are
        held back, int64[M] both, beside all features, of which there is no copy.

    Raises:
        DataError: there are too few examples.
    """
    features, targets, weights = training
    labels = targets.argmax(1)
    is_held = hold_out.held_groups(labels, groups, seed)
    rest = np.where(is_held, 0.0, weights)
    if not is_held.any() or _is_constant(targets, rest):
        raise DataError(
            f"{len(labels)} training examples are too few to choose a penalty on a fifth of them",
            flag="split",
            fix="give a validation split",
        )
    return (features, targets, rest), (features, labels[is_held], np.flatnonzero(is_held))


def _count_classes(targets: np.ndarray, validation: tuple[np.ndarray, ...] | None) -> int:
    targets = np.asarray(targets)
    if targets.ndim == 2:
        return targets.shape[1]
    labels = [targets] + ([] if validation is None else [validation[1]])
    return int(max((part.max() for part in labels if part.size), default=0)) + 1


def _checked_training(
    training: tuple[np.ndarray, np.ndarray, np.ndarray | None], num_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features, targets, weights = training
    features, targets = _matrix("training", features), np.asarray(targets)
    if targets.ndim not in (1, 2) or len(targets) != len(features):
        raise ShapeError(
            f"training features {features.shape} and targets {targets.shape} do not fit "
            "(expected [N, d] and [N] or [N, C])"
        )
    if targets.ndim == 1:
        targets = np.eye(num_classes)[_labels("training", targets, num_classes)]
    if targets.shape[1] != num_classes:
        raise ShapeError(f"{targets.shape[1]} columns of targets for {num_classes} classes")
    targets = targets.astype(np.float64)
    weights = np.ones(len(targets)) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (len(targets),):
        raise ShapeError(f"weights {weights.shape} do not fit {len(targets)} examples")
    if not (np.isfinite(targets).all() and np.isfinite(weights).all()):
        raise NumericError("targets or weights are not finite")
    if targets.min() < 0 or np.abs(targets.sum(1) - 1).max() > 1e-3:
        raise DataError("soft targets must be 0 or more, and each row must sum to 1")
    if weights.min() < 0 or not weights.any():
        raise DataError("weights must be 0 or more, and at least one must be above 0")
    if _is_constant(targets, weights):
        raise DataError("all training examples have one class; a linear probe needs two")
    return features, targets / targets.sum(1, keepdims=True), weights


def _checked_validation(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    features, labels = _matrix("validation", features), np.asarray(labels)
    if labels.shape != (len(features),):
        raise ShapeError(
            f"validation features {features.shape} and labels {labels.shape} do not fit "
            "(expected [M, d] and [M])"
        )
    return features, _labels("validation", labels, np.inf)


def _matrix(name: str, features: np.ndarray) -> np.ndarray:
    features = features if isinstance(features, np.ndarray) else np.asarray(features)
    if features.ndim != 2:
        raise ShapeError(f"{name} features {features.shape} are not a matrix (expected [N, d])")
    if len(features) == 0:
        raise DataError(f"the {name} split has no examples", flag="split")
    for block in blocks(len(features)):
        is_finite = np.isfinite(features[block]).all(1)
        if not is_finite.all():
            row = block.start + int(is_finite.argmin())
            raise NumericError(f"features of example {row} of the {name} split are not finite")
    return features


def _labels(name: str, labels: np.ndarray, num_classes: float) -> np.ndarray:
    """int64[N] in 0..C-1."""
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{name} labels are {labels.dtype} (expected integers)")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(
            f"{name} labels are {labels.min()}..{labels.max()} of {num_classes} classes"
        )
    return labels.astype(np.int64)


def _is_constant(targets: np.ndarray, weights: np.ndarray) -> bool:
    """Whether all examples with a weight above 0 have the same target."""
    kept = targets[weights > 0]
    return len(kept) == 0 or bool((kept == kept[0]).all())
