"""Reads a Hugging Face folder of a BERT by its formulas (Devlin et al. 2019, arXiv:1810.04805) in numpy.

It stands for `transformers`, which need not be installed, in the check of such a folder: names, shapes
and orientation of the weights are Hugging Face's. It runs in a clean process without tltf. Two layouts
are read: `BertForSequenceClassification`, and that of sentence-transformers, where modules.json names
an encoder, a pooling and dense layers.
"""

import json
import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf

Rows = dict[str, np.ndarray]
"""Name -> array whose first axis counts rows."""
_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "GELU": lambda x: _gelu(x),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
"""Name in torch.nn -> function."""


def load(folder: str) -> Callable[[Rows], Rows]:
    """The function from `token_ids`, `padding_mask` and `segment_ids` int[B, L] to `logits` float32[B, C]."""
    path = pathlib.Path(folder)
    config, tensors = _json(path / "config.json"), load_file(path / "model.safetensors")
    if config["architectures"] == ["BertForSequenceClassification"]:
        own = {k.removeprefix("bert."): v for k, v in tensors.items() if k.startswith("bert.")}

        def classify(rows: Rows) -> Rows:
            first = _encode(own, config, rows)[:, 0]
            pooled = np.tanh(_linear(first, own, "pooler.dense"))
            return {"logits": _linear(pooled, tensors, "classifier")}

        return classify
    places = [path / entry["path"] for entry in _json(path / "modules.json")[1:]]
    pooling = _json(places[0] / "config.json")
    dense = [
        (_json(place / "config.json"), load_file(place / "model.safetensors"))
        for place in places[1:]
    ]

    def pool_and_classify(rows: Rows) -> Rows:
        features = _pool(_encode(tensors, config, rows), rows["padding_mask"], pooling)
        for layer, weights in dense:
            activation = _ACTIVATIONS[layer["activation_function"].rpartition(".")[2]]
            features = activation(_linear(features, weights, "linear"))
        return {"logits": features}

    return pool_and_classify


def _json(path: pathlib.Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _encode(tensors: Rows, config: dict[str, Any], rows: Rows) -> np.ndarray:
    """float32[B, L, D]: the last hidden states."""
    ids, mask = rows["token_ids"], rows["padding_mask"].astype(bool)
    eps, heads = config["layer_norm_eps"], config["num_attention_heads"]
    gelu = {"gelu": _gelu, "gelu_pytorch_tanh": _gelu_tanh}[config["hidden_act"]]
    tables = {
        n: tensors[f"embeddings.{n}_embeddings.weight"] for n in ("word", "position", "token_type")
    }
    x = tables["word"][ids] + tables["position"][: ids.shape[1]]
    x = _norm(x + tables["token_type"][rows["segment_ids"]], tensors, "embeddings.LayerNorm", eps)
    for number in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{number}"
        attended = _attend(x, mask, tensors, f"{name}.attention.self", heads)
        attended = _linear(attended, tensors, f"{name}.attention.output.dense")
        x = _norm(x + attended, tensors, f"{name}.attention.output.LayerNorm", eps)
        inner = gelu(_linear(x, tensors, f"{name}.intermediate.dense"))
        inner = _linear(inner, tensors, f"{name}.output.dense")
        x = _norm(x + inner, tensors, f"{name}.output.LayerNorm", eps)
    return x


def _attend(x: np.ndarray, mask: np.ndarray, tensors: Rows, name: str, heads: int) -> np.ndarray:
    """float32[B, L, D]: scaled dot-product attention of several heads over tokens that are not padding."""
    shape = (*x.shape[:2], heads, x.shape[2] // heads)
    query, key, value = (
        _linear(x, tensors, f"{name}.{part}").reshape(shape).transpose(0, 2, 1, 3)
        for part in ("query", "key", "value")
    )
    scores = query @ key.transpose(0, 1, 3, 2) / np.float32(math.sqrt(shape[-1]))
    scores = np.where(mask[:, None, None, :], scores, np.float32(-1e9))
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    weights = scores / scores.sum(-1, keepdims=True)
    return (weights @ value).transpose(0, 2, 1, 3).reshape(x.shape)


def _pool(steps: np.ndarray, mask: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    """float32[B, D], as sentence-transformers pools."""
    wide = mask[..., None].astype(np.float32)
    if config["pooling_mode_cls_token"]:
        return steps[:, 0]
    if config["pooling_mode_max_tokens"]:
        return np.where(wide == 0, np.float32(-1e9), steps).max(1)
    return (steps * wide).sum(1) / np.maximum(wide.sum(1), np.float32(1e-9))


def _linear(x: np.ndarray, tensors: Rows, name: str) -> np.ndarray:
    """x W^T + b, with W as torch has it: [outputs, inputs]."""
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def _norm(x: np.ndarray, tensors: Rows, name: str, eps: float) -> np.ndarray:
    mean = x.mean(-1, keepdims=True)
    variance = np.square(x - mean).mean(-1, keepdims=True)
    scaled = (x - mean) / np.sqrt(variance + np.float32(eps))
    return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def _gelu(x: np.ndarray) -> np.ndarray:
    return x * np.float32(0.5) * (1 + erf(x / np.float32(math.sqrt(2))))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    """Hendrycks & Gimpel 2016, arXiv:1606.08415, the approximation in section 2."""
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)
    return np.float32(0.5) * x * (1 + np.tanh(inner))
