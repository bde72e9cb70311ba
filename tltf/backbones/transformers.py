"""Cuts KerasHub networks for texts into groups and taps, and rebuilds them and their tokenizers."""

import pathlib
import re
from typing import Any

import keras

from tltf.backbones import llama_blocks
from tltf.backbones.byte_tokenizer import ByteTokenizer
from tltf.backbones.character_tokenizer import CharacterTokenizer
from tltf.backbones.network import Network, Request
from tltf.backbones.word_tokenizer import WordTokenizer
from tltf.console import lazy_imports
from tltf.errors import FlagError, ModelError, TltfError
from tltf.files import untrusted
from tltf.graphs import functional, last_state

keras_hub = lazy_imports.Module("keras_hub")

DEFAULT_TEXT_LENGTH = 128
"""Number of tokens that a text is cut to."""
_FILES = ("vocabulary", "merges", "proto")
"""Arguments of tokenizers that may be paths; a blueprint has the files beside it instead."""
_IGNORED = ("dtype", "name", "trainable")
"""Arguments that a blueprint does not record."""
_HAS_POOLER = "has_pooler"
"""The key of a blueprint that is false for a network without the pooler of its class."""
_READS_FORWARD = "reads_forward"
"""The key of a blueprint that is true for a network whose features are the state of the last token."""
_OWN_TOKENIZERS = {
    kind.__name__: kind for kind in (WordTokenizer, ByteTokenizer, CharacterTokenizer)
}
_LEFT_OUT = ("tie_word_embeddings",)
"""Arguments that KerasHub's backbones do not tell among their own."""
_NUMBERED = re.compile(r"(.+?)_?(\d+)$")


def plain_config(backbone: keras.Model) -> dict[str, Any]:
    """The arguments of a backbone's constructor as JSON data.

    Raises:
        FlagError: the network consists of other networks, which a blueprint cannot hold.
    """
    config = {key: value for key, value in backbone.get_config().items() if key not in _IGNORED}
    config |= {key: getattr(backbone, key) for key in _LEFT_OUT if hasattr(backbone, key)}
    if not is_plain(config):
        raise FlagError(f"{type(backbone).__name__} consists of several networks", flag="backbone")
    return {key: _listed(value) for key, value in config.items()}


def is_plain(value: Any) -> bool:
    """Whether JSON can hold `value` and no class is named in it."""
    if isinstance(value, dict):
        return "class_name" not in value and all(map(is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _listed(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_listed(item) for item in value]
    return value


def make(class_name: object, config: dict[str, Any]) -> keras.Model:
    """A KerasHub backbone with random weights from a blueprint's class and arguments.

    Raises:
        ModelError: the class is not a backbone of KerasHub, or does not take the arguments.
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
    """The tokenizer's part of a blueprint; the vocabulary is saved in files beside it."""
    config = {key: value for key, value in tokenizer.get_config().items() if key not in _IGNORED}
    return {"class": type(tokenizer).__name__, "config": config}


def load_tokenizer(memory: dict[str, Any], folder: pathlib.Path | None) -> keras.Layer:
    """The tokenizer of a blueprint with the vocabulary from the files in `folder`.

    Raises:
        ModelError: the class is not a tokenizer of KerasHub, it does not take the arguments, they
            name a file elsewhere, or the files cannot be read.
    """
    cls: Any = getattr(keras_hub.tokenizers, str(memory["class"]), None)
    if memory["class"] in _OWN_TOKENIZERS:
        cls = _OWN_TOKENIZERS[memory["class"]]
    elif not (isinstance(cls, type) and issubclass(cls, keras_hub.tokenizers.Tokenizer)):
        raise ModelError(f"{memory['class']!r} is not a tokenizer of KerasHub", flag="backbone")
    named = [key for key in _FILES if memory["config"].get(key) is not None]
    if named or not is_plain(memory["config"]):
        what = f"the tokenizer's {named[0]}" if named else "the tokenizer"
        raise ModelError(f"{what} leads out of its own folder", flag="backbone")
    with untrusted.refuse_failures("is not a readable tokenizer", folder or ""):
        tokenizer = cls(**memory["config"])
        tokenizer.load_assets(str(folder))
    return tokenizer


def text_network(
    backbone: keras.Model,
    tokenizer: keras.Layer,
    request: Request,
    pretrained: bool,
    has_pooler: bool = True,
    reads_forward: bool = False,
) -> Network:
    """The Network of a KerasHub text backbone with one token input.

    Args:
        backbone: the backbone.
        tokenizer: its tokenizer.
        request: the request, whose memory is kept where it has one.
        pretrained: False for random weights.
        has_pooler: False leaves out the pooler of the class, for weights that have none.
        reads_forward: whether a token sees only those before it, so that the last one's state is
            the features; where the request has a memory, that says so.
    """
    llama_blocks.mend(backbone)
    inputs = dict(backbone.input) if isinstance(backbone.input, dict) else {}
    if not {"token_ids", "padding_mask"} <= set(inputs) or len(inputs) > 3:
        raise FlagError(f"{request.text} is not a plain text encoder", flag="backbone")
    taps = text_taps(backbone, inputs)
    memory = request.memory or {
        "class": type(backbone).__name__,
        "config": plain_config(backbone),
        "tokenizer": tokenizer_memory(tokenizer),
        **({} if has_pooler else {_HAS_POOLER: False}),
        **({_READS_FORWARD: True} if reads_forward else {}),
    }
    if not memory.get(_HAS_POOLER, True):
        taps.pop("pooled", None)
    if memory.get(_READS_FORWARD, False):
        taps["last"] = last_state.last_state(taps["sequence"], taps["mask"])
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
    """The taps of a network for texts: `sequence`, `mask`, and `pooled` if it has a pooler."""
    outputs = backbone.output
    if not isinstance(outputs, dict):
        return {"sequence": outputs, "mask": inputs["padding_mask"]}
    taps = {"sequence": outputs["sequence_output"], "mask": inputs["padding_mask"]}
    if "pooled_output" in outputs:
        taps["pooled"] = outputs["pooled_output"]
    return taps


def checked_length(request: Request, backbone: keras.Model) -> int:
    """The text length of a request, else DEFAULT_TEXT_LENGTH; the position table limits it."""
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
    """The points of a transformer: `embeddings`, then its blocks `layer_1` .. `layer_n`."""
    blocks = repeated_layers(backbone)
    if functional.num_calls(blocks[0]) > 1:  # ALBERT calls one block repeatedly
        return {"embeddings": list(_inputs_of(blocks[0])), "layers": [sequence]}
    points = {"embeddings": list(_inputs_of(blocks[0]))}
    for number, block in enumerate(blocks, start=1):
        points[f"layer_{number}"] = keras.tree.flatten(block.output)
    return points


def repeated_layers(backbone: keras.Model) -> list[keras.Layer]:
    """The blocks in depth order, which are the numbered layers of the class with most weights."""
    families: dict[tuple[str, str], list[keras.Layer]] = {}
    for layer in backbone.layers:
        match = _NUMBERED.match(layer.name)
        if match and layer.weights:
            key = (type(layer).__name__, match.group(1))
            families.setdefault(key, []).append(layer)
    if not families:
        raise FlagError(f"{type(backbone).__name__} has no repeated blocks", flag="backbone")
    return max(families.values(), key=lambda family: sum(item.count_params() for item in family))


def _inputs_of(layer: keras.Layer) -> list[keras.KerasTensor]:
    """The tensors that a block takes, without the masks that every block takes."""
    inputs = functional.inputs_of_call(layer)
    return [tensor for tensor in inputs if len(tensor.shape) == 3] or inputs
