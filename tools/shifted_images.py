"""Writes the Fashion-MNIST test images with noise, with blur and rotated.

    python tools/shifted_images.py FILE.npz

These are the 2,000 test images of scorecard.py under three shifts, so 6,000 images. A person still
recognises the shifted images without effort.
"""

import pathlib
import sys

import numpy as np
from scipy import ndimage

from tltf.data import loader

NOISE, BLUR_PX, ROTATION_DEGREES = 40.0, 1.0, 30.0
DATA = "fashion_mnist(num_train=3000, num_test=2000)"


def main():
    """Writes all shifted images into one file."""
    source = loader.load(DATA)
    rows = np.flatnonzero(source.roles == "test")
    names = np.array(source.class_names)[source.labels[rows]]
    images = shift(source.column.values[rows])
    path = pathlib.Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x=np.concatenate(list(images.values())), y=np.tile(names, len(images)))


def shift(images):
    """Name of a shift -> the shifted images uint8[N, H, W, C]."""
    rng = np.random.default_rng(0)
    pixels = images.astype(float)
    changed = {
        "noise": pixels + rng.normal(0, NOISE, images.shape),
        "blur": ndimage.gaussian_filter(pixels, (0, BLUR_PX, BLUR_PX, 0)),
        "rotation": np.stack(
            [
                ndimage.rotate(image, angle, reshape=False, order=1)
                for image, angle in zip(
                    pixels,
                    rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES, len(pixels)),
                    strict=True,
                )
            ]
        ),
    }
    return {
        name: np.clip(array.round(), 0, 255).astype(np.uint8) for name, array in changed.items()
    }


if __name__ == "__main__":
    main()
