"""A pretrained network without its head, as one flat graph in groups of layers."""

import dataclasses
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class Group:
    """Layers that are frozen or trained together, in depth order.

    Args:
        name: `stem`, `stage_1`, ..., or `embeddings`, `layer_1`, ...
        layers: the layers; a layer of the graph is in exactly one group.
    """

    name: str
    layers: tuple[keras.Layer, ...]


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A pretrained network without its old head, as one flat graph with the scaling inside.

    Args:
        name: the call string it was built from.
        modality: `image` or `text`.
        inputs: name -> KerasTensor. Images: `image` float32[B, S, S, C], pixels 0..255.
            Text: `token_ids` and `padding_mask`, int32[B, L], maybe `segment_ids`.
        taps: name -> KerasTensor. Images: `stage_1` .. `stage_n` float32[B, h, w, c], the
            last is the final feature map. Text: `sequence` float32[B, L, d], `mask` [B, L]
            (1 at tokens), `pooled` float32[B, d] where the network has it, `last` float32[B, d],
            the state of the last token, where a token sees only those before it.
        groups: layers in depth order.
        tokenizer: a KerasHub tokenizer; None for images.
        image_size_px: side of the square input; 0 for text.
        channels: 3 or 1; 0 for text.
        text_length: tokens that a text is cut to; 0 for images.
        pretrained: False for random weights.
        blueprint: JSON data from which `rebuild` makes the same graph.
        transfer: rows (name, shape, what was done) where weights were taken by name.
        members: names of the models that an ensemble holds, whose layers are all in the graph; () for a
            network alone.
    """

    name: str
    modality: str
    inputs: dict[str, keras.KerasTensor]
    taps: dict[str, keras.KerasTensor]
    groups: tuple[Group, ...]
    tokenizer: Any
    image_size_px: int
    channels: int
    text_length: int
    pretrained: bool
    blueprint: dict[str, Any]
    transfer: tuple = ()
    members: tuple[str, ...] = ()

    @property
    def takes_any_length(self) -> bool:
        """Whether it takes texts of any length, so that padding can be cut off."""
        return self.modality == "text" and all(t.shape[1] is None for t in self.inputs.values())

    @property
    def layers(self) -> tuple[keras.Layer, ...]:
        """Every layer of the graph, in depth order."""
        return tuple(layer for group in self.groups for layer in group.layers)
