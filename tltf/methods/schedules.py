"""Methods that train different parts at different times and rates."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.graphs.freezing import Rule
from tltf.heads.light import families
from tltf.heads.light.light_model import FrozenRows
from tltf.methods.method import Method, Phase, Solved, groups_of, rule_of
from tltf.methods.probe import Probe
from tltf.methods.rules import HEAD, LIGHT, require_rate, require_solver

LIGHT_START = "logistic|pareto_logistic"
"""The families of light heads that `solver=light` chooses from: logistic regressions."""


def lp_ft(
    solver: str = "lbfgs",
    probe_share: float = 0.3,
    probe_rate: float = 10.0,
    backbone_rate: float = 1.0,
) -> Method:
    """A method that trains the head on frozen features, then everything from there.

    Kumar et al. 2022, arXiv:2202.10054, section 3.4: a random head distorts pretrained features
    while it is learned.

    Args:
        solver: how the head is trained in the first phase: lbfgs solves for it, which takes a head
            of one dense layer; gradient takes steps of the optimizer; light is logistic regression
            as `probe` has it, with a scaling and a penalty by cross-validation on training rows and logits that are
            divided by their temperature. With few rows the logits of lbfgs are so large that the first steps after it
            spoil the network.
        probe_share: share of --train_epochs that the first phase takes with gradient.
        probe_rate: factor on --learning_rate in the first phase with gradient.
        backbone_rate: factor on the backbone's learning rate in the second phase, above 0.

    Raises:
        FlagError: an unknown solver, or a number out of its range.
    """
    phases = lp_ft_phases(solver, probe_share, probe_rate, backbone_rate, (LIGHT,))
    return LightStart(lambda core: list(phases), solver)


class LightStart(Method):
    """A method whose first phase may fit a tuned light head.

    Args:
        make_phases: see Method.
        solver: of the first phase.
    """

    def __init__(self, make_phases: Callable[[Core], list[Phase]], solver: str) -> None:
        super().__init__(make_phases)
        self.light = Probe(families.pick(LIGHT_START)) if solver == LIGHT else None

    def solve(
        self, core: Core, rows: FrozenRows, seed: int, unlabelled: np.ndarray | None
    ) -> Solved:
        """The core with tuned logistic regression on its frozen features."""
        if self.light is None:
            raise ValueError("the head is no light head")
        return self.light.solve(core, rows, seed, unlabelled)


def lp_ft_phases(
    solver: str,
    probe_share: float = 0.3,
    probe_rate: float = 10.0,
    backbone_rate: float = 1.0,
    others: Sequence[str] = (),
) -> tuple[Phase, Phase]:
    """`(probe, full)`: the phases of `lp_ft`, which refuses the same arguments; for `others` see `require_solver`."""
    require_solver(solver, "lp_ft", others)
    named = "method" if solver == LIGHT else solver
    probe = warm_up("probe", probe_share, probe_rate, named, argument="probe")
    require_rate(backbone_rate)
    rest = 1.0 - probe_share if solver == "gradient" else 1.0
    return probe, Phase("full", (HEAD, (".*", float(backbone_rate))), rest)


def warm_up(
    name: str, share: float, rate: float, solver: str = "gradient", argument: str = "warmup"
) -> Phase:
    """The phase in which only the head is trained, on frozen features.

    Args:
        name: name of the phase.
        share: share of --train_epochs, between 0 and 1.
        rate: factor on --learning_rate, above 0.
        solver: see `lp_ft`.
        argument: the first part of the names of both numbers in errors.

    Raises:
        FlagError: a number out of its range.
    """
    _require(f"{argument}_share", 0 < share < 1, share, "between 0 and 1")
    _require(f"{argument}_rate", rate > 0, rate, "above 0")
    return Phase(name, (HEAD,), share, rate, norm="frozen", solver=solver)


def discriminative(decay: float = 2.6) -> Method:
    """A method that trains everything, each group at a lower rate than the one above it.

    rate_l = rate_(l+1) / decay: Howard & Ruder 2018, arXiv:1801.06146, section 3.2; the
    `layer-wise decay` of transformers is the same with a decay of 1.05 to 1.5.

    Args:
        decay: factor between the rates of neighbouring groups, at least 1.

    Raises:
        FlagError: a decay below 1.
    """
    _require("decay", decay >= 1, decay, "at least 1")
    return Method(lambda core: [Phase("discriminative", (HEAD, *_falling(groups_of(core), decay)))])


def gradual(stages: int = 4, decay: float = 2.6) -> Method:
    """A method that trains the head, then in each phase more of the backbone from the top down.

    Rates fall with depth as in `discriminative`: Howard & Ruder 2018, arXiv:1801.06146, section 3.3.
    Departs: the paper unfreezes one layer per epoch; here the stages share --train_epochs evenly.
    Each stage unfreezes some of the groups and takes at least one epoch, with a whole schedule and
    an optimizer of its own.

    Args:
        stages: number of phases after the head's, at least 1; with fewer groups there are as many
            phases as groups.
        decay: see `discriminative`.

    Raises:
        FlagError: a number out of its range.
    """
    _require("stages", stages >= 1, stages, "at least 1")
    _require("decay", decay >= 1, decay, "at least 1")

    def phases(core: Core) -> list[Phase]:
        names = groups_of(core)
        number = min(stages, len(names))
        starts = [round(len(names) * (number - stage) / number) for stage in range(1, number + 1)]
        share = 1.0 / (number + 1)
        later = [
            Phase(f"from {names[start]}", (HEAD, *_falling(names[start:], decay)), share)
            for start in starts
        ]
        return [Phase("head", (HEAD,), share, norm="frozen"), *later]

    return Method(phases)


def curriculum(stages: int = 3, start_share: float = 0.3, solver: str = "lbfgs") -> Method:
    """A method that solves for the head, then trains everything on a growing share of easy rows.

    Hacohen & Weinshall 2019, arXiv:1904.03626: rows are scored by transfer (the loss under a linear
    classifier on pretrained features), their share grows exponentially, and it is the same for
    every class. Each part has a whole schedule and an optimizer of its own.

    Args:
        stages: number of parts, at least 2; the last one is all rows. The parts share --train_epochs
            evenly.
        start_share: share of the rows in the first part, between 0 and 1.
        solver: how the head is trained, see `lp_ft`.

    Raises:
        FlagError: an unknown solver, or a number out of its range.
    """
    _require("stages", stages >= 2, stages, "at least 2")
    _require("start_share", 0 < start_share < 1, start_share, "between 0 and 1")
    probe, tuned = lp_ft_phases(solver)
    shares = [start_share ** (1 - stage / (stages - 1)) for stage in range(stages)]
    parts = [
        dataclasses.replace(
            tuned,
            name=f"easiest {share:.0%}",
            easiest=share,
            epochs_share=tuned.epochs_share / stages,
        )
        for share in shares
    ]
    return Method(lambda core: [probe, *parts])


def _falling(names: Sequence[str], decay: float) -> list[Rule]:
    """Rules for groups in depth order: the last has the rate 1 / decay, each group below it less."""
    return [rule_of(name, decay ** -(depth + 1)) for depth, name in enumerate(reversed(names))]


def _require(name: str, holds: bool, value: float, allowed: str) -> None:
    if not holds:
        raise FlagError(f"{name} must be {allowed} (received {value})", flag="method")
