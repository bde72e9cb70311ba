"""Preprocessings side by side, for a model whose members take the same raw inputs in different forms.

Each is that of the first member, and makes the inputs of the others too. The first member's have their
usual names, such as `image`; those of the next ones are numbered, such as `image_2`.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.texts.preprocessing import TextPreprocessing

SEVERAL = "several"
"""Key of the data of all preprocessings."""
Preprocessing = ImagePreprocessing | TextPreprocessing
"""What makes the inputs of a core of raw inputs."""


def numbered(name: str, place: int) -> str:
    """The name of an input of the preprocessing at a place, from 0."""
    return name if place == 0 else f"{name}_{place + 1}"


def unnumbered(name: str) -> str:
    """The name that an input of any of several preprocessings has in the first of them."""
    return re.sub(r"_[0-9]+$", "", name)


@dataclasses.dataclass(frozen=True)
class SeveralImages(ImagePreprocessing):
    """Decoding and resizing of the same image in several ways.

    Args:
        size_px: see `ImagePreprocessing`, of the first.
        channels: see `ImagePreprocessing`, of the first.
        others: the other ways.
    """

    others: tuple[ImagePreprocessing, ...] = ()

    @property
    def parts(self) -> tuple[ImagePreprocessing, ...]:
        """All ways, each a preprocessing of its own."""
        return ImagePreprocessing(self.size_px, self.channels), *self.others

    def read(self, contents: tf.Tensor) -> dict[str, tf.Tensor]:
        """Input name -> float32[S, S, channels], from the bytes tf.string[] of a file."""
        return self._joined(lambda part: part.read(contents))

    def read_array(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Input name -> float32[..., S, S, channels], from uint8[..., H, W, C]."""
        return self._joined(lambda part: part.read_array(pixels))

    def read_batch(self, contents: tf.Tensor) -> dict[str, tf.Tensor]:
        """Input name -> float32[B, S, S, channels], from the bytes tf.string[B] of files."""
        return self._joined(lambda part: part.read_batch(contents))

    def _joined(
        self, read: Callable[[ImagePreprocessing], dict[str, tf.Tensor]]
    ) -> dict[str, tf.Tensor]:
        return {
            numbered(name, place): tensor
            for place, part in enumerate(self.parts)
            for name, tensor in read(part).items()
        }

    def to_config(self) -> dict[str, Any]:
        """The data that `join` makes the same preprocessing of, ready for JSON."""
        return {SEVERAL: [part.to_config() for part in self.parts]}


@dataclasses.dataclass(frozen=True)
class SeveralTexts(TextPreprocessing):
    """Tokenizing of the same texts by several tokenizers, or to several lengths.

    Args:
        tokenizer: see `TextPreprocessing`, of the first.
        length: see `TextPreprocessing`, of the first.
        inputs: names of the inputs of all.
        fields: names of the texts of an example, the same for all.
        parts: all preprocessings.
    """

    parts: tuple[TextPreprocessing, ...] = ()

    def __call__(self, *columns: Sequence[str] | tf.Tensor) -> dict[str, tf.Tensor]:
        """Input name -> [B, length], for texts tf.string[B] of each of `fields`."""
        return {
            numbered(name, place): tensor
            for place, part in enumerate(self.parts)
            for name, tensor in part(*columns).items()
        }

    def tokenizer_digest(self) -> str:
        """The hexadecimal digests of all tokenizers."""
        return "".join(part.tokenizer_digest() for part in self.parts)

    def to_config(self) -> dict[str, Any]:
        """The data that `join` makes the same preprocessing of beside the tokenizers."""
        return {SEVERAL: [part.to_config() for part in self.parts]}


class SeveralTokenizers(tf.Module):
    """Tokenizers that are kept together.

    Args:
        parts: the tokenizers of KerasHub.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        super().__init__()
        self.parts = list(parts)

    def save_assets(self, folder: str) -> None:
        """Writes the files of each tokenizer into a folder in `folder`, see `assets_folder`."""
        for place, tokenizer in enumerate(self.parts):
            path = tf.io.gfile.join(folder, assets_folder(place))
            tf.io.gfile.makedirs(path)
            tokenizer.save_assets(path)


def assets_folder(place: int) -> str:
    """The folder of the files of the tokenizer at a place, from 0."""
    return str(place + 1)


def join(parts: Sequence[Preprocessing]) -> Preprocessing:
    """The preprocessing that makes the inputs of all of some, of one modality; the only one itself.

    Args:
        parts: different ones; those of texts have the same fields.
    """
    first, *others = parts
    if not others:
        return first
    images = [part for part in parts if isinstance(part, ImagePreprocessing)]
    if isinstance(first, ImagePreprocessing):
        return SeveralImages(first.size_px, first.channels, tuple(images[1:]))
    texts = tuple(part for part in parts if isinstance(part, TextPreprocessing))
    names = tuple(numbered(name, at) for at, part in enumerate(texts) for name in part.inputs)
    return SeveralTexts(first.tokenizer, first.length, names, first.fields, texts)
