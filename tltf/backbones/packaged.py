"""Networks of keras.applications with weights from packages of the asset catalog."""

import pathlib
from collections.abc import Callable

import numpy as np

from tltf.backbones import applications, weight_files
from tltf.backbones.network import SCALINGS, Network, Request, Scaling
from tltf.files import untrusted

HED_SCALING = Scaling((1.0,) * 3, (-104.00699, -116.66877, -122.67892), is_bgr=True)
"""The scaling of the package's own preprocessing, which subtracts these means, blue first."""
_Arrays = dict[str, np.ndarray]


def dog_mobilenet_v2(request: Request) -> Network:
    """MobileNetV2 1.0 at 160 px, retrained on dog breeds from ImageNet's weights.

    Layers up to `block_13_project` were frozen then and have ImageNet's own weights.
    """
    return _application(request, "dog_mobilenet_v2", _dog_arrays)


def hed_vgg16(request: Request) -> Network:
    """VGG-16 retrained from ImageNet's weights to find edges; its last block is nearly random."""
    return _application(request, "hed_vgg16", _hed_arrays, HED_SCALING)


def densenet121_packaged(request: Request) -> Network:
    """DenseNet-121 of keras.applications as a classifier of tissue was built on it, all its layers frozen.

    So it has ImageNet's weights, of which the package's own head is left out. Its configuration is read as JSON for
    the order of its layers; no class is deserialised from it.
    """
    return _application(request, "densenet121_packaged", _densenet_arrays)


def _application(
    request: Request,
    asset_id: str,
    read: Callable[[pathlib.Path], _Arrays],
    scaling: Scaling | None = None,
) -> Network:
    """The Network of a family with the weights that `read` takes from an asset's folder."""
    family = applications.family_of(request.name)
    model = applications.random_model(family, request)
    if request.wants_weights:
        path: pathlib.Path | str = request.weights
        if path == "default":
            path = weight_files.convert_once(asset_id, read)
        weight_files.load(model, path, request.text)
    scaling = scaling or SCALINGS[family.scaling]
    if request.memory is not None:
        scaling = Scaling(**request.memory["scaling"])
    return applications.cut(family, model, request, scaling, model.inputs[0])


def _dog_arrays(folder: pathlib.Path) -> _Arrays:
    """The packaged file's weights by tltf's names; its own names end in `<layer>/<weight>`."""
    (path,) = folder.glob("*.h5")
    with weight_files.open_h5(path) as opened:
        group = opened["model_weights/mobilenetv2_1.00_160"]
        arrays = {
            key.removesuffix(":0"): item[()] for key, item in weight_files.datasets(group).items()
        }
    return {_last_two(key): array for key, array in arrays.items()}


def _last_two(key: str) -> str:
    return "/".join(key.split("/")[-2:])


def _hed_arrays(folder: pathlib.Path) -> _Arrays:
    """The packaged file's weights by tltf's names.

    `block{n}/layers/conv2d_{m}/vars/{0,1}` becomes `block{n}_conv{m+1}/{kernel,bias}`.
    """
    (path,) = folder.glob("*.h5")
    result = {}
    with weight_files.open_h5(path) as opened:
        for key, item in weight_files.datasets(opened).items():
            if key.startswith("block"):
                block, _, layer, _, index = key.split("/")
                number = int(layer.removeprefix("conv2d").strip("_") or 0) + 1
                result[f"{block}_conv{number}/{('kernel', 'bias')[int(index)]}"] = item[()]
    return result


def _densenet_arrays(folder: pathlib.Path) -> _Arrays:
    """The packaged file's weights by tltf's names.

    Keras numbers the layers of a class in their order: `conv2d_{n}/vars/{m}` becomes the m-th weight of the n-th Conv2D.
    """
    config = untrusted.read_json(folder / "config.json")["config"]
    (base,) = (layer for layer in config["layers"] if layer["config"]["name"] == "densenet121")
    result, counts = {}, dict.fromkeys(_WEIGHTS_OF, 0)
    with weight_files.open_h5(folder / "model.weights.h5") as opened:
        group = opened["layers/functional/layers"]
        for layer in base["config"]["layers"]:
            if (kind := layer["class_name"]) not in _WEIGHTS_OF:
                continue
            stored, names = _WEIGHTS_OF[kind]
            number = f"_{counts[kind]}" if counts[kind] else ""
            counts[kind] += 1
            for place, name in enumerate(names):
                found = group[f"{stored}{number}/vars/{place}"][()]
                result[f"{layer['config']['name']}/{name}"] = found
    return result


_WEIGHTS_OF = {
    "Conv2D": ("conv2d", ("kernel",)),
    "BatchNormalization": (
        "batch_normalization",
        ("gamma", "beta", "moving_mean", "moving_variance"),
    ),
}
"""Class of a layer -> what Keras calls its group in a file, and the names of its weights in their order."""
