"""The request for a builder of backbones, its result, and the flat Backbone made from that."""

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
"""Name of the input of every backbone for images."""


@dataclasses.dataclass(frozen=True)
class Request:
    """A request of `builder.build` or `builder.rebuild` to the builder of a network.

    Args:
        text: the backbone as the user named it.
        name: its name in the catalog; empty for a preset or a folder.
        weights: `default`, `none`, or the path of a weights file.
        image_size_px: side of the square input; 0 leaves it to the builder.
        text_length: number of tokens of a text; 0 leaves it to the builder.
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
    texts: tuple[str, ...] = ()
    memory: dict[str, Any] | None = None
    assets: pathlib.Path | None = None
    name: str = ""
    call: Call[BackboneRow] | None = None

    @property
    def wants_weights(self) -> bool:
        """Whether pretrained weights are to be loaded now."""
        return self.memory is None and self.weights != "none"


@dataclasses.dataclass(frozen=True)
class Scaling:
    """The map from pixels 0..255 to what a network was trained on: x * scale + offset per channel.

    Args:
        scale: one factor per channel, in the network's order of channels; or one for all.
        offset: one summand per channel, or one for all.
        is_bgr: whether the network takes blue first.
    """

    scale: Sequence[float] = (1.0,)
    offset: Sequence[float] = (0.0,)
    is_bgr: bool = False

    def __call__(self, pixels: keras.KerasTensor) -> keras.KerasTensor:
        """The pixels, float32[B, S, S, C], in the network's own range."""
        if self.is_bgr:
            pixels = keras.ops.flip(pixels, axis=-1)
        if set(self.scale) == {1.0} and set(self.offset) == {0.0}:
            return pixels
        return keras.layers.Rescaling(
            _one_or_list(self.scale), _one_or_list(self.offset), dtype="float32", name="scaling"
        )(pixels)

    def to_json(self) -> dict[str, Any]:
        """JSON data that `Scaling(**data)` takes."""
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
"""Name of a convention -> its Scaling."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A builder's result, still on the inputs of the library that made it.

    Args:
        inputs: name -> tensor of the library's graph. For images there is one entry, `image`, the
            tensor that takes scaled pixels.
        points: group name -> tensors that end the group; the groups are in depth order.
        taps: tap name -> tensor.
        pretrained: False for random weights.
        scaling: the scaling of pixels; None for texts.
        tokenizer: a KerasHub tokenizer; None for images.
        image_size_px: side of the square input; 0 for texts.
        channels: 3 or 1; 0 for texts.
        text_length: number of tokens that a text is cut to; 0 for images.
        memory: what `Request.memory` will be on a rebuild.
        transfer: see Backbone.
    """

    inputs: dict[str, keras.KerasTensor]
    points: dict[str, list[keras.KerasTensor]]
    taps: dict[str, keras.KerasTensor]
    pretrained: bool
    scaling: Scaling | None = None
    tokenizer: keras.Layer | None = None
    image_size_px: int = 0
    channels: int = 0
    text_length: int = 0
    memory: dict[str, Any] = dataclasses.field(default_factory=dict)
    transfer: tuple[tuple[str, tuple, str], ...] = ()


def assemble(network: Network, request: Request) -> Backbone:
    """The flat Backbone of a Network, on new inputs of tltf's own."""
    inputs, pairs = _fresh_inputs(network)
    names = list(network.taps)
    ends = [tensor for point in network.points.values() for tensor in point]
    tensors = functional.replay([*network.taps.values(), *ends], pairs)
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
    """The points, of which the last also ends what only the taps need; a pooler is a point of its own."""
    last = list(points)[-1]
    named = {tap: tensor for tap, tensor in taps.items() if tap not in ("pooled", "mask")}
    result = {**points, last: [*points[last], *named.values()]}
    return {**result, "pooler": [taps["pooled"]]} if "pooled" in taps else result


def _fresh_inputs(network: Network) -> tuple[dict[str, keras.KerasTensor], list[tuple]]:
    """New inputs by name, and the pairs (old tensor, new tensor) for `functional.replay`."""
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
