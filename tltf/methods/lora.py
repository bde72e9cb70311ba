"""Low-rank adaptation: a small update of chosen kernels is trained, then merged into them."""

import re
from typing import Any

from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.graphs.freezing import expression
from tltf.graphs.layers import in_place
from tltf.graphs.layers import lora as layers_lora
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, TrainingOutcome
from tltf.methods.rules import HEAD

ATTENTION = re.compile(r".*/(query|value)/kernel")
"""What the paper's section 4.2 adapts; the names that KerasHub gives."""
UPDATES = (f".*/({layers_lora.A}|{layers_lora.B})", 1.0)


def lora(rank: int = 8, alpha: float = 16.0, targets: str = "auto", rslora: bool = False) -> "Lora":
    """Trains the head and s A B for each target kernel W, which is frozen; W + s A B is kept.

    Hu et al. 2021, arXiv:2106.09685, eq. 3 with s = alpha / rank; Kalajdzievski 2023,
    arXiv:2312.03732, with s = alpha / sqrt(rank) if `rslora`.

    Args:
        rank: of the updates, at least 1.
        alpha: their scale, above 0.
        targets: regular expression of `<group>/<kernel>`; auto: queries and values where there
            are any, else each kernel of which the update has at most half the size.
        rslora: whether the scale falls with the root of the rank.

    Raises:
        FlagError: a number out of its range, targets that match no kernel, or a rank at which
            auto finds none.
    """
    if rank < 1 or not alpha > 0:
        raise FlagError(f"rank is at least 1 and alpha above 0 (received {rank}, {alpha})",
                        flag="method", fix="--method='lora(rank=8, alpha=16)'")  # fmt: skip
    return Lora(rank, alpha / (rank**0.5 if rslora else rank), targets)


class Lora(Method):
    """See `lora`; `scale` is s."""

    def __init__(self, rank: int, scale: float, targets: str) -> None:
        super().__init__(lambda core: [Phase("lora", (HEAD, UPDATES))])
        self.rank, self.scale, self.targets = rank, scale, targets

    def prepare(self, core: Core, context: FitContext) -> Core:
        """Gives the target layers their updates; the core computes what it did."""
        for layer in self._chosen(core):
            layers_lora.add(layer, self.rank, self.scale)
        return core

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """Merges the updates: the core is one of plain layers again."""
        for _, layer in in_place.kernels(core.groups[:-1], layers_lora.has_update):
            layers_lora.merge(layer)
        return core

    def release(self, core: Core) -> None:
        """Takes the updates away."""
        for _, layer in in_place.kernels(core.groups[:-1], layers_lora.has_update):
            layers_lora.remove(layer)

    def _chosen(self, core: Core) -> list[Any]:
        kernels = in_place.kernels(core.groups[:-1], lambda layer: True)
        if self.targets != "auto":
            found = [layer for name, layer in kernels if expression(self.targets).fullmatch(name)]
            if not found:
                what = f"targets={self.targets!r} matches none of the kernels, e.g. {kernels[0][0]}"
                raise FlagError(what, flag="method", fix="--method='lora(targets=auto)'")
            return found
        found = [layer for name, layer in kernels if ATTENTION.fullmatch(name)]
        found = found or [layer for _, layer in kernels if self._pays(layer)]
        if not found:
            what = f"no kernel is more than twice as large as its update of rank {self.rank}"
            raise FlagError(what, flag="method", fix="a smaller rank, or targets='.*/kernel'")
        return found

    def _pays(self, layer: Any) -> bool:
        inputs, outputs = in_place.matrix_shape(layer)
        return 2 * self.rank * (inputs + outputs) <= inputs * outputs
