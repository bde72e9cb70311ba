"""A BERT written back as a Hugging Face folder, which transformers and sentence-transformers read."""

import json
import pathlib
from typing import Any

import keras
import numpy as np
from safetensors.numpy import save_file

from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import ModelError
from tltf.graphs.core import Core
from tltf.heads.classify import Classify
from tltf.heads.head import Head
from tltf.heads.multi_label import MultiLabel
from tltf.models.transfer_model import TransferModel
from tltf.serving.export import hugging_face_texts
from tltf.serving.export.format_export import FormatExport

CLASSIFIER, ENCODER = "BertForSequenceClassification", "BertModel"
"""The architecture of the folder: with a head of Hugging Face's, or the encoder alone."""
_PROBLEMS = {Classify: "single_label_classification", MultiLabel: "multi_label_classification"}
"""Class of the head -> what Hugging Face calls it."""
_ACTIVATIONS = {
    "linear": "torch.nn.modules.linear.Identity",
    "tanh": "torch.nn.modules.activation.Tanh",
    "relu": "torch.nn.modules.activation.ReLU",
    "gelu": "torch.nn.modules.activation.GELU",
    "sigmoid": "torch.nn.modules.activation.Sigmoid",
}
"""Activation of a hidden layer -> its class in torch, as sentence-transformers names it."""
_POOLINGS = {"auto": "mean", "average": "mean", "max": "max", "first": "cls", "pooled": "cls"}
"""Pooling of the head -> of sentence-transformers."""
_BLOCK_PREFIX = "transformer_layer_"
"""What the names of KerasHub's blocks begin with; a number from 0 follows."""
_BLOCK = {
    "self_attention_layer/query": "attention.self.query",
    "self_attention_layer/key": "attention.self.key",
    "self_attention_layer/value": "attention.self.value",
    "self_attention_layer/attention_output": "attention.output.dense",
    "self_attention_layer_norm": "attention.output.LayerNorm",
    "feedforward_intermediate_dense": "intermediate.dense",
    "feedforward_output_dense": "output.dense",
    "feedforward_layer_norm": "output.LayerNorm",
}
"""Layer of a block in KerasHub -> in Hugging Face."""
_LAYERS = {
    "token_embedding": "embeddings.word_embeddings",
    "backbone_position_embedding": "embeddings.position_embeddings",
    "segment_embedding": "embeddings.token_type_embeddings",
    "embeddings_layer_norm": "embeddings.LayerNorm",
    "pooled_dense": "pooler.dense",
}
"""Layer outside of the blocks in KerasHub -> in Hugging Face."""


class HuggingFaceExport(FormatExport):
    """A run on a BERT as a Hugging Face folder with its tokenizer.

    Two layouts are exact, and the head decides which is written. Where the head takes the first token
    through BERT's pooler and has no hidden layer (`classify(pooling=pooled)`), or a tanh layer as wide
    as the network in the pooler's place (`classify(pooling=first, hidden=[384], activation=tanh)`),
    the folder is a BertForSequenceClassification: `AutoModelForSequenceClassification` reads it, with
    the names of the classes. All other heads, such as those that take the mean over the tokens, have
    no counterpart there: the folder then has the encoder, which `AutoModel` reads, and pooling and
    dense layers as modules of sentence-transformers, whose `encode` gives the logits. README.md in the
    folder says how either is used. Arguments and errors as `FormatExport`.
    """

    name = "hf"
    files = (".",)

    @property
    def runtime(self) -> str:  # type: ignore[override]
        """transformers where it is installed, else BERT's formulas in numpy."""
        return hugging_face_texts.runtime()

    def write(self, part: pathlib.Path) -> None:
        """Writes config, weights, tokenizer, the modules above the encoder if needed, and README.md."""
        trained = self.trained
        require_bert(trained)
        weights = named_arrays(trained.core)
        layers = _head_layers(trained.core)
        pooler = _as_pooler(trained.core, layers, weights)
        tensors = encoder_tensors(weights, trained.core.backbone.blueprint["memory"]["config"])
        is_classifier = pooler is not None
        if pooler is not None:
            tensors = {f"bert.{name}": array for name, array in (tensors | pooler).items()}
            tensors |= _output(layers[-1], "classifier", trained.core.head)
        _save(tensors, part / "model.safetensors")
        config = config_of(trained, CLASSIFIER if is_classifier else ENCODER)
        _write_json(part / "config.json", config)
        preprocessing = _texts(trained)
        hugging_face_texts.write_tokenizer(part, preprocessing)
        if not is_classifier:
            _write_modules(part, trained, layers, weights)
        text = hugging_face_texts.readme(is_classifier, config["id2label"], preprocessing)
        (part / "README.md").write_text(text, encoding="utf-8")


def require_bert(trained: TransferModel) -> None:
    """Raises ModelError where the model has no counterpart in a Hugging Face folder."""
    memory = trained.core.backbone.blueprint.get("memory") or {}
    kind, head = memory.get("class"), trained.core.head
    tokenizer = type(trained.core.backbone.tokenizer).__name__
    if kind != "BertBackbone" or tokenizer != "BertTokenizer":
        what = (
            f"hf takes a BERT with its WordPiece tokenizer (this is {trained.core.backbone.name})"
        )
        raise ModelError(what, fix="--format='onnx|litert' take every network")
    if type(head) not in _PROBLEMS:
        what = f"hf takes the heads classify and multi_label (this is {trained.core.head_spec})"
        raise ModelError(what, fix="--format='onnx|litert' take every head")
    if len(trained.preprocessing.fields) > 2:
        raise ModelError("hf takes one or two texts per example", fix="--format='onnx|litert'")


def _texts(trained: TransferModel) -> TextPreprocessing:
    """The preprocessing of a model for texts."""
    if not isinstance(trained.preprocessing, TextPreprocessing):
        raise ModelError("hf takes a BERT, and so texts", fix="--format='onnx|litert'")
    return trained.preprocessing


def named_arrays(core: Core) -> dict[str, np.ndarray]:
    """Name -> float32 array of every weight of the core."""
    return {
        name: np.asarray(keras.ops.convert_to_numpy(weight), np.float32)
        for name, weight in core.named_weights().items()
    }


def encoder_tensors(
    weights: dict[str, np.ndarray], config: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Hugging Face's name -> array of every weight below the head, in its orientation.

    Args:
        weights: name -> array, of a BERT of KerasHub; those of other layers are left out.
        config: the arguments of the BertBackbone.

    Raises:
        ModelError: the network has other weights than a BERT.
    """
    width = config["hidden_dim"]
    found = dict[str, np.ndarray]()
    blocks = {name.partition("/")[0] for name in weights if name.startswith(_BLOCK_PREFIX)}
    for number in range(len(blocks)):  # a cropped network has fewer than its configuration says
        for own, theirs in _BLOCK.items():
            name = f"{_BLOCK_PREFIX}{number}/{own}"
            found |= _layer(weights, name, f"encoder.layer.{number}.{theirs}", width)
    for own, theirs in _LAYERS.items():
        if own != "pooled_dense" or f"{own}/kernel" in weights:
            found |= _layer(weights, own, theirs, width)
    num_own = sum(not name.startswith(("label_", "labels_")) for name in weights)
    if len(found) != num_own:
        what = f"the network has {num_own} weights below its head, of which a BERT has {len(found)}"
        raise ModelError(what, fix="--format='onnx|litert' take every network")
    return found


def _layer(
    weights: dict[str, np.ndarray], name: str, target: str, width: int
) -> dict[str, np.ndarray]:
    """Hugging Face's name -> array of one layer: kernels [D, ...] become [outputs, inputs]."""
    found = {
        key.removeprefix(f"{name}/"): array
        for key, array in weights.items()
        if key.startswith(f"{name}/")
    }
    if set(found) not in ({"kernel", "bias"}, {"gamma", "beta"}, {"embeddings"}):
        what = f"the layer {name} has the weights {', '.join(found) or 'none'}, not those of a BERT"
        raise ModelError(what, fix="--format='onnx|litert' take every network")
    if "kernel" in found:
        kernel = found["kernel"]
        is_output = name.endswith("attention_output")
        matrix = kernel.reshape(-1, width) if is_output else kernel.reshape(len(kernel), -1)
        return {f"{target}.weight": matrix.T, f"{target}.bias": found["bias"].reshape(-1)}
    if "gamma" in found:
        return {f"{target}.weight": found["gamma"], f"{target}.bias": found["beta"]}
    return {f"{target}.weight": found["embeddings"]}


def _head_layers(core: Core) -> list[keras.layers.Dense]:
    """The dense layers of the head, in their order."""
    return [layer for layer in core.groups[-1].layers if isinstance(layer, keras.layers.Dense)]


def _as_pooler(
    core: Core, layers: list[keras.layers.Dense], weights: dict[str, np.ndarray]
) -> dict[str, np.ndarray] | None:
    """The tensors that the pooler lacks if the head is one of BertForSequenceClassification, else None.

    That has one dense layer with tanh as wide as the network on the first token, and one above it.
    """
    head: Head = core.head
    width = core.backbone.blueprint["memory"]["config"]["hidden_dim"]
    if head.pooling == "pooled" and len(layers) == 1:
        return {}
    is_tanh = head.hidden == (width,) and head.activation == "tanh"
    if (
        head.pooling == "first"
        and len(layers) == 2
        and is_tanh
        and "pooled_dense/kernel" not in weights
    ):
        return _linear(layers[0], "pooler.dense")
    return None


def _linear(layer: keras.layers.Dense, name: str) -> dict[str, np.ndarray]:
    """A dense layer as torch.nn.Linear has it."""
    kernel, bias = (keras.ops.convert_to_numpy(weight) for weight in (layer.kernel, layer.bias))
    return {f"{name}.weight": kernel.T, f"{name}.bias": bias}


def _output(layer: keras.layers.Dense, name: str, head: Head) -> dict[str, np.ndarray]:
    """The last layer, whose logits are divided by the temperatures: readers of the folder know none."""
    divisor = np.asarray(head.temperatures or (1.0,), np.float32)
    tensors = _linear(layer, name)
    return {
        f"{name}.weight": tensors[f"{name}.weight"] / divisor[:, None],
        f"{name}.bias": tensors[f"{name}.bias"] / divisor,
    }


def config_of(trained: TransferModel, architecture: str) -> dict[str, Any]:
    """config.json of the folder."""
    own = trained.core.backbone.blueprint["memory"]["config"]
    block = trained.core.model.get_layer(f"{_BLOCK_PREFIX}0")
    activation = block._feedforward_intermediate_dense.activation
    is_exact = activation is keras.activations.gelu
    names = dict(enumerate(trained.class_names))
    return {
        "architectures": [architecture],
        "model_type": "bert",
        "vocab_size": own["vocabulary_size"],
        "hidden_size": own["hidden_dim"],
        "num_hidden_layers": sum(g.name.startswith("layer_") for g in trained.core.backbone.groups),
        "num_attention_heads": own["num_heads"],
        "intermediate_size": own["intermediate_dim"],
        "hidden_act": "gelu" if is_exact else "gelu_pytorch_tanh",
        "hidden_dropout_prob": own["dropout"],
        "attention_probs_dropout_prob": own["dropout"],
        "max_position_embeddings": own["max_sequence_length"],
        "type_vocab_size": own["num_segments"],
        "layer_norm_eps": 1e-12,
        "pad_token_id": _texts(trained).pad_id,
        "dtype": "float32",
        "problem_type": _PROBLEMS[type(trained.core.head)],
        "id2label": {str(place): name for place, name in names.items()},
        "label2id": {name: place for place, name in names.items()},
    }


def _write_modules(
    part: pathlib.Path,
    trained: TransferModel,
    layers: list[keras.layers.Dense],
    weights: dict[str, np.ndarray],
) -> None:
    """Writes modules.json and the folders of the pooling and of each dense layer above the encoder."""
    head: Head = trained.core.head
    width = trained.core.backbone.blueprint["memory"]["config"]["hidden_dim"]
    mode = _POOLINGS[head.pooling]
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    hugging_face_texts.write_pooling(part / "1_Pooling", mode, width)
    dense = [(_linear(layer, "linear"), layer.activation.__name__) for layer in layers[:-1]]
    dense.append((_output(layers[-1], "linear", head), layers[-1].activation.__name__))
    if head.pooling == "pooled":
        pooler = {
            "linear.weight": weights["pooled_dense/kernel"].T,
            "linear.bias": weights["pooled_dense/bias"],
        }
        dense.insert(0, (pooler, "tanh"))
    for place, (tensors, activation) in enumerate(dense, 2):
        if activation not in _ACTIVATIONS:
            what = f"hf has no activation {activation} (choices: {', '.join(_ACTIVATIONS)})"
            raise ModelError(what, fix="--format='onnx|litert' take every head")
        folder = part / f"{place}_Dense"
        folder.mkdir()
        outputs, inputs = tensors["linear.weight"].shape
        config = {
            "in_features": inputs,
            "out_features": outputs,
            "bias": True,
            "activation_function": _ACTIVATIONS[activation],
        }
        _write_json(folder / "config.json", config)
        _save(tensors, folder / "model.safetensors")
        modules.append((folder.name, "Dense"))
    hugging_face_texts.write_modules(part, modules, _texts(trained).length)


def _save(tensors: dict[str, np.ndarray], path: pathlib.Path) -> None:
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    save_file(contiguous, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors leaves 0600


def _write_json(path: pathlib.Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
