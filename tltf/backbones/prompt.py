"""Soft prompts: learned vectors before the embedded tokens, which stay in the core.

[P; E(x)] in place of E(x): Lester et al. 2021, arXiv:2104.08691, section 2. Departs: the vectors
are inserted after the positions and the normalisation of the embeddings, so that tokens keep their
positions; they start at random; and they are dropped after the last block, so that heads see
tokens only. The vectors are a matrix, which AdamW decays.
"""

import dataclasses
from typing import Any

import keras
from keras import ops

from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.graphs.backbone import Backbone, Group

GROUP = "prompt"
"""Name of the group of layers that holds the prompt."""
DEVIATION = 0.5
"""Standard deviation at the start, about that of normalised embeddings (MiniLM: .47)."""


class SoftPrompt(keras.layers.Layer):
    """A layer that puts learned vectors before a sequence, and ones before its mask.

    Args:
        length: number of vectors.
    """

    def __init__(self, length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length = length

    def build(
        self,
        sequence_shape: tuple[None, int | None, int],
        padding_mask_shape: tuple[None, int | None],
    ) -> None:
        """Makes the vectors."""
        start = keras.initializers.RandomNormal(
            stddev=DEVIATION
        )  # made here, so that --seed decides it
        self.vectors = self.add_weight((self.length, sequence_shape[-1]), start, name="vectors")

    def call(
        self, sequence: keras.KerasTensor, padding_mask: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """`(float[B, P + L, d], int[B, P + L])` from `[B, L, d]` and `[B, L]`."""
        batch = ops.shape(sequence)[0]
        every = ops.broadcast_to(self.vectors, (batch, *self.vectors.shape))
        ones = ops.ones((batch, self.length), padding_mask.dtype)
        together = ops.concatenate([ops.cast(every, sequence.dtype), sequence], axis=1)
        return together, ops.concatenate([ones, padding_mask], axis=1)

    def compute_output_shape(
        self,
        sequence_shape: tuple[None, int | None, int],
        padding_mask_shape: tuple[None, int | None],
    ) -> tuple[tuple[None, int | None, int], tuple[None, int | None]]:
        """The shapes of both sequences, each longer by the prompt."""
        longer = lambda shape: shape[1] + self.length if shape[1] else None  # noqa: E731
        batch, _, width = sequence_shape
        return (batch, longer(sequence_shape), width), (batch, longer(padding_mask_shape))


def add_prompt(backbone: Backbone, length: int) -> Backbone:
    """A Backbone with a prompt of `length` vectors, trained as the group `prompt`.

    Args:
        backbone: a backbone for texts, whose blocks take a sequence and one mask.
        length: number of vectors, at least 1.

    Raises:
        FlagError: the blocks take anything else.
    """
    sequence, mask = first_block_inputs(backbone)
    first = [group.name for group in backbone.groups].index("layer_1")
    prompt = SoftPrompt(length, name="soft_prompt")
    longer, longer_mask = prompt(sequence, mask)
    inputs = [(tensor, tensor) for tensor in backbone.inputs.values()]
    pairs = [*inputs, (sequence, longer), (mask, longer_mask)]  # the last pair of a tensor counts
    (last,) = functional.replay([backbone.taps["sequence"]], pairs)
    taps = {**backbone.taps, "sequence": last[:, length:]}
    for name in taps.keys() & {"pooled", "last"}:
        ends = [*inputs, (backbone.taps["sequence"], taps["sequence"])]
        (taps[name],) = functional.replay([taps[name]], ends)
    group = Group(GROUP, (prompt,))
    groups = (*backbone.groups[:first], group, *backbone.groups[first:])
    return dataclasses.replace(backbone, taps=taps, groups=groups)


def first_block_inputs(backbone: Backbone) -> list[keras.KerasTensor]:
    """The tensors `(sequence, mask)` that the first block of a transformer takes.

    Raises:
        FlagError: the backbone is not a transformer for texts, or its blocks take anything else.
    """
    block = next((g.layers[0] for g in backbone.groups if g.name == "layer_1"), None)
    if backbone.modality != "text" or block is None:
        raise FlagError(
            f"{backbone.name} has no blocks of a transformer", flag="method", fix="--method=lora"
        )
    nodes = functional.ordered_nodes([backbone.taps["sequence"]])
    tensors = next(node for node in nodes if node.operation is block).input_tensors
    if [len(tensor.shape) for tensor in tensors] != [3, 2]:
        raise FlagError(
            f"its blocks ({type(block).__name__}) take more than a sequence and a mask",
            flag="method",
            fix="--method=lora",
        )
    return tensors
