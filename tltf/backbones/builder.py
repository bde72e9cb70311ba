"""Builds a Backbone from the text of `--backbone`, or from the blueprint of an earlier one."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from tltf.backbones import hub, kept_layers, run_weights
from tltf.backbones.network import Network, Request, assemble
from tltf.config import checks
from tltf.config.call_strings import Call
from tltf.config.catalogs.backbones import BACKBONES
from tltf.config.catalogs.row import BackboneRow
from tltf.graphs.backbone import Backbone


def build(
    text: str | Call[BackboneRow],
    *,
    weights: str = "default",
    image_size_px: int = 0,
    text_length: int = 0,
    texts: Sequence[str] | None = None,
) -> Backbone:
    """The Backbone that `--backbone` names.

    Args:
        text: a call string of the catalog, `hub:<preset>`, or a folder that holds a KerasHub
            preset, a Hugging Face checkpoint or a run of tltf; or the Call that one was resolved
            to.
        weights: `default`, `none` for random weights, the path of a weights file, or a run
            folder of tltf, whose weights are copied where name and shape agree.
        image_size_px: side of the square input; 0 takes the backbone's own.
        text_length: number of tokens that a text is cut to; 0 takes the backbone's own.
        texts: training texts, from which `small_lstm` learns its vocabulary.

    Raises:
        FlagError: an unknown name, argument, folder or size.
        ModelError: the weights are refused.
        StorageError: the weights cannot be fetched.
    """
    call = text if isinstance(text, Call) else None
    name = text.text if isinstance(text, Call) else text
    request = Request(name, weights, image_size_px, text_length, tuple(texts or ()), call=call)
    if call is None and name not in BACKBONES and run_weights.is_run(name):
        return run_weights.backbone_of_run(request, rebuild)
    if run_weights.is_run(weights):
        fresh = dataclasses.replace(request, weights="none")
        return run_weights.copy_weights_of_run(assemble(_network(fresh), fresh), weights)
    return assemble(_network(request), request)


def rebuild(blueprint: dict[str, Any], assets: pathlib.Path | str) -> Backbone:
    """The Backbone of a blueprint with random weights, made without a network or its original folder.

    Args:
        blueprint: `Backbone.blueprint`, as read from JSON.
        assets: the folder that `save_assets` wrote.
    """
    request = Request(
        blueprint["text"],
        "default" if blueprint["pretrained"] else "none",
        blueprint["image_size_px"],
        blueprint["text_length"],
        memory=blueprint["memory"],
        assets=pathlib.Path(assets),
    )
    backbone = assemble(_network(request), request)
    pretrained = blueprint["pretrained"]
    changed = {**backbone.blueprint, "pretrained": pretrained}
    backbone = dataclasses.replace(backbone, pretrained=pretrained, blueprint=changed)
    return kept_layers.rebuild_parts(backbone, blueprint.get(kept_layers.RECORD, []))


def save_assets(backbone: Backbone, folder: pathlib.Path | str) -> None:
    """Writes the tokenizer's files into `folder`; a backbone for images has none."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer: keras.Layer | None = backbone.tokenizer
    if tokenizer is not None:
        tokenizer.save_assets(str(folder))


def _network(request: Request) -> Network:
    """The result of the builder that a request is for."""
    if request.memory is not None and "class" in request.memory:
        return hub.network_of_blueprint(request)
    call = request.call or checks.pick_backbone(request.text)
    if call is None:
        if request.text.startswith(checks.PRESET_PREFIX):
            return hub.network_of_preset(request)
        return hub.network_of_folder(request)
    return call.build(_sized(dataclasses.replace(request, name=call.name), call))


def _sized(request: Request, call: Call[BackboneRow]) -> Request:
    """The request with the row's default sizes, checked against the limits.

    Code from outside has no row.
    """
    row = call.row
    if row is None:
        return request
    if row.modality == "text":
        length = request.text_length or row.text_length
        return dataclasses.replace(request, image_size_px=0, text_length=length)
    size = request.image_size_px or row.image_size_px
    checks.require_size(call, size)
    return dataclasses.replace(request, image_size_px=size, text_length=0)
