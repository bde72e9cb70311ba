"""Builds a core from options, or from the blueprint of one that was saved."""

import pathlib
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
        options: ModelOptions.
        num_classes: number of classes or labels; 0 for a number.
        modality: of the data, `image` or `text`; empty: whatever the backbone takes.
        texts: list of str from which a text backbone without a vocabulary learns one.
        backbone_call: what the backbone of the options was resolved to; None for the options' own.
        head_call: the same of the head.

    Raises:
        FlagError: an unknown name, or data and backbone of different modality.
        ModelError, StorageError: weights that do not fit or cannot be had.
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
        what = f"{backbone.name} takes {backbone.modality}s, the data has {modality}s"
        raise FlagError(what, flag="backbone", fix="see --list=backbones")
    return attach_head(backbone, head, num_classes)


def rebuild(blueprint: dict[str, Any], assets: pathlib.Path) -> Core:
    """The core of a `Core.blueprint`, with random weights.

    Args:
        blueprint: dict, as `Core.blueprint` gives it.
        assets: folder of the tokenizer's files.
    """
    backbone = builder.rebuild(blueprint["backbone"], assets)
    return attach_head(
        backbone, call_strings.pick(HEADS, blueprint["head"], "head"), blueprint["num_classes"]
    )


def fit_head(call: Call[HeadRow], source: Source) -> Call[HeadRow]:
    """The call of a head with what it takes from a training split, a Source.

    Where a row has several of what the head predicts, the head for several takes its place.

    Raises:
        FlagError: an argument that the head for several does not take.
    """
    head = call.build()
    kind = label_kinds.kind_of(source.labels) if source.labels is not None else None
    if kind and kind.widens == head.target:
        call = call_strings.pick(HEADS, call.text.replace(call.name, kind.head, 1), "head")
        head = call.build()
    return change_call(call, head, head.fit_to(source))
