"""Networks without layers: one vector for each token, and the mean of them for a text.

They read texts some 200 times as fast as a transformer of six layers, and know nothing of the order of words.
"""

import hashlib
import pathlib
import random

import keras
import numpy as np
import safetensors
import tensorflow as tf

from tltf.backbones import minilm, transformers, weight_files
from tltf.backbones.network import Network, Request
from tltf.backbones.word_tokenizer import PAD, UNKNOWN, WordTokenizer
from tltf.console import lazy_imports, lines
from tltf.console.progress import Progress
from tltf.errors import FlagError
from tltf.files.asset_catalog import ASSETS

keras_hub = lazy_imports.Module("keras_hub")

EMBEDDING = "token_embedding"
"""The name of the only layer."""
GLOVE_WIDTH = 50
"""The width of GloVe's vectors in the package."""
MOST_WIDTH = 384
"""The width of MiniLM's states."""
SIF = 1e-4
"""a of the weights a / (a + p) of tokens with probability p."""
_BATCH = 512
"""Tokens that go through the network at a time."""
_RECIPE = 1
"""Raised when the vectors are made in another way, so that no kept ones are taken for new ones."""


def minilm_static(request: Request, width: int = MOST_WIDTH) -> Network:
    """The Network of `--backbone=minilm_static`: a vector for each token of MiniLM-L6's vocabulary.

    The idea and the formula are those of Model2Vec (van Dongen & Tulkens 2024): each token alone
    goes through the network with the start and the end, the mean of its states is projected on
    their principal components, and weighted by `sif_weights`. The mean is of the tokens of a text.
    The vectors are made once and kept. Departs: all components are kept, of which Model2Vec keeps 256.

    Args:
        request: the request.
        width: number of principal components that are kept, 1 to 384.

    Raises:
        FlagError: width is out of its range.
    """
    if not 1 <= width <= MOST_WIDTH:
        raise FlagError(
            f"minilm_static has 1 to {MOST_WIDTH} components (received width={width})",
            flag="backbone",
            fix=f"--backbone='minilm_static(width={MOST_WIDTH})'",
        )
    if request.memory is not None:
        tokenizer = transformers.load_tokenizer(request.memory["tokenizer"], request.assets)
        return network(request, tokenizer, width)
    # not a BertTokenizer, which would put a start and an end around each text
    tokenizer = keras_hub.tokenizers.WordPieceTokenizer(
        vocabulary=minilm.tokenizer().get_vocabulary(), lowercase=True, strip_accents=True
    )
    table = None
    if request.weights == "default":
        recipe = f"{ASSETS['minilm_l6'].sha256} {_RECIPE} {SIF}"
        name = f"minilm_static_{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
        path = weight_files.convert_once("minilm_l6", _make_static, name)
        table = _read(path, "vectors")[:, :width]
    return network(request, tokenizer, width, table)


def glove(request: Request, words: int = 400_000) -> Network:
    """The Network of `--backbone=glove`: the 50 numbers of GloVe 6B for each of its words.

    Pennington et al. 2014, trained on Wikipedia 2014 and Gigaword 5, lower case. Words that it does
    not have count as zeros.

    Args:
        request: the request.
        words: number of words that are kept, the most frequent ones; at least 1.

    Raises:
        FlagError: words is below 1.
    """
    if words < 1:
        what = f"glove keeps at least one word (received words={words})"
        raise FlagError(what, flag="backbone", fix="--backbone='glove(words=50000)'")
    if request.memory is not None:
        tokenizer = transformers.load_tokenizer(request.memory["tokenizer"], request.assets)
        return network(request, tokenizer, GLOVE_WIDTH)
    path = weight_files.convert_once("glove", _read_glove)
    names = bytes(_read(path, "words")).decode("utf-8").split("\n")[:words]
    tokenizer = WordTokenizer([PAD, UNKNOWN, *names])
    table = None
    if request.weights == "default":
        vectors = _read(path, "vectors", len(names))
        table = np.concatenate([np.zeros((2, GLOVE_WIDTH), np.float32), vectors])
    return network(request, tokenizer, GLOVE_WIDTH, table)


def network(
    request: Request, tokenizer: keras.Layer, width: int, table: np.ndarray | None = None
) -> Network:
    """The Network of one embedding, with the vectors of `table`, of the file of a request, or random.

    Args:
        request: the request.
        tokenizer: the tokenizer, whose ids are rows of the embedding.
        width: width of the vectors.
        table: float32[vocabulary, width], or None.
    """
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    layer = keras.layers.Embedding(tokenizer.vocabulary_size(), width, name=EMBEDDING)
    vectors = layer(tokens)
    if table is not None:
        layer.embeddings.assign(table)
    elif request.wants_weights and request.weights != "default":
        weight_files.load(keras.Model(tokens, vectors), request.weights, request.text)
    return Network(
        inputs={"token_ids": tokens, "padding_mask": mask},
        points={"embeddings": [vectors]},
        taps={"sequence": vectors, "mask": mask},
        pretrained=request.weights != "none",
        tokenizer=tokenizer,
        text_length=request.text_length,
        memory=request.memory or {"tokenizer": transformers.tokenizer_memory(tokenizer)},
    )


def sif_weights(count: int, a: float = SIF) -> np.ndarray:
    """float32[count, 1]: a / (a + p), p the probability of a token by Zipf's law from its place.

    Arora et al. 2017, eq. 3, with p_k = (1 / (k + 2)) / sum over all k, k = 0 for the most frequent.
    """
    shares = 1 / np.arange(2, count + 2)
    return (a / (a + shares / shares.sum())).astype(np.float32)[:, None]


def project(states: np.ndarray) -> np.ndarray:
    """The principal components of float32[N, d], in the order of their variance."""
    centred = states - states.mean(0)
    _, _, axes = np.linalg.svd(np.cov(centred, rowvar=False))
    return (centred @ axes.T).astype(np.float32)


def is_word(token: str) -> bool:
    """Whether a token of BERT's vocabulary occurs in texts: not a special nor an unused one."""
    return not (token.startswith("[") and token.endswith("]") and len(token) > 2)


def _make_static(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """`vectors` float32[vocabulary, 384]; those of special and unused tokens are zero."""
    lines.say("static", "each token of the vocabulary goes through MiniLM-L6, once; this is kept")
    tokenizer = minilm.tokenizer()
    names = tokenizer.get_vocabulary()
    places = np.array([place for place, name in enumerate(names) if is_word(name)])
    state = random.getstate()  # Keras draws seeds of new layers from here
    backbone = keras_hub.models.BertBackbone.from_preset(str(folder), dtype="float32")
    random.setstate(state)
    sequence = keras.Model(backbone.input, backbone.output["sequence_output"])

    @tf.function(reduce_retracing=True, autograph=False)
    def mean_state(tokens: tf.Tensor) -> tf.Tensor:
        inputs = {"token_ids": tokens, "padding_mask": tf.ones_like(tokens)}
        return tf.reduce_mean(sequence(inputs | {"segment_ids": tf.zeros_like(tokens)}), axis=1)

    states = []
    with Progress("minilm_static", len(places), "tokens") as progress:
        for start in range(0, len(places), _BATCH):
            middle = places[start : start + _BATCH]
            ends = (
                np.full_like(middle, tokenizer.start_token_id),
                np.full_like(middle, tokenizer.end_token_id),
            )
            tokens = np.stack([ends[0], middle, ends[1]], axis=1).astype("int32")
            states.append(mean_state(tf.constant(tokens)).numpy())
            progress.add(len(middle))
    vectors = np.zeros((len(names), MOST_WIDTH), np.float32)
    vectors[places] = project(np.concatenate(states)) * sif_weights(len(places))
    return {"vectors": vectors}


def _read_glove(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """`vectors` float32[words, 50] and `words` uint8[n], the words as UTF-8 with a line for each."""
    import pyarrow.parquet  # needed once, when the package is converted

    (index,), (vectors,) = folder.glob("*.parquet"), folder.glob("*.npy")
    (column,) = pyarrow.parquet.read_table(index).columns
    text = "\n".join(column.to_pylist())
    return {
        "vectors": np.ascontiguousarray(np.load(vectors, allow_pickle=False)),
        "words": np.frombuffer(text.encode("utf-8"), np.uint8),
    }


def _read(path: pathlib.Path, key: str, rows: int | None = None) -> np.ndarray:
    """The first rows of an array in a safetensors file of our own; all where `rows` is None."""
    with safetensors.safe_open(path, "numpy") as file:
        return file.get_slice(key)[:rows]
