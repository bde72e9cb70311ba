"""What is cached is what the frozen layers give, and training on it is training on them."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.training.fit_test import FLAGS, Log
from tltf.backbones import builder
from tltf.caching import feature_cache, frozen_outputs
from tltf.caching.frozen_outputs import NotCached, Reading, View
from tltf.config import call_strings, checks
from tltf.config.catalogs import METHODS
from tltf.config.option_groups import CacheOptions
from tltf.config.options import make
from tltf.config.recipe import Recipe
from tltf.data import preprocessing
from tltf.data.source import Column, ScanCounts, Source, one_label_field
from tltf.errors import FlagError
from tltf.graphs import fingerprint, freezing, frozen_prefix
from tltf.methods import fine_tuning as methods
from tltf.models.transfer_model import TransferModel
from tltf.training import assembly, datasets, fit

PROBE = [("head/.*", 1)]


def images_source(count=50, size_px=8, seed=0):
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 3).astype("int32")
    pixels = rng.integers(0, 80, (count, size_px, size_px, 3)) + 60 * labels[:, None, None, None]
    return Source(
        "given",
        {"image": Column("array", pixels.astype(np.uint8))},
        one_label_field(labels, ("a", "b", "c")),
        [str(row) for row in range(count)],
        None,
        ScanCounts(count),
    )


@pytest.fixture
def core():
    keras.utils.set_random_seed(0)
    return tiny.core(tiny.image_backbone(dropout=0.3))


def cut(core, rules=PROBE):
    freezing.apply(core.groups, rules)
    return frozen_prefix.cut(core.model, core.groups)


def reading(core, source=None, view=None):
    source = source or images_source()
    return Reading(source, preprocessing.build(core.backbone, source), view=view)


def expected(core, parts, source):
    pixels = {"image": source.column.values.astype("float32")}
    return {name: np.asarray(t) for name, t in parts.prefix(pixels, training=False).items()}


def all_rows(table):
    return {n: v.numpy() for n, v in table.lookup.inputs_of(tf.range(50, dtype=tf.int64)).items()}


WAYS = {
    "memory and disk": CacheOptions(),
    "disk only": CacheOptions(cache_memory_mb=0),
    "memory only": CacheOptions(cache_disk_gb=0.0),
}


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("rules", [PROBE, [*PROBE, ("stage_2/.*", 1)]], ids=["probe", "partial"])
def test_every_way_of_keeping_gives_what_the_prefix_gives(core, tmp_path, options, rules):
    parts = cut(core, rules)
    given = reading(core)
    found = all_rows(feature_cache.Cache(options, tmp_path).table(parts.prefix, given))
    for name, values in expected(core, parts, given.source).items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_arrays_that_do_not_fit_in_memory_are_memory_maps_of_the_same_rows(
    core, tmp_path, own_cache, precision
):
    parts, given = cut(core), reading(core)
    arrays = []
    for memory_mb in (1024, 0):
        options = CacheOptions(cache_memory_mb=memory_mb, cache_precision=precision)
        table = feature_cache.Cache(options, tmp_path).table(parts.prefix, given)
        arrays.append([table.arrays()["boundary_0"], table.arrays(np.float32)["boundary_0"]])
    for whole, mapped in zip(*arrays, strict=True):
        assert isinstance(mapped, np.memmap) and not isinstance(whole, np.memmap)
        assert mapped.dtype == whole.dtype
        np.testing.assert_array_equal(mapped, whole)


def test_half_precision_rounds_and_halves(core, tmp_path):
    parts, given = cut(core), reading(core)
    whole = feature_cache.Cache(CacheOptions(), tmp_path).table(parts.prefix, given)
    half = feature_cache.Cache(CacheOptions(cache_precision="float16"), tmp_path).table(
        parts.prefix, given
    )
    assert half.num_bytes * 2 == whole.num_bytes
    exact, found = all_rows(whole)["boundary_0"], all_rows(half)["boundary_0"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, exact.astype(np.float16).astype(np.float32))


class Counting:
    """Notes how many rows a cache computes."""

    def __init__(self, monkeypatch):
        self.rows = 0
        original = frozen_outputs.Outputs.batches

        def batches(outputs, missing):
            for batch in original(outputs, missing):
                self.rows += len(batch[0])
                yield batch

        monkeypatch.setattr(frozen_outputs.Outputs, "batches", batches)


def test_nothing_is_computed_twice(core, tmp_path, monkeypatch):
    parts, counted = cut(core), Counting(monkeypatch)
    cache = feature_cache.Cache(CacheOptions(), tmp_path)
    first = all_rows(cache.table(parts.prefix, reading(core)))
    assert counted.rows == 50
    again = all_rows(
        feature_cache.Cache(CacheOptions(), tmp_path).table(parts.prefix, reading(core))
    )
    assert counted.rows == 50
    assert all(np.array_equal(first[name], again[name]) for name in first)
    fold = images_source().take([40, 3, 7])
    lookup = cache.table(parts.prefix, reading(core, fold)).lookup
    rows = lookup.inputs_of(tf.range(3, dtype=tf.int64))["boundary_0"].numpy()
    assert counted.rows == 50
    np.testing.assert_array_equal(rows, first["boundary_0"][[40, 3, 7]])


def test_without_a_disk_nothing_is_computed_twice_either(core, monkeypatch):
    computed, real = [], frozen_outputs.Outputs.batches

    def counted(outputs, missing):
        for batch in real(outputs, missing):
            computed.append(len(batch[0]))
            yield batch

    monkeypatch.setattr(frozen_outputs.Outputs, "batches", counted)
    cache, parts = feature_cache.Cache(CacheOptions(cache_disk_gb=0.0)), cut(core)
    first, second = (images_source(50, seed=seed) for seed in (0, 1))
    for source in (first, second, first, second):
        table = cache.table(parts.prefix, reading(core, source))
        for name, rows in expected(core, parts, source).items():
            np.testing.assert_allclose(all_rows(table)[name], rows, rtol=1e-4, atol=1e-5)
    assert sum(computed) == 100


def test_in_memory_the_oldest_rows_go_first(core):
    cache, parts = feature_cache.Cache(CacheOptions(cache_disk_gb=0.0)), cut(core)
    sources = [images_source(50, seed=seed) for seed in range(3)]
    bytes_of_one = cache.table(parts.prefix, reading(core, sources[0])).num_bytes
    cache.options = dataclasses.replace(cache.options, cache_memory_mb=2.5 * bytes_of_one / 2**20)
    kept = [cache.table(parts.prefix, reading(core, source)).rows for source in sources]
    assert cache.table(parts.prefix, reading(core, sources[2])).rows is kept[2]
    assert cache.table(parts.prefix, reading(core, sources[0])).rows is not kept[0]


def test_a_prefix_is_hashed_once_a_cache(core, tmp_path, monkeypatch):
    parts, cache, hashed = cut(core), feature_cache.Cache(CacheOptions(), tmp_path), []
    hash_model = fingerprint.hash_model
    monkeypatch.setattr(fingerprint, "hash_model", lambda m: hashed.append(m) or hash_model(m))
    for _ in range(3):
        cache.table(parts.prefix, reading(core))
    assert len(hashed) == 1


def test_other_weights_are_another_cache(core, tmp_path, monkeypatch):
    counted = Counting(monkeypatch)
    cache = feature_cache.Cache(CacheOptions(), tmp_path)
    cache.table(cut(core).prefix, reading(core))
    kernel = core.groups[0].layers[0].weights[0]
    kernel.assign(kernel + 1e-3)
    parts = cut(core)
    found = all_rows(cache.table(parts.prefix, reading(core)))
    assert counted.rows == 100
    values = expected(core, parts, images_source())["boundary_0"]
    np.testing.assert_allclose(found["boundary_0"], values, rtol=1e-5, atol=1e-6)


def test_a_damaged_shard_is_computed_again(core, tmp_path):
    parts, cache = cut(core), feature_cache.Cache(CacheOptions(), tmp_path)
    first = all_rows(cache.table(parts.prefix, reading(core)))
    (path,) = tmp_path.glob("*/*/boundary_0")
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        again = all_rows(cache.table(parts.prefix, reading(core)))
    assert np.array_equal(first["boundary_0"], again["boundary_0"])


def test_what_does_not_fit_is_not_cached(core, tmp_path):
    parts = cut(core)
    with pytest.raises(NotCached, match="cache_disk_gb"):
        feature_cache.Cache(CacheOptions(cache_disk_gb=1e-9), tmp_path).table(
            parts.prefix, reading(core)
        )
    nothing = CacheOptions(cache_disk_gb=0.0, cache_memory_mb=0)
    with pytest.raises(NotCached, match="cache_memory_mb"):
        feature_cache.Cache(nothing, tmp_path).table(parts.prefix, reading(core))


def test_the_shard_that_was_used_longest_ago_goes_first(core, tmp_path):
    size = all_rows_bytes = None
    for number in range(3):
        keras.utils.set_random_seed(number)
        other = tiny.core(tiny.image_backbone())
        table = feature_cache.Cache(CacheOptions(), tmp_path).table(
            cut(other).prefix, reading(other)
        )
        size = table.num_bytes
        if number == 0:
            (oldest,) = tmp_path.iterdir()
        for path in tmp_path.glob("*/*"):
            os.utime(path, (time.time() - 100 + number,) * 2) if path.parent == oldest else None
    all_rows_bytes = sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file())
    room = (all_rows_bytes - size / 2) / 2**30
    keras.utils.set_random_seed(9)
    last = tiny.core(tiny.image_backbone())
    feature_cache.Cache(CacheOptions(cache_disk_gb=room), tmp_path).table(
        cut(last).prefix, reading(last)
    )
    assert not list(oldest.iterdir())
    assert sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()) <= room * 2**30


def test_views_are_augmented_and_repeat_by_seed(core, tmp_path):
    parts, cache = cut(core), feature_cache.Cache(CacheOptions(), tmp_path)
    views = [
        all_rows(cache.table(parts.prefix, reading(core, view=View("flip|colour", 3, number))))
        for number in (0, 1, 0)
    ]
    plain = all_rows(cache.table(parts.prefix, reading(core)))
    assert np.array_equal(views[0]["boundary_0"], views[2]["boundary_0"])
    assert not np.allclose(views[0]["boundary_0"], views[1]["boundary_0"])
    assert not np.allclose(views[0]["boundary_0"], plain["boundary_0"])
    assert np.corrcoef(views[0]["boundary_0"].ravel(), plain["boundary_0"].ravel())[0, 1] > 0.5


def texts_source(count=60):
    rng = np.random.default_rng(0)
    labels = (np.arange(count) % 2).astype("int32")
    words = [["the", "a"], ["cafe", "ab"]]
    texts = [
        " ".join(rng.choice(words[label], 2 + 3 * int(rng.integers(1, 4)))) + f" {'b' * row}"
        for row, label in enumerate(labels)
    ]
    return Source(
        "given",
        {"text": Column("text", texts)},
        one_label_field(labels, ("a", "b")),
        texts,
        None,
        ScanCounts(count),
    )


def train(make_backbone, source, method, strategy=None, target=None, **flags):
    """(history, weights by path, Fit) of a training on 40 rows, the rest for validation.

    `target`: the method's text and rows of another domain, which it reads.
    """
    keras.utils.set_random_seed(0)
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        core = tiny.core(make_backbone(), num_classes=len(source.class_names))
    options = make(**{**FLAGS, "method": "full", "augment": "", **flags})
    rows = np.arange(len(source))
    parts = {"train": source.take(rows[:40]), "validation": source.take(rows[40:])}
    recipe = None
    if target:
        parts["target"] = target[1]
        read = checks.resolve_data("digits", "holdout", "classify", target="digits")
        recipe = Recipe(**vars(read), method=call_strings.pick(METHODS, target[0]))
    prepared = preprocessing.build(core.backbone, source)
    trained = TransferModel(core, prepared, source.class_names, options, parts, recipe)
    feed = datasets.build(trained, strategy)
    run = fit.Fit(core, method, feed, options, strategy, Log())
    run.prepare(assembly.context_of(trained))
    run()
    return run.history, {v.path: v.numpy() for v in core.model.weights}, run


def images():
    return tiny.image_backbone(dropout=0.0)


def test_a_second_run_on_kept_texts_tokenizes_nothing(bert_folder, own_cache, monkeypatch):
    settings = (lambda: builder.build(bert_folder)), texts_source(), methods.linear_probe()
    first = train(*settings)

    def tokenize(texts, preprocessing):
        raise AssertionError("tokenized again")

    monkeypatch.setattr("tltf.data.lookups.tokenize", tokenize)
    again = train(*settings)
    for row, other in zip(first[0], again[0], strict=True):
        assert row["loss"] == other["loss"]
        assert row["val_accuracy"] == other["val_accuracy"]


@pytest.mark.parametrize(
    "method",
    [methods.linear_probe(), methods.partial(last_groups=1)],
    ids=["linear_probe", "partial"],
)
@pytest.mark.parametrize("kind", ["branching network with batch norm", "bert"])
def test_cached_training_is_training(kind, method, bert_folder, own_cache, monkeypatch):
    if kind == "bert":
        make_backbone, source = (lambda: builder.build(bert_folder)), texts_source()
    else:
        make_backbone, source = images, images_source(60)
    counted = Counting(monkeypatch)
    expected, weights, _ = train(make_backbone, source, method, cache=False)
    assert counted.rows == 0
    found, same, run = train(make_backbone, source, method, train_epochs=3)
    assert counted.rows == 60, "each example once, not once an epoch"
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        np.testing.assert_allclose(
            [row[name] for row in found], [row[name] for row in expected], atol=1e-4
        )
    for path, value in weights.items():
        np.testing.assert_allclose(same[path], value, atol=1e-3, err_msg=path)
    assert run.judges.measure()[0] == pytest.approx(found[-1]["val_loss"], abs=1e-5)


def test_the_whole_core_gives_what_the_cached_suffix_gives(own_cache):
    source = images_source(60)
    history, _, run = train(images, source, methods.linear_probe())
    pixels = {"image": source.column.values[40:].astype("float32")}
    logits = np.asarray(run.core.model(pixels, training=False)["label"])
    accuracy = (logits.argmax(1) == source.labels[40:]).mean()
    assert history[-1]["val_accuracy"] == pytest.approx(accuracy)


def test_augmentation_switches_the_cache_off_and_says_so(own_cache, capsys):
    history, _, _ = train(images, images_source(60), methods.linear_probe(), augment="flip")
    assert "--cache_views=4" in capsys.readouterr().err
    assert len(history) == 3


def test_views_take_turns(own_cache, monkeypatch):
    counted = Counting(monkeypatch)
    flags = {"augment": "flip|colour", "cache_views": 2, "train_epochs": 5}
    history, _, _ = train(images, images_source(60), methods.linear_probe(), **flags)
    assert counted.rows == 2 * 40 + 20 and len(history) == 5


def test_mixing_has_no_views(own_cache):
    with pytest.raises(FlagError, match="mixup"):
        train(
            images,
            images_source(60),
            methods.linear_probe(),
            augment="mixup(alpha=.2)",
            cache_views=2,
        )


def test_a_moving_boundary_is_cached_anew(own_cache, monkeypatch):
    counted = Counting(monkeypatch)
    first, second = methods.linear_probe(), methods.partial(last_groups=1)

    class Gradual(type(first)):
        def phases(self, core):
            return [*first.phases(core), *second.phases(core)]

    train(images, images_source(60), Gradual(None))
    assert counted.rows == 120, "each example once a boundary"


TWO_DEVICES = """
import json, sys
from tests.caching import feature_cache_test as t
from tltf.config.options import make
from tltf.training.distribution import strategies as runtime
two = make(strategy="mirrored", logical_devices=2).runtime
strategy = runtime.start(two) if sys.argv[1] == "2" else None
given = t.images, t.images_source(60), t.methods.linear_probe(), strategy
history, _, run = t.train(*given, optimizer="sgd", learning_rate=0.1)
assert run.above, "cached"
print(json.dumps([row["loss"] for row in history]))
"""


@pytest.mark.large
def test_two_devices_train_above_the_cache_as_one(tmp_path):
    root = str(pathlib.Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "TLTF_CACHE": str(tmp_path)}
    losses = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", TWO_DEVICES, number],
                cwd=root,
                env=environment,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout.splitlines()[-1]
        )
        for number in "12"
    ]
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)


KILLED = """
import os, sys
from tests.caching import feature_cache_test as caching_test
from tltf.caching import feature_cache, frozen_outputs
from tltf.config.option_groups import CacheOptions
original = frozen_outputs.Outputs.batches
def slowly(outputs, missing):
    for number, batch in enumerate(original(outputs, missing)):
        yield batch
        print("batch", flush=True)
        if number == 3:
            os.kill(os.getpid(), 9)
if sys.argv[2] == "kill":
    frozen_outputs.Outputs.batches = slowly
import keras
keras.utils.set_random_seed(0)
core = caching_test.tiny.core(caching_test.tiny.image_backbone())
parts = caching_test.cut(core)
from tltf.caching import shard_store
shard_store.Writer.__init__.__defaults__ = (4000,)
given = caching_test.reading(core, caching_test.images_source(500))
table = feature_cache.Cache(CacheOptions(), sys.argv[1]).table(parts.prefix, given)
import hashlib; print(hashlib.sha256(table.arrays()["boundary_0"].tobytes()).hexdigest())
"""


def killed(folder, how):
    command = [sys.executable, "-c", KILLED, str(folder), how]
    root = str(pathlib.Path(__file__).resolve().parents[2])
    return subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.large
def test_a_fill_that_is_killed_goes_on_with_the_same_numbers(tmp_path):
    whole = killed(tmp_path / "whole", "")
    assert whole.returncode == 0, whole.stderr
    cut_off = killed(tmp_path / "cut", "kill")
    assert cut_off.returncode == -signal.SIGKILL
    there = list((tmp_path / "cut").glob("*/[!.]*"))
    assert 0 < len(there) < len(list((tmp_path / "whole").glob("*/*")))
    again = killed(tmp_path / "cut", "")
    assert again.stdout.splitlines()[-1] == whole.stdout.splitlines()[-1]


@pytest.mark.large
def test_two_processes_fill_one_cache(tmp_path):
    root = str(pathlib.Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", KILLED, str(tmp_path), ""]
    both = [
        subprocess.Popen(
            command,
            cwd=root,
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0].splitlines()[-1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0] == outputs[1]
