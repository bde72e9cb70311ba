"""Writes crops of thirteen photographs that come with scikit-image, scikit-learn and matplotlib, to be told apart.

A photograph is a class. It is cut into 4 x 4 tiles like a chessboard: crops of its white tiles are for training, those of
its black tiles for the test, so that no pixel is in both.
"""

import pathlib

import matplotlib.cbook
import numpy as np
import skimage.data
import sklearn.datasets
from PIL import Image

TILES, CROPS, SIDE = 4, {"train": 48, "test": 60}, 96
PACKAGED = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "moon",
    "rocket",
)
"""Names in skimage.data that need no download."""


def photographs():
    """Name -> the picture of a photograph."""
    found = {name: getattr(skimage.data, name)() for name in PACKAGED}
    found |= zip(("temple", "flower"), sklearn.datasets.load_sample_images().images, strict=True)
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        found["officer"] = np.asarray(Image.open(file))
    return {name: Image.fromarray(array).convert("RGB") for name, array in found.items()}


def crop(photo, tile, draws):
    """A square of .6 to 1 of a tile's shorter side at a random place in it, perhaps mirrored, SIDE pixels wide."""
    width, height = photo.width // TILES, photo.height // TILES
    side = int(draws.uniform(0.6, 1.0) * min(width, height))
    left = tile[0] * width + draws.integers(0, width - side, endpoint=True)
    top = tile[1] * height + draws.integers(0, height - side, endpoint=True)
    found = photo.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
    return found.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if draws.integers(2) else found


def write(folder):
    """Writes `FOLDER/train/NAME/NUMBER.png` and the same for the test; a folder that is whole stays as it is."""
    folder = pathlib.Path(folder)
    if (folder / "whole").exists():
        return folder
    draws = np.random.default_rng(0)
    for name, photo in photographs().items():
        for place, (part, count) in enumerate(CROPS.items()):
            tiles = [(x, y) for x in range(TILES) for y in range(TILES) if (x + y) % 2 == place]
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                found = crop(photo, tiles[number % len(tiles)], draws)
                found.save(folder / part / name / f"{number:03}.png")
    (folder / "whole").touch()
    return folder
