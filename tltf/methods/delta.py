"""DELTA: feature maps are held near those of the pretrained network."""

from typing import Any

import keras
from keras import ops

from tltf.backbones import kept_layers
from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.graphs.backbone import Backbone
from tltf.methods.method import Phase
from tltf.methods.penalty import Penalised
from tltf.methods.rules import EVERYTHING

REFERENCE = "reference_"
"""Begins the names of a frozen copy's layers."""


def delta(
    alpha: float = 0.0001, beta: float = 0.01, features: tuple[str, ...] = ()
) -> "FeatureMaps":
    """Trains everything; the loss holds feature maps near those of the pretrained network.

    alpha / 2 * |FM(w) - FM(w0)|^2, summed over positions and channels (a text's real tokens) and
    over the maps, the mean over examples, plus beta / 2 |v|^2 of the head's variables: Li et al.
    2019, arXiv:1901.09229, eq. 3 and 4. Departs: all channels have the same weight; the paper
    weighs them by what a probe loses without each. As penalties in the loss both are rescaled by
    Adam, so that a strength is not that of the paper's SGD. alpha is not the paper's .01 but the best
    on validation rows of .1, .01, .001 and .0001 (MiniLM on 2,000 texts .678, .804, .862, .870;
    EfficientNet-Lite0 on 3,000 images .857, .868, .904, .920; one seed). The pretrained network's
    maps are computed once for each example where they fit the cache, see tltf.graphs.frozen_prefix.

    Args:
        alpha: at least 0.
        beta: at least 0.
        features: names of an image backbone's taps; empty: the last one, or a text's sequence.

    Raises:
        FlagError: a number below 0, or no such tap.
    """
    if not (alpha >= 0 and beta >= 0):
        raise FlagError(f"alpha and beta are at least 0 (received {alpha}, {beta})", flag="method")
    return FeatureMaps(alpha, beta, tuple(features))


class FeatureMaps(Penalised):
    """See `delta`."""

    def __init__(self, alpha: float, beta: float, features: tuple[str, ...]) -> None:
        super().__init__(lambda core: [Phase("delta", EVERYTHING)])
        self.alpha, self.beta, self.features = alpha, beta, features
        self.head: list = []
        self.is_text = False

    def penalty_inputs(self, core: Any, context: Any) -> Any:
        """Each map, that of the frozen copy, and a text's mask."""
        taps, self.is_text = core.backbone.taps, core.backbone.modality == "text"
        self.head = [v for layer in core.groups[-1].layers for v in layer.trainable_weights]
        names = self._names(taps)
        before = frozen_copy(core.backbone)
        pairs = [tensor for name in names for tensor in (taps[name], before[name])]
        return [*pairs, *([taps["mask"]] if self.is_text else [])], ()

    def penalty(self, *arrays: Any) -> Any:
        """float[]."""
        maps, mask = (arrays[:-1], arrays[-1]) if self.is_text else (arrays, None)
        pairs = zip(maps[::2], maps[1::2], strict=True)
        distance = sum(
            _squared_distance(now - ops.stop_gradient(before), mask) for now, before in pairs
        )
        shrink = sum(ops.sum(ops.square(variable)) for variable in self.head)
        return 0.5 * self.alpha * distance + 0.5 * self.beta * shrink

    def _names(self, taps: dict[str, keras.KerasTensor]) -> list[str]:
        if not self.features:
            stages = [name for name in taps if name.startswith("stage_")]
            return ["sequence"] if self.is_text else stages[-1:]
        unknown = [name for name in self.features if name not in taps or name in ("mask", "pooled")]
        if unknown:
            what = f"no feature map {unknown[0]!r} (choices: {', '.join(taps)})"
            raise FlagError(what, flag="method", fix="--method=delta")
        return list(self.features)


def _squared_distance(difference: Any, mask: Any) -> Any:
    """float[]: sum over positions that are not padding and channels, mean over examples."""
    squares = ops.sum(ops.square(difference), axis=-1)
    squares = squares if mask is None else squares * mask
    return ops.mean(ops.sum(squares, axis=tuple(range(1, len(squares.shape)))))


def frozen_copy(backbone: Backbone) -> dict[str, keras.KerasTensor]:
    """Tap name -> KerasTensor on the backbone's inputs, by frozen copies of all its layers."""
    whole = keras.Model(backbone.inputs, backbone.taps)
    copy = keras.models.clone_model(whole, clone_function=kept_layers.copy_without_parts)
    kept_layers.put_into_copies(backbone, {layer.name: layer for layer in copy.layers})
    now, before = (
        functional.named_weights(functional.layers(list(model.outputs))) for model in (copy, whole)
    )
    for name, variable in now.items():
        variable.assign(before[name])
    for operation in functional.operations(list(copy.outputs)):
        operation.name = REFERENCE + operation.name
        operation.trainable = False
    given = [(copy.input[name], tensor) for name, tensor in backbone.inputs.items()]
    flat = functional.replay([copy.output[name] for name in backbone.taps], given)
    return dict(zip(backbone.taps, flat, strict=True))
