import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tltf.config.option_groups import ScanOptions
from tltf.data import loader, splits
from tltf.errors import DataError, FlagError


def png(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (7, 9, 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return encoded.getvalue()


def feature(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def write(path, examples, compression=""):
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for example in examples:
            features = {name: feature(value) for name, value in example.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    return path


def images(count, first=0):
    return [{"picture": png(first + n), "kind": n % 2} for n in range(count)]


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_images_by_feature_names(tmp_path, compression):
    write(tmp_path / "a.tfrecord", images(6), compression)
    call = f"tfrecord(path={tmp_path}/a.*, image=picture, label=kind, class_names=[cat, dog])"
    source = loader.load(call)
    assert source.column.kind == "bytes"
    assert source.column.values[3] == png(3)
    assert source.class_names == ("cat", "dog")
    assert source.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_texts_a_file_a_split(tmp_path):
    for role, count in (("train", 8), ("test", 4)):
        rows = [
            {"text": f"{role} ä {n}".encode(), "label": b"xy"[n % 2 : n % 2 + 1]}
            for n in range(count)
        ]
        write(tmp_path / f"{role}.tfrecord", rows)
    call = f"tfrecord(train={tmp_path}/train.tfrecord, test={tmp_path}/test.tfrecord, text=text)"
    parts = splits.split(loader.load(call), "holdout(validation=.25)", 0)
    assert {role: len(part) for role, part in parts.items()} == {
        "train": 6,
        "validation": 2,
        "test": 4,
    }
    assert parts["test"].column.values[1] == "test ä 1"


def test_damaged_files(tmp_path):
    whole = write(tmp_path / "whole", images(5)).read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-10])
    source = loader.load(
        f"tfrecord(path={tmp_path}/cut, image=picture, label=kind)",
        scan=ScanOptions(max_bad_fraction=0.5),
    )
    assert (source.scan.found, source.scan.used, source.scan.skipped) == (5, 4, 1)
    middle = len(whole) // 2
    (tmp_path / "flipped").write_bytes(whole[:middle] + b"\0\0\0" + whole[middle + 3 :])
    with pytest.raises(DataError, match=r"flipped:2 .*damaged"):
        loader.load(f"tfrecord(path={tmp_path}/flipped, image=picture, label=kind)")


def test_missing_shard(tmp_path):
    write(tmp_path / "a-00000-of-00002", images(2))
    with pytest.raises(DataError, match=r"1 of 2 shards are missing.*a-00001-of-00002"):
        loader.load(f"tfrecord(path={tmp_path}/a-*, image=picture, label=kind)")


def test_missing_feature_lists_keys(tmp_path):
    write(tmp_path / "a", images(2))
    with pytest.raises(DataError, match=r"no feature 'image' \(keys found: kind \(int\), picture"):
        loader.load(f"tfrecord(path={tmp_path}/a, image=image, label=kind)")
    with pytest.raises(DataError, match="label 1 is not one of the 1 classes"):
        loader.load(f"tfrecord(path={tmp_path}/a, image=picture, label=kind, class_names=[a])")
    with pytest.raises(FlagError, match="nearest that exists"):
        loader.load(f"tfrecord(path={tmp_path}/b, image=picture, label=kind)")


def test_a_pattern_may_start_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "a.tfrecord", images(4))
    assert len(loader.load("tfrecord(path=~/a.*, image=picture, label=kind)")) == 4
