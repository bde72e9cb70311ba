"""Images of another number of channels, inside a graph."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tltf.data.images.preprocessing import LUMA


class Channels(keras.layers.Layer):
    """A layer that makes images of 3 channels grey, or repeats the one of grey images.

    Its values are those from 0 to 255 that the inputs of all networks have, as each has the scaling of its own
    inside. Grey values are rounded to whole numbers, as where an image is read for a network of grey ones.

    Args:
        channels: of the result, 1 or 3; the images have the other number.
    """

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(dtype="float32", trainable=False, **options)
        self.channels = channels

    def get_config(self) -> dict[str, Any]:
        """The name and the number of channels."""
        return {"name": self.name, "channels": self.channels}

    def call(self, image: tf.Tensor) -> tf.Tensor:
        """float32[B, H, W, channels]."""
        if self.channels == 3:
            return ops.repeat(image, 3, axis=-1)
        grey = ops.tensordot(image, ops.convert_to_tensor(LUMA, image.dtype), 1)
        return ops.round(grey)[..., None]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape with the other number of channels."""
        return (*shape[:-1], self.channels)
