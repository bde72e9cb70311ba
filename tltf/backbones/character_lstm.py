"""A language model of characters that reads windows of 40, with packaged weights: that of textgenrnn."""

import pathlib

import keras
import numpy as np

from tltf.backbones import transformers, weight_files
from tltf.backbones.character_tokenizer import PAD, CharacterTokenizer
from tltf.backbones.network import Network, Request
from tltf.backbones.windowed_layers import WindowedAttention, WindowedLSTM
from tltf.files import assets, untrusted

WINDOW = 40
"""Number of characters that the network was trained to read."""
EMBEDDING, UNITS = 100, 128
"""The widths of the vectors of characters and of the states."""
_EMBEDDED, _LSTMS, _ATTENTION = "token_embedding", ("layer_1_lstm", "layer_2_lstm"), "attention"
_GATES = 4
_Arrays = dict[str, np.ndarray]


def textgenrnn(request: Request) -> Network:
    """The Network of `--backbone=textgenrnn`: two LSTMs of 128 over characters, and an attention.

    It was trained to tell the next character from the last 40 (Woolf 2017, after Felbo et al. 2017, arXiv:1708.00524),
    and knows nothing of longer texts: its states fall apart where it reads on. So a text is read in windows of 40
    characters, each from the beginning, and the last window has blanks before it, as short texts had in
    training. States are those of the vectors and both LSTMs side by side, 356 numbers;
    `pooled` is the network's own attention over a window, and the mean of windows by their
    characters. For texts of up to 39 characters that is exactly what the package computes.
    The tokenizer comes from the package even if the weights do not.
    """
    if request.memory is not None:
        tokenizer = transformers.load_tokenizer(request.memory["tokenizer"], request.assets)
    else:
        tokenizer = packaged_tokenizer()
    network = _network(request, tokenizer)
    if request.wants_weights:
        path: pathlib.Path | str = request.weights
        if path == "default":
            path = weight_files.convert_once("textgenrnn", read_arrays)
        weight_files.load(keras.Model(network.inputs, network.taps), path, request.text)
    return network


def packaged_tokenizer() -> CharacterTokenizer:
    """The tokenizer with the vocabulary of the package, `character -> number from 1`."""
    (path,) = assets.fetch("textgenrnn").glob("*_vocab.json")
    numbers = untrusted.read_json(path)
    return CharacterTokenizer([PAD, *sorted(numbers, key=numbers.__getitem__)])


def _network(request: Request, tokenizer: keras.Layer) -> Network:
    """The Network with random weights."""
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    embedding = keras.layers.Embedding(tokenizer.vocabulary_size(), EMBEDDING, name=_EMBEDDED)
    levels = [embedding(tokens)]
    for name in _LSTMS:
        levels.append(WindowedLSTM(UNITS, WINDOW, name=name)(levels[-1], mask))
    states = keras.layers.Concatenate(name="states")(levels)
    pooled = WindowedAttention(WINDOW, name=_ATTENTION)(states, mask)
    names = ("embeddings", "layer_1", "layer_2")
    return Network(
        inputs={"token_ids": tokens, "padding_mask": mask},
        points={name: [level] for name, level in zip(names, levels, strict=True)},
        taps={"sequence": states, "mask": mask, "pooled": pooled},
        pretrained=request.weights != "none",
        tokenizer=tokenizer,
        text_length=request.text_length,
        memory=request.memory or {"tokenizer": transformers.tokenizer_memory(tokenizer)},
    )


def read_arrays(folder: pathlib.Path) -> _Arrays:
    """The packaged file's weights by tltf's names, with what the network has after 0 to 40 blanks."""
    (path,) = folder.glob("*.hdf5")
    with weight_files.open_h5(path) as opened:
        of = {
            key.removesuffix(":0"): item[()] for key, item in weight_files.datasets(opened).items()
        }
    found = {f"{_EMBEDDED}/embeddings": of["embedding/embedding/embeddings"]}
    levels = [
        np.repeat(found[f"{_EMBEDDED}/embeddings"][:1], WINDOW, axis=0)
    ]  # number 0 is the blank
    for own, theirs in zip(_LSTMS, ("rnn_1", "rnn_2"), strict=True):
        names = ("kernel", "recurrent_kernel", "bias")
        kernel, recurrent, bias = (of[f"{theirs}/{theirs}/{name}"] for name in names)
        kernel, recurrent = _from_cudnn(kernel), _from_cudnn(recurrent)
        bias = bias.reshape(2, -1).sum(axis=0)  # cuDNN has one for the inputs and one for the state
        inside = f"{own}/lstm/lstm_cell"
        found |= {f"{inside}/kernel": kernel, f"{inside}/recurrent_kernel": recurrent}
        found[f"{inside}/bias"] = bias
        hidden, cell = _states_of(levels[-1], kernel, recurrent, bias)
        found |= {f"{own}/start_hidden": hidden, f"{own}/start_cell": cell}
        levels.append(hidden[1:])
    weights = of["attention/attention/attention_W"]
    average, logit = _averages_of(np.concatenate(levels, axis=1), weights)
    found |= {f"{_ATTENTION}/kernel": weights, f"{_ATTENTION}/blank_average": average}
    found[f"{_ATTENTION}/blank_logit"] = logit
    return {name: np.ascontiguousarray(array, np.float32) for name, array in found.items()}


def _from_cudnn(kernel: np.ndarray) -> np.ndarray:
    """[d, 4 * units] in Keras' order: cuDNN has the matrix of each gate with a row for each unit."""
    gates = np.split(kernel, _GATES, axis=1)
    return np.concatenate([gate.reshape(gate.shape[::-1]).T for gate in gates], axis=1)


def _states_of(
    inputs: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`(hidden, cell)` [L + 1, units] of an LSTM before its inputs [L, d] and after each of them."""
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    hidden, cell = [np.zeros(len(recurrent))], [np.zeros(len(recurrent))]
    for row in inputs:
        gates = row @ kernel + hidden[-1] @ recurrent + bias
        entry, keep, new, out = np.split(gates, _GATES)
        cell.append(sigmoid(keep) * cell[-1] + sigmoid(entry) * np.tanh(new))
        hidden.append(sigmoid(out) * np.tanh(cell[-1]))
    return np.array(hidden), np.array(cell)


def _averages_of(states: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(average, logit)` of the first 0, 1, .. L of the states [L, d], see `WindowedAttention`."""
    shares = np.exp(states @ weights)
    sums = np.cumsum(shares, axis=0)
    average = np.cumsum(shares * states, axis=0) / sums
    return np.pad(average, [[1, 0], [0, 0]]), np.pad(np.log(sums[:, 0]), [1, 0])
