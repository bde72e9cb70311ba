"""What a builder is asked for and what it returns; the flat Backbone made of that."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from tltf.config.call_strings import Call
from tltf.config.catalogs.row import BackboneRow
from tltf.graphs import functional
from tltf.graphs.backbone import Backbone, Group

IMAGE_INPUT = "image"


@dataclasses.dataclass(frozen=True)
class Request:
    """What `build` or `rebuild` asks a builder for.

    Args:
        text: the backbone as the user gave it.
        name: the catalog's name of it; empty for a preset or a folder.
        weights: `default`, `none`, or the path of a weights file.
        image_size_px: 0 leaves it to the builder.
        text_length: 0 leaves it to the builder.
        texts: training texts, for a vocabulary that is learned.
        memory: the builder's own part of a blueprint; None on the first build. With it, no
            weights are loaded and neither the network nor an original folder is used.
        assets: folder with the tokenizer's files, used together with `memory`.
        call: what `text` was resolved to, where the caller has resolved it.
    """

    text: str
    weights: str = "default"
    image_size_px: int = 0
    text_length: int = 0
    texts: tuple = ()
    memory: dict | None = None
    assets: pathlib.Path | None = None
    name: str = ""
    call: Call[BackboneRow] | None = None

    @property
    def wants_weights(self) -> bool:
        """Whether pretrained weights are to be loaded now."""
        return self.memory is None and self.weights != "none"


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Pixels 0..255 to what the network was trained on: x * scale + offset, a channel each.

    Args:
        scale: list of float, one a channel, after the change of order.
        offset: list of float.
        is_bgr: the network wants blue first.
    """

    scale: tuple = (1.0,)
    offset: tuple = (0.0,)
    is_bgr: bool = False

    def __call__(self, pixels: keras.KerasTensor) -> keras.KerasTensor:
        """float32[B, S, S, C] in the network's own range."""
        if self.is_bgr:
            pixels = keras.ops.flip(pixels, axis=-1)
        if set(self.scale) == {1.0} and set(self.offset) == {0.0}:
            return pixels
        return keras.layers.Rescaling(
            _one_or_list(self.scale), _one_or_list(self.offset), dtype="float32", name="scaling"
        )(pixels)

    def to_json(self) -> dict[str, Any]:
        """Data that `Scaling(**data)` takes."""
        return {"scale": list(self.scale), "offset": list(self.offset), "is_bgr": self.is_bgr}


def _one_or_list(values: Sequence[float]) -> float | list[float]:
    return float(values[0]) if len(set(values)) == 1 else [float(value) for value in values]


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SCALINGS = {
    "none": Scaling(),
    "unit": Scaling((1 / 255,)),
    "symmetric": Scaling((1 / 127.5,), (-1.0,)),
    "caffe": Scaling((1.0,) * 3, (-103.939, -116.779, -123.68), is_bgr=True),
    "torch": Scaling(
        tuple(1 / (255 * std) for std in IMAGENET_STD),
        tuple(-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)),
    ),
}


@dataclasses.dataclass(frozen=True)
class Network:
    """A builder's result, still on the inputs of the library that made it.

    Args:
        inputs: name -> KerasTensor of the library's graph; images: one entry, `image`,
            the tensor that takes scaled pixels.
        points: group name -> list of KerasTensor that end the group, in depth order.
        taps: tap name -> KerasTensor.
        scaling: images only.
        tokenizer, text_length: text only.
        image_size_px, channels: images only.
        memory: what `Request.memory` will be on a rebuild.
        transfer: see Backbone.
    """

    inputs: dict
    points: dict
    taps: dict
    pretrained: bool
    scaling: Scaling | None = None
    tokenizer: object = None
    image_size_px: int = 0
    channels: int = 0
    text_length: int = 0
    memory: dict = dataclasses.field(default_factory=dict)
    transfer: tuple = ()


def assemble(network: Network, request: Request) -> Backbone:
    """The flat Backbone of a Network, on inputs of our own."""
    inputs, given = _fresh_inputs(network)
    names = list(network.taps)
    ends = [tensor for point in network.points.values() for tensor in point]
    tensors = functional.replay([*network.taps.values(), *ends], given)
    taps = dict(zip(names, tensors, strict=False))
    rest = iter(tensors[len(names) :])
    points = {name: [next(rest) for _ in point] for name, point in network.points.items()}
    functional.name_for_good([*taps.values(), *ends_of(points)])
    grouped = functional.layers_by_point(_with_rest(points, taps))
    return Backbone(
        name=request.text,
        modality="text" if network.scaling is None else "image",
        inputs=inputs,
        taps=taps,
        groups=tuple(Group(name, layers) for name, layers in grouped.items()),
        tokenizer=network.tokenizer,
        image_size_px=network.image_size_px,
        channels=network.channels,
        text_length=network.text_length,
        pretrained=network.pretrained,
        blueprint=_blueprint(network, request),
        transfer=network.transfer,
    )


def ends_of(points: dict[str, list[keras.KerasTensor]]) -> list[keras.KerasTensor]:
    """The tensors of all points in one list."""
    return [tensor for point in points.values() for tensor in point]


def _with_rest(
    points: dict[str, list[keras.KerasTensor]], taps: dict[str, keras.KerasTensor]
) -> dict[str, list[keras.KerasTensor]]:
    """Points whose last one also takes what only the taps need (BERT's pooler has its own)."""
    last = list(points)[-1]
    named = {tap: tensor for tap, tensor in taps.items() if tap not in ("pooled", "mask")}
    result = {**points, last: [*points[last], *named.values()]}
    return {**result, "pooler": [taps["pooled"]]} if "pooled" in taps else result


def _fresh_inputs(network: Network) -> tuple[dict[str, keras.KerasTensor], list[tuple]]:
    """Our inputs by name, and the pairs for `functional.replay`."""
    if network.scaling is not None:
        side = network.image_size_px
        image = keras.Input((side, side, network.channels), dtype="float32", name=IMAGE_INPUT)
        (old,) = network.inputs.values()
        return {IMAGE_INPUT: image}, [(old, network.scaling(image))]
    inputs = {
        name: keras.Input(old.shape[1:], dtype=old.dtype, name=name)
        for name, old in network.inputs.items()
    }
    return inputs, [(old, inputs[name]) for name, old in network.inputs.items()]


def _blueprint(network: Network, request: Request) -> dict[str, Any]:
    return {
        "text": request.text,
        "pretrained": network.pretrained,
        "image_size_px": network.image_size_px,
        "text_length": network.text_length,
        "memory": network.memory,
    }
