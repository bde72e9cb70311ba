"""Cropping: the last groups of layers are removed, and what is left is tuned again."""

from tltf.backbones import cropping, kept_layers
from tltf.errors import FlagError
from tltf.graphs.core import Core, replace_backbone
from tltf.methods.context import FitContext
from tltf.methods.method import Method
from tltf.methods.schedules import lp_ft_phases


def crop(last_groups: int = 1, solver: str = "lbfgs", backbone_rate: float = 1.0) -> "Crop":
    """A method that removes the backbone's last groups of layers, then trains as `lp_ft` does.

    The network gets smaller and faster for good: Sajjad et al. 2020, arXiv:2004.03844, section 3.1
    (top-layer dropping). With --backbone=RUN it is a run's network that is made smaller. See
    `cropping.crop` for what is removed.

    Args:
        last_groups: number of groups to remove, at least 1.
        solver: how the head is trained before the rest, see `lp_ft`.
        backbone_rate: factor on the backbone's learning rate after that, above 0.

    Raises:
        FlagError: an unknown solver, or a number out of its range; when the core is prepared, more
            groups than the network can lose.
    """
    if last_groups < 1:
        raise FlagError(
            f"last_groups must be at least 1 (received {last_groups})",
            flag="method",
            fix="--method=lp_ft removes none",
        )
    return Crop(last_groups, solver, backbone_rate)


class Crop(Method):
    """The method that `crop` makes."""

    def __init__(self, last_groups: int, solver: str, backbone_rate: float) -> None:
        phases = lp_ft_phases(solver, backbone_rate=backbone_rate)
        super().__init__(lambda core: list(phases))
        self.last_groups = last_groups

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The core without the last groups; where its features have another shape, with a new head."""
        smaller = kept_layers.insert(core.backbone, cropping.RECORD_KIND, self.last_groups)
        return replace_backbone(core, smaller)
