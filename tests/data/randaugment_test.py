"""RandAugment against numpy: each image is explained by one operation, all are equally likely."""

import collections

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tltf.data import augment

COUNT = 330
IMAGE = np.random.default_rng(0).integers(30, 170, (9, 9, 3)).astype("float64")
MEANS = IMAGE.mean(axis=(0, 1))
GREY = (IMAGE @ [0.2989, 0.587, 0.114])[..., None]
KERNEL = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
SMOOTH = np.stack([ndimage.convolve(IMAGE[..., c], KERNEL, mode="constant") for c in range(3)], -1)
LINES = {
    "brightness": (IMAGE, np.full(IMAGE.shape, 255.0)),
    "contrast": (IMAGE, IMAGE - MEANS),
    "grey": (IMAGE, GREY - IMAGE),
    "sharpness": (SMOOTH, 2 * (IMAGE - SMOOTH)),
}
"""Name -> (start, way): the image is start + strength * way, cut to 0 to 255."""
GEOMETRIC = 3 / 11


def equalized():
    """Each channel's cumulative histogram, stretched to 0 to 255."""
    result = np.empty(IMAGE.shape)
    for channel in range(3):
        values = IMAGE[..., channel]
        below = np.array([(values <= value).sum() for value in values.ravel()]).reshape(9, 9)
        least = below.min()
        result[..., channel] = np.round((below - least) * 255 / (81 - least))
    return result


def stretched():
    low, high = IMAGE.min(axis=(0, 1)), IMAGE.max(axis=(0, 1))
    return (IMAGE - low) * 255 / (high - low)


def strength_on(line, found):
    """The strength at which a line of LINES gives the image, None where it does not."""
    start, way = line
    place = np.unravel_index(
        np.where((found > 0) & (found < 255), np.abs(way), 0).argmax(), way.shape
    )
    strength = (found[place] - start[place]) / way[place]
    is_it = np.allclose(np.clip(start + strength * way, 0, 255), found, atol=0.05)
    return strength if is_it else None


def bits_of(found):
    """How many leading bits are kept of each number."""
    kept = [
        bits for bits in range(1, 8) if (IMAGE // 2 ** (8 - bits) * 2 ** (8 - bits) == found).all()
    ]
    return kept[0] if kept else None


def is_solarized(found, magnitude):
    """Some addition a and threshold t: x + a below t, 255 - (x + a) above."""
    least, there = IMAGE.min(), found.flat[IMAGE.argmin()]  # where 255 does not cut
    for addition in (there - least, 255 - there - least):
        sums = np.clip(IMAGE + addition, 0, 255)
        is_kept = np.isclose(sums, found, atol=0.01)
        is_turned = np.isclose(255 - sums, found, atol=0.01)
        if 0 <= addition <= 255 * magnitude and (is_kept | is_turned).all():
            only_kept, only_turned = sums[is_kept & ~is_turned], sums[is_turned & ~is_kept]
            return only_kept.max(initial=0) <= only_turned.min(initial=255)
    return False


def explained(found, magnitude):
    """`(operation, strength or None)` of a changed image."""
    for name, image in {"equal": equalized(), "stretched": stretched()}.items():
        if np.allclose(found, image, atol=0.05):
            return name, None
    if bits_of(found):
        return "posterized", bits_of(found)
    for name, line in LINES.items():
        strength = strength_on(line, found)
        if strength is not None:
            return name, strength
    return ("solarized" if is_solarized(found, magnitude) else "geometric"), None


def changed(text, count=COUNT):
    images = tf.constant(np.repeat(IMAGE[None], count, axis=0), tf.float32)
    augmentation = tf.function(augment.build(text, 3))
    zero = tf.constant(0, tf.int64)
    return augmentation(images, tf.zeros(count, tf.int32), zero, zero)[0].numpy().astype("float64")


@pytest.mark.parametrize("magnitude", [0.3, 0.6])
def test_one_operation_an_image_at_a_strength_up_to_the_magnitude(magnitude):
    images = changed(f"randaugment(num_ops=1, magnitude={magnitude})")
    found = [explained(image, magnitude) for image in images]
    strengths = collections.defaultdict(list)
    for name, strength in found:
        strengths[name].append(strength)
    assert set(strengths) == {"equal", "stretched", "posterized", "solarized", "geometric", *LINES}
    for name, values in strengths.items():
        share = GEOMETRIC if name == "geometric" else 1 / 11
        spread = np.sqrt(COUNT * share * (1 - share))
        assert abs(len(values) - COUNT * share) < 4 * spread, (name, len(values))
    for name in LINES:
        assert min(strengths[name]) >= -1e-3 and max(strengths[name]) <= magnitude + 1e-3
        assert max(strengths[name]) - min(strengths[name]) > magnitude / 2, (
            "each image draws its own"
        )
    assert max(strengths["posterized"]) <= 8 * magnitude
    turned = images[[name == "geometric" for name, _ in found]]
    assert turned.min() >= IMAGE.min() - 0.01 and turned.max() <= IMAGE.max() + 0.01


def test_two_operations_are_more_than_one():
    found = [explained(image, 0.5)[0] for image in changed("randaugment(num_ops=2)", 60)]
    share = np.mean([name == "geometric" for name in found])
    assert share > 2 * GEOMETRIC, "what no single operation explains"
