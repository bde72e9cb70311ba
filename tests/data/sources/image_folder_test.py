import os
import pathlib
import time
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tltf.config.option_groups import ScanOptions
from tltf.data import loader, splits
from tltf.errors import DataError, FlagError


def save(path, format=None, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32(str(path).encode())
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path, format=format)
    return path


def load(folder, **settings):
    return loader.load(f"image_folder(path={folder})", **settings)


@pytest.fixture
def folder(tmp_path):
    for label in ("cat", "dog"):
        for number in range(10):
            save(tmp_path / "data" / label / f"{number}.png")
    return tmp_path / "data"


def test_class_folders(folder):
    source = load(folder)
    assert source.class_names == ("cat", "dog")
    assert source.ids[0] == os.path.join("cat", "0.png")
    assert source.labels.tolist() == [0] * 10 + [1] * 10
    assert source.roles is None
    parts = splits.split(source, "holdout(test=.2, validation=.1)", 0)
    assert {role: np.bincount(part.labels).tolist() for role, part in parts.items()} == {
        "train": [7, 7],
        "validation": [1, 1],
        "test": [2, 2],
    }


def test_split_folders(tmp_path):
    for role, count in (("train", 6), ("val", 2), ("test", 3)):
        for label in "ab":
            for number in range(count):
                save(tmp_path / role / label / f"{role}{number}.png")
    parts = splits.split(load(tmp_path), "given", 0)
    assert {role: len(part) for role, part in parts.items()} == {
        "train": 12,
        "validation": 4,
        "test": 6,
    }


def test_bad_files_are_skipped_and_counted(folder):
    whole = save(folder / "cat" / "cut.jpg", size=(64, 64)).read_bytes()
    bad = {
        "empty.jpg": b"",
        "cut.jpg": whole[: len(whole) // 2],
        "noise.jpg": np.random.default_rng(0).bytes(500),
        "page.jpg": b"<!DOCTYPE html><html>not found</html>",
        "photo.heic": b"\0\0\0\x18ftypheic" + bytes(100),
        "bomb.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0\x08\2\0\0\0" + bytes(50),
    }
    for name, contents in bad.items():
        (folder / "cat" / name).write_bytes(contents)
    (folder / "cat" / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "cat" / ".DS_Store").write_bytes(b"x")
    (folder / "cat" / "notes.txt").write_text("x")
    os.mkfifo(folder / "cat" / "pipe.png")
    save(folder / "loose.png")
    source = load(folder, scan=ScanOptions(max_bad_fraction=0.5))
    reasons = {os.path.basename(row["id"]): row["reason"] for row in source.scan.skipped_rows}
    assert set(reasons) == {*bad, "gone.png", "loose.png"}
    assert "HTML" in reasons["page.jpg"]
    assert "HEIC" in reasons["photo.heic"]
    assert "65536 x 65536" in reasons["bomb.png"]
    assert reasons["gone.png"] == "is missing"
    assert (source.scan.found, source.scan.used, source.scan.ignored) == (28, 20, 3)
    with pytest.raises(DataError, match=r"8 of 28 rows are bad.*max_bad_fraction=0\.29"):
        load(folder)


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX", "@eaDir", ".git"])
@pytest.mark.parametrize("above", ["", "cat", "cat/young"])
def test_hidden_folders_are_ignored_at_any_depth(folder, name, above):
    """They hold copies: of another class's image here, which would be a fault."""
    save(folder / "cat" / "young" / "a.png")
    hidden = folder / above / name / "deep"
    hidden.mkdir(parents=True)
    (hidden / "0.png").write_bytes((folder / "dog" / "0.png").read_bytes())
    source = load(folder)
    assert source.class_names == ("cat", "dog") and not any(name in row for row in source.ids)
    scan = source.scan
    assert (scan.found, scan.used, scan.warnings) == (21, 21, [])
    assert scan.ignored == bool(above), "counted in class folders"


def test_class_folders_that_are_links_are_named_as_such(folder, tmp_path):
    """What helps is --follow_links, not a larger share of bad rows."""
    links = tmp_path / "links"
    links.mkdir()
    for label in ("cat", "dog"):
        (links / label).symlink_to(folder / label)
    outside = r"20 is in a folder outside of the data folder, to which a link leads"
    with pytest.raises(DataError, match=outside) as nothing_left:
        load(links)
    assert nothing_left.value.fix == "give --follow_links, or copy the files with cp -rL"
    for label in ("cow", "owl"):
        save(links / label / "0.png")
    with pytest.raises(DataError, match=outside) as some_left:
        load(links)
    assert "no row that can be used: cat (10 of 10 rows" in str(some_left.value)


def test_format_is_known_by_content(folder):
    save(folder / "cat" / "real_gif.jpg", format="GIF")
    save(folder / "cat" / "no_extension", format="BMP")
    assert load(folder).scan.used == 22


def test_lfs_pointers_stop(folder):
    (folder / "cat" / "0.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid 1")
    with pytest.raises(DataError, match="git lfs pull"):
        load(folder)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (["cat/0.png"], "one class"),
        (["Cat/0.png", "cat/1.png"], "differ only in case"),
        (["train/0.png", "val/1.png"], "splits would be read as classes"),
        (["train/a/0.png", "train/b/1.png", "other/2.png"], "stand beside other folders"),
        (["a/text.md"], r"no images.*\.md"),
    ],
)
def test_folder_faults(tmp_path, made, message):
    for name in made:
        if name.endswith(".md"):
            (tmp_path / name).parent.mkdir()
            (tmp_path / name).write_text("x")
        else:
            save(tmp_path / name)
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(FlagError, match="nearest that exists"):
        load(tmp_path / "a" / "b")


def test_one_content_under_two_labels_stops(folder):
    (folder / "dog" / "copy.png").write_bytes((folder / "cat" / "3.png").read_bytes())
    with pytest.raises(DataError, match=r"cat/3\.png = dog/copy\.png"):
        load(folder)


def test_one_content_in_train_and_test_leaves_train(tmp_path):
    for label in "ab":
        for number in range(5):
            save(tmp_path / "train" / label / f"{number}.png")
        save(tmp_path / "test" / label / "own.png")
    copied = tmp_path / "test" / "a" / "copy.png"
    copied.write_bytes((tmp_path / "train" / "a" / "2.png").read_bytes())
    source = load(tmp_path)
    assert source.scan.excluded_rows == [
        {
            "id": os.path.join("train", "a", "2.png"),
            "reason": "its content is in the test split too",
        }
    ]
    assert source.scan.found == source.scan.used + 1 == 13


def test_class_only_in_test_stops(tmp_path):
    names = (
        "train/a/0.png",
        "train/a/1.png",
        "train/b/0.png",
        "train/b/1.png",
        "test/a/2.png",
        "test/c/2.png",
    )
    for name in names:
        save(tmp_path / name)
    with pytest.raises(DataError, match="but no training row: c"):
        splits.split(load(tmp_path), "holdout(test=.2, validation=.5)", 0)


def test_strange_names_are_used(tmp_path):
    for name in ("a/emoji 🎉.png", "a/new\nline.png", "b/0.png"):
        save(tmp_path / name)
    os.rename(tmp_path / "b" / "0.png", os.fsencode(tmp_path / "b") + b"/\xff\xfe.png")
    assert load(tmp_path).scan.used == 3


def resident_mb():
    """Memory of this process in use, in 2^20 bytes."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.large
def test_100_000_files_cost_less_than_decoding_them_twice_and_little_memory(tmp_path):
    whole = save(tmp_path / "one.jpg", size=(64, 64)).read_bytes()
    count, labels = 100_000, 10
    for label in range(labels):
        (tmp_path / "data" / f"class_{label}").mkdir(parents=True)
    paths = [
        tmp_path / "data" / f"class_{number % labels}" / f"photo_{number:06d}.jpg"
        for number in range(count)
    ]
    for number, path in enumerate(paths):  # a comment makes each another content
        path.write_bytes(whole[:2] + b"\xff\xfe\0\x0a%08d" % number + whole[2:])
    paths[7].write_bytes(whole[:900])
    some = tf.data.Dataset.from_tensor_slices([str(path) for path in paths[1000:6000]])
    decoded = some.map(lambda path: tf.io.decode_jpeg(tf.io.read_file(path)), tf.data.AUTOTUNE)
    for _ in range(2):
        start = time.perf_counter()
        decoded.reduce(0, lambda state, _: state)
        decoding_s = (time.perf_counter() - start) * count / 5000
    before_mb, start = resident_mb(), time.perf_counter()
    source = load(tmp_path / "data")
    assert time.perf_counter() - start < 2 * decoding_s
    assert resident_mb() - before_mb < 100
    assert [row["id"] for row in source.scan.skipped_rows] == ["class_7/photo_000007.jpg"]
    assert (source.scan.found, source.scan.used) == (count, count - 1)
