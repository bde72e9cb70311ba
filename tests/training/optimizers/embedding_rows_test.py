"""Against a dense Adam over the whole table, computed in numpy from Keras's own gradients."""

import json
import subprocess
import sys

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from tests.training.optimizers.optimizer_test import numpy_adam, options
from tltf.errors import ShapeError
from tltf.training.optimizers import embedding_rows
from tltf.training.optimizers import optimizer as optimizers_optimizer

VOCABULARY, WIDTH = 9, 3
BATCHES = ([[1, 2, 2], [4, 1, 0]], [[2, 2, 2], [0, 0, 0]], [[7, 1, 0], [4, 4, 4]])
USED = np.array([0, 1, 2, 4, 7])


def model(tables=1):
    """Logits from the mean of token vectors; with two tables both are read by the ids.

    The seed keeps gradients away from zero, where Adam makes much of their last bits.
    """
    keras.utils.set_random_seed(0)
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    layers = [keras.layers.Embedding(VOCABULARY, WIDTH) for _ in range(tables)]
    vectors = keras.ops.concatenate([layer(ids) for layer in layers], axis=-1)
    hidden = keras.layers.GlobalAveragePooling1D()(keras.ops.tanh(vectors))
    return keras.Model({"token_ids": ids}, {"label": keras.layers.Dense(2)(hidden)})


def found(network):
    return embedding_rows.used_rows(network, lambda: {"token_ids": np.array(BATCHES)})


def train(network, optimizer, batches=BATCHES):
    """Keras's `fit` over the batches; the dense gradients of the table by a plain tape."""
    table, gradients = network.trainable_variables[0], []
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer, loss={"label": loss}, jit_compile=False)
    for ids in batches:
        x, y = {"token_ids": np.array(ids)}, np.array([0, 1])
        with tf.GradientTape() as tape:
            value = loss(y, network(x)["label"])
        gradients.append(tf.convert_to_tensor(tape.gradient(value, table.value)).numpy())
        network.train_on_batch(x, {"label": y})
    return gradients


@pytest.mark.parametrize("kind,decay", [("adam", 0.0), ("adamw", 0.1)])
def test_adam_over_the_rows_that_occur_is_adam_over_the_table(kind, decay):
    network = model()
    table = network.trainable_variables[0]
    start = table.numpy()
    rows = found(network)
    assert rows[id(table)].tolist() == USED.tolist()
    optimizer = optimizers_optimizer.build(
        options(optimizer=kind, weight_decay=decay), {}, 0.1, rows
    )
    gradients = train(network, optimizer)
    assert not gradients[1][[1, 4, 7]].any(), "rows that a step lacks move by their moments"
    expected = numpy_adam(start, gradients, 0.1, decay)
    np.testing.assert_allclose(table.numpy()[USED], expected[USED], rtol=1e-4, atol=1e-6)
    others = np.setdiff1d(np.arange(VOCABULARY), USED)
    np.testing.assert_array_equal(table.numpy()[others], start[others])
    assert [tuple(v.shape) for v in optimizer.variables if v.shape[1:] == (WIDTH,)] == [
        (len(USED), WIDTH)
    ] * 2


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "sgd", "momentum": 0.0},
        {"global_clipnorm": 0.01},
        {"clipnorm": 0.01},
    ],
)
def test_as_with_the_whole_table(values):
    results = []
    for is_compact in (True, False):
        keras.utils.set_random_seed(0)
        network = model()
        rows = found(network) if is_compact else {}
        train(network, optimizers_optimizer.build(options(**values), {}, 0.1, rows))
        results.append([v.numpy() for v in network.trainable_variables])
    for compact, whole in zip(*results, strict=True):
        np.testing.assert_allclose(compact, whole, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("is_compact", [True, False])
def test_norm_is_that_of_the_added_rows(is_compact):
    table = keras.Variable(np.zeros((4, 1)), dtype="float32")
    rows = {id(table): np.array([1, 2])} if is_compact else {}
    chosen = options(optimizer="sgd", momentum=0.0, global_clipnorm=1.0)
    optimizer = optimizers_optimizer.build(chosen, {}, 1.0, rows)
    twice = tf.IndexedSlices(tf.constant([[1.5], [1.5], [4.0]]), tf.constant([1, 1, 2]), [4, 1])
    optimizer.apply([twice], [table])
    np.testing.assert_allclose(table.numpy()[:, 0], [0, -0.6, -0.8, 0], atol=1e-6)


def test_slots_are_saved_and_restored_by_index():
    straight, resumed = (model() for _ in range(2))
    resumed.set_weights(straight.get_weights())
    first = optimizers_optimizer.build(options(), {}, 0.1, found(straight))
    train(straight, first)
    before = optimizers_optimizer.build(options(), {}, 0.1, found(resumed))
    train(resumed, before, BATCHES[:2])
    after = optimizers_optimizer.build(options(), {}, 0.1, found(resumed))
    after.build(resumed.trainable_variables)
    for variable, saved in zip(after.variables, before.variables, strict=True):
        variable.assign(saved.numpy())
    train(resumed, after, BATCHES[2:])
    np.testing.assert_allclose(
        resumed.trainable_variables[0], straight.trainable_variables[0], rtol=1e-5, atol=1e-7
    )


def test_half_precision_keeps_the_rows():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = model()
    finally:
        keras.config.set_dtype_policy("float32")
    table = network.trainable_variables[0]
    start = table.numpy()
    inner = optimizers_optimizer.build(options(), {}, 0.1, found(network))
    train(network, keras.optimizers.LossScaleOptimizer(inner))
    moved = np.abs(table.numpy() - start).max(axis=1) > 1e-3
    assert np.flatnonzero(moved).tolist() == USED.tolist()
    assert np.isfinite(table.numpy()).all()


def test_tables_that_are_read_otherwise_too_stay_whole():
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    table = keras.layers.ReversibleEmbedding(VOCABULARY, WIDTH, tie_weights=True)
    tied = keras.Model({"token_ids": ids}, table(keras.ops.tanh(table(ids)), reverse=True))
    assert found(tied) == {}
    assert found(model(tables=2)) == {}
    assert embedding_rows.used_rows(model(), lambda: {"token_ids": [VOCABULARY]}) == {}
    assert embedding_rows.used_rows(model(), lambda: {"segment_ids": [0]}) == {}


def test_a_dense_gradient_is_taken_by_rows():
    rows = embedding_rows.Rows([1, 3], (5, 2))
    gradient = np.arange(10.0, dtype=np.float32).reshape(5, 2)
    np.testing.assert_array_equal(rows.compact(tf.constant(gradient)), gradient[[1, 3]])
    with pytest.raises(ShapeError, match="rows 1 to 5 of a table of 5 rows"):
        embedding_rows.Rows([1, 5], (5, 2))


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_finds_the_table_of_kerashubs_backbones(kind):
    sizes = {
        "vocabulary_size": 50,
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 4,
        "intermediate_dim": 8,
        "max_sequence_length": 8,
    }
    classes = {"bert": keras_hub.models.BertBackbone, "roberta": keras_hub.models.RobertaBackbone}
    backbone = classes[kind](**sizes)
    rows = embedding_rows.used_rows(backbone, lambda: {"token_ids": [3, 1, 3]})
    assert [found.tolist() for found in rows.values()] == [[1, 3]]
    (table,) = [v for v in backbone.trainable_variables if id(v) in rows]
    assert tuple(table.shape) == (50, 4)
    assert "token_embedding" in table.path


def test_a_frozen_table_has_no_gradient():
    network = model()
    network.layers[1].trainable = False
    assert len(network.trainable_variables) == 2
    gradients = []

    class Watched(keras.optimizers.SGD):
        def apply(self, grads, trainable_variables=None):
            gradients.extend(grads)
            super().apply(grads, trainable_variables)

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(Watched(0.1), loss={"label": loss}, jit_compile=False)
    network.train_on_batch({"token_ids": np.array(BATCHES[0])}, {"label": np.array([0, 1])})
    assert [tuple(g.shape) for g in gradients] == [(WIDTH, 2), (2,)]


@pytest.mark.large
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_two_devices_train_as_one(kind):
    one, two = (in_new_process(number, kind) for number in "12")
    assert two["devices"] == 2
    np.testing.assert_allclose(two["table"], one["table"], rtol=1e-3, atol=1e-4)
    assert one["slots"] == two["slots"]
    assert [len(USED), WIDTH] in two["slots"] and [VOCABULARY, WIDTH] not in two["slots"]


def in_new_process(*arguments):
    command = [sys.executable, "-m", "tests.rows_script", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
