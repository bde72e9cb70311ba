"""Tiny trained models with random weights, for tests of saving, exporting and serving."""

import dataclasses
import functools

import keras
import keras_hub
import numpy as np

from tltf.config import option_groups, options
from tltf.data import source as data_source
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.source import ScanCounts, Source
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.models import core_builder
from tltf.models.transfer_model import TransferModel

TEXTS = ("a good film", "a bad film", "the plot is thin", "the cast is great, the end is not")


def image(
    backbone="small_cnn(filters=[4, 8], channels=3)",
    size_px=16,
    names=("cat", "dog", "owl"),
    seed=1,
):
    """An image model with random weights, always the same: of some nothing passes its ReLUs."""
    keras.utils.set_random_seed(seed)
    chosen = options.make(
        option_groups.ModelOptions,
        backbone=backbone,
        backbone_weights="none",
        image_size_px=size_px,
    )
    core = core_builder.build(chosen, len(names), "image")
    return TransferModel(core, ImagePreprocessing(size_px, core.backbone.channels), tuple(names))


def text(backbone="small_lstm(units=8, embedding=8, vocabulary=60)", names=("bad", "good")):
    """A text model with random weights, always the same, and a vocabulary learned from TEXTS."""
    keras.utils.set_random_seed(1)
    chosen = options.make(
        option_groups.ModelOptions, backbone=backbone, backbone_weights="none", text_length=12
    )
    core = core_builder.build(chosen, len(names), "text", list(TEXTS))
    tensors = tuple(core.backbone.inputs)
    return TransferModel(
        core, TextPreprocessing(core.backbone.tokenizer, 12, tensors), tuple(names)
    )


image_once, text_once = functools.cache(image), functools.cache(text)


PIECES = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "good",
    "bad",
    "film",
    "the",
    "##s",
    "is",
)
"""The vocabulary of `bert`."""


def bert(folder, head="classify", names=("bad", "good")):
    """A text model on a tiny BERT with random weights, read from a KerasHub folder that is written."""
    keras.utils.set_random_seed(1)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(PIECES),
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=16,
    )
    for weight in backbone.weights:  # biases and norms that count
        weight.assign_add(keras.random.normal(weight.shape, 0, 0.3, seed=len(weight.path)))
    backbone.save_to_preset(str(folder))
    keras_hub.models.BertTokenizer(
        vocabulary=list(PIECES), lowercase=True, strip_accents=True
    ).save_to_preset(str(folder))
    chosen = options.make(
        option_groups.ModelOptions, backbone=str(folder), text_length=12, head=head
    )
    core = core_builder.build(chosen, len(names), "text")
    tensors = tuple(core.backbone.inputs)
    return TransferModel(
        core, TextPreprocessing(core.backbone.tokenizer, 12, tensors), tuple(names)
    )


def with_rows(trained, count=8):
    """The model with a training and a test split of made-up rows."""
    if trained.core.backbone.modality == "image":
        pixels = np.random.default_rng(0).integers(0, 256, (count, 9, 11, 3), np.uint8)
        fields = data_source.one_field("array", pixels)
    else:
        texts = [f"{TEXTS[row % len(TEXTS)]} {row}" for row in range(count)]
        fields = data_source.one_field("text", texts)
    labels = np.arange(count) % len(trained.class_names)
    ids = [str(row) for row in range(count)]
    label_fields = data_source.one_label_field(labels, trained.class_names)
    source = Source("made up", fields, label_fields, ids, None, ScanCounts())
    return dataclasses.replace(trained, splits={"train": source, "test": source})
