"""Builds a core from options, or from the blueprint of a core that was saved."""

import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

from tltf.backbones import builder
from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs import HEADS, BackboneRow, HeadRow
from tltf.config.option_groups import ModelOptions
from tltf.data import label_kinds
from tltf.data.source import Source
from tltf.errors import FlagError
from tltf.graphs import functional, precision
from tltf.graphs.core import Core, attach_head, change_call


def build(
    options: ModelOptions,
    num_classes: int,
    modality: str = "",
    texts: Sequence[str] | None = None,
    *,
    backbone_call: Call[BackboneRow] | None = None,
    head_call: Call[HeadRow] | None = None,
) -> Core:
    """The core that the options name.

    Args:
        options: the run's.
        num_classes: the number of classes or labels; 0 for a number.
        modality: the data's, `image` or `text`; empty for whatever the backbone takes.
        texts: the texts from which a text backbone without a vocabulary learns one.
        backbone_call: the call of the backbone, if it is resolved already; None for the options' own.
        head_call: the call of the head, if it is resolved already; None for the options' own.

    Raises:
        FlagError: a name is unknown, or the data and the backbone differ in modality.
        ModelError, StorageError: weights do not fit or cannot be loaded.
    """
    head = call_strings.pick(HEADS, head_call or options.head, "head")
    backbone = builder.build(
        backbone_call or options.backbone,
        weights=options.backbone_weights,
        image_size_px=options.image_size_px or 0,
        text_length=options.text_length or 0,
        texts=texts,
    )
    if modality and backbone.modality != modality:
        what = f"{backbone.name} takes {backbone.modality}s, but the data has {modality}s"
        raise FlagError(what, flag="backbone", fix="see --list=backbones")
    return attach_head(backbone, head, num_classes)


def rebuild(blueprint: dict[str, Any], assets: pathlib.Path) -> Core:
    """The core of a `Core.blueprint`, with random weights.

    Args:
        blueprint: a dict as `Core.blueprint` gives it.
        assets: the folder of the tokenizer's files.
    """
    backbone = builder.rebuild(blueprint["backbone"], assets)
    return attach_head(
        backbone, call_strings.pick(HEADS, blueprint["head"], "head"), blueprint["num_classes"]
    )


def float32_copy(core: Core) -> Core:
    """A copy of the core that computes in float32; it is on one device if no strategy's scope is open.

    The same layers are frozen.
    """
    with tempfile.TemporaryDirectory() as assets, precision.policy("float32"):
        builder.save_assets(core.backbone, pathlib.Path(assets))
        fresh = rebuild(core.blueprint, pathlib.Path(assets))
    arrays = functional.weights_of(core.model)
    for name, weight in functional.named_weights(fresh.model.layers).items():
        weight.assign(arrays[name])
    is_trained = {layer.name: layer.trainable for layer in core.model.layers}
    for layer in fresh.model.layers:
        layer.trainable = is_trained[layer.name]
    return fresh


def fit_head(call: Call[HeadRow], source: Source) -> Call[HeadRow]:
    """The call of a head with the arguments that it takes from a training split.

    Where a row has several numbers and the head predicts one, the head for several takes its place.

    Raises:
        FlagError: the head for several does not take an argument of the call.
    """
    head = call.build()
    kind = label_kinds.kind_of(source.labels) if source.labels is not None else None
    if kind and kind.single_kind == head.target:
        call = call_strings.pick(HEADS, call.text.replace(call.name, kind.head, 1), "head")
        head = call.build()
    return change_call(call, head, head.fit_to(source))
