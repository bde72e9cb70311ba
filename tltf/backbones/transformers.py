"""KerasHub networks cut into groups and taps, and the tokenizers that belong to them."""

import re
from collections.abc import Sequence
from typing import Any

import keras
import keras_hub

from tltf.backbones.network import Network, Request
from tltf.errors import FlagError, ModelError, TltfError
from tltf.files import untrusted
from tltf.graphs import functional

DEFAULT_TEXT_LENGTH = 128
_FILES = ("vocabulary", "merges", "proto")
"""Arguments of tokenizers that may be paths; a blueprint leaves them to the files beside it."""
_IGNORED = ("dtype", "name", "trainable")
_NUMBERED = re.compile(r"(.+?)_?(\d+)$")


def plain_config(backbone: keras.Model) -> dict[str, Any]:
    """The constructor's arguments as JSON data.

    Raises:
        FlagError: the network is made of other networks, which a blueprint cannot hold.
    """
    config = {key: value for key, value in backbone.get_config().items() if key not in _IGNORED}
    if not is_plain(config):
        raise FlagError(f"{type(backbone).__name__} consists of several networks", flag="backbone")
    return {key: _listed(value) for key, value in config.items()}


def is_plain(value: Any) -> bool:
    """Whether JSON can hold `value` and no class is named inside."""
    if isinstance(value, dict):
        return "class_name" not in value and all(map(is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _listed(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_listed(item) for item in value]
    return value


def make(class_name: Sequence[str] | str, config: dict[str, Any]) -> Any:
    """A KerasHub backbone with random weights from a blueprint's class and arguments.

    Raises:
        ModelError: no backbone class of KerasHub, or arguments that it does not take.
    """
    cls = getattr(keras_hub.models, str(class_name), None)
    if not (isinstance(cls, type) and issubclass(cls, keras_hub.models.Backbone)):
        raise ModelError(f"{class_name!r} is not a backbone of KerasHub", flag="backbone")
    if not is_plain(config):
        raise ModelError(f"the configuration of {class_name} names classes", flag="backbone")
    try:
        return cls(**{key: value for key, value in config.items() if key not in _IGNORED})
    except (TypeError, ValueError, OverflowError, KeyError, AttributeError) as error:
        if isinstance(error, TltfError):
            raise
        raise ModelError(f"{class_name} does not take its configuration: {error}") from error


def tokenizer_memory(tokenizer: keras.Layer) -> dict[str, Any]:
    """The tokenizer's part of a blueprint; its vocabulary is saved as files."""
    config = {key: value for key, value in tokenizer.get_config().items() if key not in _IGNORED}
    return {"class": type(tokenizer).__name__, "config": config}


def load_tokenizer(memory: dict[str, Any], folder: Any) -> Any:
    """The tokenizer of a blueprint, its vocabulary from the files in `folder`.

    Raises:
        ModelError: no tokenizer of KerasHub, arguments that it does not take or that name a file
            elsewhere, or files that it cannot read.
    """
    cls = getattr(keras_hub.tokenizers, str(memory["class"]), None)
    if not (isinstance(cls, type) and issubclass(cls, keras_hub.tokenizers.Tokenizer)):
        raise ModelError(f"{memory['class']!r} is not a tokenizer of KerasHub", flag="backbone")
    named = [key for key in _FILES if memory["config"].get(key) is not None]
    if named or not is_plain(memory["config"]):
        what = f"the tokenizer's {named[0]}" if named else "the tokenizer"
        raise ModelError(f"{what} leads out of the files beside it", flag="backbone")
    with untrusted.refuse_failures("no readable tokenizer", folder):
        tokenizer = cls(**memory["config"])
        tokenizer.load_assets(str(folder))
    return tokenizer


def text_network(
    backbone: keras.Model, tokenizer: keras.Layer, request: Request, pretrained: bool
) -> Network:
    """The Network of a KerasHub text backbone with one token input."""
    inputs = dict(backbone.input) if isinstance(backbone.input, dict) else {}
    if not {"token_ids", "padding_mask"} <= set(inputs) or len(inputs) > 3:
        raise FlagError(f"{request.text} is not a plain text encoder", flag="backbone")
    taps = text_taps(backbone, inputs)
    memory = request.memory or {
        "class": type(backbone).__name__,
        "config": plain_config(backbone),
        "tokenizer": tokenizer_memory(tokenizer),
    }
    return Network(
        inputs=inputs,
        points=depth_points(backbone, taps["sequence"]),
        taps=taps,
        pretrained=pretrained,
        tokenizer=tokenizer,
        text_length=checked_length(request, backbone),
        memory=memory,
    )


def text_taps(
    backbone: keras.Model, inputs: dict[str, keras.KerasTensor]
) -> dict[str, keras.KerasTensor]:
    """`sequence`, `mask`, and `pooled` where the network has a pooler."""
    outputs = backbone.output
    if not isinstance(outputs, dict):
        return {"sequence": outputs, "mask": inputs["padding_mask"]}
    taps = {"sequence": outputs["sequence_output"], "mask": inputs["padding_mask"]}
    if "pooled_output" in outputs:
        taps["pooled"] = outputs["pooled_output"]
    return taps


def checked_length(request: Request, backbone: keras.Model) -> int:
    """The text length asked for, else 128, within what the position table holds."""
    limit = getattr(backbone, "max_sequence_length", None) or 10**6
    length = request.text_length or min(DEFAULT_TEXT_LENGTH, limit)
    if length > limit:
        raise FlagError(
            f"{request.text} takes at most {limit} tokens (received {length})",
            flag="text_length",
            fix=f"--text_length={limit}",
        )
    return length


def depth_points(
    backbone: keras.Model, sequence: keras.KerasTensor
) -> dict[str, list[keras.KerasTensor]]:
    """`embeddings`, then `layer_1` .. `layer_n`: the repeated blocks of a transformer."""
    blocks = repeated_layers(backbone)
    if functional.num_calls(blocks[0]) > 1:  # ALBERT: one block, called again and again
        return {"embeddings": list(_inputs_of(blocks[0])), "layers": [sequence]}
    points = {"embeddings": list(_inputs_of(blocks[0]))}
    for number, block in enumerate(blocks, start=1):
        points[f"layer_{number}"] = keras.tree.flatten(block.output)
    return points


def repeated_layers(backbone: keras.Model) -> list[keras.Layer]:
    """The blocks in depth order: the numbered layers of the class that holds most weights."""
    families: dict[Any, Any] = {}
    for layer in backbone.layers:
        match = _NUMBERED.match(layer.name)
        if match and layer.weights:
            key = (type(layer).__name__, match.group(1))
            families.setdefault(key, []).append(layer)
    if not families:
        raise FlagError(f"{type(backbone).__name__} has no repeated blocks", flag="backbone")
    return max(families.values(), key=lambda found: sum(item.count_params() for item in found))


def _inputs_of(layer: keras.Layer) -> list[keras.KerasTensor]:
    """What flows into the first block, without the masks that go to every block."""
    found = functional.inputs_of_call(layer)
    return [tensor for tensor in found if len(tensor.shape) == 3] or found
