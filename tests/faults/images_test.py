"""Rows 1 to 24 of the matrix: image files that are not whole, plain images."""

import contextlib
import io
import os
import socket
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tests import served
from tests.faults.making import (
    Case,
    beside,
    bounded_memory,
    call,
    classes,
    covers,
    encoded,
    judge,
    picture,
    put,
    require,
    run,
    snapshot,
    table,
    without_roots_rights,
)
from tltf.data import loader
from tltf.data.images import preprocessing
from tltf.models import saving

PHOTO = picture(77, (64, 48))
JPEG = encoded(PHOTO, "JPEG", quality=90)
FTYP = b"\0\0\0\x18ftyp"


def one(name, content, words):
    """`(make, counts, listed)` of a file that is skipped."""
    return beside({f"cat/{name}": content}), (8, 1, 0, 0), {name: words}


def skipped(row, what, name, content, words, **more):
    make, counts, listed = one(name, content, words)
    said = ("skipped    1 row cannot be used:",)
    return Case(row, what, make, counts=counts, listed=listed, said=said, **more)


def used(row, what, files, said=(), **more):
    make = beside({f"cat/{name}": content for name, content in files.items()})
    return Case(row, what, make, counts=(8 + len(files), 0, 0, 0), said=said, **more)


def with_bytes_before_the_end():
    """The decoder finds bytes that belong to nothing before the end marker, and says so."""
    return JPEG[:-2] + bytes(range(1, 30)) + JPEG[-2:]


def ycck():
    """A CMYK file whose Adobe segment says that its colours were transformed."""
    content = bytearray(encoded(PHOTO.convert("CMYK"), "JPEG"))
    content[content.index(b"Adobe") + 11] = 2
    return bytes(content)


def wide_grey(depth=16):
    values = np.linspace(0, 2**depth - 1, 40 * 60).reshape(40, 60).astype(np.uint16)
    return encoded(Image.fromarray(values))


def with_alpha():
    alpha = np.random.default_rng(3).integers(0, 256, (48, 64, 1), np.uint8)
    return encoded(Image.fromarray(np.concatenate([np.asarray(PHOTO), alpha], -1)))


def with_clear_colour():
    return encoded(PHOTO.quantize(4), bits=2, transparency=0)


def animated(kind):
    frames = [picture(number, (64, 48)).convert("P") for number in (5, 6)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def turned(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return encoded(PHOTO, "JPEG", exif=data)


def bomb(side=20_000):
    """A whole PNG of one bit a pixel: some kilobytes that decode to 1.2 GB."""

    def chunk(name, content):
        sum_ = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", sum_)

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(side * (1 + side // 8)), 9)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bitmap_without_channels():
    content = bytearray(encoded(PHOTO, "BMP"))
    content[28:30] = b"\0\0"  # bits a pixel
    return bytes(content)


def linked(target):
    def make(folder):
        classes(folder)
        (folder.parent / "elsewhere.png").write_bytes(encoded(PHOTO))
        (folder / "cat" / "link.png").symlink_to(target)
        return call(folder)

    return make


def with_linked_folders(folder):
    """One to pictures outside, one that loops, one in a folder of a class folder."""
    classes(folder)
    put(folder.parent / "elsewhere", {"a.png": PHOTO})
    (folder / "dog" / "deep").mkdir()
    for name, target in (
        ("cat/more", "elsewhere"),
        ("cat/loop", "data/cat"),
        ("dog/deep/all", "data"),
    ):
        (folder / name).symlink_to(folder.parent / target)
    return call(folder)


def without_rights(folder):
    put(classes(folder), {"cat/secret.png": PHOTO, "dog/private/a.png": PHOTO})
    (folder / "cat" / "secret.png").chmod(0)
    (folder / "dog" / "private").chmod(0)
    return call(folder)


def with_pipes(folder):
    classes(folder)
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "cat" / "device.png").symlink_to("/dev/zero")
    with contextlib.chdir(folder / "cat"), socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket.png")
    return call(folder)


def strange_names(content_of):
    names = ["emoji 🎉.png", "new\nline.png", f"{'x' * 251}.png", os.fsdecode(b"\xff\xfe.png")]

    def make(folder):
        put(classes(folder), {f"cat/{n}": content_of(i) for i, n in enumerate(names)})
        return call(folder)

    return make


SYSTEM_FILES = {"cat/.DS_Store": b"x", "dog/Thumbs.db": b"x", "dog/._x.jpg": b"x"}
LINK = (8, 1, 0, 0)
NEAR_TOO = ("--max_bad_fraction=.5",)
"""All images are decoded, for the thumbnails that are compared."""


@table(
    skipped(1, "no bytes", "empty.jpg", b"", "is empty"),
    Case(
        1,
        "more than 1% of them",
        one("empty.jpg", b"", "")[0],
        3,
        flags=(),
        said=("1 of 9 rows are bad", "cat/empty.jpg", "--max_bad_fraction=0.12"),
    ),
    skipped(2, "cut JPEG", "half.jpg", JPEG[: len(JPEG) // 2], "is a damaged JPEG"),
    used(3, "bytes before the end", {"a.jpg": with_bytes_before_the_end}),
    used(
        3,
        "bytes before the end unsaid",
        {"a.jpg": with_bytes_before_the_end},
        is_program=True,
        flags=NEAR_TOO,
    ),
    skipped(4, "noise", "noise.jpg", np.random.default_rng(0).bytes(5000), "is not an image"),
    used(
        5,
        "other formats",
        {
            f"{kind}.jpg": encoded(picture(n), kind)
            for n, kind in enumerate(("PNG", "GIF", "BMP"), 50)
        },
    ),
    used(6, "WebP", {"a.webp": encoded(PHOTO, "WEBP")}),
    used(
        6,
        "TIFF",
        {"a.tiff": encoded(PHOTO, "TIFF")},
        said=("1 images (TIFF, such as cat/a.tiff) were converted to PNG",),
    ),
    skipped(6, "HEIC", "a.heic", FTYP + b"heic" + bytes(100), "is a damaged HEIC"),
    skipped(6, "AVIF named jpg", "a.jpg", FTYP + b"avif" + bytes(100), "is a damaged AVIF"),
    skipped(7, "HTML", "a.jpg", b"\n<!DOCTYPE html><html>404</html>", "is HTML"),
    Case(
        8,
        "Git LFS",
        beside({"cat/a.png": "version https://git-lfs.github.com/spec/v1\noid 1"}),
        3,
        said=("1 files are Git LFS pointers", "cat/a.png", "run git lfs pull"),
        is_program=True,
    ),
    used(9, "CMYK and YCCK", {"a.jpg": encoded(PHOTO.convert("CMYK"), "JPEG"), "b.jpg": ycck}),
    used(10, "16 bits", {"a.png": wide_grey}),
    used(11, "transparent", {"a.png": with_alpha, "b.png": with_clear_colour}),
    used(12, "grey and one bit", {"a.png": PHOTO.convert("L"), "b.png": PHOTO.convert("1")}),
    used(13, "animated", {"a.gif": lambda: animated("GIF"), "b.png": lambda: animated("PNG")}),
    used(14, "EXIF orientations", {f"{n}.jpg": turned(n) for n in range(1, 9)}),
    skipped(16, "one pixel", "a.png", picture(1, (1, 1)), "has one pixel"),
    used(
        16,
        "thin",
        {"a.png": picture(1, (1, 10_000))},
        said=("1 images are very thin, such as cat/a.png",),
    ),
    used(
        17,
        "one colour",
        {
            "a.png": Image.new("RGB", (30, 30)),
            "b.jpg": encoded(Image.new("RGB", (30, 30), (9, 200, 7)), "JPEG"),
        },
        said=("2 images have one colour, such as cat/a.png",),
    ),
    Case(18, "files of the system", beside(SYSTEM_FILES), counts=(8, 0, 0, 3)),
    Case(19, "dangling link", linked("nowhere.png"), counts=LINK, listed={"link.png": "missing"}),
    Case(19, "looping link", linked("link.png"), counts=LINK, listed={"link.png": "symbolic"}),
    Case(
        19,
        "link outside",
        linked("../../elsewhere.png"),
        counts=LINK,
        listed={"link.png": "leaves the data folder"},
    ),
    Case(
        19,
        "links to folders",
        with_linked_folders,
        counts=(8, 3, 0, 0),
        listed={
            "cat/more": "link to a folder, which is not followed",
            "cat/loop": "link to a folder",
            "dog/deep/all": "link to a folder",
        },
    ),
    Case(21, "pipe and socket and device", with_pipes, counts=(8, 0, 0, 3)),
    Case(
        23,
        "strange names",
        strange_names(lambda number: picture(60 + number)),
        counts=(12, 0, 0, 0),
    ),
    Case(
        23,
        "strange names are compared",
        strange_names(lambda number: picture(60 + number)),
        counts=(12, 0, 0, 0),
        flags=NEAR_TOO,
    ),
    Case(
        23,
        "strange names of bad files",
        strange_names(lambda number: b"none"),
        is_program=True,
        counts=(8, 4, 0, 0),
        said=("cat/new\\nline.png: is not an image",),
        listed={
            "emoji 🎉.png": "not an image",
            "new\nline.png": "not an image",
            "xxx.png": "not an image",
            os.fsdecode(b"\xff\xfe.png"): "not an image",
        },
    ),
    skipped(24, "BMP without channels", "a.bmp", bitmap_without_channels, "is a damaged BMP"),
)
def test_images(case, tmp_path, capfd):
    done = judge(case, tmp_path, capfd)
    if case.is_program and case.row == 3:
        ours = ("near duplicates: ", "reading: ", "hashing: ", "decoding: ")
        assert all(line.startswith(ours) for line in done.err.splitlines()), (
            "nothing of the decoder"
        )


@covers(3)
def test_a_decoder_that_complains_is_not_heard(tmp_path, capfd):
    """TensorFlow's decoder, which `check` does not ask."""
    saving.save(served.image_once(), tmp_path / "run")
    put(tmp_path, {"a.jpg": with_bytes_before_the_end()})
    tf.io.decode_jpeg((tmp_path / "a.jpg").read_bytes())
    assert "Corrupt JPEG data: " in capfd.readouterr().err, "else this shows nothing"
    done = run("predict", [f"--run={tmp_path}/run", f"--input={tmp_path}/a.jpg"], capfd)
    require(done, 0, ["a.jpg"])
    assert done.err.startswith("tltf: 1 of 1 inputs predicted: ") and done.err.count("\n") == 1


@covers(15)
def test_a_bomb_is_skipped_by_its_header(tmp_path, capfd):
    content = bomb()
    make = beside({"cat/bomb.png": content})
    with bounded_memory(100):
        case = Case(15, "bomb", make, counts=(8, 1, 0, 0), listed={"bomb.png": "20000 x 20000"})
        judge(case, tmp_path, capfd)


@covers(20)
def test_files_without_rights_are_skipped(tmp_path):
    data, output = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    argv = [f"--data={without_rights(data)}", "--max_bad_fraction=.5", f"--output={output}"]
    before = snapshot(data)
    settings = {"preexec_fn": without_roots_rights} if os.geteuid() == 0 else {}
    done = run("check", argv, None, is_program=True, **settings)
    after = snapshot(data)
    (data / "dog" / "private").chmod(0o700)
    require(
        done,
        0,
        [
            "10 found = 8 used + 2 skipped",
            "secret.png: cannot be read (permission)",
            "dog/private: is a folder that cannot be read",
        ],
    )
    assert "secret.png" in (output / "data_report.jsonl").read_text()
    assert after == before


TRAIN = [
    "--backbone=small_cnn(filters=[4], channels=3)",
    "--image_size_px=8",
    "--method=full",
    "--train_epochs=1",
    "--noexport",
]


@covers(22)
@pytest.mark.parametrize(
    ("change", "words"),
    [(os.remove, "is missing"), (lambda path: path.write_bytes(b"\0"), "is not an image")],
)
def test_files_that_change_after_the_scan(tmp_path, capfd, monkeypatch, change, words):
    """Stops, where the matrix skips: what is trained on must be what was scanned and split."""
    data = classes(tmp_path / "data")
    load = loader.load

    def load_then_change(*args, **settings):
        source = load(*args, **settings)
        change(data / "cat" / "1.png")
        return source

    monkeypatch.setattr(loader, "load", load_then_change)
    argv = [f"--data={call(data)}", *TRAIN, f"--output={tmp_path}/run"]
    done = run("train", argv, capfd)
    require(done, 3, [words, "cat/1.png"])
    ours = [line for line in done.err.splitlines() if line.startswith("tltf: ")]
    assert "".join(ours).count("cat/1.png") == 1, "TensorFlow may log the path too"


def by_pillow(content):
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    return np.asarray(shown.convert("RGB"), float)


def on_white(content):
    rgba = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"), float)
    share = rgba[..., 3:] / 255
    return rgba[..., :3] * share + 255 * (1 - share)


def scaled_to_8_bits(content):
    values = np.asarray(Image.open(io.BytesIO(content)), float)
    return np.repeat(values[..., None] / 257, 3, -1)


@covers(3, 5, 9, 10, 11, 12, 13, 14)
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (with_bytes_before_the_end(), by_pillow),
        (encoded(PHOTO, "GIF"), by_pillow),
        (encoded(PHOTO.convert("CMYK"), "JPEG"), by_pillow),
        (ycck(), by_pillow),
        (wide_grey(), scaled_to_8_bits),
        (with_alpha(), on_white),
        (with_clear_colour(), on_white),
        (encoded(PHOTO.convert("1")), by_pillow),
        (encoded(PHOTO.convert("L")), by_pillow),
        (animated("GIF"), by_pillow),
        (animated("PNG"), by_pillow),
        *((turned(orientation), by_pillow) for orientation in range(1, 9)),
    ],
)
def test_what_is_used_is_seen_as_other_programs_show_it(content, expected):
    pixels = preprocessing.ImagePreprocessing(8).decode(tf.constant(content)).numpy()
    np.testing.assert_allclose(pixels, expected(content), atol=0.51)
