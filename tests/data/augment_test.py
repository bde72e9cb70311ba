import keras
import numpy as np
import pytest
import tensorflow as tf

from tltf.config.catalogs import AUGMENTS
from tltf.data import augment
from tltf.errors import FlagError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.int32)
NAMES = [n for n, row in AUGMENTS.items() if row.modality == "image" and n != "keras_cv"]


def apply(text, *, seed=0, epoch=0, batch=0, images=IMAGES):
    augmentation = augment.build(text, 3, seed)
    in_graph = tf.function(augmentation)
    changed = in_graph(
        tf.constant(images),
        tf.constant(LABELS),
        tf.constant(epoch, tf.int64),
        tf.constant(batch, tf.int64),
    )
    return [tensor.numpy() for tensor in changed]


@pytest.mark.parametrize("name", NAMES)
def test_seed_pass_and_batch_decide(name):
    first, targets = apply(name)
    assert first.shape == IMAGES.shape
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 255
    again, same_targets = apply(name)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(targets, same_targets)
    for other in ({"seed": 1}, {"epoch": 1}, {"batch": 1}):
        assert any(
            (apply(name, **({key: value + more for key, value in other.items()}))[0] != first).any()
            for more in range(3)
        )


@pytest.mark.parametrize("name", NAMES)
def test_grey_images(name):
    assert apply(name, images=IMAGES[..., :1])[0].shape == (6, 12, 12, 1)


def test_flip_mirrors_some():
    changed, labels = apply("flip")
    is_mirrored = [(a == b[:, ::-1]).all() for a, b in zip(changed, IMAGES, strict=True)]
    is_same = [(a == b).all() for a, b in zip(changed, IMAGES, strict=True)]
    assert all(m != s for m, s in zip(is_mirrored, is_same, strict=True))
    assert 0 < sum(is_mirrored) < 6
    np.testing.assert_array_equal(labels, LABELS)


def test_pad_crop_is_a_window_of_the_padded_image():
    changed, _ = apply("pad_crop(padding_px=2)")
    padded = np.pad(IMAGES, [(0, 0), (2, 2), (2, 2), (0, 0)])
    starts = set()
    for image, wide in zip(changed, padded, strict=True):
        found = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if (wide[top : top + 12, left : left + 12] == image).all()
        ]
        assert len(found) == 1
        starts.update(found)
    assert len(starts) > 1


def test_crop_of_everything_changes_nothing():
    np.testing.assert_allclose(apply("crop(scale=1.0)")[0], IMAGES, atol=1e-3)


def test_mixup_is_a_blend_with_the_targets_share():
    changed, targets = apply("mixup(alpha=.8)")
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)
    hits = 0
    for row in range(6):
        for other in range(6):
            direction = IMAGES[other] - IMAGES[row]
            if LABELS[other] == LABELS[row]:
                continue
            share = ((changed[row] - IMAGES[row]) * direction).sum() / (direction**2).sum()
            if np.allclose(IMAGES[row] + share * direction, changed[row], atol=0.01):
                expected = (1 - share) * np.eye(3)[LABELS[row]] + share * np.eye(3)[LABELS[other]]
                hits += np.allclose(targets[row], expected, atol=1e-3)
    assert hits > 0


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_cutmix_pastes_a_box_and_its_share_of_the_pixels(alpha):
    shares = []
    for batch in range(8):
        changed, targets = apply(f"cutmix(alpha={alpha})", batch=batch)
        for row, (image, target) in enumerate(zip(changed, targets, strict=True)):
            is_own = (image == IMAGES[row]).all(axis=-1)
            is_of = [(is_own | (image == other).all(axis=-1)).all() for other in IMAGES]
            sources = [other for other in range(6) if is_of[other] and other != row]
            if is_own.all():
                np.testing.assert_allclose(target, np.eye(3)[LABELS[row]], atol=1e-6)
                continue
            (other,) = sources
            top, bottom = np.flatnonzero((~is_own).any(axis=1))[[0, -1]]
            left, right = np.flatnonzero((~is_own).any(axis=0))[[0, -1]]
            assert not is_own[top : bottom + 1, left : right + 1].any(), "a full box"
            own = is_own.mean()
            expected = own * np.eye(3)[LABELS[row]] + (1 - own) * np.eye(3)[LABELS[other]]
            np.testing.assert_allclose(target, expected, atol=1e-6)
            shares.append(own)
    assert len(shares) > 20 and min(shares) < 0.3 and max(shares) > 0.8


def test_chain():
    changed, targets = apply("flip|pad_crop(padding_px=1)|mixup(alpha=.2)")
    assert changed.shape == IMAGES.shape
    assert targets.shape == (6, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flipp", "no augment 'flipp'.*flip"),
        ("flip(mode=diagonal)", "no mode 'diagonal'"),
        ("mixup(alpha=0)", "alpha above 0"),
        ("pad_crop(padding_px=0)", "not positive"),
        ("crop(scale=2)", "not between 0 and 1"),
        ("flip|mixup(beta=1)", "no argument 'beta'"),
    ],
)
def test_faults(text, message):
    with pytest.raises(FlagError, match=message):
        augment.build(text, 3)


def test_keras_layer_from_outside():
    layer = "keras.layers:RandomTranslation(height_factor=.2, width_factor=.2)"
    first, _ = apply(layer)
    np.testing.assert_array_equal(first, apply(layer)[0])
    assert (first != IMAGES).any()


class OfKerasCV(keras.layers.Layer):
    """As KerasCV's BaseImageAugmentationLayer: the same names, other arguments."""

    def get_random_transformation(self, image=None, label=None, bounding_boxes=None):
        raise AssertionError("for the layer's own use")

    def call(self, inputs, training=True):
        return 255.0 - inputs if training else inputs


def test_layers_that_only_look_like_those_of_keras_are_called():
    changed, _ = apply("tests.data.augment_test:OfKerasCV()")
    np.testing.assert_array_equal(changed, 255.0 - IMAGES)


def test_keras_cv():
    pytest.importorskip("keras_cv")
    assert apply("keras_cv(layer='RandomShear(x_factor=.2, y_factor=.2)')")[0].shape == IMAGES.shape
    with pytest.raises(FlagError, match=r"no layer 'RandomSheer'.*RandomShear"):
        augment.build("keras_cv(layer='RandomSheer()')", 3)
