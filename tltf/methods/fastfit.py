"""Batch contrast of texts with each other and with the names of the classes, token by token."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tltf.data.ordering import GivenOrder
from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core
from tltf.methods import label_texts
from tltf.methods.context import FitContext
from tltf.methods.episodes import episode_order
from tltf.methods.method import Phase, RowsToOrder
from tltf.methods.penalty import require_one_class
from tltf.methods.tuned_head import TunedHeadMethod, pick_head

EXCLUDED = 1e9
"""What is taken from the logit of a candidate that does not count."""


def fastfit(
    template: str = "{label}",
    temperature: float = 0.1,
    head: str = "lbfgs",
    last_groups: int = 0,
    backbone_rate: float = 1.0,
) -> "FastFit":
    """A method that contrasts the texts of a batch with each other and with the names of the classes.

    The similarity of two texts is S(x, y) = mean over the tokens i of x of max over the tokens j of y
    of cos(x_i, y_j). A text x has the loss

        - mean over p in P(x) of log(exp(S(x, p) / t) / sum over a in A(x) of exp(S(x, a) / t)),

    A(x) the other texts of the batch and the names of all classes, P(x) those of the class of x, its
    name among them: Yehudai & Bendel 2024, arXiv:2404.12365, section 2, after the supervised contrast
    of Khosla et al. 2020, arXiv:2004.11362, eq. 2. Departs: the paper answers with the class whose name is most
    similar; here the exported head is linear on the pooled features, and made on them after training.
    The paper adds the masked-language loss and several noisy copies of each text; both are left out.
    S is a mean over tokens, not a sum, so that t means the same for short and long texts. Names are
    candidates, not anchors. Batches are episodes, so that most texts have others of their class.
    Weights of rows count for the head alone.

    Args:
        template: a text with {label} in place of the name of a class; one.
        temperature: t, above 0.
        head: `lbfgs` solves for the head, as `lp_ft` does; otherwise the families of light heads that
            `probe` takes, such as `auto`.
        last_groups: number of groups of layers that are trained, from the top; 0 for all. What the
            others give is computed once.
        backbone_rate: factor on --learning_rate, above 0.

    Raises:
        FlagError: a template without {label}, an unknown head, a number out of its range; when
            training begins, a network of images, or data with several texts in a row.
        DataError: when training begins, rows of one class, or no class with two rows.
    """
    templates = label_texts.check_template(template, "fastfit")
    if len(templates) > 1 or not temperature > 0:
        raise FlagError(
            f"fastfit takes one template, and a temperature above 0 (received {template!r}, "
            f"{temperature})",
            flag="method",
            fix="--method=fastfit",
        )
    light = pick_head(head)
    return FastFit(
        templates, temperature, TunedHeadMethod("fastfit", light, last_groups, backbone_rate)
    )


class FastFit(TunedHeadMethod):
    """The method that `fastfit` makes.

    Args:
        templates: one text with {label}.
        temperature: what divides similarities.
        usual: the phases and the head.
    """

    def __init__(
        self, templates: Sequence[str], temperature: float, usual: TunedHeadMethod
    ) -> None:
        super().__init__(usual.name, usual.light, usual.last_groups, usual.backbone_rate)
        self.templates, self.temperature = tuple(templates), temperature
        self.context = FitContext()

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The core with the loss; without it where no names can be read, as for an adapter."""
        self.context, self.plain = context, core
        return core if context.text_inputs is None else super().prepare(core, context)

    def order(self, phase: Phase, rows: RowsToOrder) -> GivenOrder | None:
        """Episodes side by side, of as many classes as fit."""
        label_texts.require_inputs(self.context, self.name)
        return episode_order(rows)

    def penalty_inputs(
        self, core: Core, context: FitContext
    ) -> tuple[list[keras.KerasTensor], tuple[Group, ...]]:
        """The tokens of the batch and of the names, each with its mask; no more groups."""
        to_inputs, backbone = label_texts.require_inputs(context, self.name), core.backbone
        (texts,) = zip(*label_texts.named_texts(context.class_names, self.templates), strict=True)
        inputs = _cut(to_inputs(texts)) if backbone.takes_any_length else to_inputs(texts)
        given = [
            (tensor, ConstantRows(inputs[name], name=f"names_{name}")(tensor))
            for name, tensor in backbone.inputs.items()
        ]
        own = [backbone.taps["sequence"], backbone.taps["mask"]]
        return [*own, *functional.replay(own, given)], ()

    def penalty(self, targets: tf.Tensor, *tensors: tf.Tensor) -> tf.Tensor:
        """float[]: the mean loss of the texts of a batch."""
        require_one_class(targets, self.name)
        tokens, mask, name_tokens, name_mask = tensors
        own = token_similarities((tokens, mask), (tokens, mask))
        named = token_similarities((tokens, mask), (name_tokens, name_mask))
        logits = ops.concatenate([own, named], axis=1) / self.temperature
        is_self = ops.pad(ops.eye(ops.shape(own)[0]), [[0, 0], [0, named.shape[1]]])
        shares = ops.log_softmax(logits - EXCLUDED * is_self, axis=-1)
        labels = ops.concatenate([ops.cast(targets, "int32"), ops.arange(named.shape[1])])
        is_alike = ops.cast(labels[None, :] == labels[: ops.shape(own)[0], None], "float32")
        is_alike = is_alike * (1.0 - is_self)
        return -ops.mean(ops.sum(is_alike * shares, axis=1) / ops.sum(is_alike, axis=1))


def token_similarities(
    texts: tuple[tf.Tensor, tf.Tensor], others: tuple[tf.Tensor, tf.Tensor]
) -> tf.Tensor:
    """float[A, B]: S of each text with each other, of (float[A, L, d], float[A, L]) and those of B."""
    (tokens, mask), (other_tokens, other_mask) = texts, others
    units, other_units = ops.normalize(tokens, axis=-1), ops.normalize(other_tokens, axis=-1)
    cosines = ops.einsum("aid,bjd->abij", units, other_units)
    cosines = cosines - EXCLUDED * (1.0 - other_mask)[None, :, None, :]
    best = ops.max(cosines, axis=-1) * mask[:, None, :]
    return ops.sum(best, axis=-1) / ops.maximum(ops.sum(mask, axis=-1), 1.0)[:, None]


def _cut(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs [C, L] up to the last token of the longest text."""
    longest = max(1, int(np.flatnonzero(inputs["padding_mask"].any(axis=0)).max(initial=0)) + 1)
    return {name: array[:, :longest] for name, array in inputs.items()}


class ConstantRows(keras.layers.Layer):
    """A layer that gives the same rows whatever it takes, so that other inputs stand in a graph.

    It is never part of a frozen prefix, whose outputs have a row for each example.

    Args:
        rows: [C, ...].
    """

    is_always_above = True
    """Whether the layer and all above it stay out of a frozen prefix."""

    def __init__(self, rows: np.ndarray, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.rows = rows

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The rows, in the dtype of the inputs."""
        return tf.constant(self.rows, inputs.dtype)

    def compute_output_spec(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """The rows' shape, in the dtype of the inputs."""
        return keras.KerasTensor(self.rows.shape, inputs.dtype)
