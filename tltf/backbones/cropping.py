"""Cropped backbones: without the last groups of layers, which makes them smaller and faster.

Top-layer dropping: Sajjad et al. 2020, arXiv:2004.03844, section 3.1, for transformers; for
convolutional networks the features are then those of an earlier stage.
"""

import dataclasses

import keras

from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.graphs.backbone import Backbone, Group

RECORD_KIND = "crop"
"""What a cropped backbone's blueprint calls the change, see `kept_layers`."""
POOLER = "pooler"
"""Name of the group above the last block of some transformers, which a crop leaves in place."""


def crop(backbone: Backbone, last_groups: int) -> Backbone:
    """A Backbone without its last groups of layers.

    A transformer for texts ends after an earlier block; a pooler above it stays. A normalisation
    that belongs to the last block goes with it. A convolutional network loses the taps of its last
    stages.

    Args:
        backbone: the whole one, whose layers are shared.
        last_groups: number of groups to remove, at least 1.

    Raises:
        FlagError: nothing would be left, or a network whose features are not those of its groups.
    """
    names = [group.name for group in backbone.groups if group.name != POOLER]
    kept, dropped = names[:-last_groups], names[-last_groups:]
    least = "a stage with features" if backbone.modality == "image" else "a block"
    possible = [n for n in range(1, len(names)) if _can_end_at(backbone, names[:-n][-1])]
    if last_groups not in possible:
        choices = f"at most {possible[-1]} can go" if possible else "none can go"
        raise FlagError(
            f"{backbone.name} has the groups {', '.join(names)}, and {least} must be left, so that "
            f"{choices} (received last_groups={last_groups})",
            flag="method",
            fix=f"--method='crop(last_groups={possible[-1]})'" if possible else "--method=full",
        )
    taps = _shorter_taps(backbone, dropped)
    reached = {id(layer) for layer in functional.layers(list(taps.values()))}
    groups = tuple(
        Group(group.name, tuple(layer for layer in group.layers if id(layer) in reached))
        for group in backbone.groups
        if group.name in (*kept, POOLER)
    )
    return dataclasses.replace(backbone, taps=taps, groups=groups)


def _can_end_at(backbone: Backbone, group: str) -> bool:
    """Whether the features behind a group can be taken for those of the network."""
    if backbone.modality == "image":
        return group in backbone.taps
    return group.startswith("layer_")


def _shorter_taps(backbone: Backbone, dropped: list[str]) -> dict[str, keras.KerasTensor]:
    """The taps of a backbone without some of its last groups."""
    if backbone.modality == "image":
        return {name: tensor for name, tensor in backbone.taps.items() if name not in dropped}
    old = backbone.taps["sequence"]
    new = _input_of_groups(backbone, dropped, old)
    taps = {**backbone.taps, "sequence": new}
    for name in taps.keys() & {"pooled", "last"}:
        inputs = [(tensor, tensor) for tensor in backbone.inputs.values()]
        (taps[name],) = functional.replay([taps[name]], [*inputs, (old, new)])
    return taps


def _input_of_groups(
    backbone: Backbone, dropped: list[str], last: keras.KerasTensor
) -> keras.KerasTensor:
    """float[B, L, d]: the sequence that the first layer of the dropped groups takes.

    Raises:
        FlagError: it has not the width of the features.
    """
    layers = {id(x) for group in backbone.groups if group.name in dropped for x in group.layers}
    first = next(n for n in functional.ordered_nodes([last]) if id(n.operation) in layers)
    found = next((tensor for tensor in first.input_tensors if tensor.shape == last.shape), None)
    if found is None:
        raise FlagError(
            f"the features of {backbone.name} are those of several layers side by side, so that none can go",
            flag="method",
            fix="--method=full",
        )
    return found
