"""Tiny trained models with random weights, for tests of saving, exporting and serving."""

import functools

from tltf.config import option_groups, options
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.models import core_builder
from tltf.models.transfer_model import TransferModel

TEXTS = ("a good film", "a bad film", "the plot is thin", "the cast is great, the end is not")


def image(
    backbone="small_cnn(filters=[4, 8], channels=3)", size_px=16, names=("cat", "dog", "owl")
):
    """An image model with random weights."""
    chosen = options.make(
        option_groups.ModelOptions,
        backbone=backbone,
        backbone_weights="none",
        image_size_px=size_px,
    )
    core = core_builder.build(chosen, len(names), "image")
    return TransferModel(core, ImagePreprocessing(size_px, core.backbone.channels), tuple(names))


def text(backbone="small_lstm(units=8, embedding=8, vocabulary=60)", names=("bad", "good")):
    """A text model with random weights and a vocabulary learned from TEXTS."""
    chosen = options.make(
        option_groups.ModelOptions, backbone=backbone, backbone_weights="none", text_length=12
    )
    core = core_builder.build(chosen, len(names), "text", list(TEXTS))
    tensors = tuple(core.backbone.inputs)
    return TransferModel(
        core, TextPreprocessing(core.backbone.tokenizer, 12, tensors), tuple(names)
    )


image_once, text_once = functools.cache(image), functools.cache(text)
