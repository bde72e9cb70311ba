"""What users' reports showed of image files: what is whole is used, and seen as Pillow shows it."""

import base64
import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests import served
from tests.faults.making import covers
from tltf import predict
from tltf.config.option_groups import ScanOptions
from tltf.data import loader
from tltf.data.images import conversion, files
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.errors import DataError
from tltf.evaluation.report import pictures
from tltf.serving import client


def picture(seed=0, size=(48, 40)):
    """A smooth picture with some noise, as photos are."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (6, 5, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def with_alpha(seed=0):
    image = picture(seed).convert("RGBA")
    alpha = Image.linear_gradient("L").resize(image.size)
    image.putalpha(alpha)
    return image


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def on_white(contents):
    """uint8[H, W, 3]: by Pillow, composited on white, upright."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(Image.open(io.BytesIO(contents)))
    over = image.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", over.size, "white"), over))[..., :3]


def decoded(contents):
    return ImagePreprocessing(1).decode(tf.constant(conversion.make_decodable(contents))).numpy()


def transparent_gif():
    image = Image.fromarray(np.arange(48 * 40, dtype=np.uint8).reshape(40, 48) // 16 % 8, "P")
    image.putpalette([value for c in range(8) for value in (c * 30, 255 - c * 30, c * 7)])
    return saved(image, "GIF", transparency=3)


@covers(104)
@pytest.mark.parametrize("frames", [1, 3])
def test_what_is_transparent_in_a_gif_is_white_as_in_a_png(frames):
    content = transparent_gif()
    if frames > 1:
        first = Image.open(io.BytesIO(content))
        others = [picture(n).convert("P") for n in range(frames - 1)]
        content = saved(first, "GIF", save_all=True, append_images=others, transparency=3)
    assert conversion.format_of(content) == "transparent GIF"
    np.testing.assert_array_equal(decoded(content), on_white(content))
    assert (decoded(content) == 255).all(axis=-1).any()
    opaque = saved(picture().convert("P"), "GIF")
    assert conversion.format_of(opaque) == ""
    np.testing.assert_array_equal(decoded(opaque), on_white(opaque))


@covers(105)
@pytest.mark.parametrize("options", [{"lossless": True, "exact": True}, {"quality": 90}])
def test_webp_with_alpha_is_decoded_on_white_in_the_graph(options):
    content = saved(with_alpha(), "WEBP", **options)
    assert conversion.format_of(content) == "", "TensorFlow does it"
    found = ImagePreprocessing(1).decode(tf.constant(content)).numpy()
    assert np.abs(found.astype(int) - on_white(content)).max() <= 1
    opaque = saved(picture(), "WEBP", lossless=True)
    np.testing.assert_array_equal(decoded(opaque), np.asarray(picture()))


@covers(105)
def test_an_animated_webp_is_its_first_frame_and_never_reaches_the_decoder():
    """TensorFlow's decoder writes beyond its memory there and ends the process."""
    content = saved(with_alpha(1), "WEBP", save_all=True, append_images=[picture(2)], lossless=True)
    assert conversion.format_of(content) == "animated WebP"
    np.testing.assert_array_equal(decoded(content), on_white(content))
    with pytest.raises(tf.errors.InvalidArgumentError, match="animated WebP"):
        ImagePreprocessing(1).decode(tf.constant(content))


def bitmap(bits, coding=0, os2=False):
    """A bitmap by hand of 8 x 6 pixels, which Pillow reads."""
    width, height, colours = 8, 6, 1 << min(bits, 8) if bits <= 8 else 0
    palette = b"".join(
        bytes((c * 15 % 256, c * 31 % 256, c * 63 % 256)) + (b"" if os2 else b"\0")
        for c in range(colours)
    )
    random = np.random.default_rng(bits)
    if coding == 1:  # runs of 8 bits
        rows = b"".join(bytes((5, row, 3, row + 9, 0, 0)) for row in range(height)) + b"\0\1"
    else:
        stride = (width * bits + 31) // 32 * 4
        rows = random.integers(0, 256, stride * height, np.uint8).tobytes()
    info = (
        struct.pack("<IHHHH", 12, width, height, 1, bits)
        if os2
        else struct.pack(
            "<IiiHHIIiiII", 40, width, height, 1, bits, coding, len(rows), 1, 1, colours, 0
        )
    )
    start = 14 + len(info) + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start)
    return head + info + palette + rows


def sixteen_bits():
    values = np.linspace(0, 65535, 40 * 48).reshape(40, 48).astype(np.uint16)
    return Image.fromarray(values)


ODD = {
    "bitmap of 1 bit": lambda: saved(picture().convert("1"), "BMP"),
    "bitmap of 4 bits": lambda: bitmap(4),
    "bitmap of 16 bits": lambda: bitmap(16),
    "bitmap of runs": lambda: bitmap(8, coding=1),
    "bitmap of OS/2": lambda: bitmap(8, os2=True),
    "TIFF": lambda: saved(picture(), "TIFF"),
    "TIFF with alpha": lambda: saved(with_alpha(), "TIFF"),
    "TIFF compressed": lambda: saved(picture(), "TIFF", compression="tiff_lzw"),
    "AVIF": lambda: saved(picture(), "AVIF"),
    "JPEG 2000": lambda: saved(picture(), "JPEG2000"),
    "PPM": lambda: saved(picture(), "PPM"),
    "PGM": lambda: saved(picture().convert("L"), "PPM"),
    "PBM": lambda: saved(picture().convert("1"), "PPM"),
    "icon": lambda: saved(with_alpha(), "ICO", sizes=[(32, 32)]),
    "animated WebP": lambda: saved(picture(), "WEBP", save_all=True, append_images=[picture(1)]),
}


@covers(108, 111, 123)
@pytest.mark.parametrize("name", ODD)
def test_what_pillow_reads_is_converted_once(name):
    content = ODD[name]()
    kind = conversion.format_of(content)
    assert kind and conversion.format_of(content[:512]) == kind
    np.testing.assert_array_equal(decoded(content), on_white(content))
    found = files.inspect_bytes(content)
    assert found.reason == "" and found.format == kind
    assert found.converted == files.inspect_bytes(content).converted, "the cache's file"
    cut = files.inspect_bytes(content[: len(content) // 3])
    assert cut.reason or cut.converted, "told, or as far as Pillow reads it"


@covers(108)
@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "JPEG2000"])
def test_what_is_damaged_is_told_as_damaged(kind):
    content = bytearray(saved(picture(), kind))
    del content[40:]
    assert "is a damaged" in files.inspect_bytes(bytes(content)).reason


@covers(111)
def test_heic_is_read_with_its_extra_and_names_it_without(monkeypatch):
    import pillow_heif

    pillow_heif.register_heif_opener()
    content = saved(picture(), "HEIF", quality=-1)
    found = files.inspect_bytes(content)
    assert found.reason == "" and found.format == "HEIC"

    def missing():
        raise ImportError

    monkeypatch.setattr(conversion, "_register_heic", missing)
    other = saved(picture(7), "HEIF", quality=-1)
    assert "tltf[heic]" in files.inspect_bytes(other).reason


@covers(109)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_shown_as_the_network_sees_them(kind):
    content = saved(sixteen_bits(), kind)
    seen = decoded(content)
    expected = np.round(np.asarray(sixteen_bits()) / 257)
    assert np.abs(seen[..., 0] - expected).max() <= 1
    assert np.abs(shown_in_report(content, seen.shape[:2]) - seen.astype(int)).mean() < 2


@covers(109)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparent_pictures_are_shown_on_white(kind):
    content = saved(with_alpha(), kind)
    assert np.abs(shown_in_report(content, (40, 48)) - on_white(content).astype(int)).mean() < 2


def shown_in_report(content, sides):
    """The report's picture at the size of the image: small ones are enlarged there."""
    encoded = pictures.data_uri(content).partition("base64,")[2]
    image = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
    return np.asarray(image.resize(sides[::-1], Image.Resampling.BOX)).astype(int)


@covers(112)
def test_large_photos_are_limited_by_what_is_decoded():
    rows = Image.new("L", (12000, 9000), 90)
    content = saved(rows, "JPEG", quality=30)
    assert files.inspect_bytes(content, is_decoded=False).reason == ""
    assert ImagePreprocessing(32)(tf.constant(content)).shape == (32, 32, 3)
    head = (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
        + struct.pack(">II", 10000, 10000)
        + b"\1\0\0\0\0"
        + bytes(60)
    )
    assert "more than 89478485: make it smaller" in files.inspect_bytes(head).reason


def with_orientation(content, value, before=b""):
    """A JPEG with EXIF behind other segments."""
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, value, 0) + bytes(4)
    body = b"Exif\0\0" + tiff
    return (
        content[:2] + before + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]
    )


def segment(marker, body):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


@covers(126)
@pytest.mark.parametrize("value", [3, 6, 8])
def test_exif_beyond_the_first_64_kib_is_read(value):
    content = saved(picture(size=(640, 480)), "JPEG")
    profile = segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(60_000))
    turned = with_orientation(content, value, profile * 2)
    np.testing.assert_allclose(decoded(turned).astype(int), on_white(turned), atol=12)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 256, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = value
    png = saved(noise, "PNG")
    tiff = exif.tobytes()[6:]
    import zlib

    chunk = b"eXIf" + tiff
    extra = struct.pack(">I", len(tiff)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    behind = png[:-12] + extra + png[-12:]
    assert len(behind) > 150_000 and decoded(behind).shape == on_white(behind).shape
    np.testing.assert_array_equal(decoded(behind), on_white(behind))


@covers(127)
@pytest.mark.parametrize(
    "form", ['<x tiff:Orientation="{}"/>', "<tiff:Orientation>{}</tiff:Orientation>"]
)
@pytest.mark.parametrize("value", [3, 6, 8])
def test_an_orientation_in_xmp_is_read_where_exif_has_none(form, value):
    content = saved(picture(size=(64, 40)), "JPEG", quality=95)
    body = b"http://ns.adobe.com/xap/1.0/\0" + form.format(value).encode()
    turned = content[:2] + segment(0xE1, body) + content[2:]
    assert decoded(turned).shape == on_white(turned).shape
    assert np.abs(decoded(turned).astype(int) - on_white(turned)).mean() < 3
    both = with_orientation(turned, 1)
    np.testing.assert_array_equal(decoded(both), decoded(content))


@pytest.fixture
def folder(tmp_path):
    for name, kind in (("a", "TIFF"), ("b", "PPM")):
        (tmp_path / name).mkdir()
        for number in range(6):
            image = picture(number + 10 * (name == "b"))
            (tmp_path / name / f"{number}.{kind.lower()[:3]}").write_bytes(saved(image, kind))
    return tmp_path


@covers(111, 123)
def test_folders_of_other_formats_train_and_predict(folder, capsys):
    source = loader.load(f"image_folder(path={folder})")
    assert len(source) == 12 and source.ids[0].endswith("0.tif")
    said = source.scan.warnings
    assert any("6 images (TIFF, such as a/0.tif) were converted" in text for text in said), said
    assert any("6 images (portable map" in text for text in said)
    original = (folder / "a" / "0.tif").read_bytes()
    assert source.hashes[0] == files.inspect_bytes(original).hash
    np.testing.assert_array_equal(
        np.asarray(Image.open(source.column.values[0])), on_white(original)
    )
    trained = served.image_once()
    names = sorted(str(path) for path in folder.rglob("*.*"))
    given = trained.predict([*names, transparent_gif()])
    assert [row.error for row in given] == [""] * 13 and given[0].id == names[0]
    same = trained.predict([np.asarray(Image.open(names[0])).copy()])
    assert given[0].probabilities == pytest.approx(same[0].probabilities, abs=1e-5)


@covers(105, 111)
def test_the_client_of_a_server_sends_what_the_server_decodes():
    content = saved(picture(), "TIFF")
    sent = base64.b64decode(client._json_value(content)["b64"])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(sent))), on_white(content))
    plain = saved(picture(), "PNG")
    assert base64.b64decode(client._json_value(plain)["b64"]) == plain
    assert client._encoded(content) == sent and client._encoded("text") == b"text"


@covers(121)
def test_a_folder_of_what_cannot_be_read_ends_with_a_code(tmp_path, capsys):
    from tltf.models import saving

    run = tmp_path / "run"
    saving.save(served.image_once(), run)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50))
    assert predict.main([f"--run={run}", f"--input={tmp_path}/in"]) == 3
    assert "none of 1 inputs could be predicted" in capsys.readouterr().err


def test_a_note_that_begins_like_a_map_is_none(folder):
    (folder / "a" / "note.txt").write_text("P1 is the first patient, P2 the second\n")
    assert len(loader.load(f"image_folder(path={folder})", scan=ScanOptions())) == 12
    with pytest.raises(DataError):
        loader.load(f"image_folder(path={folder}/a)")
