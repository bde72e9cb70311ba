"""What a head sees of a backbone: one row of features for each example."""

from typing import Any

from keras import ops

from tltf.errors import ModelError

POOLINGS = ("auto", "average", "max", "flatten", "first", "pooled")


def pool(taps: dict[str, Any], modality: str, pooling: str, features: tuple[str, ...] = ()) -> Any:
    """The features that a head sees, one row an example.

    Args:
        taps: name -> KerasTensor. Images: `stage_n` float[B, h, w, c]; texts: `sequence`
            float[B, L, d] and `mask` [B, L]; `pooled` float[B, d] where there is one.
        modality: `image` or `text`.
        pooling: one of POOLINGS.
        features: names of image taps to pool and put side by side; empty: the last stage.

    Returns:
        KerasTensor float32[B, d].

    Raises:
        ModelError: the backbone does not have what the pooling takes.
    """
    if features:
        _check_features(taps, modality, features)
        pooled = [_pool_image({name: taps[name]}, pooling) for name in features]
        return ops.concatenate([ops.cast(part, "float32") for part in pooled], axis=-1)
    pooled = _pool_one(taps, modality, pooling)
    return pooled if pooled.dtype == "float32" else ops.cast(pooled, "float32")


def _pool_one(taps: dict[str, Any], modality: str, pooling: str) -> Any:
    if pooling == "pooled":
        if "pooled" not in taps:
            raise ModelError(
                "this backbone has no pooled output",
                flag="head",
                fix="--head='classify(pooling=average)'",
            )
        return taps["pooled"]
    return _pool_image(taps, pooling) if modality == "image" else _pool_text(taps, pooling)


def _check_features(taps: dict[str, Any], modality: str, features: tuple[str, ...]) -> None:
    """Raises ModelError for a tap that is not an image stage of the backbone."""
    stages = [name for name in taps if modality == "image" and name.startswith("stage_")]
    unknown = [name for name in features if name not in stages]
    if unknown:
        what = f"no features {unknown[0]!r} (choices: {', '.join(stages) or 'none for texts'})"
        raise ModelError(what, flag="head", fix="leave features out for the last stage")


def _pool_image(taps: dict[str, Any], pooling: str) -> Any:
    final = list(taps.values())[-1] if "pooled" not in taps else _last_stage(taps)
    if pooling == "flatten":
        return ops.reshape(final, (-1, final.shape[1] * final.shape[2] * final.shape[3]))
    if pooling == "max":
        return ops.max(final, axis=(1, 2))
    if pooling == "first":
        raise ModelError("pooling=first takes a text backbone", flag="head")
    return ops.mean(ops.cast(final, "float32"), axis=(1, 2))


def _last_stage(taps: Any) -> Any:
    return taps[max((t for t in taps if t.startswith("stage_")), key=lambda t: int(t[6:]))]


def _pool_text(taps: dict[str, Any], pooling: str) -> Any:
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
