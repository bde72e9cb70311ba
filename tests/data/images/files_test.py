"""Findings without decoding are those with it."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.faults import making
from tltf.data import loader
from tltf.data.images import files
from tltf.data.sources import tables, tfrecords

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def encoded(picture, format, **settings):
    file = io.BytesIO()
    picture.save(file, format, **settings)
    return file.getvalue()


@pytest.mark.parametrize("size", [(12, 10), (28, 28), (333, 221)])
@pytest.mark.parametrize(
    ("format", "settings"),
    [
        ("JPEG", {}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"restart_marker_blocks": 1}),
        ("PNG", {}),
        ("PNG", {"compress_level": 1}),
        ("BMP", {}),
    ],
)
def test_one_colour_is_seen(size, format, settings):
    for mode, colour in (("L", 37), ("RGB", (200, 10, 77))):
        contents = encoded(Image.new(mode, size, colour), format, **settings)
        found = files.inspect_bytes(contents)
        assert (found.reason, found.is_uniform) == ("", True)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP"])
def test_decoding_in_any_case_finds_the_same(format):
    contents = encoded(Image.fromarray(PIXELS), format)
    found = files.inspect_bytes(contents)
    assert found == files.inspect_bytes(contents, is_decoded=True)
    assert found.hash and not (found.reason or found.is_uniform or found.is_thin)


def test_usual_files_are_not_decoded(monkeypatch):
    def refused(contents):
        raise AssertionError("was decoded")

    monkeypatch.setattr(files, "_decode", refused)
    for format in ("JPEG", "PNG"):
        assert files.inspect_bytes(encoded(Image.fromarray(PIXELS), format)).hash
    with pytest.raises(AssertionError):
        files.inspect_bytes(encoded(Image.fromarray(PIXELS), "BMP"))


def test_thin_and_single_pixels():
    thin = encoded(Image.fromarray(PIXELS.reshape(1, -1, 3)), "PNG")
    assert files.inspect_bytes(thin).is_thin
    dot = encoded(Image.fromarray(PIXELS[:1, :1]), "PNG")
    assert files.inspect_bytes(dot).reason == "has one pixel"


def test_reasons(tmp_path):
    good = encoded(Image.fromarray(PIXELS), "JPEG")
    (tmp_path / "good.jpg").write_bytes(good)
    assert files.find_fault(str(tmp_path / "good.jpg")) == ""
    assert files.find_fault(str(tmp_path / "gone.jpg")) == "is missing"
    assert files.find_fault(good[:-300]) == "is a damaged JPEG file"
    assert files.find_fault(PIXELS) == ""


def test_links_out_of_the_folder(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "a.png").write_bytes(encoded(Image.fromarray(PIXELS), "PNG"))
    (inside / "link.png").symlink_to(outside / "a.png")
    (inside / "loop.png").symlink_to(inside / "loop.png")
    (inside / "near.png").symlink_to(inside / "a.png")
    (inside / "folder").symlink_to(outside)
    names = ["a.png", "near.png", "link.png", "folder/a.png", "loop.png", "../out/a.png"]
    found = files.inspect_files([str(inside / name) for name in names], str(inside))
    leaves = "is a link that leaves the data folder"
    reasons = [finding.reason for finding in found]
    is_outside = "is in a folder outside of the data folder, to which a link leads"
    assert reasons[:4] == ["", "", leaves, is_outside]
    assert reasons[4].startswith("cannot be read") and reasons[5] == is_outside


@pytest.mark.parametrize("kind", ["records", "texts", "files"])
def test_reading_shows_its_progress_once_it_takes_long(tmp_path, monkeypatch, capsys, kind):
    for module in (files, tables, tfrecords):
        monkeypatch.setattr(module, "SHOWN_AFTER_S", 0.0)
    data = making.classes(tmp_path / "pictures")
    rows = [
        {"picture": path.read_bytes(), "kind": n % 2}
        for n, path in enumerate(sorted(data.rglob("*.png")))
    ]
    making.records(tmp_path / "a", rows)
    lines = "".join(f"text {number},{'ab'[number % 2]}\n" for number in range(8))
    (tmp_path / "t.csv").write_text("text,label\n" + lines)
    calls = {
        "records": f"tfrecord(path={tmp_path}/a, image=picture, label=kind)",
        "texts": f"csv(path={tmp_path}/t.csv, text=text)",
        "files": making.call(data),
    }
    loader.load(calls[kind])
    said = capsys.readouterr().err
    counts = {
        "records": ["8 records,", "8 of 8 files"],
        "texts": ["8 rows,"],
        "files": ["8 of 8 files"],
    }
    assert [line for line in counts[kind] if f"reading: {line}" not in said] == []
