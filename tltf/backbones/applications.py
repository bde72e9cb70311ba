"""The networks of keras.applications, each with its own scaling inside the graph."""

import dataclasses
import functools
import math
import re
from typing import Any

import keras

from tltf.backbones import downloads, weight_files
from tltf.backbones.network import IMAGENET_STD, SCALINGS, Network, Request, Scaling


@dataclasses.dataclass(frozen=True)
class Family:
    """Where a network of keras.applications is cut and how it wants its pixels.

    Args:
        cls: name of the class in keras.applications.
        scaling: a key of SCALINGS.
        stem: the layer that ends the stem; empty for a network without one.
        stages: the layers that end the stages. `@Class:n` is the n-th layer of a class;
            a name with `*` is the last layer that matches.
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


def _resnet(cls: str, scaling: str, counts: tuple[int, ...], last: str = "") -> Family:
    ends = [f"conv{stage}_block{count}_out" for stage, count in enumerate(counts, start=2)]
    return Family(cls, scaling, "pool1_pool", (*ends[:-1], last or ends[-1]))


def _efficientnet(cls: str) -> Family:
    blocks = tuple(f"block{stage}*" for stage in range(1, 7))
    return Family(
        cls, "torch", "stem_activation", (*blocks, "top_activation"), entry="stem_conv_pad"
    )


def _efficientnet_v2(cls: str) -> Family:
    blocks = tuple(f"block{stage}*" for stage in range(1, 6))
    options = {"include_preprocessing": False}
    return Family(cls, "torch", "stem_activation", (*blocks, "top_activation"), options=options)


FAMILIES = {
    "resnet50": _resnet("ResNet50", "caffe", (3, 4, 6, 3)),
    "resnet101": _resnet("ResNet101", "caffe", (3, 4, 23, 3)),
    "resnet50_v2": _resnet("ResNet50V2", "symmetric", (3, 4, 6, 3), last="post_relu"),
    "vgg16": Family("VGG16", "caffe", "", tuple(f"block{n}_pool" for n in range(1, 6))),
    "vgg19": Family("VGG19", "caffe", "", tuple(f"block{n}_pool" for n in range(1, 6))),
    "mobilenet_v2": Family(
        "MobileNetV2",
        "symmetric",
        "Conv1_relu",
        ("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add", "out_relu"),
    ),
    "efficientnet_b0": _efficientnet("EfficientNetB0"),
    "efficientnet_b1": _efficientnet("EfficientNetB1"),
    "efficientnet_b2": _efficientnet("EfficientNetB2"),
    "efficientnet_b3": _efficientnet("EfficientNetB3"),
    "efficientnet_v2_b0": _efficientnet_v2("EfficientNetV2B0"),
    "efficientnet_v2_b1": _efficientnet_v2("EfficientNetV2B1"),
    "efficientnet_v2_b2": _efficientnet_v2("EfficientNetV2B2"),
    "efficientnet_v2_b3": _efficientnet_v2("EfficientNetV2B3"),
    "densenet121": Family(
        "DenseNet121",
        "torch",
        "pool1",
        ("conv2_block6_concat", "conv3_block12_concat", "conv4_block24_concat", "relu"),
    ),
    "inception_v3": Family(
        "InceptionV3", "symmetric", "@MaxPooling2D:1", ("mixed2", "mixed7", "mixed10")
    ),
    "convnext_tiny": Family(
        "ConvNeXtTiny",
        "torch",
        "convnext_tiny_stem",
        (
            "convnext_tiny_stage_0_block_2_identity",
            "convnext_tiny_stage_1_block_2_identity",
            "convnext_tiny_stage_2_block_8_identity",
            "@LayerNormalization:-1",
        ),
        options={"include_preprocessing": False},
    ),
}


def application(request: Request) -> Network:
    """The Network of a keras.applications row of the catalog."""
    family = FAMILIES[request.name]
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
