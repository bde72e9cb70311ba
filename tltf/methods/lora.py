"""Low-rank adaptation: a small update of chosen kernels is trained, then merged into them."""

import re

import keras

from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.graphs.freezing import Rule, expression
from tltf.graphs.layers import in_place
from tltf.graphs.layers import lora as layers_lora
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, TrainingOutcome
from tltf.methods.rules import HEAD

ATTENTION = re.compile(r".*/(query|value)/kernel")
"""The kernels that the paper's section 4.2 adapts, by the names that KerasHub gives."""
UPDATES: Rule = (f".*/({layers_lora.A}|{layers_lora.B})", 1.0)
"""The rule that trains all updates."""


def lora(rank: int = 8, alpha: float = 16.0, targets: str = "auto", rslora: bool = False) -> "Lora":
    """A method that trains the head and an update s A B of each target kernel.

    A target kernel W is frozen; at the end the update is merged into it, so W + s A B is kept:
    Hu et al. 2021, arXiv:2106.09685, eq. 3 with s = alpha / rank; Kalajdzievski 2023,
    arXiv:2312.03732, with s = alpha / sqrt(rank) if `rslora`.

    Args:
        rank: rank of the updates, at least 1.
        alpha: scale of the updates, above 0.
        targets: regular expression of `<group>/<kernel>`; auto: the kernels of queries and values
            where there are any, else each kernel whose update has at most half its size.
        rslora: whether the scale falls with the square root of the rank, not with the rank.

    Raises:
        FlagError: a number out of its range; when the core is prepared, targets that match no
            kernel, or a rank at which auto matches none.
    """
    if rank < 1 or not alpha > 0:
        raise FlagError(
            f"rank must be at least 1 and alpha above 0 (received {rank}, {alpha})",
            flag="method",
            fix="--method='lora(rank=8, alpha=16)'",
        )
    return Lora(rank, alpha / (rank**0.5 if rslora else rank), targets)


class Lora(Method):
    """The method that `lora` makes; `scale` is s."""

    changes_trained = True

    def __init__(self, rank: int, scale: float, targets: str) -> None:
        super().__init__(lambda core: [Phase("lora", (HEAD, UPDATES))])
        self.rank, self.scale, self.targets = rank, scale, targets

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The same core, whose target layers have updates; it computes what it did before."""
        for layer in self._target_layers(core):
            layers_lora.add(layer, self.rank, self.scale)
        return core

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """The core with the updates merged into its kernels."""
        for _, layer in in_place.kernels(core.groups[:-1], layers_lora.has_update):
            layers_lora.merge(layer)
        return core

    def release(self, core: Core) -> None:
        """Removes the updates."""
        for _, layer in in_place.kernels(core.groups[:-1], layers_lora.has_update):
            layers_lora.remove(layer)

    def _target_layers(self, core: Core) -> list[keras.Layer]:
        kernels = in_place.kernels(core.groups[:-1], lambda layer: True)
        if self.targets != "auto":
            targets = [layer for name, layer in kernels if expression(self.targets).fullmatch(name)]
            if not targets:
                what = f"targets={self.targets!r} matches none of the kernels, e.g. {kernels[0][0]}"
                raise FlagError(what, flag="method", fix="--method='lora(targets=auto)'")
            return targets
        targets = [layer for name, layer in kernels if ATTENTION.fullmatch(name)]
        targets = targets or [layer for _, layer in kernels if self._is_worth_updating(layer)]
        if not targets:
            what = f"no kernel is more than twice as large as its update of rank {self.rank}"
            raise FlagError(what, flag="method", fix="a smaller rank, or targets='.*/kernel'")
        return targets

    def _is_worth_updating(self, layer: keras.Layer) -> bool:
        """Whether an update has at most half the size of the layer's kernel."""
        inputs, outputs = in_place.matrix_shape(layer)
        return 2 * self.rank * (inputs + outputs) <= inputs * outputs
