"""Magnitude pruning: ever more of the smallest weights are set to 0 while everything is trained."""

import keras
import numpy as np

from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.graphs.freezing import expression
from tltf.graphs.layers import in_place
from tltf.methods.method import Method, Phase
from tltf.methods.pruning import PrunedModel, Pruning, prune_now
from tltf.methods.rules import require_rate
from tltf.methods.schedules import lp_ft_phases

RAMP, TUNE = "prune", "tune"
"""The phases in which the share of zeros rises and in which it stays."""


def prune(
    share: float = 0.5,
    ramp_share: float = 0.6,
    updates: int = 30,
    targets: str = "auto",
    solver: str = "lbfgs",
    backbone_rate: float = 1.0,
) -> "Prune":
    """A method that trains everything while the smallest weights of each kernel are set to 0.

    The share of zeros rises from 0 by s_t = s (1 - (1 - t / T)^3) over T steps, and then stays while
    the rest is trained on: Zhu & Gupta 2017, arXiv:1710.01878, eq. 1 with s_i = 0. Departs: the masks
    change `updates` times in all, however many steps there are; the head is solved for first, and is
    not pruned; embeddings and depthwise kernels are not pruned. Batch norms are trained whatever
    --norm says: what is left of a kernel gives other means and deviations. Zeros make a file smaller once it is
    compressed; most runtimes compute with them as with any number and get no faster.

    Args:
        share: share of zeros in each pruned kernel at the end, between 0 and 1.
        ramp_share: share of --train_epochs in which the share of zeros rises, between 0 and 1.
        updates: how often the masks change meanwhile, at least 1.
        targets: regular expression of the `<group>/<kernel>` that are pruned; auto takes all kernels
            of dense layers and convolutions.
        solver: how the head is trained before the rest, see `lp_ft`.
        backbone_rate: factor on the backbone's learning rate after that, above 0.

    Raises:
        FlagError: an unknown solver, or a number out of its range; when the core is prepared, targets
            that match no kernel.
    """
    for name, value in (("share", share), ("ramp_share", ramp_share)):
        if not 0 < value < 1:
            what = f"{name} must be between 0 and 1 (received {value})"
            raise FlagError(what, flag="method", fix=f"--method='prune({name}=.6)'")
    if updates < 1:
        raise FlagError(f"updates must be at least 1 (received {updates})", flag="method")
    require_rate(backbone_rate)
    probe, full = lp_ft_phases(solver, backbone_rate=backbone_rate)
    rest = full.epochs_share
    phases = (
        probe,
        Phase(RAMP, full.rules, rest * ramp_share, keep="last", norm="train"),
        Phase(TUNE, full.rules, rest * (1 - ramp_share), norm="train"),
    )
    return Prune(phases, share, updates, targets)


class Prune(Method):
    """The method that `prune` makes."""

    model_class = PrunedModel

    def __init__(self, phases: tuple[Phase, ...], share: float, updates: int, targets: str) -> None:
        super().__init__(lambda core: list(phases))
        self.share, self.updates, self.targets = share, updates, targets

    def phases(self, core: Core) -> list[Phase]:
        """The phases, once there is a kernel to prune."""
        pruned_kernels(core, self.targets)
        return super().phases(core)

    def begin(self, core: Core, phase: Phase, model: keras.Model, num_steps: int) -> None:
        """Tells the model of a phase what it has to prune in its steps; the head's own prunes nothing."""
        if phase.name not in (RAMP, TUNE):
            return
        kernels = pruned_kernels(core, self.targets)
        if phase.name == TUNE:
            prune_now(kernels, self.share)
        updates = self.updates if phase.name == RAMP else 0
        model.pruning = Pruning(kernels, self.share, num_steps, updates)


def pruned_kernels(core: Core, targets: str = "auto") -> list[keras.Variable]:
    """The kernels that `prune` prunes, in depth order.

    Args:
        core: whose backbone they are in.
        targets: see `prune`.

    Raises:
        FlagError: there are none.
    """
    found = in_place.kernels(core.groups[:-1], _is_dense)
    if targets != "auto":
        pattern = expression(targets)
        found = [(name, layer) for name, layer in found if pattern.fullmatch(name)]
    if not found:
        what = f"targets={targets!r} matches none of the kernels"
        raise FlagError(what, flag="method", fix="--method='prune(targets=auto)'")
    return [in_place.kernel_of(layer) for _, layer in found]


def share_of_zeros(kernels: list[keras.Variable]) -> float:
    """The share of zeros in some variables together."""
    arrays = [keras.ops.convert_to_numpy(kernel.value) for kernel in kernels]
    return sum(int(np.sum(a == 0)) for a in arrays) / sum(a.size for a in arrays)


def _is_dense(layer: keras.Layer) -> bool:
    """Whether a layer with a kernel mixes all channels of its input, and is no table of rows."""
    return not isinstance(layer, keras.layers.Embedding) and not in_place.is_depthwise(layer)
