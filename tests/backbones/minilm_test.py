"""MiniLM: equal to BERT written in numpy, to the published numbers, and blind to padding."""

import json
import math
import struct

import keras
import numpy as np
import pytest

from tltf.backbones import builder
from tltf.files import assets
from tltf.graphs import functional

TEXTS = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
PUBLISHED = (0.6660, 0.1046, 0.1411)
pytestmark = pytest.mark.large


@pytest.fixture(scope="module")
def backbone():
    return builder.build("minilm_l6")


@pytest.fixture(scope="module")
def folder():
    return assets.fetch("minilm_l6")


def _tensors(path):
    """A safetensors file read by its definition: header length, JSON header, raw values."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header, values = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(values[slice(*item["data_offsets"])], "<f4").reshape(item["shape"])
        for name, item in header.items()
        if item["dtype"] == "F32"
    }


def _norm(x, w, name):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def _dense(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _gelu_exact(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def _bert(ids, w, gelu, heads=12):
    """Devlin et al. 2018 for one sentence without padding: float64[L, 384]."""
    x = w["embeddings.word_embeddings.weight"][ids].astype("float64")
    x += w["embeddings.position_embeddings.weight"][: len(ids)]
    x += w["embeddings.token_type_embeddings.weight"][0]
    x = _norm(x, w, "embeddings.LayerNorm")
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        q, k, v = (
            _dense(x, w, f"{at}.attention.self.{part}").reshape(len(ids), heads, -1)
            for part in ("query", "key", "value")
        )
        scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1])
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", share, v).reshape(len(ids), -1)
        x = _norm(
            x + _dense(mixed, w, f"{at}.attention.output.dense"),
            w,
            f"{at}.attention.output.LayerNorm",
        )
        inner = gelu(_dense(x, w, f"{at}.intermediate.dense"))
        x = _norm(x + _dense(inner, w, f"{at}.output.dense"), w, f"{at}.output.LayerNorm")
    return x


def _ids(backbone, text):
    tokenizer = backbone.tokenizer
    inner = [int(token) for token in tokenizer(text)]
    return [tokenizer.start_token_id, *inner, tokenizer.end_token_id]


def _vectors(backbone, length):
    tokens = np.zeros((len(TEXTS), length), "int32")
    mask = np.zeros_like(tokens)
    for row, text in enumerate(TEXTS):
        ids = _ids(backbone, text)
        tokens[row, : len(ids)], mask[row, : len(ids)] = ids, 1
    inputs = {"token_ids": tokens, "padding_mask": mask, "segment_ids": np.zeros_like(tokens)}
    model = keras.Model(backbone.inputs, backbone.taps["sequence"])
    sequence = model(inputs, training=False).numpy()
    vectors = (sequence * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _reference(backbone, folder, gelu):
    w = _tensors(folder / "model.safetensors")
    vectors = np.stack([_bert(_ids(backbone, text), w, gelu).mean(0) for text in TEXTS])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _triple(vectors):
    cosines = vectors @ vectors.T
    return cosines[0, 1], cosines[0, 2], cosines[1, 2]


def test_equal_to_numpy(backbone, folder):
    found = _vectors(backbone, 16)
    np.testing.assert_allclose(found, _reference(backbone, folder, _gelu_tanh), atol=2e-6)
    # KerasHub's BERT takes the tanh form of GELU; the exact one differs in the fourth digit.
    np.testing.assert_allclose(found, _reference(backbone, folder, _gelu_exact), atol=1e-3)


def test_published_similarities(backbone, folder):
    np.testing.assert_allclose(_triple(_vectors(backbone, 16)), PUBLISHED, atol=3e-4)
    exact = _triple(_reference(backbone, folder, _gelu_exact))
    np.testing.assert_allclose(exact, PUBLISHED, atol=6e-5)


def test_padding_changes_nothing(backbone):
    np.testing.assert_allclose(_vectors(backbone, 48), _vectors(backbone, 12), atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        *TEXTS,
        "Café naïve Ångström — “quotes” 😀",
        "日本語 don't U.S.A. 1,234.5\tx\ny",
        "İstanbul Привет, ёлка",
    ],
)
def test_tokens_are_those_of_the_model_s_own_tokenizer(backbone, folder, text):
    tokenizers = pytest.importorskip("tokenizers")
    own = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    own.no_truncation()
    own.no_padding()
    assert _ids(backbone, text) == own.encode(text).ids


def test_rebuilt_without_its_folder(backbone, tmp_path, monkeypatch):
    builder.save_assets(backbone, tmp_path)
    monkeypatch.setattr(assets, "fetch", None)
    blueprint = json.loads(json.dumps(backbone.blueprint))
    again = builder.rebuild(blueprint, tmp_path)
    source, target = (functional.named_weights(item.layers) for item in (backbone, again))
    assert list(source) == list(target)
    for name, variable in target.items():
        variable.assign(source[name])
    np.testing.assert_array_equal(_vectors(again, 16), _vectors(backbone, 16))
