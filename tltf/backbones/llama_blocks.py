"""KerasHub's Llama blocks, mended: in version 0.32.0 they cannot tell their arguments.

`LlamaTransformerDecoder.get_config` reads an attribute that no block has. A block that cannot describe itself has
another fingerprint each time, so that its frozen features would never be found again.
"""

import functools
from typing import Any

import keras

from tltf.graphs.layers import in_place

_BLOCK = ("keras_hub", "LlamaTransformerDecoder")
"""The package and the name of the class."""
_PLAIN = (
    "intermediate_dim",
    "num_query_heads",
    "num_key_value_heads",
    "rope_max_wavelength",
    "rope_position_scaling_factor",
    "rope_frequency_adjustment_factor",
    "rope_low_freq_factor",
    "rope_high_freq_factor",
    "rope_pretraining_sequence_length",
    "layer_norm_epsilon",
    "dropout",
)
"""Arguments of a block that it keeps under their names."""


def mend(backbone: keras.Model) -> None:
    """Gives the Llama blocks of a backbone, if it has any, a `get_config` that works."""
    for layer in backbone.layers:
        kind: Any = type(layer)
        if (kind.__module__.partition(".")[0], kind.__name__) == _BLOCK:
            made: type[keras.Layer] = _described(kind)
            in_place.change(layer, made)


@functools.cache
def _described(kind: Any) -> Any:
    """A subclass of the class of blocks whose layers tell what `from_config` takes."""

    class LlamaBlock(kind):
        """A block of a Llama."""

        def get_config(self) -> dict[str, Any]:
            """The arguments of this block."""
            return {
                **keras.layers.Layer.get_config(self),
                **{name: getattr(self, name) for name in _PLAIN},
                "activation": keras.activations.serialize(self.activation),
                "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            }

    return LlamaBlock
