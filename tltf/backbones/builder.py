"""Builds a Backbone from the text of `--backbone`, or from the blueprint of an earlier one."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from tltf.backbones import hub, kept_layers, run_weights
from tltf.backbones.network import Network, Request, assemble
from tltf.config import call_strings, checks
from tltf.config.catalogs.backbones import BACKBONES
from tltf.config.catalogs.row import BackboneRow
from tltf.errors import FlagError
from tltf.graphs.backbone import Backbone


def build(
    text: str,
    *,
    weights: str = "default",
    image_size_px: int = 0,
    text_length: int = 0,
    texts: Sequence[str] | None = None,
) -> Backbone:
    """The Backbone that `--backbone` names.

    Args:
        text: a call string of the catalog, `hub:<preset>`, or a folder that holds a KerasHub
            preset, a Hugging Face checkpoint or a run of tltf.
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
    request = Request(text, weights, image_size_px, text_length, tuple(texts or ()))
    if text not in BACKBONES and run_weights.is_run(text):
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
    if request.text.startswith(hub.PREFIX):
        return hub.network_of_preset(request)
    if _is_path(request.text):
        return hub.network_of_folder(request)
    call = call_strings.pick(BACKBONES, request.text, "backbone")
    return call.build(_sized(dataclasses.replace(request, name=call.name), call.row))


def _is_path(text: str) -> bool:
    """Whether the text of --backbone is a folder; a name of the catalog never is."""
    path = pathlib.Path(os.path.expanduser(text))
    checks.refuse_model_file(text)
    if text.startswith((os.sep, ".", "~")):
        if not path.is_dir():
            raise FlagError(f"there is no folder {path}", flag="backbone", fix="--list=backbones")
        return True
    return call_strings.parse(text, "backbone")[0] not in BACKBONES and path.is_dir()


def _sized(request: Request, row: BackboneRow | None) -> Request:
    """The request with its row's default sizes, checked against the limits; code from outside has no row."""
    if row is None:
        return request
    if row.modality == "text":
        length = request.text_length or row.text_length
        return dataclasses.replace(request, image_size_px=0, text_length=length)
    size = request.image_size_px or row.image_size_px
    if size < row.min_image_size_px:
        raise FlagError(
            f"{request.text} takes images of {row.min_image_size_px} px or more (received {size})",
            flag="image_size_px",
            fix=f"--image_size_px={row.min_image_size_px}",
        )
    return dataclasses.replace(request, image_size_px=size, text_length=0)
