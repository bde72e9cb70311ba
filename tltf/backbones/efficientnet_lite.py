"""EfficientNet-Lite0: no squeeze-and-excite, ReLU6, one convolution head of 1280 channels.

Tan & Le 2019, arXiv:1905.11946, in the variant for mobile devices. Weights: the packaged
PyTorch conversion of the TensorFlow originals, hence "same" padding and epsilon 1e-3.
"""

import pathlib

import keras
import numpy as np

from tltf.backbones import weight_files
from tltf.backbones.network import Network, Request, Scaling
from tltf.backbones.torch_pickle import read_legacy

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""(blocks, kernel, stride, expansion, channels) per stage, as in the table of the reference code."""
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
SCALING = Scaling((1 / 128,), (-127 / 128,))


def efficientnet_lite0(request: Request) -> Network:
    """The Network of `--backbone=efficientnet_lite0`."""
    pixels = keras.Input((request.image_size_px, request.image_size_px, 3))
    points, taps = {}, {}
    x = _convolution(pixels, STEM_CHANNELS, 3, 2, "stem")
    points["stem"] = [x]
    block = 0
    for stage, (count, kernel, stride, expansion, channels) in enumerate(STAGES, start=1):
        for repeat in range(count):
            step = stride if repeat == 0 else 1
            x = _block(x, kernel, step, expansion, channels, f"block_{block}")
            block += 1
        if stage == len(STAGES):
            x = _convolution(x, HEAD_CHANNELS, 1, 1, "top")
        points[f"stage_{stage}"], taps[f"stage_{stage}"] = [x], x
    if request.wants_weights:
        weight_files.load(keras.Model(pixels, x), weights_path(request), request.text)
    return Network(
        inputs={"image": pixels},
        points=points,
        taps=taps,
        pretrained=request.weights != "none",
        scaling=SCALING,
        image_size_px=request.image_size_px,
        channels=3,
    )


def weights_path(request: Request) -> pathlib.Path | str:
    """The file of the packaged weights, or the file that the user named."""
    if request.weights != "default":
        return request.weights
    return weight_files.convert_once("efficientnet_lite0", convert)


def convert(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The packaged weights as float32 arrays by tltf's names.

    `predictions/kernel` and `predictions/bias` of the 1000 classes are among them.

    Args:
        folder: the unpacked asset.
    """
    state = read_legacy(next(folder.glob("*.pth")))
    result = {}
    for key, value in state.items():
        layer, kind = key.rsplit(".", 1)
        if kind != "num_batches_tracked":
            name, kernel = _layer_name(layer), _KINDS[kind]
            if value.ndim == 4:
                value, kernel = _kernel(value, layer), "kernel"
            result[f"{name}/{kernel}"] = value.T if layer == "_fc" and value.ndim == 2 else value
    result["predictions/kernel"] = result.pop("predictions/gamma")
    result["predictions/bias"] = result.pop("predictions/beta")
    return {name: np.ascontiguousarray(value, "float32") for name, value in result.items()}


_KINDS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def _layer_name(layer: str) -> str:
    """tltf's layer name for a PyTorch module."""
    fixed = {
        "_conv_stem": "stem_conv",
        "_bn0": "stem_norm",
        "_conv_head": "top_conv",
        "_bn1": "top_norm",
        "_fc": "predictions",
    }
    if layer in fixed:
        return fixed[layer]
    _, number, part = layer.split(".")
    parts = {
        "_expand_conv": "expand_conv",
        "_bn0": "expand_norm",
        "_depthwise_conv": "depthwise_conv",
        "_bn1": "depthwise_norm",
        "_project_conv": "project_conv",
        "_bn2": "project_norm",
    }
    return f"block_{number}_{parts[part]}"


def _kernel(value: np.ndarray, layer: str) -> np.ndarray:
    """A PyTorch kernel in Keras's order: [h, w, in, out]; depthwise [h, w, channels, 1]."""
    return value.transpose(2, 3, 0, 1) if "depthwise" in layer else value.transpose(2, 3, 1, 0)


def _convolution(
    x: keras.KerasTensor, channels: int, kernel: int, stride: int, name: str, activate: bool = True
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(
        channels, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    return _normalise(x, name, activate)


def _normalise(x: keras.KerasTensor, name: str, activate: bool = True) -> keras.KerasTensor:
    x = keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_norm")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x


def _block(
    x: keras.KerasTensor, kernel: int, stride: int, expansion: int, channels: int, name: str
) -> keras.KerasTensor:
    """An inverted bottleneck, to which its input is added if the shapes agree."""
    block_input = x
    if expansion > 1:
        x = _convolution(x, x.shape[-1] * expansion, 1, 1, f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _normalise(x, f"{name}_depthwise")
    x = _convolution(x, channels, 1, 1, f"{name}_project", activate=False)
    is_same = stride == 1 and block_input.shape[-1] == channels
    return keras.layers.Add(name=f"{name}_add")([block_input, x]) if is_same else x
