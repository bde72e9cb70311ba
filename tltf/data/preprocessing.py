"""The preprocessing that fits a backbone and the data."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tltf.data import several_preprocessings
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.several_preprocessings import SEVERAL, numbered
from tltf.data.source import Source
from tltf.data.texts.preprocessing import TextPreprocessing, TokenCounts
from tltf.errors import ModelError

LENGTH_STEP = 8
"""The number of tokens of which a chosen length is a multiple."""
LENGTH_PERCENTILE = 99
MOST_COUNTED = 5000
"""The number of rows in which tokens are counted."""
MOST_UNKNOWN = 0.5
"""The share of unknown tokens beyond which there is a warning."""


class BackboneInputs(Protocol):
    """What the preprocessing needs to know of a backbone (`tltf.graphs.backbone.Backbone`)."""

    @property
    def modality(self) -> str:
        """`image` or `text`."""

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Input name -> KerasTensor."""

    @property
    def tokenizer(self) -> object:
        """A KerasHub tokenizer; None for images."""

    @property
    def image_size_px(self) -> int:
        """The side of the square input in pixels; 0 for text."""

    @property
    def channels(self) -> int:
        """3 or 1; 0 for text."""

    @property
    def text_length(self) -> int:
        """The largest number of tokens; 0 for images."""


def build(
    backbone: BackboneInputs, source: Source, text_length: int | None = None
) -> ImagePreprocessing | TextPreprocessing:
    """The preprocessing that makes the inputs of a backbone.

    Args:
        backbone: the backbone.
        source: the training rows; their texts decide the length where `text_length` is None.
        text_length: number of tokens of a text; None for `fitting_length`.
    """
    if backbone.modality == "image":
        return ImagePreprocessing(backbone.image_size_px, backbone.channels)
    names, fields = tuple(backbone.inputs), tuple(source.fields)
    widest = TextPreprocessing(backbone.tokenizer, backbone.text_length, names, fields)
    length = text_length or fitting_length(widest, source.text_columns())
    return dataclasses.replace(widest, length=length)


def preprocessing_of(
    manifest: Mapping[str, Any], backbone: BackboneInputs
) -> ImagePreprocessing | TextPreprocessing:
    """The preprocessing that `modality` and `preprocessing` of a manifest describe.

    Raises:
        ModelError: it does not make what the backbone takes.
    """
    config = manifest["preprocessing"]
    made: ImagePreprocessing | TextPreprocessing
    if SEVERAL in config:
        made, fits = _several(config[SEVERAL], manifest["modality"], backbone)
    elif manifest["modality"] == "image":
        made = images = ImagePreprocessing.from_config(config)
        fits = (images.size_px, images.channels) == (backbone.image_size_px, backbone.channels)
    else:
        made = texts = TextPreprocessing.from_config(config, backbone.tokenizer)
        fits = set(texts.inputs) == set(backbone.inputs)
        fits = fits and type(texts.length) is int and 1 <= texts.length <= backbone.text_length
    if not fits or manifest["modality"] != backbone.modality:
        raise ModelError(f"the preprocessing {str(config)[:200]} does not fit the backbone")
    return made


def _several(
    configs: Sequence[Mapping[str, Any]], modality: str, backbone: BackboneInputs
) -> tuple[ImagePreprocessing | TextPreprocessing, bool]:
    """`(preprocessing, whether it fits)` of a model whose members take inputs in different forms."""
    widths = {name: tuple(tensor.shape[1:]) for name, tensor in backbone.inputs.items()}
    made: dict[str, tuple[int, ...]]
    if modality == "image":
        images = [ImagePreprocessing.from_config(dict(config)) for config in configs]
        made = {
            numbered("image", at): (part.size_px, part.size_px, part.channels)
            for at, part in enumerate(images)
        }
        return several_preprocessings.join(images), made == widths
    tokenizers = getattr(backbone.tokenizer, "parts", [backbone.tokenizer])
    pairs = zip(configs, tokenizers, strict=True)
    texts = [TextPreprocessing.from_config(dict(own), tokenizer) for own, tokenizer in pairs]
    made = {numbered(n, at): (part.length,) for at, part in enumerate(texts) for n in part.inputs}
    return several_preprocessings.join(texts), made == widths


def count_tokens(prepared: TextPreprocessing, columns: Sequence[Sequence[str]]) -> TokenCounts:
    """The TokenCounts of MOST_COUNTED rows, drawn at random; warns where most tokens are unknown.

    Args:
        prepared: the preprocessing of the texts.
        columns: the texts of each of its fields.
    """
    counts = prepared.count(*map(tf.constant, _sample_rows(columns)))
    share = counts.share(counts.unknown)
    if share > MOST_UNKNOWN:
        warnings.warn(
            f"{share:.0%} of the tokens are unknown to the backbone's tokenizer: is this "
            "another language or script than it was trained on?",
            stacklevel=2,
        )
    return counts


def fitting_length(widest: TextPreprocessing, columns: Sequence[Sequence[str]]) -> int:
    """The 99th percentile of the token counts of texts, rounded up to a multiple of 8.

    Args:
        widest: a preprocessing of the largest length, which is the largest result.
        columns: the texts of each of its fields. MOST_COUNTED rows are drawn at random, because a
            file may be sorted.
    """
    counts = widest.count_tokens(*map(tf.constant, _sample_rows(columns)))
    least = int(np.percentile(counts, LENGTH_PERCENTILE))
    return min(-(-max(least, LENGTH_STEP) // LENGTH_STEP) * LENGTH_STEP, widest.length)


def _sample_rows(columns: Sequence[Sequence[str]]) -> list[list[str]]:
    """MOST_COUNTED rows of the texts, or all of fewer, in their order and the same in each call."""
    count = len(columns[0])
    if count <= MOST_COUNTED:
        return [list(texts) for texts in columns]
    rows = np.sort(np.random.default_rng(count).choice(count, MOST_COUNTED, replace=False))
    return [[texts[row] for row in rows] for texts in columns]
