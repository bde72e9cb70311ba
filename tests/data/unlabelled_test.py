"""Rows without labels beside training rows: how often each is read, in which order, and in which places."""

import numpy as np
import pytest
import tensorflow as tf

from tltf.data import lookups, unlabelled
from tltf.data.source import ScanCounts, Source, one_field


def rows_of(count):
    """A Source of so many rows whose Lookup gives their numbers."""
    source = Source(
        "rows",
        one_field("text", [f"text {row}" for row in range(count)]),
        {},
        range(count),
        None,
        ScanCounts(),
    )
    return source, lookups.Lookup(lambda rows: {"row": rows})


def read(count, batch_size, steps, **also):
    source, lookup = rows_of(count)
    given = {"seed": 3, "first_epoch": 0, "num_epochs": 1, **also}
    dataset = unlabelled.build(source, None, lookup, batch_size=batch_size, steps=steps, **given)
    return [batch["row"].numpy().tolist() for batch in dataset]


def test_each_epoch_has_all_steps_and_reads_rows_equally_often():
    batches = read(10, 4, 5)
    assert [len(batch) for batch in batches] == [4] * 5
    counts = np.bincount(np.concatenate(batches), minlength=10)
    assert counts.tolist() == [2] * 10


def test_epochs_differ_and_each_can_be_read_alone():
    both = read(50, 8, 4, num_epochs=2)
    assert both[:4] == read(50, 8, 4) and both[4:] == read(50, 8, 4, first_epoch=1)
    assert both[:4] != both[4:]


def test_a_resumed_epoch_goes_on_with_the_batch_that_comes_next():
    assert read(10, 4, 5, num_epochs=2)[3:] == read(10, 4, 5, num_epochs=2, skip=3)


def examples(count, batch_size):
    rows = tf.range(count)
    given = {"x": tf.cast(rows, tf.float32)}, {"label": rows % 3}, {"label": tf.fill([count], 0.5)}
    return tf.data.Dataset.from_tensor_slices(given).batch(batch_size)


def test_rows_lie_in_turn_and_only_training_rows_weigh():
    others = [
        tf.data.Dataset.from_tensor_slices({"x": tf.range(start, start + 8.0)}).batch(4)
        for start in (100.0, 200.0)
    ]
    first, last = unlabelled.beside(examples(6, 4), *others)
    inputs, targets, weights = first
    assert inputs["x"].numpy().tolist() == [0, 100, 200, 1, 101, 201, 2, 102, 202, 3, 103, 203]
    assert targets["label"].numpy().tolist() == [0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0]
    assert weights["label"].numpy().tolist() == [1.5, 0, 0] * 4
    assert last[0]["x"].numpy().tolist() == [4, 104, 204, 5, 105, 205]
    kinds = unlabelled.split_kinds(first[0]["x"], 3)
    assert [kind.numpy().tolist() for kind in kinds[1:]] == [
        [100, 101, 102, 103],
        [200, 201, 202, 203],
    ]


def test_shorter_texts_are_filled_up():
    def texts(length, value):
        batch = {"token_ids": tf.fill([2, length], value)}
        return tf.data.Dataset.from_tensors(batch).map(
            lambda inputs: {"token_ids": tf.ensure_shape(inputs["token_ids"], [None, None])}
        )

    answers = {"label": tf.constant([1, 0])}, {"label": tf.constant([1.0, 1.0])}
    labelled = texts(3, 7).map(lambda inputs: (inputs, *answers))
    ((inputs, _, _),) = unlabelled.beside(labelled, texts(5, 9))
    assert inputs["token_ids"].numpy().tolist() == [[7, 7, 7, 0, 0], [9] * 5] * 2


@pytest.mark.parametrize("skip", [0, 2])
def test_the_number_of_batches_is_known(skip):
    source, lookup = rows_of(10)
    dataset = unlabelled.build(
        source, None, lookup, batch_size=4, steps=3, seed=0, first_epoch=0, num_epochs=2, skip=skip
    )
    assert dataset.cardinality().numpy() == 6 - skip
