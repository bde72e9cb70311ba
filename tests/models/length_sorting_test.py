"""Same results as a plain pass, in the same order, with less padding."""

import types

import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from tltf.models import length_sorting
from tltf.models.forward import ForwardPass

LENGTHS = np.random.default_rng(0).integers(1, 20, 41)


def tokens(pad_id=0):
    """Ids of 41 texts as one array, and their mask."""
    mask = np.arange(20) < LENGTHS[:, None]
    ids = np.random.default_rng(1).integers(2, 30, mask.shape)
    return {"token_ids": np.where(mask, ids, pad_id).astype(np.int32), "padding_mask": mask}


def batches(inputs, size):
    """The rows in their order, each batch cut to its longest."""
    for start in range(0, len(LENGTHS), size):
        longest = LENGTHS[start : start + size].max()
        yield {name: array[start : start + size, :longest] for name, array in inputs.items()}


@pytest.mark.parametrize("pad_id", [0, 1])
@pytest.mark.parametrize("held", [1, 1500, 2**26])
def test_rows_are_computed_length_sorting_and_put_back(monkeypatch, held, pad_id):
    monkeypatch.setattr(length_sorting, "READ_AHEAD_BYTES", held)
    inputs, shapes = tokens(pad_id), []

    def step(batch):
        shapes.append(tuple(batch["token_ids"].shape))
        kept = tf.where(batch["padding_mask"], batch["token_ids"], 0)
        return tf.stack([tf.reduce_sum(kept, axis=1), kept[:, 0]], axis=1)

    given = length_sorting.run(step, batches(inputs, 4), ["token_ids", "padding_mask"])
    kept = np.where(inputs["padding_mask"], inputs["token_ids"], 0)
    np.testing.assert_array_equal(given, np.stack([kept.sum(axis=1), kept[:, 0]], axis=1))
    assert sum(rows for rows, _ in shapes) == len(LENGTHS)
    computed = sum(rows * width for rows, width in shapes)
    plain = sum(array["token_ids"].size for array in batches(inputs, 4))
    assert computed <= plain
    if held == 2**26:
        assert computed < 1.2 * LENGTHS.sum() < plain


def test_lengths_without_a_mask_are_those_without_zeros():
    hidden = np.zeros((3, 4, 2), np.float32)
    hidden[0, 1, 1] = hidden[1, 3, 0] = 0.5
    ids = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    assert length_sorting.lengths_of({"hidden": hidden, "ids": ids}).tolist() == [2, 4, 1]


def test_inputs_without_steps_go_with_their_rows():
    inputs = {"token_ids": tokens()["token_ids"], "number": np.arange(41)[:, None]}
    parts = [{k: v[:30] for k, v in inputs.items()}, {k: v[30:, :20] for k, v in inputs.items()}]
    given = length_sorting.run(lambda batch: batch["number"], parts, ["token_ids"], 7)
    np.testing.assert_array_equal(given, inputs["number"])


def test_forward_of_a_transformer_is_that_of_each_text_alone():
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=30,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=20,
    )
    inputs = tokens()
    inputs["padding_mask"] = inputs["padding_mask"].astype(np.int32)
    inputs["segment_ids"] = np.zeros_like(inputs["token_ids"])
    spec = ({name: tf.TensorSpec([None, None], tf.int32) for name in inputs},)
    dataset = tf.data.Dataset.from_generator(
        lambda: ((batch,) for batch in batches(inputs, 4)), output_signature=spec
    )
    given = ForwardPass(backbone, "pooled_output")(dataset)
    for row in range(0, 41, 5):
        one = {name: array[[row], : LENGTHS[row]] for name, array in inputs.items()}
        expected = backbone(one, training=False)["pooled_output"]
        np.testing.assert_allclose(given[[row]], expected, atol=1e-5)


def test_forward_of_images_keeps_the_batches():
    sizes = []
    model = lambda inputs, training: sizes.append(inputs["x"].shape) or inputs["x"] + 1.0  # noqa: E731
    dataset = tf.data.Dataset.range(5).map(lambda n: ({"x": tf.cast([n], tf.float32)},)).batch(2)
    given = ForwardPass(types.SimpleNamespace(__call__=model).__call__)(dataset)
    np.testing.assert_array_equal(given[:, 0], np.arange(1.0, 6.0))
