import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.training.fit_test import text_inputs
from tltf.errors import FlagError
from tltf.methods import fastfit
from tltf.methods.context import FitContext
from tltf.methods.method import RowsToOrder

RANDOM = np.random.default_rng(0)
CONTEXT = FitContext(("a", "b", "c"), text_inputs=text_inputs)


def similarity(first, second):
    """S of two lists of token vectors."""
    best = [max(x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in second) for x in first]
    return np.mean(best)


def expected_loss(texts, targets, names, temperature):
    losses = []
    for place, text in enumerate(texts):
        others = [
            (other, label)
            for i, (other, label) in enumerate(zip(texts, targets, strict=True))
            if i != place
        ]
        others += list(zip(names, range(len(names)), strict=True))
        logits = np.array([similarity(text, other) for other, _ in others]) / temperature
        shares = logits - np.log(np.exp(logits).sum())
        is_alike = np.array([label == targets[place] for _, label in others])
        losses.append(-shares[is_alike].mean())
    return np.mean(losses)


def padded(texts, length=4):
    """`(float[A, L, d], float[A, L])`; what stands on padding must not count."""
    tokens = RANDOM.normal(size=(len(texts), length, 5)).astype(np.float32) * 9
    mask = np.zeros((len(texts), length), np.float32)
    for row, text in enumerate(texts):
        tokens[row, : len(text)], mask[row, : len(text)] = text, 1.0
    return tf.constant(tokens), tf.constant(mask)


def test_the_loss_contrasts_texts_with_texts_and_names_token_by_token():
    texts = [RANDOM.normal(size=(count, 5)).astype(np.float32) for count in (4, 1, 3, 2, 4)]
    names = [RANDOM.normal(size=(count, 5)).astype(np.float32) for count in (1, 3, 2)]
    targets = np.array([0, 1, 1, 0, 2])
    found = fastfit.fastfit(temperature=0.3).penalty(
        tf.constant(targets), *padded(texts), *padded(names)
    )
    np.testing.assert_allclose(found, expected_loss(texts, targets, names, 0.3), rtol=1e-4)


def test_the_names_go_through_the_network_itself():
    core = tiny.core(tiny.text_backbone(dropout=0.0))
    method = fastfit.fastfit("about {label}")
    tensors, groups = method.penalty_inputs(core, CONTEXT)
    assert groups == ()
    given = {"token_ids": np.ones((2, 6), "int32"), "padding_mask": np.ones((2, 6), "int32")}
    found = tf.keras.Model(core.model.input, tensors[2:])(given)
    names = {name: array[:, :3] for name, array in text_inputs(["a", "b", "c"]).items()}
    expected = tf.keras.Model(core.model.input, core.backbone.taps["sequence"])(names)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(found[1], names["padding_mask"])


def test_what_does_not_fit_is_refused():
    method = fastfit.fastfit()
    method.prepare(tiny.core(), FitContext())
    with pytest.raises(FlagError, match="a network of texts"):
        method.order(None, RowsToOrder(np.arange(8) % 2, 8, 1, 0))
    for arguments in (
        {"template": "no name"},
        {"template": "{label}|{label}"},
        {"temperature": 0.0},
    ):
        with pytest.raises(FlagError):
            fastfit.fastfit(**arguments)
