import collections
import csv
import gzip
import pathlib

import numpy as np
import pytest

from tltf.data import loader, splits
from tltf.errors import FlagError
from tltf.files import assets


def test_vader_polarity_counted_by_hand():
    """2.5 MB are fetched on the first run."""
    path = assets.fetch("vader") / "movieReviewSnippets_GroundTruth.txt"
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) == 10605
    texts = collections.defaultdict(set)
    for _, rating, text in rows:
        if abs(float(rating)) > 0.5:
            texts[" ".join(text.split())].add(float(rating) > 0)
    source = loader.load("vader(domain=movie)")
    assert len(source) == len(texts) == 10041
    assert source.class_names == ("negative", "positive")
    for text, label in zip(source.column.values, source.labels, strict=True):
        assert texts[" ".join(text.split())] == {bool(label)}


def test_vader_pool_is_the_same_every_time():
    call = "vader(domain=movie, num_train=2000, num_test=2000)"
    first, second = loader.load(call, seed=5), loader.load(call, seed=5)
    assert first.ids == second.ids
    assert first.ids != loader.load(call, seed=6).ids
    counts = {role: len(part) for role, part in splits.split(first, "holdout", 0).items()}
    assert counts == {"train": 2000, "validation": 500, "test": 2000}


def test_vader_domain():
    with pytest.raises(FlagError, match=r"no domain 'movies'.*domain=movie"):
        loader.load("vader(domain=movies)")


def test_mnist_5k_pixels():
    with gzip.open(assets.fetch("mnist_5k") / "mnist_5k.csv.gz", "rt") as file:
        rows = list(csv.reader(file))
    source = loader.load("mnist_5k(num_train=1000)")
    counts = collections.Counter(source.roles.tolist())
    assert counts == {"train": 1000, "validation": 250, "test": 3750}
    row = int(source.ids[17].partition(":")[2])
    assert source.column.values[17].ravel().tolist() == [
        int(float(cell)) for cell in rows[row][:784]
    ]
    assert source.labels[17] == int(float(rows[row][784]))


def test_digits():
    source = loader.load("digits")
    assert source.column.values.shape == (1797, 8, 8, 1)
    assert source.column.values.max() == 255
    assert np.bincount(source.labels).tolist() == [
        178,
        182,
        177,
        183,
        181,
        182,
        181,
        179,
        174,
        180,
    ]


@pytest.mark.large
def test_emoji_splits_by_glyph():
    roles = []
    for vendor in ("google", "twitter"):
        parts = splits.split(loader.load(f"emoji(vendor={vendor})"), "holdout", 0)
        assert sum(map(len, parts.values())) == 1868
        roles.append({row.partition("/")[2]: r for r, part in parts.items() for row in part.ids})
        contents = [
            pathlib.Path(path).read_bytes()
            for part in parts.values()
            for path in part.column.values
        ]
        assert len(set(contents)) == 1868
    assert roles[0] == roles[1]


@pytest.mark.large
def test_emoji_as_line_drawings():
    lines, painted = (loader.load(f"emoji(vendor={vendor})") for vendor in ("symbola", "google"))
    pictures = np.asarray(lines.column.values)
    assert pictures.shape == (len(lines), 64, 64, 1) and 1000 < len(lines) < len(painted)
    assert len({picture.tobytes() for picture in pictures}) == len(lines)
    assert (pictures < 128).any(axis=(1, 2, 3)).all(), "each has ink"
    edges = np.concatenate([pictures[:, [0, -1]].ravel(), pictures[:, :, [0, -1]].ravel()])
    assert (edges == 255).mean() > 0.99, "hardly any drawing is cut off"
    classes = [
        {
            id_.partition("/")[2]: part.class_names[k]
            for id_, k in zip(part.ids, part.labels, strict=True)
        }
        for part in (lines, painted)
    ]
    assert classes[0].items() <= classes[1].items()


@pytest.mark.large
def test_fashion_mnist():
    parts = splits.split(loader.load("fashion_mnist"), "holdout(validation=.1)", 0)
    assert {role: set(np.bincount(part.labels)) for role, part in parts.items()} == {
        "train": {5400},
        "validation": {600},
        "test": {1000},
    }
    few = loader.load("fashion_mnist(num_train=300, num_test=100)")
    counts = collections.Counter(few.roles.tolist())
    assert counts == {"train": 300, "validation": 75, "test": 100}
