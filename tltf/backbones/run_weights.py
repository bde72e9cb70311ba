"""Takes the backbone, or its weights, from an earlier run of tltf."""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tltf.backbones.network import Request
from tltf.errors import FlagError
from tltf.files import untrusted
from tltf.graphs import build_limits, functional, weight_transfer
from tltf.graphs.backbone import Backbone
from tltf.runs import layout, model_folder

_CORE = pathlib.PurePath(layout.MODEL, layout.CORE)
_EMBEDDINGS = "token_embedding/embeddings"
"""Name of the weight that holds the token vectors."""
Rebuild = Callable[[dict[str, Any], pathlib.Path], Backbone]
"""See `builder.rebuild`, which imports this file and is therefore handed in."""


def is_run(text: str) -> bool:
    """Whether a text is the folder of a run that holds a model."""
    if text in ("default", "none", ""):
        return False
    return (pathlib.Path(os.path.expanduser(text)) / _CORE).is_file()


def backbone_of_run(request: Request, rebuild: Rebuild) -> Backbone:
    """The backbone of a run with its tokenizer and, unless `weights` is `none`, its weights.

    Args:
        request: a request whose text is the run's folder.
        rebuild: makes a Backbone from a blueprint and the folder of the tokenizer's files.
    """
    if request.weights not in ("default", "none"):
        what = f"{request.text} is a run and brings its own weights (received {request.weights})"
        raise FlagError(what, flag="backbone_weights", fix="--backbone_weights=default")
    earlier, arrays, assets = _read(request.text)
    blueprint = {
        **earlier,
        "image_size_px": request.image_size_px or earlier["image_size_px"],
        "text_length": request.text_length or earlier["text_length"],
        "pretrained": request.weights != "none",
    }
    num_bytes = sum(array.nbytes for array in arrays.values())
    with (
        untrusted.refuse_failures("its backbone cannot be rebuilt", request.text),
        build_limits.limit_to_file(num_bytes, len(arrays), request.text),
    ):
        backbone = rebuild(blueprint, assets)
    if request.weights == "none":
        return dataclasses.replace(backbone, name=request.text)
    rows = weight_transfer.copy_by_name(functional.named_weights(backbone.layers), arrays)
    return dataclasses.replace(backbone, name=request.text, transfer=rows)


def copy_weights_of_run(backbone: Backbone, weights: str) -> Backbone:
    """`backbone` with the weights of a run, wherever name and shape agree.

    Token vectors are not copied if the vocabularies differ, since their rows mean other words.

    Args:
        backbone: a backbone with random weights.
        weights: the run's folder.
    """
    _, arrays, assets = _read(weights)
    is_text = backbone.modality == "text"
    never = (_EMBEDDINGS,) if is_text and not _same_tokens(backbone, assets) else ()
    rows = weight_transfer.copy_by_name(functional.named_weights(backbone.layers), arrays, never)
    has_any = any(row[2] == weight_transfer.COPIED for row in rows)
    changed = {**backbone.blueprint, "pretrained": has_any}
    return dataclasses.replace(backbone, pretrained=has_any, blueprint=changed, transfer=rows)


def _same_tokens(backbone: Backbone, assets: pathlib.Path) -> bool:
    """Whether a backbone and a run have the same vocabulary in the same order."""
    path = assets / "vocabulary.txt"
    if not path.is_file() or not hasattr(backbone.tokenizer, "get_vocabulary"):
        return False
    return path.read_text("utf-8").splitlines() == list(backbone.tokenizer.get_vocabulary())


def _read(run: str) -> tuple[dict[str, Any], dict[str, np.ndarray], pathlib.Path]:
    """`(blueprint of the backbone, arrays by name, folder of the tokenizer)` of a run."""
    folder = pathlib.Path(os.path.expanduser(run))
    core, arrays = model_folder.read_core(folder)
    return core["backbone"], arrays, model_folder.open_folder(folder).assets
