"""Layers that disturb what they are given, in training only: dropout and stochastic depth."""

from collections.abc import Sequence

import keras

from tltf.errors import FlagError

_NAMES = ("Dropout", "DropPath", "StochasticDepth", "GaussianNoise")
"""Parts of the names of their classes; KerasHub's families have each their own."""
_RATES = ("rate", "drop_path_rate", "stddev")


def find_disturbing_layers(
    layers: Sequence[keras.Layer | keras.Model],
) -> list[tuple[keras.Layer, str]]:
    """`(layer, name of its rate)` of the disturbing layers in `layers`, those inside included."""
    inner = [sub for layer in layers for sub in layer._flatten_layers()]
    unique = {id(sub): sub for sub in inner if any(n in type(sub).__name__ for n in _NAMES)}
    pairs = [(sub, next((r for r in _RATES if hasattr(sub, r)), "")) for sub in unique.values()]
    return [(sub, rate) for sub, rate in pairs if rate]


def set_rates(
    layers: Sequence[keras.Layer],
    dropout: float | None = None,
    stochastic_depth: float | None = None,
) -> None:
    """Gives a network's own dropout and stochastic depth other rates.

    Args:
        layers: of the network, in depth order.
        dropout: Srivastava et al. 2014, of all its dropout layers, 0 to below 1; None leaves them.
        stochastic_depth: Huang et al. 2016, arXiv:1603.09382, eq. 4: the chance that the last
            residual branch is left out, less in proportion to depth below; None leaves them.

    Raises:
        FlagError: the network has no such layers.
    """
    found = find_disturbing_layers(layers)
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
    """Whether the layer leaves out whole examples, not single numbers."""
    shape = getattr(layer, "noise_shape", None)
    if shape is not None and len(shape) > 1 and set(shape[1:]) == {1}:
        return True
    return any(name in type(layer).__name__ for name in ("DropPath", "StochasticDepth"))


def _set_dropout(layer: keras.Layer, rate: float) -> None:
    """Keras makes the random state only where the first rate is above 0."""
    layer.rate = rate
    if rate > 0 and not hasattr(layer, "seed_generator"):
        layer._tracker.unlock()
        layer.seed_generator = keras.random.SeedGenerator(layer.seed)
        layer._tracker.lock()


def _require(layers: Sequence[tuple[keras.Layer, str]], what: str, flag: str) -> None:
    if not layers:
        raise FlagError(f"this network has no {what}", flag=flag, fix=f"leave --{flag} out")
