"""Images of another number of channels against PIL and numpy."""

import keras
import numpy as np
import PIL.Image
import pytest

from tltf.data.images import preprocessing
from tltf.methods.channels import Channels


def test_grey_is_that_of_pil():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    pixels[0, 0, :3] = [[255, 255, 255], [0, 0, 0], [255, 0, 0]]
    expected = np.stack([np.asarray(PIL.Image.fromarray(one).convert("L")) for one in pixels])
    found = np.asarray(Channels(1)(pixels.astype("float32")))
    assert found.shape == (2, 16, 16, 1) and np.array_equal(found, np.round(found))
    assert np.abs(found[..., 0] - expected).max() <= 1 and (found[..., 0] != expected).mean() < 0.01
    assert found[0, 0, :2, 0].tolist() == [255, 0]
    read = preprocessing.convert_channels(keras.ops.convert_to_tensor(pixels), 1)
    np.testing.assert_array_equal(found, np.asarray(read))


def test_a_grey_image_is_repeated_and_the_layer_is_made_again():
    grey = np.random.default_rng(1).uniform(0, 255, (2, 4, 5, 1)).astype("float32")
    layer = Channels(3, name="repeated")
    np.testing.assert_array_equal(np.asarray(layer(grey)), np.repeat(grey, 3, axis=-1))
    again = Channels.from_config(layer.get_config())
    assert (again.name, again.channels) == ("repeated", 3)


@pytest.mark.parametrize(("own", "other"), [(1, 3), (3, 1)])
def test_a_graph_knows_its_shape(own, other):
    image = keras.Input((8, 8, own))
    assert Channels(other)(image).shape == (None, 8, 8, other)
