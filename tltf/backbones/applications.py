"""The networks of keras.applications, each with its own scaling inside the graph."""

import dataclasses
import functools
import math
import re
from collections.abc import Callable
from typing import Any

import keras

from tltf.backbones import downloads, weight_files
from tltf.backbones.network import IMAGENET_STD, SCALINGS, Network, Request, Scaling
from tltf.config.catalogs import BACKBONES, BackboneRow


@dataclasses.dataclass(frozen=True)
class Family:
    """How a network of keras.applications is cut and wants its pixels.

    Args:
        cls: name of the class in keras.applications.
        scaling: a key of SCALINGS.
        stem: the layer that ends the stem; empty for a network without one.
        stages: the layers that end the stages. `@Class:n` is the n-th layer of a class; `name*` is
            the last layer whose name begins so, `*name` the last whose name ends so.
        entry: the layer whose input takes scaled pixels, if the network scales by itself before
            it; empty otherwise.
        options: arguments of the class.
    """

    cls: str
    scaling: str
    stem: str
    stages: tuple[str, ...]
    entry: str = ""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


def _resnet(row: BackboneRow) -> Family:
    ends = tuple(f"conv{stage}_block{count}_out" for stage, count in enumerate(row.blocks, start=2))
    return Family(row.keras_class, "caffe", "pool1_pool", ends)


def _resnet_v2(row: BackboneRow) -> Family:
    *first, _ = _resnet(row).stages
    return Family(row.keras_class, "symmetric", "pool1_pool", (*first, "post_relu"))


def _vgg(row: BackboneRow) -> Family:
    return Family(row.keras_class, "caffe", "", tuple(f"block{n}_pool" for n in range(1, 6)))


def _mobilenet_v2(row: BackboneRow) -> Family:
    ends = ("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add", "out_relu")
    return Family(row.keras_class, "symmetric", "Conv1_relu", ends)


def _efficientnet(row: BackboneRow) -> Family:
    ends = (*(f"block{stage}*" for stage in range(1, 7)), "top_activation")
    return Family(row.keras_class, "torch", "stem_activation", ends, entry="stem_conv_pad")


def _efficientnet_v2(row: BackboneRow) -> Family:
    ends = (*(f"block{stage}*" for stage in range(1, 6)), "top_activation")
    options = {"include_preprocessing": False}
    return Family(row.keras_class, "torch", "stem_activation", ends, options=options)


def _densenet(row: BackboneRow) -> Family:
    ends = (f"conv{stage}_block{count}_concat" for stage, count in enumerate(row.blocks[:-1], 2))
    return Family(row.keras_class, "torch", "pool1", (*ends, "relu"))


def _inception_v3(row: BackboneRow) -> Family:
    ends = ("mixed2", "mixed7", "mixed10")
    return Family(row.keras_class, "symmetric", "@MaxPooling2D:1", ends)


def _convnext(row: BackboneRow) -> Family:
    first = enumerate(row.blocks[:-1])
    ends = (f"*_stage_{stage}_block_{count - 1}_identity" for stage, count in first)
    options = {"include_preprocessing": False}
    stages = (*ends, "@LayerNormalization:-1")
    return Family(row.keras_class, "torch", "*_stem", stages, options=options)


FAMILIES: dict[str, Callable[[BackboneRow], Family]] = {
    "resnet": _resnet,
    "resnet_v2": _resnet_v2,
    "vgg": _vgg,
    "mobilenet_v2": _mobilenet_v2,
    "efficientnet": _efficientnet,
    "efficientnet_v2": _efficientnet_v2,
    "densenet": _densenet,
    "inception_v3": _inception_v3,
    "convnext": _convnext,
}
"""`BackboneRow.family` -> the Family of a row."""


def family_of(name: str) -> Family:
    """The Family of a row of the catalog that has one."""
    row = BACKBONES[name]
    return FAMILIES[row.family](row)


def application(request: Request) -> Network:
    """The Network of a keras.applications row of the catalog."""
    family = family_of(request.name)
    model = _model(family, request)
    if request.wants_weights and request.weights != "default":
        weight_files.load(model, request.weights, request.name)
    entry = model.get_layer(family.entry).input if family.entry else model.inputs[0]
    scaling = _scaling(family, request, model, entry)
    return cut(family, model, request, scaling, entry)


def cut(
    family: Family, model: keras.Model, request: Request, scaling: Scaling, entry: keras.KerasTensor
) -> Network:
    """The Network of a model of keras.applications whose weights are set."""
    stages = [find_layer(model, name).output for name in family.stages]
    points = {"stem": [find_layer(model, family.stem).output]} if family.stem else {}
    taps = {f"stage_{number}": tensor for number, tensor in enumerate(stages, start=1)}
    return Network(
        inputs={"image": entry},
        points={**points, **{name: [tensor] for name, tensor in taps.items()}},
        taps=taps,
        pretrained=request.weights != "none",
        scaling=scaling,
        image_size_px=request.image_size_px,
        channels=3,
        memory={"scaling": scaling.to_json()},
    )


def random_model(family: Family, request: Request) -> keras.Model:
    """The family's model without its head, with random weights."""
    size = request.image_size_px
    build = getattr(keras.applications, family.cls)
    return build(weights=None, include_top=False, input_shape=(size, size, 3), **family.options)


def find_layer(model: keras.Model, name: str) -> keras.Layer | keras.Model:
    """The layer that a Family names."""
    if name.startswith("@"):
        cls, _, index = name[1:].partition(":")
        return [layer for layer in model.layers if type(layer).__name__ == cls][int(index)]
    if name.startswith("*"):
        return [layer for layer in model.layers if layer.name.endswith(name[1:])][-1]
    if name.endswith("*"):
        pattern = re.compile(re.escape(name[:-1]) + "[^0-9]")
        return [layer for layer in model.layers if pattern.match(layer.name)][-1]
    return model.get_layer(name)


def _model(family: Family, request: Request) -> keras.Model:
    """The family's model without its head, with ImageNet's weights if the request wants them."""
    if not (request.wants_weights and request.weights == "default"):
        return random_model(family, request)
    size = request.image_size_px
    build = getattr(keras.applications, family.cls)
    shape = (size, size, 3)
    build_model = functools.partial(
        build, weights="imagenet", include_top=False, input_shape=shape, **family.options
    )
    return downloads.fetch_with(
        build_model,
        f"keras.{request.name}",
        f"the ImageNet weights of {request.name}",
        weight_files.FLAG,
        f"--{weight_files.FLAG}=PATH of a weights file, or none for random weights",
    )


def _scaling(
    family: Family, request: Request, model: keras.Model, entry: keras.KerasTensor
) -> Scaling:
    """The family's scaling; measured if the network scales by itself and its weights are loaded."""
    if request.memory is not None:
        return Scaling(**request.memory["scaling"])
    if not family.entry or request.weights == "none":
        return SCALINGS[family.scaling]
    measured = _measured(model, entry)
    return SCALINGS[family.scaling] if _lacks_division(measured) else measured


def _lacks_division(scaling: Scaling) -> bool:
    """Whether a network with ImageNet's weights lacks the layer that Keras adds to those only.

    EfficientNet's files hold the deviation in place of the variance, so the network divides by
    its root; with weights="imagenet", Keras adds a second division by the root.
    """
    roots = [1 / (255 * std**0.5) for std in IMAGENET_STD]
    return len(scaling.scale) == 3 and all(
        math.isclose(factor, root, rel_tol=1e-3)
        for factor, root in zip(scaling.scale, roots, strict=True)
    )


def _measured(model: keras.Model, entry: keras.KerasTensor) -> Scaling:
    """The scaling of the layers before `entry`, computed from a black and a white image."""
    size = model.inputs[0].shape[1:]
    pixels = keras.ops.stack([keras.ops.zeros(size), keras.ops.full(size, 255.0)])
    black, white = keras.ops.convert_to_numpy(
        keras.Model(model.inputs, entry)(pixels, training=False)
    )[:, 0, 0].astype("float64")
    return Scaling(tuple(((white - black) / 255).tolist()), tuple(black.tolist()))
