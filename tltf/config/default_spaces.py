"""What a search changes where --space is not given: a row for each method."""

import dataclasses
import itertools
from typing import Any

from tltf.config import call_strings
from tltf.config.catalogs import METHODS
from tltf.config.search_space import KINDS, LOG
from tltf.errors import FlagError


@dataclasses.dataclass(frozen=True)
class SpaceRow:
    """What is searched with a method.

    Args:
        flags: as --space; may be empty.
        arguments: argument of the method -> its values, every combination of which is a value of --method. One
            that --method has itself keeps its value.
    """

    flags: str = ""
    arguments: dict[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)


NETWORK = "learning_rate: log(1e-5, 3e-3)"
"""For methods that train the network itself."""
FEW_NUMBERS = "learning_rate: log(1e-4, 3e-2)"
"""For methods that train few numbers."""
HEAD = (
    "learning_rate: log(1e-4, 1e-1); batch_size: [16, 32, 64, 128]; label_smoothing: uniform(0, .2)"
)

SPACES: dict[str, SpaceRow] = {
    "auto": SpaceRow("method: [probe, lp_ft, full, lora(rank=4), lora(rank=16)]; " + NETWORK),
    "full": SpaceRow(NETWORK + "; label_smoothing: uniform(0, .2)", {"backbone_rate": (0.1, 1.0)}),
    "lp_ft": SpaceRow(
        NETWORK + "; label_smoothing: uniform(0, .2)", {"backbone_rate": (0.1, 0.3, 1.0)}
    ),
    "partial": SpaceRow(NETWORK, {"last_groups": (1, 2, 4)}),
    "discriminative": SpaceRow(NETWORK, {"decay": (1.5, 2.6, 4.0)}),
    "gradual": SpaceRow(NETWORK, {"stages": (2, 4), "decay": (1.5, 2.6)}),
    "linear_probe": SpaceRow(HEAD),
    "probe": SpaceRow(
        "",
        {
            "family": (
                *("logistic", "pareto_logistic", "ridge", "class_means"),
                *("discriminant", "neighbors", "hidden_layer", "auto"),
            )
        },
    ),
    "lora": SpaceRow(FEW_NUMBERS, {"rank": (2, 4, 8, 16, 32)}),
    "adapters": SpaceRow(FEW_NUMBERS, {"size": (8, 32, 64), "places": ("houlsby", "pfeiffer")}),
    "prefix": SpaceRow(FEW_NUMBERS, {"length": (4, 16, 32)}),
    "prompt": SpaceRow(FEW_NUMBERS, {"length": (4, 16, 32)}),
    "ia3": SpaceRow(FEW_NUMBERS),
    "bitfit": SpaceRow(FEW_NUMBERS),
    "norm_only": SpaceRow(FEW_NUMBERS),
    "l2_sp": SpaceRow(NETWORK, {"alpha": (0.01, 0.1, 1.0)}),
    "delta": SpaceRow(NETWORK, {"alpha": (1e-5, 1e-4, 1e-3)}),
    "bss": SpaceRow(NETWORK, {"eta": (1e-4, 1e-3, 1e-2)}),
    "wise_ft": SpaceRow(NETWORK),
    "scratch": SpaceRow(
        f"learning_rate: {KINDS[LOG]}; batch_size: [16, 32, 64]; label_smoothing: uniform(0, .2)"
    ),
}
OTHERS = SpaceRow(f"learning_rate: {KINDS[LOG]}")
"""For methods without a row."""


def space_of(method: str) -> str:
    """The text of --space that is usual for a method.

    Args:
        method: as --method has it.

    Raises:
        FlagError: it does not exist, or has nothing to search.
    """
    if method == "auto":
        return SPACES["auto"].flags
    call = call_strings.pick(METHODS, method, "method")
    row = SPACES.get(call.name, OTHERS)
    free = {name: values for name, values in row.arguments.items() if name not in call.written}
    parts = [row.flags] if row.flags else []
    if free:
        values = itertools.product(*free.values())
        calls = [call.change(**dict(zip(free, one, strict=True))).text for one in values]
        parts.insert(0, f"method: [{', '.join(calls)}]")
    if not parts:
        fix = "--space='learning_rate: log(1e-5, 1e-2)'"
        raise FlagError(f"nothing is usual to search with {method}", flag="space", fix=fix)
    return "; ".join(parts)
