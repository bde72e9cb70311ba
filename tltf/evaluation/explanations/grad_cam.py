"""Grad-CAM: which places of a feature map speak for an answer."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tltf.errors import FlagError, ModelError, choices_text
from tltf.evaluation.explanations.explainer import (
    Attribute,
    Attributions,
    Explainer,
    Tensors,
    explained_outputs,
)
from tltf.graphs import functional
from tltf.graphs.core import Core
from tltf.graphs.split_graph import split_at
from tltf.models.served_model import ServedModel

LEAST_SIDE = 4
"""Places on a side of a feature map below which an earlier one is taken, where there is one."""
POINT = "tltf_feature_map"


@dataclasses.dataclass(frozen=True)
class GradCam(Explainer):
    """ReLU(sum_k a_k A^k) with a_k the mean over places of dy / dA^k.

    Selvaraju et al. 2017, arXiv:1610.02391, equations 1 and 2: y is the explained output, before
    softmax, and A^k the k-th channel of a feature map. Departs: of a map of 3 x 3 places or less, as
    small pictures have, the last one that is larger is taken.

    Args:
        layer: a tap of the backbone, such as `stage_5`; empty for the last feature map.
    """

    layer: str = ""

    modalities = ("image",)
    is_signed = False

    def attach(self, model: ServedModel, batch_size: int) -> Attribute:
        """The method for one model; it makes one pass for each input.

        Raises:
            ModelError: it is not of images, or its head takes no feature map.
            FlagError: `layer` is not a feature map that the head takes.
        """
        core = model.core
        parts = split_at(core.model, {POINT: self._feature_map(core)})

        def attribute(tensors: Tensors, chosen: np.ndarray) -> Attributions:
            maps = parts.below(tensors, training=False)[POINT]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(maps)
                outputs = explained_outputs(core, parts.above, {**tensors, POINT: maps}, chosen)
            gradients = tape.gradient(outputs, maps)
            weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
            values = tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1))
            steps = np.ones(len(chosen), np.int64)
            return Attributions(values.numpy(), outputs.numpy(), None, None, steps)

        return attribute

    def _feature_map(self, core: Core) -> keras.KerasTensor:
        """The tap that `layer` names, or the last one that the output is computed from."""
        if core.backbone.members:
            what = (
                "Grad-CAM looks at the features of one network, and this is an ensemble of several"
            )
            raise FlagError(what, flag="explainer", fix="--explainer=integrated_gradients")
        used = {
            id(tensor)
            for node in functional.ordered_nodes(core.model.outputs)
            for tensor in node.outputs
        }
        taps = {
            name: tensor
            for name, tensor in core.backbone.taps.items()
            if name.startswith("stage_") and len(tensor.shape) == 4 and id(tensor) in used
        }
        if self.layer:
            if self.layer not in taps:
                choices = choices_text(self.layer, taps) or "none"
                what = f"grad_cam takes no layer {self.layer!r} of this model (choices: {choices})"
                raise FlagError(what, flag="explainer", fix="leave layer out")
            return taps[self.layer]
        if not taps:
            raise ModelError("Grad-CAM needs a feature map below the head, and there is none")
        large = [tensor for tensor in taps.values() if _least_side(tensor) >= LEAST_SIDE]
        return large[-1] if large else list(taps.values())[-1]


def _least_side(tensor: keras.KerasTensor) -> int:
    return min(side or LEAST_SIDE for side in tensor.shape[1:3])
