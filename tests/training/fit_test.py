import contextlib
import dataclasses
import io
import json
import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import devices_script, tiny
from tltf.config.options import make
from tltf.console import signals
from tltf.data import device_batches
from tltf.data.ordering import GivenOrder
from tltf.errors import ModelError, NumericError
from tltf.methods import fine_tuning as methods
from tltf.methods.method import Method, Phase
from tltf.runs import checkpoints
from tltf.training import fit as training_fit
from tltf.training import judges
from tltf.training.feed import DataAbove, Feed

FLAGS = {
    "method": "full",
    "train_epochs": 3,
    "batch_size": 8,
    "eval_batch_size": 8,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "schedule": "cosine",
    "warmup_fraction": 0.1,
    "weight_decay": 0.0,
    "norm": "train",
    "keep": "last",
}


class Log:
    """Keeps the rows that a fit writes."""

    def __init__(self):
        self.rows = []

    def write(self, row):
        self.rows.append(row)


def orders_of(rows, count, epochs):
    """The rows of each epoch in their order: that of a GivenOrder, or an order of its own for each."""
    if isinstance(rows, GivenOrder):
        return [rows.rows_of(epoch) for epoch in epochs]
    rows = np.arange(count) if rows is None else rows
    return [np.random.default_rng(epoch).permutation(rows) for epoch in epochs]


def feed(count=20, batch_size=8, has_validation=False):
    """Images whose brightness is their class; order differs by epoch, alike in each run."""
    rng = np.random.default_rng(0)
    labels = (np.arange(count) % 3).astype("int32")
    images = (rng.uniform(0, 60, (count, 8, 8, 3)) + 90 * labels[:, None, None, None]).astype(
        "float32"
    )

    def batches(order):
        rows = (
            {"image": images[order]},
            {"label": labels[order]},
            {"label": np.ones(len(order), "float32")},
        )
        return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)

    def training(first, number, rows=None, skip=0):
        orders = orders_of(rows, count, range(first, first + number))
        parts = [batches(order) for order in orders]
        dataset = parts[0].skip(skip)
        for part in parts[1:]:
            dataset = dataset.concatenate(part)
        return dataset

    whole = batches(np.arange(count))
    judged = (whole, labels)
    return Feed(
        training,
        count,
        judged if has_validation else None,
        in_order=lambda: judged,
        **others(training, whole),
    )


def others(training, whole):
    """What a Feed has of rows without labels: the same rows in another order."""

    def unlabelled(first, number, skip=0, steps=None):
        return training(first + 50, number, skip=skip).map(lambda inputs, *_: inputs)

    def in_order(prefix):
        return whole if prefix is None else whole.map(lambda x, y, w: (prefix(x), y, w))

    return {"unlabelled": unlabelled, "unlabelled_in_order": in_order}


def text_feed(count=20, length=6, has_validation=False):
    """Token numbers whose size is their class."""
    rng = np.random.default_rng(0)
    labels = (np.arange(count) % 3).astype("int32")
    token_ids = (rng.integers(1, 6, (count, length)) + 6 * labels[:, None]).astype("int32")
    mask = np.arange(length) < rng.integers(2, length + 1, (count, 1))
    data = (
        {"token_ids": token_ids * mask, "padding_mask": mask},
        {"label": labels},
        {"label": np.ones(count, "float32")},
    )
    whole = tf.data.Dataset.from_tensor_slices(data)

    def training(first, number, rows=None, skip=0):
        if rows is None:
            return whole.batch(8).repeat(number).skip(skip)
        orders = np.stack(orders_of(rows, count, range(first, first + number)))
        taken = tf.nest.map_structure(lambda array: array[orders], data)
        batches = tf.data.Dataset.from_tensor_slices(taken)
        return batches.flat_map(lambda *one: tf.data.Dataset.from_tensor_slices(one).batch(8)).skip(
            skip
        )

    in_order = whole.batch(8)
    return Feed(
        training, count, None, in_order=lambda: (in_order, labels), **others(training, in_order)
    )


def text_inputs(texts):
    """Two tokens for each text whose last letter is a, b or c: of those that `text_feed` has for it."""
    places = np.array(["abc".index(text.rstrip(".")[-1]) for text in texts])[:, None]
    token_ids = 6 * places + np.array([1, 3, 5, 0, 0, 0])
    return {
        "token_ids": (token_ids * (np.arange(6) < 3)).astype("int32"),
        "padding_mask": np.arange(6) + 0 * places < 3,
    }


def fit(run=None, method=None, data=None, dropout=0.3, **flags):
    keras.utils.set_random_seed(0)
    core = tiny.core(tiny.image_backbone(dropout=dropout))
    options = make(**{**FLAGS, **flags})
    strategy = tf.distribute.get_strategy()
    log = Log()
    fitting_run = training_fit.Fit(
        core, method or methods.full(), data or feed(), options, strategy, log, run
    )
    fitting_run()
    return core, fitting_run, log


def weights(core):
    return {v.path: v.numpy() for v in core.model.weights}


def same(first, second):
    return all(np.array_equal(first[path], second[path]) for path in first)


def test_loss_falls_and_every_epoch_is_logged():
    _, run, log = fit(train_epochs=8, dropout=0.0)
    assert log.rows[-1]["loss"] < log.rows[0]["loss"]
    assert [row["epoch"] for row in log.rows] == list(range(1, 9))
    assert run.history == log.rows


def test_same_seed_gives_the_same_weights_twice():
    assert same(weights(fit()[0]), weights(fit()[0]))


def test_a_run_killed_between_epochs_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole, finished, _ = fit(tmp_path / "whole", data=feed(has_validation=True), keep="best")

    class Killed(Exception):
        """Stands in for a kill."""

    save = checkpoints.save

    def save_then_die(run, step, checkpoint):
        save(run, step, checkpoint)
        if checkpoint.state["epoch"] == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", save_then_die)
        with pytest.raises(Killed):
            fit(tmp_path / "cut", data=feed(has_validation=True), keep="best")
    resumed, run, log = fit(tmp_path / "cut", data=feed(has_validation=True), keep="best")
    assert [row["epoch"] for row in log.rows] == [3]
    assert [row["loss"] for row in run.history] == [row["loss"] for row in finished.history]
    assert same(weights(whole), weights(resumed))


@pytest.mark.parametrize(
    ("at", "flags"),
    [
        (1, {"keep": "best"}),
        (6, {"keep": "best"}),
        (1, {"schedule": "plateau"}),
        (4, {"ema_decay": 0.9}),
        (4, {"schedule": "plateau", "warmup_fraction": 0.5}),
        (4, {"early_stopping_epochs": 1}),
        (4, {"snapshots": 2}),
    ],
)
def test_a_run_stopped_within_an_epoch_ends_with_the_same_weights(tmp_path, monkeypatch, at, flags):
    """3 steps an epoch; a signal comes at the question number `at`, then at the second."""
    data = feed(has_validation=True)
    whole, finished, _ = fit(tmp_path / "whole", data=data, **flags)
    count = {"asked": 0, "at": at}

    def requested():
        count["asked"] += 1
        return count["asked"] >= count["at"]

    for _ in range(1 if at == 6 else 2):
        with monkeypatch.context() as patch:
            patch.setattr(signals, "is_end_requested", requested)
            with pytest.raises(KeyboardInterrupt):
                fit(tmp_path / "cut", data=data, **flags)
        count.update(asked=0, at=2)
    resumed, run, _ = fit(tmp_path / "cut", data=data, **flags)
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in one.history]
        for one in (finished, run)
    ]
    assert timeless[0] == timeless[1]
    assert same(weights(whole), weights(resumed))
    files = list((tmp_path / "whole").glob("snapshots/*"))
    assert len(files) == flags.get("snapshots", 0)
    for file in files:
        assert (tmp_path / "cut" / "snapshots" / file.name).read_bytes() == file.read_bytes()


class TrainsThenFreezes(type(methods.full())):
    """Its second phase freezes what its first has trained."""

    def phases(self, core):
        return [*methods.full().phases(core), *methods.linear_probe().phases(core)]


def test_frozen_layers_that_an_earlier_phase_trained_run_with_its_weights(tmp_path, monkeypatch):
    """Resumed in the second phase; what is cached of the layers below is made before its fit."""
    seen = []

    def above(prefix):
        seen.append([variable.numpy() for variable in prefix.weights])
        return DataAbove()

    data = dataclasses.replace(feed(), data_above=above)
    fit(tmp_path / "whole", TrainsThenFreezes(None), data)
    (expected,) = seen
    with monkeypatch.context() as patch:
        patch.setattr(signals, "is_end_requested", lambda: len(seen) == 2)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "cut", TrainsThenFreezes(None), data)
    fit(tmp_path / "cut", TrainsThenFreezes(None), data)
    assert len(seen) == 3
    for given in seen[1:]:
        assert all(np.array_equal(*pair) for pair in zip(given, expected, strict=True))


def test_checkpoints_within_epochs_by_time(tmp_path):
    fit(tmp_path, train_epochs=1, checkpoint_minutes=1e-9)
    states = [
        json.loads((path / "state.json").read_text())
        for path in sorted((tmp_path / "checkpoints").iterdir())
    ]
    assert [(state["epoch"], state["steps"]) for state in states] == [(0, 2), (1, 0)]


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    fit(tmp_path, train_epochs=2)
    other = dataclasses.replace(feed(), fingerprint="other")
    with pytest.raises(ModelError, match="data changed"):
        fit(tmp_path, data=other)


@pytest.mark.parametrize("count", [20, 9])
def test_other_data_that_resume_names_begin_their_epoch_anew(tmp_path, monkeypatch, count):
    """Stopped after two of three steps: the third epoch is one of all the rows that are there now."""
    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(signals, "is_end_requested", lambda: len(seen) > 7 or seen.append(1))
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path, data=feed(has_validation=True))
    saved = checkpoints.newest(tmp_path).state
    assert 0 < saved["steps"] < 3
    other = dataclasses.replace(feed(count, has_validation=True), fingerprint="other")
    _, run, _ = fit(tmp_path, data=other, resume="seed|data")
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert run.record.step == 3 * saved["epoch"] + saved["steps"] + (3 - saved["epoch"]) * -(
        -count // 8
    )


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    """Where --resume lets the model differ, what does not fit is an error and no crash."""
    fit(tmp_path / "wide")
    with pytest.raises(ModelError, match=r"of another model.*resume=never"):
        fit(tmp_path / "wide", methods.linear_probe())
    with pytest.raises(ModelError, match=r"optimizer/.* there"):
        fit(tmp_path / "wide", optimizer="sgd", momentum=0.0, global_clipnorm=0.0, ema_decay=0.5)
    fit(tmp_path / "stages", TrainsThenFreezes(None))
    with pytest.raises(ModelError, match="it is of phase 2, the method has 1"):
        fit(tmp_path / "stages")


class Judged:
    """Validation and test batches that ask for an end while they are read for the n-th time."""

    def __init__(self, data, patch, number):
        self.left, self.noted = number, False
        patch.setattr(signals, "is_end_requested", lambda: self.noted)
        self.feed = dataclasses.replace(
            data,
            validation=(self.opened(data), data.validation[1]),
            watched=(self.opened(data), data.validation[1]),
        )

    def opened(self, data):
        class Batches:
            element_spec = data.validation[0].element_spec

            def __iter__(batches):
                for batch in data.validation[0]:
                    self.left -= 1
                    self.noted = self.noted or self.left == 0
                    yield batch

        return Batches()


@pytest.mark.parametrize("flags", [{"keep": "best"}, {"ema_decay": 0.5, "schedule": "plateau"}])
def test_a_signal_while_an_epoch_is_judged_loses_nothing(tmp_path, monkeypatch, flags):
    """In the validation or the watched test of each epoch, or as soon as its last step is done."""
    data = feed(has_validation=True)
    data = dataclasses.replace(data, watched=data.validation)
    whole, ran, _ = fit(tmp_path / "whole", data=data, **flags)
    stops = 0
    for number in (1, 5, 2, 4):  # three batches each: of validation, of the test
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "cut", data=Judged(data, patch, number).feed, **flags)
        saved = checkpoints.newest(tmp_path / "cut").state
        assert (saved["epoch"], saved["steps"]) == (0, 3) and not saved["history"]
        stops += 1
    assert stops == 4
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", data=Judged(data, patch, 6 + 6 + 1).feed, **flags)
    saved = checkpoints.newest(tmp_path / "cut").state
    assert (saved["epoch"], saved["steps"]) == (2, 3) and len(saved["history"]) == 2
    resumed, run, _ = fit(tmp_path / "cut", data=data, **flags)
    assert same(weights(whole), weights(resumed))
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in one.history]
        for one in (ran, run)
    ]
    assert timeless[0] == timeless[1]


def test_a_signal_in_the_last_step_saves_before_the_epoch_is_judged(tmp_path, monkeypatch):
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(signals, "is_end_requested", lambda: asked.append(1) or len(asked) > 2)
        patch.setattr(judges.Judges, "measure", None)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path, data=feed(has_validation=True))
    assert checkpoints.newest(tmp_path).state["steps"] == 3


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    fit(tmp_path)
    newest = sorted((tmp_path / "checkpoints").iterdir())[-1]
    arrays = newest / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:-50])
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoints.newest(tmp_path).state["epoch"] == 2


def test_best_weights_are_those_of_the_best_validation_epoch():
    _, run, _ = fit(data=feed(has_validation=True), keep="best", learning_rate=0.1, train_epochs=6)
    best = max(run.history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    loss, accuracy = run.judges.measure()
    assert accuracy == pytest.approx(best["val_accuracy"])
    assert loss == pytest.approx(best["val_loss"], rel=1e-5)


def test_validation_is_the_mean_over_examples():
    core, run, _ = fit(data=feed(has_validation=True))
    rows = next(iter(run.feed.validation[0].unbatch().batch(100)))
    logits = core.model(rows[0], training=False)["label"].numpy().astype("float64")
    log_norm = np.log(np.exp(logits).sum(axis=1))
    expected = (log_norm - logits[np.arange(20), rows[1]["label"]]).mean()
    assert run.judges.measure()[0] == pytest.approx(expected, rel=1e-5)


def test_watched_test_split_gets_a_curve_and_no_say():
    data = feed(has_validation=True)
    _, plain, _ = fit(data=data, keep="best")
    _, watched, _ = fit(data=dataclasses.replace(data, watched=data.validation), keep="best")
    assert [row["test_loss"] for row in watched.history] == [r["val_loss"] for r in watched.history]
    assert [row["loss"] for row in watched.history] == [row["loss"] for row in plain.history]


def test_early_stopping_stops():
    _, run, _ = fit(
        data=feed(has_validation=True),
        learning_rate=1e-12,
        train_epochs=20,
        early_stopping_epochs=2,
    )
    assert len(run.history) < 20


def test_a_loss_that_is_not_finite_stops_at_once():
    data = feed()
    broken = dataclasses.replace(
        data,
        training=lambda f, n: data.training(f, n).map(
            lambda x, y, w: ({"image": x["image"] * np.nan}, y, w)
        ),
    )
    with pytest.raises(NumericError, match="loss is nan at step 1"):
        fit(data=broken)


def test_plateau_lowers_the_rate():
    _, run, _ = fit(
        schedule="plateau", data=feed(has_validation=True), train_epochs=12, learning_rate=1.0
    )
    assert run.history[-1]["learning_rate"] < run.history[0]["learning_rate"]


def test_the_rate_rises_before_plateau_can_lower_it():
    """18 steps, 12 of them in the rise: the rate after an epoch is that of its last step."""
    given = {"schedule": "plateau", "train_epochs": 6, "learning_rate": 0.3}
    _, run, _ = fit(data=feed(has_validation=True), warmup_fraction=2 / 3, **given)
    rates = [row["learning_rate"] for row in run.history]
    assert rates[:4] == pytest.approx([0.3 * step / 12 for step in (3, 6, 9, 12)])
    assert rates[4] == pytest.approx(0.3)


def test_filled_batches_have_the_gradient_of_one_device():
    data = feed(count=5, batch_size=4)
    short = list(data.training(0, 1))[-1]
    full = list(device_batches.fill_last(data.training(0, 1), 4))[-1]
    assert full[0]["image"].shape == (4, 8, 8, 3)
    assert full[2]["label"].numpy().tolist() == [4.0, 0.0, 0.0, 0.0]
    assert np.array_equal(full[0]["image"][3], short[0]["image"][0])
    core = tiny.core()
    loss = core.head.loss()
    expected = loss(short[1]["label"], core.model(short[0])["label"])
    got = loss(full[1]["label"], core.model(full[0])["label"], sample_weight=full[2]["label"])
    assert float(got) == pytest.approx(float(expected), rel=1e-5)


def losses_of_one(*arguments):
    """Loss of each step and the weights' norm, from `tests/devices_script.py` in this process."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        devices_script.main(["1", *arguments])
    return json.loads(told.getvalue().strip().splitlines()[-1])


def losses_of_two(*arguments):
    """The same of two devices, which only a new process can be split into."""
    command = [sys.executable, "-m", "tests.devices_script", "2", *arguments]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr[-3000:]
    return json.loads(found.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize(
    "clip,norm",
    [
        pytest.param("none", "frozen", marks=pytest.mark.large),
        pytest.param("clipnorm", "frozen", marks=pytest.mark.large),
        ("global_clipnorm", "train"),
    ],
)
def test_two_devices_give_the_loss_curve_of_one(clip, norm):
    one, two = losses_of_one(clip, "auto", norm), losses_of_two(clip, "auto", norm)
    assert one["devices"] == 1 and two["devices"] == 2 and len(one["losses"]) == 20
    np.testing.assert_allclose(two["losses"], one["losses"], atol=1e-4)
    np.testing.assert_allclose(two["norm"], one["norm"], rtol=1e-4)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_two_machines_train_as_one():
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    running = []
    for index in range(2):
        task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        running.append(
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.devices_script",
                    "2",
                    "global_clipnorm",
                    "multi_worker",
                ],
                env={**os.environ, "TF_CONFIG": json.dumps(task)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    outputs = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs[0][1][-3000:]
    first, second = (json.loads(out.strip().splitlines()[-1]) for out, _ in outputs)
    one = losses_of_one("global_clipnorm")
    assert first["devices"] == 2
    assert first["norm"] == second["norm"] == pytest.approx(one["norm"], rel=1e-4)


def test_a_method_decides_what_a_phase_trains_on():
    asked = []

    class Half(Method):
        def batches(self, training, phase, unlabelled):
            def half(first, number, **more):
                asked.append((phase.name, first, number))
                return training(first, number, **more).map(
                    lambda inputs, targets, weights: (
                        inputs,
                        targets,
                        {name: 0 * each for name, each in weights.items()},
                    )
                )

            return half

    rules = (("head/.*", 1.0),)
    keras.utils.set_random_seed(0)
    before = weights(tiny.core(tiny.image_backbone(dropout=0.3)))
    core, run, _ = fit(method=Half(lambda core: [Phase("half", rules, norm="frozen")]))
    assert asked == [("half", 0, run.options.train.train_epochs)]
    after = weights(core)
    for old, new in zip(before.values(), after.values(), strict=True):
        np.testing.assert_array_equal(old, new, "rows that weigh nothing train nothing")
