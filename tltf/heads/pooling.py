"""Pooling: the taps of a backbone become one row of features for each example."""

import keras
from keras import ops

from tltf.errors import ModelError
from tltf.graphs.last_state import last_state

POOLINGS = ("auto", "average", "max", "flatten", "first", "last", "pooled")
"""The names of all poolings; see `Head` for what they do."""

Taps = dict[str, keras.KerasTensor]
"""Name -> tensor, as `Backbone.taps` has them."""


class SharedTaps(dict[str, keras.KerasTensor]):
    """Taps for several heads: what one head has pooled is there for the others, which pool alike.

    So heads that pool alike stand on one tensor, which is computed, kept and solved on once.
    """

    def __init__(self, taps: Taps) -> None:
        super().__init__(taps)
        self.pooled: dict[tuple[str, tuple[str, ...]], keras.KerasTensor] = {}


def pool(
    taps: Taps, modality: str, pooling: str, features: tuple[str, ...] = ()
) -> keras.KerasTensor:
    """float32[B, d]: the features that a head takes, one row per example.

    Args:
        taps: images: `stage_n` float[B, h, w, c]; texts: `sequence` float[B, L, d] and `mask`
            [B, L]; `pooled` float[B, d] where the backbone has it, and `last` float[B, d] where it
            reads forward.
        modality: `image` or `text`.
        pooling: one of POOLINGS.
        features: names of image taps to pool and put side by side; empty for the last stage.

    Raises:
        ModelError: the backbone does not have what the pooling takes.
    """
    if pooling == "auto":
        pooling = "last" if "last" in taps else "average"
    if not isinstance(taps, SharedTaps):
        return _pool(taps, modality, pooling, features)
    key = (pooling, features)
    if key not in taps.pooled:
        taps.pooled[key] = _pool(dict(taps), modality, pooling, features)
    return taps.pooled[key]


def _pool(taps: Taps, modality: str, pooling: str, features: tuple[str, ...]) -> keras.KerasTensor:
    if features:
        _check_features(taps, modality, features)
        pooled = [_pool_image({name: taps[name]}, pooling) for name in features]
        return ops.concatenate([ops.cast(part, "float32") for part in pooled], axis=-1)
    pooled = _pool_one(taps, modality, pooling)
    return pooled if pooled.dtype == "float32" else ops.cast(pooled, "float32")


def _pool_one(taps: Taps, modality: str, pooling: str) -> keras.KerasTensor:
    if pooling == "pooled":
        if "pooled" not in taps:
            raise ModelError(
                "this backbone has no pooled output",
                flag="head",
                fix="--head='classify(pooling=average)'",
            )
        return taps["pooled"]
    return _pool_image(taps, pooling) if modality == "image" else _pool_text(taps, pooling)


def _check_features(taps: Taps, modality: str, features: tuple[str, ...]) -> None:
    """Raises ModelError for a tap that is not an image stage of the backbone."""
    stages = [name for name in taps if modality == "image" and name.startswith("stage_")]
    unknown = [name for name in features if name not in stages]
    if unknown:
        choices = ", ".join(stages) or "none for texts"
        what = f"the backbone has no features {unknown[0]!r} (choices: {choices})"
        raise ModelError(what, flag="head", fix="leave features out for the last stage")


def _pool_image(taps: Taps, pooling: str) -> keras.KerasTensor:
    final = list(taps.values())[-1] if "pooled" not in taps else _last_stage(taps)
    if pooling == "flatten":
        return ops.reshape(final, (-1, final.shape[1] * final.shape[2] * final.shape[3]))
    if pooling == "max":
        return ops.max(final, axis=(1, 2))
    if pooling in ("first", "last"):
        raise ModelError(f"pooling={pooling} takes a text backbone", flag="head")
    return ops.mean(ops.cast(final, "float32"), axis=(1, 2))


def _last_stage(taps: Taps) -> keras.KerasTensor:
    return taps[max((t for t in taps if t.startswith("stage_")), key=lambda t: int(t[6:]))]


def _pool_text(taps: Taps, pooling: str) -> keras.KerasTensor:
    if pooling == "last":
        return taps["last"] if "last" in taps else last_state(taps["sequence"], taps["mask"])
    sequence = ops.cast(taps["sequence"], "float32")
    mask = ops.expand_dims(ops.cast(taps["mask"], "float32"), -1)
    if pooling == "first":
        return sequence[:, 0, :]
    if pooling == "max":
        return ops.max(sequence - (1.0 - mask) * 1e9, axis=1)
    if pooling == "flatten":
        raise ModelError(
            "pooling=flatten takes an image backbone",
            flag="head",
            fix="--head='classify(pooling=average)'",
        )
    return ops.sum(sequence * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1.0)
