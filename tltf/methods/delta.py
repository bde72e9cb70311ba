"""DELTA: a penalty holds feature maps near those of the pretrained network."""

from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import ops

from tltf.backbones import kept_layers
from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.graphs.backbone import Backbone, Group
from tltf.graphs.core import Core
from tltf.methods.context import FitContext
from tltf.methods.method import Phase
from tltf.methods.penalty import PenaltyMethod
from tltf.methods.rules import EVERYTHING, require_strengths

REFERENCE = "reference_"
"""The prefix of the names of a frozen copy's layers."""


def delta(
    alpha: float = 0.0001, beta: float = 0.01, features: tuple[str, ...] = ()
) -> "FeatureMaps":
    """A method that trains everything; a penalty holds feature maps near the pretrained network's.

    alpha / 2 * |FM(w) - FM(w0)|^2, summed over positions (of a text: its real tokens), channels and
    maps, the mean over examples, plus beta / 2 |v|^2 of the head's variables: Li et al.
    2019, arXiv:1901.09229, eq. 3 and 4. Departs: all channels have the same weight; the paper
    weighs each by what a probe loses without it. Adam rescales both penalties, so the same strength
    does not mean the same as with the paper's SGD. alpha is not the paper's .01 but the best
    on validation rows of .1, .01, .001 and .0001 (MiniLM on 2,000 texts .678, .804, .862, .870;
    EfficientNet-Lite0 on 3,000 images .857, .868, .904, .920; one seed). The pretrained network's
    maps are computed once for each example where they fit the cache, see tltf.graphs.frozen_prefix.

    Args:
        alpha: strength of the penalty on feature maps, at least 0.
        beta: strength of the penalty on the head, at least 0.
        features: names of an image backbone's taps; empty for the last one, or for the sequence of
            a text backbone.

    Raises:
        FlagError: a number below 0, or a tap that the backbone does not have.
    """
    require_strengths(alpha, beta)
    return FeatureMaps(alpha, beta, tuple(features))


class FeatureMaps(PenaltyMethod):
    """The method that `delta` makes."""

    def __init__(self, alpha: float, beta: float, features: tuple[str, ...]) -> None:
        super().__init__(lambda core: [Phase("delta", EVERYTHING)])
        self.alpha, self.beta, self.features = alpha, beta, features
        self.head: list[keras.Variable] = []
        self.is_text = False

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """Each map, the same map of the frozen copy, and a text's mask; no more groups."""
        taps, self.is_text = core.backbone.taps, core.backbone.modality == "text"
        self.head = [v for layer in core.groups[-1].layers for v in layer.trainable_weights]
        names = self._names(taps)
        before = frozen_copy(core.backbone)
        pairs = [tensor for name in names for tensor in (taps[name], before[name])]
        return [*pairs, *([taps["mask"]] if self.is_text else [])], ()

    def penalty(self, *arrays: tf.Tensor) -> tf.Tensor:
        """float[]: the penalty on feature maps and on the head."""
        maps: Sequence[tf.Tensor]
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
        unknown = [
            name for name in self.features if name not in taps or name in ("mask", "pooled", "last")
        ]
        if unknown:
            what = f"there is no feature map {unknown[0]!r} (choices: {', '.join(taps)})"
            raise FlagError(what, flag="method", fix="--method=delta")
        return list(self.features)


def _squared_distance(difference: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """float[]: the sum of squares over channels and real positions, the mean over examples."""
    squares = ops.sum(ops.square(difference), axis=-1)
    squares = squares if mask is None else squares * mask
    return ops.mean(ops.sum(squares, axis=tuple(range(1, len(squares.shape)))))


def frozen_copy(backbone: Backbone) -> dict[str, keras.KerasTensor]:
    """Tap name -> the tap that frozen copies of all layers compute from the backbone's inputs."""
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
