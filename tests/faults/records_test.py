"""Rows 70 to 76 of the matrix: TFRecord files and TensorFlow Datasets."""

import json

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from tests.data.sources.tfds_test import TinyPictures
from tests.faults.making import (
    LENIENT,
    Case,
    covers,
    encoded,
    judge,
    picture,
    put,
    records,
    require,
    run,
    snapshot,
    table,
)
from tltf.data import row_scan
from tltf.errors import DataError


def rows(count, first=0):
    return [{"picture": encoded(picture(first + n)), "kind": n % 2} for n in range(count)]


def read(folder, pattern="a*", image="picture", label="kind"):
    return f"tfrecord(path={folder}/{pattern}, image={image}, label={label})"


def changed(change, compression="", **more):
    """A `make` for a Case: a file of ten examples whose bytes are changed."""

    def make(folder):
        path = records(folder / "a.tfrecord", rows(10), compression)
        path.write_bytes(change(path.read_bytes()))
        return read(folder, **more)

    return make


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def flipped_among_shards(folder):
    for number in range(2):
        path = records(folder / f"a-{number:05d}-of-00002", rows(6, 10 * number))
    path.write_bytes(flipped(path.read_bytes()))
    return read(folder)


def without_a_shard(folder):
    for number in (0, 2):
        records(folder / f"a-{number:05d}-of-00003", rows(4, 10 * number))
    return read(folder)


def named(name, compression):
    def make(folder):
        records(folder / name, rows(10), compression)
        return read(folder)

    return make


def with_features(**features):
    def make(folder):
        records(folder / "a", [features, features])
        return read(folder)

    return make


def of_no_examples(folder):
    with tf.io.TFRecordWriter(str(folder / "a")) as writer:
        writer.write(b"plain text, not a message")
    return read(folder)


@table(
    Case(
        70,
        "cut record",
        changed(lambda content: content[:-20]),
        counts=(9, 1, 0, 0),
        listed={"a.tfrecord:9": "truncated record at "},
    ),
    Case(70, "cut gzip", changed(lambda content: content[:-900], "GZIP"), said=("is cut (",)),
    Case(
        70,
        "cut gzip, one of few",
        changed(lambda content: content[:-900], "GZIP"),
        3,
        flags=(),
        said=("rows are bad", "is cut ("),
    ),
    Case(
        71,
        "flipped byte",
        changed(flipped),
        3,
        said=("a.tfrecord:", "damaged: ", "corrupted record at "),
    ),
    Case(
        71,
        "bad shard",
        flipped_among_shards,
        3,
        said=("a-00001-of-00002:", "damaged: ", "corrupted record at ", "copy the file again"),
    ),
    Case(
        71,
        "bad shard skipped",
        flipped_among_shards,
        flags=(*LENIENT, "--skip_bad_shards"),
        listed={"a-00001-of-00002:": "is damaged, and the rest of its shard is left out"},
    ),
    Case(
        72,
        "shard missing",
        without_a_shard,
        3,
        said=("1 of 3 shards are missing", "a-00001-of-00003", "copy all shards"),
    ),
    # Compression is known by content, so that a wrong name does no harm.
    Case(73, "gzip named plain", named("a.tfrecord", "GZIP"), counts=(10, 0, 0, 0)),
    Case(73, "plain named gzip", named("a.tfrecord.gz", ""), counts=(10, 0, 0, 0)),
    Case(
        73,
        "begins as gzip",
        lambda folder: read(put(folder, {"a": b"\x1f\x8b" + bytes(90)})),
        3,
        said=("a:0 ",),
    ),
    Case(
        73,
        "begins as gzip is called so",
        changed(lambda content: b"\x1f\x8b" + content[2:]),
        3,
        said=("gzip",),
    ),
    Case(
        74,
        "feature missing",
        with_features(image=b"x", label=1),
        3,
        said=("a:0 ", "no feature 'picture'", "keys found: image (bytes), label (int)"),
    ),
    Case(
        74,
        "feature of another type",
        with_features(picture=1.5, kind=1),
        3,
        said=("a:0 ", "feature 'picture' is float, not bytes"),
    ),
    Case(
        74, "no examples", of_no_examples, 3, said=("a:0 ", "the record is not a tf.train.Example")
    ),
    Case(
        75,
        "unknown data set",
        lambda folder: f"tfds(name=mnits, data_dir={folder})",
        2,
        said=("TFDS has no data set 'mnits'", "fix: name=mnist"),
    ),
)
def test_records(case, tmp_path, capfd):
    judge(case, tmp_path, capfd)


@covers(57, 71, 72, 74)
def test_all_faults_of_all_shards_are_told_at_once(tmp_path, capfd):
    good = rows(6)
    for number in (0, 1, 3):
        bad = [{"picture": good[0]["picture"], "kind": 5}, {"other": b"x"}] if number == 1 else []
        path = records(tmp_path / f"a-{number:05d}-of-00004", [*good, *bad * 300])
    path.write_bytes(flipped(path.read_bytes()))
    data = read(tmp_path).removesuffix(")") + ", class_names=[cat, dog])"
    done = run("check", [f"--data={data}", f"--output={tmp_path}/out"], capfd)
    require(
        done,
        3,
        [
            "1 of 4 shards are missing",
            "1 of 602 faults; others: ",
            "a-00001-of-00004:6: label 5 is not one of the 2 classes (300 times)",
            "a-00001-of-00004:7: no feature 'picture'",
            "a-00003-of-00004:",
        ],
    )
    listed = [json.loads(line) for line in (tmp_path / "out/data_report.jsonl").open()]
    assert [row["what"] for row in listed].count("fault") == 602


def test_a_bounded_number_of_faults_is_kept(tmp_path):
    scan = row_scan.Scan("made")
    for number in range(row_scan.MOST_FAULTS + 5):
        scan.fail("wrong", place=f"a:{number}")
    with pytest.raises(DataError, match=r"a:0 --data: wrong \(10,005 times\)") as caught:
        scan.stop_if_failed()
    faults = caught.value.scan.fault_rows
    assert len(faults) == row_scan.MOST_FAULTS + 1 and faults[-1]["reason"] == "5 more faults"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    TinyPictures(data_dir=str(folder)).download_and_prepare()
    return folder


@covers(75)
@pytest.mark.parametrize(
    ("split", "said"),
    [("tset", "no split 'tset' (splits: "), ("test[:2x]", "no split 'test[:2x]' (splits: ")],
)
def test_an_unknown_split_names_the_nearest(prepared, capfd, split, said):
    before = snapshot(prepared)
    data = f"tfds(name=tiny_pictures, test='{split}', data_dir={prepared})"
    require(run("check", [f"--data={data}"], capfd), 2, [said, "fix: test=test"])
    assert snapshot(prepared) == before


@covers(76)
@pytest.mark.parametrize(
    "error",
    [
        NonMatchingChecksumError("the checksum differs"),
        OSError("no route to the host"),
        tfds.download.DownloadError("no answer"),
    ],
)
def test_what_cannot_be_fetched(prepared, capfd, monkeypatch, error):
    def refused(*_, **__):
        raise error

    monkeypatch.setattr(TinyPictures, "download_and_prepare", refused)
    before = snapshot(prepared)
    argv = [f"--data=tfds(name=tiny_pictures, data_dir={prepared})"]
    said = ["TFDS could not prepare tiny_pictures", str(error), "data_dir=FOLDER"]
    require(run("check", argv, capfd), 5, said)
    assert snapshot(prepared) == before
