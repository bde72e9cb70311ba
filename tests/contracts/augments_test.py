import numpy as np
import pytest

from tests.contracts.given import parameters
from tltf.data import images, pipeline
from tltf.data.samples import array_source
from tltf.errors import FlagError

SIZE_PX, COUNT = 16, 8


def batches(text, seed=0, training=True, channels=3):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (COUNT, SIZE_PX, SIZE_PX, channels)).astype("uint8")
    source = array_source("made", pixels, np.arange(COUNT) % 3)
    try:
        dataset = pipeline.build(
            source, images.ImagePreprocessing(SIZE_PX, channels), batch_size=4, augment=text,
            training=training, seed=seed,
        )  # fmt: skip
        return [[part.copy() for part in flat(batch)] for batch in dataset.as_numpy_iterator()]
    except FlagError as error:
        if "not installed" in str(error):
            pytest.skip(str(error))
        raise


def flat(batch):
    inputs, targets, weights = batch
    return inputs["image"], targets["label"], weights["label"]


def differ(first, second):
    return any(not np.array_equal(a[0], b[0]) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("text", parameters("augments"))
def test_an_augmentation(text):
    plain, changed = batches(""), batches(text)
    assert differ(plain, changed), "it changes training images"
    assert not differ(batches("", training=False), batches(text, training=False))
    if not text.startswith("keras_cv"):  # its layers draw from a state of their own
        assert not differ(changed, batches(text)), "the same seed gives the same images"
    assert differ(changed, batches(text, seed=1)), "another seed gives others"
    for image, target, weight in changed:
        assert image.shape == (4, SIZE_PX, SIZE_PX, 3) and image.dtype == np.float32
        assert image.min() >= 0 and image.max() <= 255 and np.isfinite(image).all()
        assert weight.shape == (4,)
        if target.ndim == 2:
            np.testing.assert_allclose(target.sum(axis=1), 1, atol=1e-5)
        else:
            assert target.dtype == np.int32


@pytest.mark.parametrize("text", parameters("augments"))
def test_grey_images_stay_grey(text):
    assert all(image.shape[-1] == 1 for image, _, _ in batches(text, channels=1))


def test_several_in_a_row():
    assert differ(batches("flip|rotation|mixup(alpha=.2)"), batches("flip"))
