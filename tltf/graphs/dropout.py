"""Layers that add noise in training only: dropout and stochastic depth."""

from collections.abc import Sequence

import keras

from tltf.errors import FlagError

_NAMES = ("Dropout", "DropPath", "StochasticDepth", "GaussianNoise")
"""Parts of the class names of such layers: KerasHub's families have classes of their own."""
_RATES = ("rate", "drop_path_rate", "stddev")
"""The attributes that may hold the strength of such a layer."""


def find_noise_layers(
    layers: Sequence[keras.Layer | keras.Model],
) -> list[tuple[keras.Layer, str]]:
    """`(layer, name of its rate)` of the noise layers in `layers` and inside them."""
    inner = [sub for layer in layers for sub in layer._flatten_layers()]
    unique = {id(sub): sub for sub in inner if any(n in type(sub).__name__ for n in _NAMES)}
    pairs = [(sub, next((r for r in _RATES if hasattr(sub, r)), "")) for sub in unique.values()]
    return [(sub, rate) for sub, rate in pairs if rate]


def set_rates(
    layers: Sequence[keras.Layer],
    dropout: float | None = None,
    stochastic_depth: float | None = None,
) -> None:
    """Sets the rates of a network's own dropout and stochastic depth.

    Args:
        layers: the network's layers, in depth order.
        dropout: rate of all its dropout layers, 0 to below 1: Srivastava et al. 2014; None leaves
            their rates as they are.
        stochastic_depth: the chance that the last residual branch is left out; the branches below
            have less, in proportion to their depth: Huang et al. 2016, arXiv:1603.09382, eq. 4;
            None leaves their rates as they are.

    Raises:
        FlagError: the network has no such layers.
    """
    found = find_noise_layers(layers)
    paths = [pair for pair in found if _is_path(pair[0])]
    plain = [pair for pair in found if pair not in paths and pair[1] == "rate"]
    if dropout is not None:
        _require(plain, "dropout", "backbone_dropout")
        for layer, _ in plain:
            _set_dropout(layer, dropout)
        for sub in (sub for layer in layers for sub in layer._flatten_layers()):
            if isinstance(sub, keras.layers.MultiHeadAttention):
                sub._dropout = dropout  # 0 takes the fused kernel, which knows no dropout
    if stochastic_depth is not None:
        _require(paths, "stochastic depth", "stochastic_depth")
        for number, (layer, name) in enumerate(paths, 1):
            rate = stochastic_depth * number / len(paths)
            if name == "rate" and isinstance(layer, keras.layers.Dropout):
                _set_dropout(layer, rate)
            else:
                setattr(layer, name, rate)


def _is_path(layer: keras.Layer) -> bool:
    """Whether the layer leaves out a branch for whole examples, not single numbers."""
    shape = getattr(layer, "noise_shape", None)
    if shape is not None and len(shape) > 1 and set(shape[1:]) == {1}:
        return True
    return any(name in type(layer).__name__ for name in ("DropPath", "StochasticDepth"))


def _set_dropout(layer: keras.Layer, rate: float) -> None:
    """Sets a dropout rate; makes the random state, which Keras makes for a first rate above 0 only."""
    layer.rate = rate
    if rate > 0 and not hasattr(layer, "seed_generator"):
        layer._tracker.unlock()
        layer.seed_generator = keras.random.SeedGenerator(layer.seed)
        layer._tracker.lock()


def _require(layers: Sequence[tuple[keras.Layer, str]], what: str, flag: str) -> None:
    if not layers:
        raise FlagError(f"this network has no {what}", flag=flag, fix=f"leave --{flag} out")
