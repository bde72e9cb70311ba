"""Networks from KerasHub presets and from local folders of KerasHub or Hugging Face."""

import contextlib
import functools
import json
import math
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras

from tltf.backbones import downloads, transformers, weight_files
from tltf.backbones.hub_configs import CONFIGS
from tltf.backbones.network import SCALINGS, Network, Request, Scaling
from tltf.config.checks import PRESET_PREFIX
from tltf.console import lazy_imports
from tltf.errors import FlagError, ModelError, StorageError, choices_text, nearest
from tltf.files import untrusted
from tltf.graphs import build_limits, functional

if TYPE_CHECKING:
    from keras_hub.layers import ImageConverter

keras_hub = lazy_imports.Module("keras_hub")

_ADDRESSES = ("kaggle://", "hf://", "ms://")
_HF_TYPES = ("albert", "bert", "distilbert", "electra", "roberta", "vit", "xlm-roberta")
"""Hugging Face model types that are read."""
DEFAULT_IMAGE_SIZE_PX = 224
"""Side of the input of networks that take any size."""
ANY_SIZE = ("dinov2", "dinov3")
"""Families of KerasHub that are built for one side of the image, which may be any: positions are interpolated."""
PerChannel = float | list[float] | tuple[float, ...] | None
"""One number for all channels, one number per channel, or None for no effect."""


def network_of_preset(request: Request) -> Network:
    """The Network of `hub:<preset>`.

    Random weights of a preset in CONFIGS need no network connection, except for a tokenizer.
    """
    name = request.text.removeprefix(PRESET_PREFIX)
    presets = keras_hub.models.Backbone.presets
    if name not in presets and not name.startswith(_ADDRESSES):
        near = nearest(name, presets, limit=1)
        raise FlagError(
            f"KerasHub has no preset {name!r} (choices: {choices_text(name, presets)})",
            flag="backbone",
            fix=f"--backbone={PRESET_PREFIX}{near[0]}" if near else "",
        )
    what = f"the preset {name} through KerasHub"
    fix = (
        "--backbone=FOLDER with the preset's files, or a packaged backbone "
        "(efficientnet_lite0, minilm_l6)"
    )
    build = functools.partial(_from_preset, name, request)
    try:
        lock = "hub." + re.sub(r"\W", "_", name)
        return downloads.fetch_with(build, lock, what, "backbone", fix)
    except (OSError, json.JSONDecodeError) as error:
        what = f"could not fetch {what}: {str(error)[:300]}"
        raise StorageError(what, flag="backbone", fix=fix) from error


def _from_preset(name: str, request: Request) -> Network:
    """The Network of a preset; KerasHub downloads the files that it lacks."""
    is_plain_build = request.weights != "default" and name in CONFIGS
    changes = _shape_of(name, request)
    if is_plain_build:
        class_name, config = CONFIGS[name]
        backbone = transformers.make(class_name, config | changes)
    else:
        load = request.weights == "default"
        backbone = image_tower(
            keras_hub.models.Backbone.from_preset(name, load_weights=load, **changes)
        )
    if is_text(backbone):
        extra = keras_hub.tokenizers.Tokenizer.from_preset(name)
    elif is_plain_build:
        extra = SCALINGS["torch"]
    else:
        extra = converter_scaling(keras_hub.layers.ImageConverter.from_preset(name))
    return _network_of(backbone, extra, request)


def _shape_of(name: str, request: Request) -> dict[str, Any]:
    """The arguments of a preset that give it another side than its own, where its family takes any."""
    about = keras_hub.models.Backbone.presets.get(name, {}).get("metadata", {})
    size = request.image_size_px
    return {"image_shape": (size, size, 3)} if size and about.get("path") in ANY_SIZE else {}


def network_of_folder(request: Request) -> Network:
    """The Network of a local folder.

    Raises:
        FlagError: the folder holds no network that can be read.
        ModelError: the weights have a refused format or are of another network.
    """
    path = pathlib.Path(os.path.expanduser(request.text))
    _require_plain_files(path)
    try:
        config = untrusted.read_json(path / "config.json")
    except FileNotFoundError as error:
        raise FlagError(
            f"{path} holds no config.json, so it is neither a KerasHub preset, nor a Hugging Face "
            "checkpoint, nor a finished run of tltf",
            flag="backbone",
        ) from error
    keys = set(config) if isinstance(config, dict) else set()
    if {"model_type", "registered_name"} <= keys:  # KerasHub would then build what it names
        raise ModelError("names both model_type and registered_name", place=path / "config.json")
    with untrusted.refuse_failures("is not a readable backbone", path):
        if "model_type" in keys:
            return _hugging_face(path, config["model_type"], request)
        if {"class_name", "config"} <= keys:
            return _keras_hub_folder(path, config, request)
    raise FlagError("names neither class_name nor model_type", place=path / "config.json")


def _require_plain_files(path: pathlib.Path) -> None:
    """Refuses a SavedModel, which is a program, and pipes and devices, which may never end."""
    if (path / "saved_model.pb").exists():
        raise ModelError(
            "a SavedModel is a program and is not opened",
            flag="backbone",
            place=path,
            fix="--backbone=RUN, the --output of tltf.train",
        )
    for item in path.iterdir():
        if item.exists() and not item.is_file() and not item.is_dir():
            raise ModelError("is not a regular file", place=item)


def _keras_hub_folder(path: pathlib.Path, config: dict[str, Any], request: Request) -> Network:
    """The Network of a KerasHub preset, built from plain arguments; no class is deserialised."""
    stored = path / "model.weights.h5"
    with _limit_to_files([stored], request, weight_files.count_h5):
        backbone = transformers.make(config["class_name"], _without_types(config["config"]))
    if request.weights == "default":
        weight_files.load(backbone, stored, path.name)
    if is_text(backbone):
        saved = untrusted.read_json(path / "tokenizer.json")
        memory = {"class": saved["class_name"], "config": _without_types(saved["config"])}
        extra = transformers.load_tokenizer(memory, path / "assets" / "tokenizer")
    else:
        extra = _saved_scaling(path / "image_converter.json")
    return _network_of(backbone, extra, request)


def _saved_scaling(path: pathlib.Path) -> Scaling:
    """The Scaling of a KerasHub image converter's file; without the file pixels stay as they are."""
    if not path.is_file():
        return SCALINGS["none"]
    config = untrusted.read_json(path)["config"]
    return scaling_of(config.get("scale"), config.get("offset"))


def _hugging_face(path: pathlib.Path, model_type: str, request: Request) -> Network:
    """The Network of a Hugging Face checkpoint, which KerasHub converts."""
    if model_type not in _HF_TYPES:
        near = choices_text(model_type, _HF_TYPES)
        raise FlagError(
            f"checkpoints of type {model_type!r} are not read (choices: {near})",
            flag="backbone",
            place=path,
        )
    if request.weights == "default" and not list(path.glob("*.safetensors")):
        raise ModelError("has no .safetensors file; pickled weights are not read", place=path)
    _require_own_shards(path)
    files = sorted(path.glob("*.safetensors"))
    with (
        untrusted.refuse_failures(f"is not a readable {model_type} checkpoint", path),
        _limit_to_files(files, request, untrusted.count_safetensors),
    ):
        load = request.weights == "default"
        backbone = keras_hub.models.Backbone.from_preset(str(path), load_weights=load)
        if not is_text(backbone):
            scaling = converter_scaling(keras_hub.layers.ImageConverter.from_preset(str(path)))
            return _network_of(backbone, scaling, request)
        tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(str(path))
    return _network_of(backbone, _with_accents_as_trained(tokenizer, path), request)


@contextlib.contextmanager
def _limit_to_files(
    files: Sequence[pathlib.Path], request: Request, count: Callable[[pathlib.Path], int]
) -> Iterator[None]:
    """A block in which no more layers may be built than weights files can fill.

    There is no limit if the files' weights are not asked for.

    Args:
        files: the weights files.
        request: the request, whose `weights` decide.
        count: gives the number of tensors in a file.
    """
    if request.weights != "default":
        yield
        return
    files = [file for file in files if file.is_file()]
    num_bytes = sum(file.stat().st_size for file in files)
    with build_limits.limit_to_file(num_bytes, sum(map(count, files)), request.text):
        yield


def _require_own_shards(path: pathlib.Path) -> None:
    """Refuses a checkpoint in several files whose index names files outside its own folder."""
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        return
    shards = untrusted.read_json(index)["weight_map"].values()
    elsewhere = [name for name in shards if pathlib.PurePath(name).name != name]
    if elsewhere:
        raise ModelError(f"names the file {elsewhere[0]!r:.80}, outside its folder", place=index)


def _with_accents_as_trained(tokenizer: keras.Layer, path: pathlib.Path) -> keras.Layer:
    """A BERT tokenizer that treats accents as the checkpoint was trained with.

    One that lowers case also strips accents, unless the checkpoint says otherwise.
    """
    if not isinstance(tokenizer, keras_hub.tokenizers.BertTokenizer) or not tokenizer.lowercase:
        return tokenizer
    saved = path / "tokenizer_config.json"
    strips = untrusted.read_json(saved).get("strip_accents") if saved.is_file() else None
    memory = transformers.tokenizer_memory(tokenizer)["config"]
    changed = {"vocabulary": tokenizer.get_vocabulary(), "strip_accents": strips is not False}
    return type(tokenizer)(**{**memory, **changed})


def network_of_blueprint(request: Request) -> Network:
    """The Network, with random weights, of a blueprint that this module wrote."""
    memory = request.memory or {}
    backbone = transformers.make(memory["class"], memory["config"])
    if "tokenizer" in memory:
        tokenizer = transformers.load_tokenizer(memory["tokenizer"], request.assets)
        return transformers.text_network(backbone, tokenizer, request, _is_pretrained(request))
    return image_network(backbone, Scaling(**memory["scaling"]), request)


def _network_of(backbone: keras.Model, extra: Scaling | keras.Layer, request: Request) -> Network:
    """The Network of a KerasHub backbone, after the user's own weights file is loaded if there is one.

    Args:
        backbone: a backbone of KerasHub.
        extra: its tokenizer, or the scaling of its pixels.
        request: the request, which may name a weights file.
    """
    if request.weights not in ("default", "none"):
        weight_files.load(backbone, request.weights, request.text)
    if is_text(backbone):
        return transformers.text_network(backbone, extra, request, _is_pretrained(request))
    return image_network(backbone, extra, request)


def _is_pretrained(request: Request) -> bool:
    return request.weights != "none"


def image_tower(backbone: keras.Model) -> keras.Model:
    """The network of images of a backbone that compares images with texts, as SigLIP does; others as they are."""
    tower: keras.Model = getattr(backbone, "vision_encoder", None) or backbone
    return tower


def is_text(backbone: keras.Model) -> bool:
    """Whether a KerasHub backbone takes tokens."""
    return isinstance(backbone.input, dict) and "token_ids" in backbone.input


def converter_scaling(converter: "ImageConverter") -> Scaling:
    """The Scaling of a KerasHub image converter.

    Raises:
        FlagError: the converter does more than scale.
    """
    if type(converter).call is not keras_hub.layers.ImageConverter.call:
        raise FlagError(f"{type(converter).__name__} does more than scale pixels", flag="backbone")
    return scaling_of(converter.scale, converter.offset)


def scaling_of(scale: PerChannel, offset: PerChannel) -> Scaling:
    """The Scaling of a factor and an offset."""
    return Scaling(_numbers(scale, 1.0), _numbers(offset, 0.0))


def _numbers(value: PerChannel, default: float) -> tuple[float, ...]:
    if value is None:
        return (default,)
    return tuple(float(item) for item in (value if isinstance(value, (list, tuple)) else [value]))


def image_network(backbone: keras.Model, scaling: Scaling, request: Request) -> Network:
    """The Network of a KerasHub image backbone, which gives feature maps, or tokens laid out as one."""
    (pixels,) = backbone.inputs
    is_map = len(backbone.output.shape) == 4
    points, taps = _stages(backbone) if is_map else _tokens(backbone)
    memory = request.memory or {
        "class": type(backbone).__name__,
        "config": transformers.plain_config(backbone),
        "scaling": scaling.to_json(),
    }
    return Network(
        inputs={"image": pixels},
        points=points,
        taps=taps,
        pretrained=_is_pretrained(request),
        scaling=scaling,
        image_size_px=_image_size(pixels, request),
        channels=pixels.shape[-1],
        memory=memory,
    )


def _stages(backbone: keras.Model) -> tuple[dict[str, list], dict[str, keras.KerasTensor]]:
    """Points and taps of a convolutional network, with one stage per size of its feature maps."""
    pyramid = getattr(backbone, "pyramid_outputs", {})
    names = sorted(pyramid, key=lambda name: int("".join(filter(str.isdigit, name)) or 0))
    stages = [pyramid[name] for name in names] or functional.outputs_of(backbone, "MaxPooling2D")
    if all(tensor is not backbone.output for tensor in stages):
        stages = [*stages[:-1], backbone.output]
    taps = {f"stage_{number}": tensor for number, tensor in enumerate(stages, start=1)}
    return {name: [tensor] for name, tensor in taps.items()}, taps


def _tokens(backbone: keras.Model) -> tuple[dict[str, list], dict[str, keras.KerasTensor]]:
    """Points and taps of a vision transformer.

    Its tokens become the feature map `stage_1`; `pooled` is the class token, or what a last layer makes of the tokens,
    if it has one. An encoder that is one layer is one group, however many blocks it holds.
    """
    tokens, pooled = backbone.output, None
    if len(tokens.shape) == 2:
        (tokens, *_), pooled = functional.inputs_of_call(backbone.layers[-1]), tokens
    num_tokens = tokens.shape[1] if len(tokens.shape) == 3 else None
    if num_tokens is None:
        raise FlagError(
            f"{type(backbone).__name__} gives neither feature maps nor tokens", flag="backbone"
        )
    side = math.isqrt(num_tokens)
    # SigLIP, whose last layer pools, has no class token, although KerasHub states one token too many
    extra = num_tokens - side * side if pooled is None else 0
    grid = keras.ops.reshape(tokens[:, extra:, :], (-1, side, side, tokens.shape[-1]))
    if pooled is None and extra:
        pooled = tokens[:, 0, :]
    taps = {"stage_1": grid} | ({} if pooled is None else {"pooled": pooled})
    layers = [
        layer for layer in backbone.layers if layer.weights and functional.num_calls(layer) == 1
    ]
    return {layer.name: keras.tree.flatten(layer.output) for layer in layers}, taps


def _image_size(pixels: keras.KerasTensor, request: Request) -> int:
    """The side of the input: what the request asks for, which a network of fixed size must take."""
    fixed = pixels.shape[1]
    size = request.image_size_px or fixed or DEFAULT_IMAGE_SIZE_PX
    if fixed and size != fixed:
        raise FlagError(
            f"{request.text} takes images of {fixed} px only (received {size})",
            flag="image_size_px",
            fix=f"--image_size_px={fixed}",
        )
    return size


def _without_types(config: dict[str, Any]) -> dict[str, Any]:
    """A saved configuration without its data types, which name classes."""
    return {
        key: value for key, value in config.items() if key not in ("dtype", "name", "trainable")
    }
