"""Pictures under the colours of an explanation."""

import base64
import io

import numpy as np
from PIL import Image

from tltf.evaluation.report import pictures


def decoded(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))), float)


def test_the_colours_lie_where_the_values_are_and_have_their_sign():
    picture = np.full((100, 60, 3), 128, np.uint8)
    heat = np.zeros((10, 6), np.float32)
    heat[1:3, 1:3], heat[7:9, 3:5] = 1.0, -1.0
    shown = decoded(pictures.heat_uri(picture, heat, is_signed=True))
    assert shown.shape == (100, 60, 3)
    red, _, blue = shown[20, 20]
    assert blue > red + 80
    red, _, blue = shown[80, 40]
    assert red > blue + 80
    assert np.ptp(shown[50, 30]) < 6, "grey where nothing was found"


def test_values_that_are_not_signed_get_lighter_as_they_grow():
    heat = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)
    colours, opacity = pictures.heat_colours(heat, is_signed=False)
    light = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light.ravel()) >= 0).all() and (np.diff(opacity.ravel()) >= 0).all()
    assert opacity[0, 0] == 0


def test_small_pictures_are_enlarged_as_without_colours():
    picture = np.zeros((8, 8), np.uint8)
    plain = decoded(pictures.data_uri(picture))
    shown = decoded(pictures.heat_uri(picture, np.eye(8, dtype=np.float32), is_signed=True))
    assert shown.shape[:2] == plain.shape[:2] == (160, 160)


def test_nothing_found_and_nothing_to_see():
    picture = np.full((80, 80, 3), 50, np.uint8)
    shown = decoded(pictures.heat_uri(picture, np.zeros((4, 4), np.float32), is_signed=False))
    assert abs(shown - 50).max() < 4
    assert pictures.heat_uri(b"no image", np.zeros((4, 4), np.float32), is_signed=True) == ""
