"""The MiniLM networks for sentence vectors, BERTs of 384 units, with packaged weights."""

import pathlib

import keras
import numpy as np

from tltf.backbones import onnx_bert, transformers, weight_files
from tltf.backbones.network import Network, Request
from tltf.console import lazy_imports
from tltf.files import assets

keras_hub = lazy_imports.Module("keras_hub")

CONFIG = {
    "vocabulary_size": 30522,
    "num_layers": 6,
    "num_heads": 12,
    "hidden_dim": 384,
    "intermediate_dim": 1536,
    "dropout": 0.1,
    "max_sequence_length": 512,
    "num_segments": 2,
}
"""config.json of all-MiniLM-L6-v2, kept here so that the graph can be built without the weights."""
L3_LAYERS = 3
"""Number of layers of paraphrase-MiniLM-L3-v2, which has the same width, heads and vocabulary."""


def minilm_l6(request: Request) -> Network:
    """The Network of `--backbone=minilm_l6`, which is all-MiniLM-L6-v2.

    The vocabulary is taken from the package even if the weights are not.
    """
    folder = str(assets.fetch("minilm_l6"))
    if request.weights == "default":
        backbone = keras_hub.models.BertBackbone.from_preset(folder)
    else:
        backbone = transformers.make("BertBackbone", CONFIG)
    if request.weights not in ("default", "none"):
        weight_files.load(backbone, request.weights, request.text)
    return transformers.text_network(backbone, tokenizer(), request, request.weights != "none")


def minilm_l3(request: Request) -> Network:
    """The Network of `--backbone=minilm_l3`, which is paraphrase-MiniLM-L3-v2.

    Its package is an ONNX file without a vocabulary, which is that of minilm_l6 and comes from
    there. The file has no pooler either, so the network has none.
    """
    backbone = transformers.make("BertBackbone", CONFIG | {"num_layers": L3_LAYERS})
    if request.wants_weights:
        path: pathlib.Path | str = request.weights
        if path == "default":
            path = weight_files.convert_once("minilm_l3", l3_arrays)
        sequence = backbone.output["sequence_output"]
        weight_files.load(keras.Model(backbone.input, sequence), path, request.text)
    has_weights = request.weights != "none"
    return transformers.text_network(backbone, tokenizer(), request, has_weights, has_pooler=False)


def l3_arrays(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The weights of paraphrase-MiniLM-L3-v2 by tltf's names.

    Args:
        folder: the unpacked asset.
    """
    graph = onnx_bert.read(folder / "paraphrase-MiniLM-L3-v2.onnx")
    return onnx_bert.bert_arrays(graph, L3_LAYERS, int(CONFIG["num_heads"]), "model.0.auto_model.")


def tokenizer() -> keras.Layer:
    """The WordPiece tokenizer that both were trained with: lower case, without accents.

    KerasHub's own reader of the folder would keep accents: the file says null for `strip_accents`,
    which means what lower case implies.
    """
    return keras_hub.tokenizers.BertTokenizer(
        vocabulary=str(assets.fetch("minilm_l6") / "vocab.txt"), lowercase=True, strip_accents=True
    )
