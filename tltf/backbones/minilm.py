"""all-MiniLM-L6-v2, a BERT of 6 layers for sentence vectors, with packaged weights."""

import keras

from tltf.backbones import transformers, weight_files
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
"""config.json of the model, kept here so that the graph can be built without the weights."""


def minilm_l6(request: Request) -> Network:
    """The Network of `--backbone=minilm_l6`.

    The vocabulary is taken from the package even if the weights are not.
    """
    folder = str(assets.fetch("minilm_l6"))
    tokenizer = _tokenizer(folder)
    if request.weights == "default":
        backbone = keras_hub.models.BertBackbone.from_preset(folder)
    else:
        backbone = transformers.make("BertBackbone", CONFIG)
    if request.weights not in ("default", "none"):
        weight_files.load(backbone, request.weights, request.text)
    return transformers.text_network(backbone, tokenizer, request, request.weights != "none")


def _tokenizer(folder: str) -> keras.Layer:
    """The WordPiece tokenizer that the model was trained with: lower case, without accents.

    KerasHub's own reader of the folder would keep accents: the file says null for `strip_accents`,
    which means what lower case implies.
    """
    return keras_hub.tokenizers.BertTokenizer(
        vocabulary=f"{folder}/vocab.txt", lowercase=True, strip_accents=True
    )
