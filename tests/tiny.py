"""Small networks with everything that freezing must get right: batch norm, dropout, branches."""

import keras
import keras_hub

from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.graphs import frozen_prefix
from tltf.graphs.backbone import Backbone, Group
from tltf.graphs.core import attach_head


class Block(keras.layers.Layer):
    """A convolution and its batch norm in one layer, as blocks of KerasHub's networks have them."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = keras.layers.Conv2D(filters, 3, padding="same", name="conv")
        self.norm = keras.layers.BatchNormalization(name="norm")

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.norm.build((*input_shape[:-1], self.filters))

    def call(self, inputs, training=None):
        return self.norm(self.conv(inputs), training=training)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def flat_block():
    """What `Block` holds, as two layers."""
    convolution = keras.layers.Conv2D(4, 3, padding="same", name="conv_2")
    return [convolution, keras.layers.BatchNormalization(name="norm_2")]


def image_backbone(size_px=8, dropout=0.3, nested=False):
    """Two blocks of convolution and batch norm with a branch around the second, and dropout.

    `nested`: the second block is one layer.
    """
    image = keras.Input((size_px, size_px, 3), name="image")
    first = keras.layers.Conv2D(4, 3, padding="same", name="conv_1")
    norm_1 = keras.layers.BatchNormalization(name="norm_1")
    last = [Block(4, name="block_2")] if nested else flat_block()
    x = keras.layers.Rescaling(1 / 127.5, -1, name="scaling")(image)
    x = stage_1 = keras.layers.Dropout(dropout, name="drop_1")(keras.ops.relu(norm_1(first(x))))
    for layer in last:
        x = layer(x)
    x = keras.layers.Dropout(dropout, name="drop_2")(keras.ops.relu(x))
    stage_2 = keras.layers.Add(name="add")([x, stage_1])
    return Backbone(
        name="tiny",
        modality="image",
        inputs={"image": image},
        taps={"stage_1": stage_1, "stage_2": stage_2},
        groups=(Group("stage_1", (first, norm_1)), Group("stage_2", tuple(last))),
        tokenizer=None,
        image_size_px=size_px,
        channels=3,
        text_length=0,
        pretrained=True,
        blueprint={},
    )


def text_backbone(num_blocks=2, width=8, length=None, dropout=0.1):
    """A transformer with dropout and a pooler on its first token."""
    inputs = {
        name: keras.Input((length,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask")
    }
    embedding = keras_hub.layers.TokenAndPositionEmbedding(20, 12, width, name="embedding")
    x = embedding(inputs["token_ids"])
    groups = [Group("embeddings", (embedding,))]
    for number in range(1, num_blocks + 1):
        block = keras_hub.layers.TransformerEncoder(16, 2, dropout=dropout, name=f"block_{number}")
        x = block(x, padding_mask=inputs["padding_mask"])
        groups.append(Group(f"layer_{number}", (block,)))
    pooler = keras.layers.Dense(width, activation="tanh", name="pooler")
    taps = {"sequence": x, "mask": inputs["padding_mask"], "pooled": pooler(x[:, 0])}
    return Backbone(
        name="tiny text",
        modality="text",
        inputs=inputs,
        taps=taps,
        groups=(*groups, Group("pooler", (pooler,))),
        tokenizer=None,
        image_size_px=0,
        channels=0,
        text_length=length or 6,
        pretrained=True,
        blueprint={},
    )


def core(backbone=None, head="classify", num_classes=3):
    """A core on `backbone`, by default the image one."""
    return attach_head(backbone or image_backbone(), call_strings.pick(HEADS, head), num_classes)


def training_model(model, groups):
    """The model cut at its frozen boundary and joined again."""
    return frozen_prefix.join(model, frozen_prefix.cut(model, groups))
