"""Small networks with everything that freezing must get right: batch norm, dropout, branches."""

import types

import keras

from tltf import models, specs
from tltf.backbones import Group
from tltf.catalogs import HEADS


def image_backbone(size_px=8, dropout=0.3):
    """Two blocks of convolution and batch norm with a branch around the second, and dropout."""
    image = keras.Input((size_px, size_px, 3), name="image")
    first = keras.layers.Conv2D(4, 3, padding="same", name="conv_1")
    norm_1 = keras.layers.BatchNormalization(name="norm_1")
    second = keras.layers.Conv2D(4, 3, padding="same", name="conv_2")
    norm_2 = keras.layers.BatchNormalization(name="norm_2")
    x = keras.layers.Rescaling(1 / 127.5, -1, name="scaling")(image)
    x = stage_1 = keras.layers.Dropout(dropout, name="drop_1")(keras.ops.relu(norm_1(first(x))))
    x = keras.layers.Dropout(dropout, name="drop_2")(keras.ops.relu(norm_2(second(x))))
    stage_2 = keras.layers.Add(name="add")([x, stage_1])
    return types.SimpleNamespace(
        name="tiny",
        modality="image",
        inputs={"image": image},
        taps={"stage_1": stage_1, "stage_2": stage_2},
        groups=(Group("stage_1", (first, norm_1)), Group("stage_2", (second, norm_2))),
        tokenizer=None,
        image_size_px=size_px,
        channels=3,
        text_length=0,
        pretrained=True,
        blueprint={},
    )


def core(backbone=None, head="classify", num_classes=3):
    """A core on `backbone`, by default the image one."""
    return models.join(backbone or image_backbone(), specs.pick(HEADS, head), num_classes)
