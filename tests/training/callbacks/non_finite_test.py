"""A fit whose numbers break: where it stops, which rows it names, what it leaves on the disk."""

import contextlib
import dataclasses
import math
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.faults.making import covers
from tests.training.fit_test import feed, fit
from tltf.config import checks, defaults
from tltf.config.options import make
from tltf.console import signals
from tltf.data import ordering
from tltf.data.source import Column, ScanCounts, Source, one_label_field
from tltf.errors import NumericError
from tltf.runs import checkpoints
from tltf.training import assembly, datasets, fit_state, judges
from tltf.training.callbacks import non_finite
from tltf.training.callbacks.non_finite import Breakage
from tltf.training.distribution import strategies
from tltf.training.feed import Batch

NUM_STEPS = 3  # an epoch of `feed()`: 20 rows in batches of 8


def changed_feed(epoch, step, image=1.0, weight=1.0, **arguments):
    """`feed()` with factors on a step of an epoch, both counted from 0; it names its rows."""
    data = feed(**arguments)

    def training(first, number, rows=None, skip=0):
        def change(count, item):
            is_it = tf.equal(count + skip + first * NUM_STEPS, epoch * NUM_STEPS + step)
            parts = zip(item, (image, 1.0, weight), strict=True)
            return tuple(
                {
                    name: tf.cast(tf.where(is_it, factor, 1.0), tensor.dtype) * tensor
                    for name, tensor in part.items()
                }
                for part, factor in parts
            )

        return data.training(first, number, rows, skip).enumerate().map(change)

    def batch(epoch, step, rows=None):
        return Batch((f"epoch {epoch}", f"step {step}"))

    return dataclasses.replace(data, training=training, batch=batch)


def broken_feed(epoch, step, **arguments):
    """`feed()` whose images are NaN in a step."""
    return changed_feed(epoch, step, image=np.nan, **arguments)


def all_finite(found):
    return all(np.isfinite(array).all() for array in found.values())


def test_the_last_finite_checkpoint_and_the_best_weights_stay(tmp_path):
    flags = {"keep": "best", "train_epochs": 3}
    good = feed(has_validation=True)
    fit(tmp_path / "good", data=good, **{**flags, "schedule": "constant", "train_epochs": 1})
    with pytest.raises(
        NumericError,
        match=r"loss is nan at step 2 of epoch 2 \(full\); its batch was epoch 1, step 1; fix",
    ):
        fit(
            tmp_path / "cut",
            data=broken_feed(1, 1, has_validation=True),
            **{**flags, "schedule": "constant"},
        )
    saved = checkpoints.newest(tmp_path / "cut")
    assert (saved.state["epoch"], saved.state["steps"], saved.state["best"]["epoch"]) == (1, 0, 1)
    assert all_finite(saved.arrays)
    best, expected = (
        fit_state.arrays_under(checkpoints.newest(tmp_path / name), "best/")
        for name in ("cut", "good")
    )
    assert best.keys() == expected.keys() and len(best) > 0
    for name, array in expected.items():
        np.testing.assert_allclose(best[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


def test_checkpoints_within_the_epoch_end_before_the_broken_step(tmp_path):
    with pytest.raises(NumericError, match="step 2 of epoch 1"):
        fit(tmp_path, data=broken_feed(0, 1), checkpoint_minutes=1e-9)
    saved = checkpoints.newest(tmp_path)
    assert (saved.state["epoch"], saved.state["steps"]) == (0, 1) and all_finite(saved.arrays)


def test_a_signal_in_the_broken_step_saves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(signals, "is_end_requested", lambda: True)
    with pytest.raises(NumericError, match="step 1 of epoch 1"):
        fit(tmp_path, data=broken_feed(0, 0))
    assert checkpoints.newest(tmp_path) is None


def test_a_resumed_epoch_counts_its_steps_on(tmp_path, monkeypatch):
    data = broken_feed(1, 2)
    asked = iter([False] * 4 + [True, True])  # after each step, and after each save
    with monkeypatch.context() as patch:
        patch.setattr(signals, "is_end_requested", lambda: next(asked))
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path, data=data)
    assert checkpoints.newest(tmp_path).state["steps"] == 1
    with pytest.raises(NumericError, match=r"step 3 of epoch 2 .*epoch 1, step 2"):
        fit(tmp_path, data=data)


def test_a_finite_gradient_that_is_too_large_a_step_is_not_saved(tmp_path):
    """The only step of an epoch: no loss after it could tell."""
    with pytest.raises(NumericError, match=r"weights .* are not finite by step 1 of epoch 1"):
        fit(
            tmp_path,
            data=changed_feed(0, 0, weight=1e3, count=8),
            optimizer="sgd",
            learning_rate=3e38,
            schedule="constant",
            warmup_fraction=0.0,
            momentum=0.9,
        )
    assert checkpoints.newest(tmp_path) is None


def test_a_loss_beyond_all_sense_is_divergence_too():
    with pytest.raises(NumericError, match=r"loss has grown to .*e\+\d\d by step . of epoch 1"):
        fit(learning_rate=1e9, schedule="constant", warmup_fraction=0.0)


def watching(ignorance=1.0, **notes):
    found = non_finite.StopAtNonFinite(
        fit_state.Place(0), lambda broken: NumericError(broken.what), lambda: ignorance, {}, []
    )
    broken = types.SimpleNamespace(read=lambda count: None)
    found.set_model(types.SimpleNamespace(optimizer=types.SimpleNamespace(broken=broken, **notes)))
    return found


@pytest.mark.parametrize(
    "loss,ignorance,stops",
    [
        (9e5, 1e-3, False),
        (2e6, 0.7, True),
        (2e6, 3.0, False),
        (1e12, 1e5, True),
    ],
)
def test_a_large_loss_is_measured_by_that_of_knowing_nothing(loss, ignorance, stops):
    callback = watching(ignorance)
    expected = pytest.raises(NumericError, match="has grown") if stops else contextlib.nullcontext()
    with expected:
        callback.on_train_batch_end(0, {"loss": loss})


def test_rows_with_numbers_that_are_not_finite():
    images = np.zeros((4, 2, 2), "float32")
    images[1, 0, 1] = np.inf
    weights = np.array([1, 1, 1, math.nan], "float32")
    given = ({"image": images, "ids": np.zeros((4, 3), "int32")}, np.arange(4), {"label": weights})
    assert non_finite.not_finite(given).tolist() == [False, True, False, True]


def said(broken, batch, is_kept=True):
    return str(non_finite.error(broken, "full", batch, 0.001, is_kept))


@covers(279)
@pytest.mark.parametrize(
    ("method", "modality", "used", "wanted"),
    [
        ("full", "text", 1e9, 5e-5),
        ("full", "text", 1.0, 5e-5),
        ("lora(rank=4)", "text", 1e4, 3e-3),
        ("lp_ft", "image", 1.0, 3e-4),
        ("full", "text", 5e-5, 5e-6),
        ("full", "image", 1e-4, 1e-5),
    ],
)
def test_the_hint_is_the_rate_of_the_recipe_not_a_tenth_of_nonsense(method, modality, used, wanted):
    usual = defaults.usual_rate(method, modality, is_pretrained=True)
    assert non_finite.smaller_rate(used, usual) == pytest.approx(wanted)


def test_the_error_says_what_where_and_which_rows():
    broken = Breakage("the loss is nan", 2, 7)
    assert said(broken, Batch(("a", "b", "c", "d", "e"))) == (
        "tltf: error[6] --learning_rate: the loss is nan at step 7 of epoch 2 (full); its batch was "
        "a, b, c and 2 more; fix: --learning_rate=0.001 or --global_clipnorm=1, with --resume=never; "
        "or look at these rows"
    )
    assert said(broken, Batch(("a", "b"), ("b",)), is_kept=False) == (
        "tltf: error[6] --data: the loss is nan at step 7 of epoch 2 (full); its batch has numbers "
        "that are not finite in b; fix: correct or leave out these rows"
    )
    skipped = Breakage("skipped", 1, 100, is_exact=False, fix="--precision=mixed_bfloat16")
    assert said(skipped, Batch(("a",)), is_kept=False) == (
        "tltf: error[6] skipped by step 100 of epoch 1 (full); fix: --precision=mixed_bfloat16"
    )


def source(modality, count=45):
    """Rows of unlike contents, of 3 classes."""
    if modality == "text":
        words = [" ".join(["word"] * (1 + number % 7)) + f" {number}" for number in range(count)]
        column = Column("text", words)
    else:
        pixels = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones(
            (1, 8, 8, 1), np.uint8
        )
        column = Column("array", pixels)
    labels = one_label_field((np.arange(count) % 3).astype(np.int32), ("a", "b", "c"))
    ids = [f"row {n}" for n in range(count)]
    return Source("rows", {modality: column}, labels, ids, None, ScanCounts(count))


def feed_of(modality, backbone, **flags):
    """(feed, training split) of a run on `source`."""
    options = make(
        data="digits", backbone=backbone, image_size_px=8, batch_size=8, method="full", **flags
    )
    parts = {"train": source(modality)}
    strategy = strategies.start(options.runtime)
    recipe = checks.resolve(options, needs_output=False)
    trained, _ = assembly.assemble(options, recipe, parts, strategy)
    return datasets.build(dataclasses.replace(trained, splits=parts), strategy), trained


@pytest.mark.parametrize(
    "flags,rows",
    [
        ({}, None),
        ({"sampling": "balanced"}, None),
        ({"augment": "flip"}, np.arange(5, 40)),
    ],
)
def test_the_named_rows_are_those_that_training_read(flags, rows):
    """An image's first pixel is the number of its row."""
    data, _ = feed_of("image", "small_cnn(filters=[4])", **flags)
    read = [batch[0]["image"].numpy()[:, 0, 0, 0] for batch in data.training(1, 1, rows)]
    assert len(read) > 4
    for step in (0, 2, len(read) - 1):
        ids = tuple(f"row {round(float(number))}" for number in read[step])
        assert data.batch(1, step, rows) == Batch(ids)


def test_the_named_texts_are_those_of_batches_by_length():
    data, trained = feed_of("text", "small_lstm(units=4, embedding=4)", seed=3)
    texts = source("text").column.values
    known = {}
    for row, text in enumerate(texts):
        ids = trained.preprocessing.graph_function(tf.constant([text]))["token_ids"].numpy().ravel()
        known[tuple(ids[ids != trained.preprocessing.pad_id])] = f"row {row}"
    read = [batch[0]["token_ids"].numpy() for batch in data.training(0, 1)]
    plain = ordering.shuffle_rows(len(texts), 3, 0).numpy()[:8]
    for step, batch in enumerate(read):
        ids = tuple(known[tuple(row[row != trained.preprocessing.pad_id])] for row in batch)
        assert data.batch(0, step).ids == ids
    assert set(data.batch(0, 0).ids) != {f"row {row}" for row in plain}, "it is bucketed at all"


def test_plateau_and_patience_take_no_notice_of_nan(monkeypatch):
    """Epoch 1 is NaN; then three of falling quality: the second is the best, and counts from there."""
    answers = iter([(math.nan, math.nan), (0.5, 0.9), (math.nan, 0.95), (0.6, 0.8)])
    monkeypatch.setattr(judges.Judges, "measure", lambda run, role="validation": next(answers))
    _, run, _ = fit(
        data=feed(has_validation=True),
        keep="best",
        early_stopping_epochs=2,
        schedule="plateau",
        train_epochs=9,
        warmup_fraction=0.0,
    )
    assert len(run.history) == 4 and run.best.state["epoch"] == 2
    for path, array in run.best.weights.items():
        np.testing.assert_array_equal(run.moved[path].numpy(), array)
    rates = [row["learning_rate"] for row in run.history]
    assert rates == pytest.approx([0.01] * 3 + [0.002]), "two epochs without a better one"


def test_no_finite_validation_keeps_the_last_weights_and_says_so(monkeypatch):
    monkeypatch.setattr(judges.Judges, "measure", lambda run, role="validation": (math.nan, 0.5))
    with pytest.warns(UserWarning, match="no epoch had a finite validation"):
        core, _, _ = fit(data=feed(has_validation=True), keep="best")
    plain, _, _ = fit(keep="last")
    for one, other in zip(core.model.weights, plain.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.large
def test_half_precision_counts_skips_epoch_by_epoch(tmp_path, monkeypatch):
    """A weight takes a gradient beyond float16 in one step; cut in the step after it and gone on with."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        data = changed_feed(0, 0, weight=1e4)
        whole = skips(fit(tmp_path / "whole", data=data, precision="mixed_float16")[1])
        asked = iter([False, True, True])
        with monkeypatch.context() as patch:
            patch.setattr(signals, "is_end_requested", lambda: next(asked))
            with pytest.raises(KeyboardInterrupt):
                fit(tmp_path / "cut", data=data, precision="mixed_float16")
        resumed = skips(fit(tmp_path / "cut", data=data, precision="mixed_float16")[1])
    finally:
        keras.config.set_dtype_policy("float32")
    assert whole == resumed == [1, 0, 0]


def skips(run):
    return [row["skipped_steps"] for row in run.history]
