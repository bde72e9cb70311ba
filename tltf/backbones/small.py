"""Small networks that are trained with tltf on one task to be the backbone of the next."""

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Mapping, Sequence

import keras

from tltf.backbones import transformers, weight_files, word_vectors
from tltf.backbones.network import SCALINGS, Network, Request
from tltf.config import call_strings
from tltf.config.catalogs.backbones import BACKBONES
from tltf.console import lazy_imports
from tltf.errors import FlagError

keras_hub = lazy_imports.Module("keras_hub")

START, END = "[CLS]", "[SEP]"
_RESERVED = ["[PAD]", "[UNK]", START, END, "[MASK]"]
_WORD = re.compile(r"\w+|[^\w\s]")
"""A word, or one punctuation character."""


def small_cnn(
    request: Request, filters: tuple[int, ...] = (32,), kernel_px: int = 3, channels: int = 1
) -> Network:
    """A network of stages: convolution, ReLU and max-pooling by 2, one per entry of `filters`.

    Args:
        request: the image size, and a weights file if the weights are not random.
        filters: number of output channels of each stage.
        kernel_px: side of the kernels, which have no padding, as in textbooks.
        channels: 1 for grey images, 3 for colour.
    """
    size = request.image_size_px
    x = pixels = keras.Input((size, size, channels))
    taps = {}
    for number, count in enumerate(filters, start=1):
        if min(x.shape[1:3]) < kernel_px + 1:
            raise FlagError(
                f"{len(filters)} stages do not fit into {size} px",
                flag="image_size_px",
                fix="a larger --image_size_px or fewer filters",
            )
        x = keras.layers.Conv2D(count, kernel_px, activation="relu", name=f"conv_{number}")(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool_{number}")(x)
        taps[f"stage_{number}"] = x
    if not taps:
        raise FlagError("small_cnn needs at least one entry in filters", flag="backbone")
    has_file = request.wants_weights and request.weights != "default"
    if has_file:
        weight_files.load(keras.Model(pixels, x), request.weights, request.text)
    return Network(
        inputs={"image": pixels},
        points={name: [tensor] for name, tensor in taps.items()},
        taps=taps,
        pretrained=has_file,
        scaling=SCALINGS["unit"],
        image_size_px=size,
        channels=channels,
    )


def small_lstm(
    request: Request,
    units: int = 64,
    embedding: int = 64,
    vocabulary: int = 5000,
    vectors: str = "",
) -> Network:
    """A network of an embedding and an LSTM over WordPiece tokens, whose vocabulary is learned.

    With `vectors` the embedding and its tokens are those of a network that has been trained. The
    mask is an input of its own, because the masks that Keras attaches to tensors are lost where the
    graph is cut.

    Args:
        request: the training texts, or the memory and files of an earlier build.
        units: width of the LSTM's state.
        embedding: width of the token vectors that are learned.
        vocabulary: most tokens that are learned.
        vectors: call string of a backbone of token vectors, `glove` or `minilm_static`, which takes
            the place of `embedding` and `vocabulary`; empty for none.

    Raises:
        FlagError: a weights file is named; it could not say which words its token vectors are of.
    """
    if request.weights not in ("default", "none"):
        raise FlagError(
            f"small_lstm learns its own words and takes no weights file (received {request.weights})",
            flag=weight_files.FLAG,
            fix=f"--{weight_files.FLAG}=RUN, an --output of tltf.train, which holds its words",
        )
    if vectors:
        base = _vectors_of(request, vectors)
    elif request.memory is not None:
        tokenizer = transformers.load_tokenizer(request.memory["tokenizer"], request.assets)
        base = word_vectors.network(request, tokenizer, embedding)
    else:
        tokenizer = learn_tokenizer(request.texts, vocabulary)
        base = word_vectors.network(request, tokenizer, embedding)
    mask = base.taps["mask"]
    states = keras.layers.LSTM(units, return_sequences=True, name="layer_1_lstm")(
        base.taps["sequence"], mask=keras.ops.cast(mask, "bool")
    )
    return dataclasses.replace(
        base,
        points={**base.points, "layer_1": [states]},
        taps={"sequence": states, "mask": mask, "pooled": states[:, -1, :]},
        pretrained=False,
    )


def _vectors_of(request: Request, text: str) -> Network:
    """The Network of the call string `vectors`.

    Raises:
        FlagError: it is not a backbone of token vectors.
    """
    call = call_strings.pick(BACKBONES, text, "backbone")
    if call.target.partition(":")[0] != word_vectors.__name__:
        raise FlagError(
            f"vectors takes a backbone of token vectors (received {text})",
            flag="backbone",
            fix="--backbone='small_lstm(vectors=glove)'",
        )
    return call.build(dataclasses.replace(request, name=call.name, call=call))


def learn_tokenizer(texts: Sequence[str], size: int) -> keras.Layer:
    """A WordPiece tokenizer whose vocabulary of up to `size` tokens is learned from `texts`.

    Raises:
        FlagError: there are no texts.
    """
    if not texts:
        raise FlagError(
            "small_lstm learns its vocabulary from training texts; there are none",
            flag="backbone",
        )
    return keras_hub.tokenizers.BertTokenizer(
        vocabulary=learn_vocabulary(texts, size), lowercase=True, strip_accents=True
    )


def learn_vocabulary(texts: Sequence[str], size: int) -> list[str]:
    """The tokens of texts: reserved ones, all characters, frequent words, endings of rare words.

    The learner of tensorflow_text takes half a minute for 2,000 sentences; counting whole
    words, and the endings of those that are too rare to be tokens, takes a tenth of a second.

    Args:
        texts: the texts to learn from.
        size: most tokens; reserved tokens and characters are kept whatever it is.

    Returns:
        The tokens without repetition, always the same for the same texts.
    """
    words: collections.Counter[str] = collections.Counter()
    for text in texts:
        plain = unicodedata.normalize("NFD", text.lower())
        words.update(_WORD.findall("".join(c for c in plain if not unicodedata.combining(c))))
    characters = sorted({character for word in words for character in word})
    tokens = [*_RESERVED, *characters, *(f"##{character}" for character in characters)]
    frequent = [word for word, count in _by_use(words) if count > 1 and len(word) > 1]
    room = max(size - len(tokens), 0)
    tokens += frequent[: room * 4 // 5]
    kept, endings = set(tokens), collections.Counter[str]()
    for word, count in words.items():
        if word not in kept:
            endings.update({f"##{word[start:]}": count for start in range(1, len(word) - 1)})
    room = max(size - len(tokens), 0)
    tokens += [ending for ending, count in _by_use(endings) if count > 1][:room]
    return tokens


def _by_use(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Names with their counts, the most frequent first, those of one count in order."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
