"""Methods in two phases: the backbone by a loss of its own, then a head on what its features have become."""

from collections.abc import Sequence

import numpy as np

from tltf.config.checks import AUTO
from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.graphs.freezing import Rule
from tltf.heads.light import families
from tltf.heads.light.light_model import FrozenRows
from tltf.methods.method import Phase, Solved, groups_of, rule_of
from tltf.methods.penalty import BackboneLossMethod
from tltf.methods.probe import Probe
from tltf.methods.rules import HEAD, require_rate

LBFGS = "lbfgs"
"""The head that is solved for as `lp_ft` does, with the penalty that validation chooses."""


class TunedHeadMethod(BackboneLossMethod):
    """A method that trains some groups of the backbone by `penalty`, then makes the head.

    Args:
        name: name of the first phase and of the method.
        light: chooses the head; None solves for it by lbfgs.
        last_groups: number of groups of layers that are trained, from the top; 0 for all.
        backbone_rate: factor on --learning_rate, above 0.

    Raises:
        FlagError: a number out of its range.
    """

    def __init__(
        self, name: str, light: Probe | None, last_groups: int, backbone_rate: float
    ) -> None:
        require_rate(backbone_rate)
        if last_groups < 0:
            raise FlagError(
                f"last_groups must be at least 0, which is all (received {last_groups})",
                flag="method",
                fix=f"--method={name}",
            )
        super().__init__(self._phases)
        self.name, self.light = name, light
        self.last_groups, self.backbone_rate = last_groups, float(backbone_rate)

    def _phases(self, core: Core) -> list[Phase]:
        names = groups_of(core)[-self.last_groups :]
        rules: Sequence[Rule] = [rule_of(name, self.backbone_rate) for name in names]
        solver = LBFGS if self.light is None else "method"
        return [
            Phase(self.name, tuple(rules), keep="last", loss_weight=0.0),
            Phase("head", (HEAD,), norm="frozen", solver=solver),
        ]

    def solve(
        self, core: Core, rows: FrozenRows, seed: int, unlabelled: np.ndarray | None
    ) -> Solved:
        """The core with the best light head on its features."""
        if self.light is None:
            raise ValueError("the head is solved for by lbfgs")
        return self.light.solve(core, rows, seed, unlabelled)


def pick_head(head: str) -> Probe | None:
    """What chooses the head that an argument names; None for `lbfgs`.

    Raises:
        FlagError: an unknown name.
    """
    if head == LBFGS:
        return None
    try:
        return Probe(families.pick(head))
    except FlagError as error:
        raise FlagError(
            f"there is no head {head!r} (choices: {LBFGS}, {AUTO}, {', '.join(families.FAMILIES)})",
            flag="method",
            fix="head=lbfgs, or head=auto for a tuned light head",
        ) from error
