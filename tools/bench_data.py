"""Writes the files that all sides of bench_transfer.py read.

    python tools/bench_data.py FOLDER

FOLDER/images.npz: 3,000 training and 2,000 test images of Fashion-MNIST; FOLDER/images: the same
images as files. FOLDER/texts/{train,test}.csv: 2,000 training and 2,000 test movie snippets with a
polarity. FOLDER/texts_1, FOLDER/texts_10: the same texts, with the training texts once and ten
times. The number of its repetition is added to each of these texts, so that they differ and have
similar lengths.
"""

import csv
import pathlib
import sys

import numpy as np
from PIL import Image

from tltf.data import loader, splits
from tltf.files import assets

IMAGES = "fashion_mnist(num_train=3000, num_test=2000)"
TEXTS = "vader(domain=movie, num_train=2000, num_test=2000)"
ROLES = ("train", "test")


def main():
    """Writes the files that do not exist yet; a folder that exists is complete."""
    folder = pathlib.Path(sys.argv[1])
    assets.fetch("minilm_l6")
    writers = {
        "images.npz": write_arrays,
        "images": write_images,
        "texts": write_texts,
        "texts_1": lambda to: write_repeated(to, 1),
        "texts_10": lambda to: write_repeated(to, 10),
    }
    for name, write in writers.items():
        if not (folder / name).exists():
            part = folder / f"{name}.part"
            part.parent.mkdir(parents=True, exist_ok=True)
            write(part)
            part.rename(folder / name)


def load(text):
    """Role -> Source of the data that a call string names."""
    return splits.split(loader.load(text, seed=0), "holdout", 0)


def write_arrays(path):
    """Writes the images as the arrays x_train, y_train, x_test and y_test of an .npz file."""
    parts = load(IMAGES)
    arrays = {f"x_{role}": parts[role].column.values for role in ROLES}
    arrays |= {f"y_{role}": parts[role].labels for role in ROLES}
    with path.open("wb") as file:
        np.savez(file, **arrays)


def write_images(folder):
    """Writes one PNG file per image, in a folder per role and class."""
    parts = load(IMAGES)
    for role in ROLES:
        part = parts[role]
        for place, (pixels, label) in enumerate(zip(part.column.values, part.labels, strict=True)):
            path = folder / role / str(label) / f"{place:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[..., 0]).save(path)


def write_texts(folder):
    """Writes the texts, one row per text."""
    parts = load(TEXTS)
    for role in ROLES:
        write_csv(folder / f"{role}.csv", parts[role].column.values, parts[role].labels)


def write_repeated(folder, times):
    """Writes the texts, with the training texts `times` times."""
    parts = load(TEXTS)
    train = parts["train"]
    texts = [f"{text} {number}" for number in range(times) for text in train.column.values]
    write_csv(folder / "train.csv", texts, list(train.labels) * times)
    write_csv(folder / "test.csv", parts["test"].column.values, parts["test"].labels)


def write_csv(path, texts, labels):
    """Writes a CSV file with the columns text and label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(zip(texts, map(int, labels), strict=True))


if __name__ == "__main__":
    main()
