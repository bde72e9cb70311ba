import dataclasses

import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tltf.data import loader, pipeline
from tltf.data.images import preprocessing as images_preprocessing
from tltf.data.source import Column
from tltf.data.sources.samples import array_source
from tltf.data.texts import preprocessing
from tltf.errors import FlagError

PIXELS = np.random.default_rng(0).integers(0, 256, (37, 10, 10, 1), np.uint8)
LABELS = np.arange(37, dtype=np.int32) % 3
PREPROCESSING = images_preprocessing.ImagePreprocessing(16)


def source():
    return array_source("made", PIXELS, LABELS)


def batches(dataset):
    return [
        (inputs["image"].numpy(), targets["label"].numpy(), weights["label"].numpy())
        for inputs, targets, weights in dataset
    ]


def equal(first, second):
    return all(
        (a == b).all()
        for x, y in zip(first, second, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def build(**settings):
    return pipeline.build(source(), PREPROCESSING, **{"batch_size": 8, **settings})


def test_evaluation_keeps_order_and_the_short_batch():
    dataset = build()
    found = batches(dataset)
    assert int(dataset.cardinality()) == len(found) == 5
    assert [len(labels) for _, labels, _ in found] == [8, 8, 8, 8, 5]
    assert np.concatenate([labels for _, labels, _ in found]).tolist() == LABELS.tolist()
    resized = np.concatenate([image for image, _, _ in found])
    np.testing.assert_array_equal(resized, PREPROCESSING.resize(tf.constant(PIXELS)))
    assert equal(found, batches(dataset))


@pytest.mark.parametrize("augment", ["", "flip|mixup(alpha=.2)"])
def test_same_seed_gives_the_same_passes(augment):
    first, second = (build(training=True, seed=4, augment=augment) for _ in range(2))
    first, second = ([batches(dataset) for _ in range(2)] for dataset in (first, second))
    assert equal(first[0], second[0])
    assert equal(first[1], second[1])
    assert not equal(first[0], first[1])
    assert not equal(first[0], batches(build(training=True, seed=5, augment=augment)))


def test_every_row_once_a_pass():
    labels = np.concatenate([labels for _, labels, _ in batches(build(training=True))])
    assert np.bincount(labels).tolist() == np.bincount(LABELS).tolist()


def test_resumed_run_sees_what_it_would_have_seen():
    settings = {"training": True, "seed": 1, "augment": "flip|pad_crop"}
    whole = batches(build(first_epoch=0, num_epochs=3, **settings))
    rest = batches(build(first_epoch=1, num_epochs=2, **settings))
    assert len(whole) == 15
    assert equal(whole[5:], rest)


def test_decoding_once_or_each_time_is_the_same(tmp_path):
    paths = []
    for number, pixels in enumerate(PIXELS):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(pixels[..., 0]).save(paths[-1])
    files = dataclasses.replace(source(), fields={"image": Column("path", paths)})
    contents = [open(path, "rb").read() for path in paths]  # noqa: SIM115
    encoded = dataclasses.replace(source(), fields={"image": Column("bytes", contents)})
    expected = batches(build(training=True))
    for made in (source(), files, encoded):
        for cache_bytes in (0, 2**31):
            dataset = pipeline.build(
                made, PREPROCESSING, batch_size=8, training=True, cache_bytes=cache_bytes
            )
            assert equal(batches(dataset), expected)


def test_class_weights_and_mixed_targets():
    found = batches(build(class_weights=[1.0, 2.0, 0.5]))
    weights = np.concatenate([weights for _, _, weights in found])
    np.testing.assert_array_equal(weights, np.array([1.0, 2.0, 0.5])[LABELS])
    dataset = build(training=True, augment="mixup", target="kind", num_classes=5)
    assert dataset.element_spec[1]["kind"].shape.as_list() == [None, 5]


@pytest.mark.parametrize("augment", ["mixup(alpha=1.0)", "flip|cutmix"])
def test_class_weights_are_mixed_as_the_targets_are(augment):
    by_class = np.array([1.0, 20.0, 0.5])
    found = batches(build(training=True, augment=augment, class_weights=by_class))
    targets = np.concatenate([targets for _, targets, _ in found])
    weights = np.concatenate([weights for _, _, weights in found])
    assert ((targets > 0.01).sum(1) == 2).any()
    np.testing.assert_allclose(weights, targets @ by_class, rtol=1e-5)


@pytest.mark.parametrize("cache_bytes", [0, 2**31])
def test_data_stays_in_the_hosts_memory(monkeypatch, cache_bytes):
    from tensorflow.python.eager import context

    devices, constant = [], tf.constant

    def recorded(value, *arguments, **more):
        if np.size(value) > 8:  # the data, not the numbers that a graph holds
            devices.append(context.context().device_name or "")
        return constant(value, *arguments, **more)

    monkeypatch.setattr(pipeline.tf, "constant", recorded)
    build(training=True, cache_bytes=cache_bytes)
    assert devices and all(name.endswith("CPU:0") for name in devices)


def test_unlabelled():
    unlabelled = dataclasses.replace(source(), label_fields={})
    inputs, targets, weights = next(iter(pipeline.build(unlabelled, PREPROCESSING, batch_size=4)))
    assert inputs["image"].shape == (4, 16, 16, 3)
    assert targets == weights == {}
    with pytest.raises(FlagError, match="mixup and cutmix need labels"):
        pipeline.build(unlabelled, PREPROCESSING, batch_size=4, training=True, augment="mixup")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "a.csv"
    rows = [f"{'good ' * (row % 9 + 1)}{row},{'ab'[row % 2]}" for row in range(100)]
    path.write_text("text,label\n" + "\n".join(rows))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", *"0123456789"]
    vocabulary += [f"##{digit}" for digit in range(10)]
    tokenizer = keras_hub.tokenizers.BertTokenizer(vocabulary=vocabulary)
    return loader.load(f"csv(path={path}, text=text)"), preprocessing.TextPreprocessing(
        tokenizer, 16
    )


def test_texts_are_those_of_the_preprocessing(texts):
    made, preprocessing = texts
    expected = preprocessing(made.column.values)
    found = list(pipeline.build(made, preprocessing, batch_size=32))
    for name, tensor in expected.items():
        np.testing.assert_array_equal(np.concatenate([x[name] for x, _, _ in found]), tensor)
    with pytest.raises(FlagError, match="flip takes images, the data has texts"):
        pipeline.build(made, preprocessing, batch_size=32, training=True, augment="flip")


def test_length_buckets_lose_nothing_and_save_padding(texts):
    made, preprocessing = texts
    settings = {"batch_size": 8, "training": True, "seed": 2}
    plain = list(pipeline.build(made, preprocessing, **settings))
    cut = list(pipeline.build(made, preprocessing, length_buckets=True, **settings))

    def rows(found):
        return sorted(
            (tuple(ids[ids > 0].tolist()), int(label))
            for inputs, targets, _ in found
            for ids, label in zip(inputs["token_ids"].numpy(), targets["label"], strict=True)
        )

    assert rows(plain) == rows(cut)
    assert sum(x["token_ids"].shape[1] for x, _, _ in cut) < 0.8 * 16 * len(cut)
    assert all(x["padding_mask"].numpy().any(0).all() for x, _, _ in cut)
    again = list(pipeline.build(made, preprocessing, length_buckets=True, **settings))
    for (x, _, _), (y, _, _) in zip(cut, again, strict=True):
        np.testing.assert_array_equal(x["token_ids"], y["token_ids"])


def test_no_tuner_delays_the_end_of_a_pass():
    for training in (False, True):
        options = build(training=training).options()
        assert options.autotune.enabled is False
        shards = options.experimental_distribute.auto_shard_policy
        assert shards == tf.data.experimental.AutoShardPolicy.DATA


def test_balanced_sampling_draws_every_class_equally_often():
    labels = np.repeat(np.arange(3), [200, 50, 6]).astype(np.int32)
    pixels = (
        np.arange(256, dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(16, axis=1).repeat(16, axis=2)
    )
    given = array_source("made", pixels, labels)
    settings = {"batch_size": 64, "training": True, "sampling": "balanced"}
    dataset = pipeline.build(given, PREPROCESSING, **settings)
    passes = [batches(dataset) for _ in range(6)]
    counts = np.mean([np.bincount(np.concatenate([y for _, y, _ in p])) for p in passes], axis=0)
    assert counts.sum() == 256
    np.testing.assert_allclose(counts, 256 / 3, atol=5 * np.sqrt(256 * 2 / 9 / 6))
    again = pipeline.build(given, PREPROCESSING, **settings)
    assert equal(batches(again), passes[0]) and not equal(passes[0], passes[1])
    images, labels, _ = passes[0][0]
    rows = images[:, 0, 0, 0].round().astype(int)
    np.testing.assert_array_equal(given.labels[rows], labels)
    plain = batches(pipeline.build(given, PREPROCESSING, **{**settings, "training": False}))
    assert np.concatenate([y for _, y, _ in plain]).tolist() == given.labels.tolist()


def test_balanced_sampling_of_numbers_is_refused():
    numbers = source().with_labels(np.linspace(0, 1, 37, dtype=np.float32), ())
    with pytest.raises(FlagError, match="the data has numbers") as caught:
        pipeline.build(numbers, PREPROCESSING, batch_size=8, training=True, sampling="balanced")
    assert caught.value.flag == "sampling"


def test_a_part_of_the_rows():
    part = np.array([3, 5, 8, 13, 21, 34])
    dataset = build(training=True, part=part, batch_size=4)
    assert int(dataset.cardinality()) == 2
    first, second = (np.concatenate([image for image, _, _ in batches(dataset)]) for _ in range(2))
    resized = np.asarray(PREPROCESSING.resize(tf.constant(PIXELS[part])))
    for read in (first, second):
        order = [int(np.abs(resized - image).reshape(6, -1).sum(axis=1).argmin()) for image in read]
        assert sorted(order) == list(range(6))
    assert not np.array_equal(first, second)
