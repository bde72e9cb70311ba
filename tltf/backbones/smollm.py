"""SmolLM2-135M, a language model that reads from left to right, with packaged weights."""

import dataclasses
from typing import Any

import keras
import numpy as np

from tltf.backbones import gguf, transformers, weight_files
from tltf.backbones.byte_tokenizer import ByteTokenizer
from tltf.backbones.network import Network, Request
from tltf.files import assets
from tltf.graphs import functional

CONFIG = {
    "vocabulary_size": 49152,
    "num_layers": 30,
    "num_query_heads": 9,
    "num_key_value_heads": 3,
    "hidden_dim": 576,
    "intermediate_dim": 1536,
    "rope_max_wavelength": 100000,
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": True,
}
"""What the metadata of the file say, kept here so that the graph can be built without the weights."""
_WHOLE = {
    "token_embedding/embeddings": "token_embd.weight",
    "sequence_output_layernorm/scale": "output_norm.weight",
}
_BLOCK = {
    "self_attention_layernorm/scale": "attn_norm",
    "self_attention/query/kernel": "attn_q",
    "self_attention/key/kernel": "attn_k",
    "self_attention/value/kernel": "attn_v",
    "self_attention/attention_output/kernel": "attn_output",
    "feedforward_layernorm/scale": "ffn_norm",
    "feedforward_gate_dense/kernel": "ffn_gate",
    "feedforward_intermediate_dense/kernel": "ffn_up",
    "feedforward_output_dense/kernel": "ffn_down",
}
"""Names of weights in KerasHub -> their names in llama.cpp."""
_ROTATED = {"attn_q": "num_query_heads", "attn_k": "num_key_value_heads"}
"""Weights whose rows llama.cpp has in another order -> the number of their heads."""


def smollm2_135m(request: Request) -> Network:
    """The Network of `--backbone=smollm2_135m`, which is SmolLM2-135M-Instruct.

    A Llama (Touvron et al. 2023, arXiv:2302.13971) with grouped queries. The weights are those of the package,
    of 4 bits, in blocks of 32 with a scale and a minimum each, and are computed with as float32. The features of a
    text are the state of its last token, which alone has read the whole text. The tokenizer comes
    from the package even if the weights do not.
    """
    (path,) = assets.fetch("smollm2_135m").glob("*.gguf")
    file = gguf.read(path)
    backbone = transformers.make("LlamaBackbone", CONFIG)
    if request.weights == "default":
        variables = functional.named_weights(backbone.layers)
        weight_files.load_named(variables, llama_arrays(file, CONFIG), path, request.text)
    elif request.weights != "none":
        weight_files.load(backbone, request.weights, request.text)
    has_weights = request.weights != "none"
    return transformers.text_network(
        backbone, tokenizer(file), request, has_weights, reads_forward=True
    )


def tokenizer(file: gguf.File) -> keras.Layer:
    """The tokenizer whose tokens and merges the file has.

    It never makes the special tokens such as `<|im_end|>` of a text that has such words.
    """
    of = lambda key: file.metadata[f"tokenizer.ggml.{key}"]  # noqa: E731
    return ByteTokenizer(of("tokens"), of("merges"))


@dataclasses.dataclass(frozen=True)
class _Weight:
    """A weight of a LlamaBackbone, read when it becomes an array.

    Args:
        tensor: the file's.
        shape: the shape that KerasHub has it in.
        heads: the number of heads whose rows are in llama.cpp's order; 0 for KerasHub's order.
    """

    tensor: gguf.Tensor
    shape: tuple[int, ...]
    heads: int = 0
    dtype: str = "float32"

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        numbers = self.tensor.numbers()
        if self.heads:  # llama.cpp rotates neighbours, KerasHub the first half with the second
            pairs = numbers.reshape(self.heads, -1, 2, numbers.shape[-1])
            numbers = pairs.swapaxes(1, 2).reshape(numbers.shape)
        if self.tensor.shape == self.shape:  # an embedding or a norm
            return numbers
        return np.ascontiguousarray(numbers.T).reshape(self.shape)


def llama_arrays(file: gguf.File, config: dict[str, Any]) -> dict[str, _Weight]:
    """The weights of a Llama by the names that a LlamaBackbone's have in tltf.

    Args:
        file: the file of llama.cpp.
        config: the arguments of the LlamaBackbone.
    """
    heads, groups = config["num_query_heads"], config["num_key_value_heads"]
    width = config["hidden_dim"]
    shapes = {
        "attn_q": (width, heads, width // heads),
        "attn_k": (width, groups, width // heads),
        "attn_v": (width, groups, width // heads),
        "attn_output": (heads, width // heads, width),
    }
    found = {}
    for own, theirs in _WHOLE.items():
        found[own] = _Weight(file.tensors[theirs], file.tensors[theirs].shape)
    for number in range(config["num_layers"]):
        for own, theirs in _BLOCK.items():
            tensor = file.tensors[f"blk.{number}.{theirs}.weight"]
            shape = shapes.get(theirs, tuple(reversed(tensor.shape)))
            rotated = config[_ROTATED[theirs]] if theirs in _ROTATED else 0
            found[f"transformer_layer_{number}/{own}"] = _Weight(tensor, shape, rotated)
    return found
