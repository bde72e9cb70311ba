"""The preprocessing that fits a backbone and the data."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.source import Source
from tltf.data.texts.preprocessing import TextPreprocessing, TokenCounts
from tltf.errors import ModelError

LENGTH_STEP = 8
LENGTH_SHARE = 99
MOST_COUNTED = 5000
MOST_UNKNOWN = 0.5
"""Share of unknown tokens beyond which there is a warning."""


def build(
    backbone: Any, source: Source, text_length: int | None = None
) -> ImagePreprocessing | TextPreprocessing:
    """`ImagePreprocessing` or `TextPreprocessing` for a backbone's inputs.

    Args:
        backbone: Backbone.
        source: training Source; its texts decide the length where none is given.
        text_length: tokens of a text; None: see `fitting_length`.
    """
    if backbone.modality == "image":
        return ImagePreprocessing(backbone.image_size_px, backbone.channels)
    names, fields = tuple(backbone.inputs), tuple(source.fields)
    widest = TextPreprocessing(backbone.tokenizer, backbone.text_length, names, fields)
    length = text_length or fitting_length(widest, source.text_columns())
    return dataclasses.replace(widest, length=length)


def preprocessing_of(manifest: Any, backbone: Any) -> Any:
    """The preprocessing that `modality` and `preprocessing` of a manifest describe.

    Raises:
        ModelError: it makes something else than the backbone takes.
    """
    config = manifest["preprocessing"]
    if manifest["modality"] == "image":
        made = ImagePreprocessing.from_config(config)
        fits = (made.size_px, made.channels) == (backbone.image_size_px, backbone.channels)
    else:
        made = TextPreprocessing.from_config(config, backbone.tokenizer)
        fits = set(made.inputs) == set(backbone.inputs)
        fits = fits and type(made.length) is int and 1 <= made.length <= backbone.text_length
    if not fits or manifest["modality"] != backbone.modality:
        raise ModelError(f"the preprocessing {str(config)[:200]} does not fit the backbone")
    return made


def count_tokens(prepared: TextPreprocessing, columns: Sequence[Sequence[str]]) -> TokenCounts:
    """The `TokenCounts` of MOST_COUNTED texts, drawn at random; warns where most tokens are unknown.

    Args:
        prepared: TextPreprocessing.
        columns: list of str for each of its fields.
    """
    found = prepared.count(*map(tf.constant, _sample_rows(columns)))
    share = found.share(found.unknown)
    if share > MOST_UNKNOWN:
        warnings.warn(
            f"{share:.0%} of the tokens are unknown to the backbone's tokenizer: is this "
            "another language or script than it was trained on?",
            stacklevel=2,
        )
    return found


def fitting_length(widest: TextPreprocessing, columns: Sequence[Sequence[str]]) -> int:
    """The 99th percentile of the texts' token counts, rounded up to a multiple of 8.

    Args:
        widest: TextPreprocessing of the largest length, which is the largest result.
        columns: list of str for each of its fields. MOST_COUNTED rows are drawn at random: a file may
            be sorted.
    """
    counts = widest.count_tokens(*map(tf.constant, _sample_rows(columns)))
    wanted = int(np.percentile(counts, LENGTH_SHARE))
    return min(-(-max(wanted, LENGTH_STEP) // LENGTH_STEP) * LENGTH_STEP, widest.length)


def _sample_rows(columns: Sequence[Sequence[str]]) -> list[list[str]]:
    """MOST_COUNTED rows of the texts, the same in each call, in their order; all of fewer."""
    count = len(columns[0])
    if count <= MOST_COUNTED:
        return [list(texts) for texts in columns]
    rows = np.sort(np.random.default_rng(count).choice(count, MOST_COUNTED, replace=False))
    return [[texts[row] for row in rows] for texts in columns]
