"""Methods that differ in when what is trained, and how fast."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from tltf.errors import FlagError
from tltf.methods.fine_tuning import SOLVERS
from tltf.methods.method import Method, Phase, groups_of, rule_of
from tltf.methods.rules import HEAD, require_rate


def lp_ft(
    solver: str = "lbfgs",
    probe_share: float = 0.3,
    probe_rate: float = 10.0,
    backbone_rate: float = 1.0,
) -> Method:
    """Trains the head on frozen features, then everything from there.

    Kumar et al. 2022, arXiv:2202.10054, section 3.4: a random head distorts pretrained features
    while it is learned.

    Args:
        solver: of the first phase: lbfgs solves for the head, which must be one dense layer;
            gradient takes steps.
        probe_share: share of --train_epochs that gradient takes for the head.
        probe_rate: factor on --learning_rate for the head's steps.
        backbone_rate: factor on the backbone's learning rate in the second phase, above 0.

    Raises:
        FlagError: an unknown solver, or a number out of its range.
    """
    if solver not in SOLVERS:
        raise FlagError(
            f"no solver {solver!r} (choices: {', '.join(SOLVERS)})",
            flag="method",
            fix="--method='lp_ft(solver=lbfgs)'",
        )
    probe = warm_up("probe", probe_share, probe_rate, solver, of="probe")
    require_rate(backbone_rate)
    rest = 1.0 - probe_share if solver == "gradient" else 1.0
    tuned = Phase("full", (HEAD, (".*", float(backbone_rate))), rest)
    return Method(lambda core: [probe, tuned])


def warm_up(
    name: str, share: float, rate: float, solver: str = "gradient", of: str = "warmup"
) -> Phase:
    """The Phase in which the head alone learns, on frozen features.

    Args:
        name: of the phase.
        share: of --train_epochs, between 0 and 1.
        rate: factor on --learning_rate, above 0.
        solver: as `lp_ft`.
        of: begins the names of both numbers in errors.

    Raises:
        FlagError: a number out of its range.
    """
    _require(f"{of}_share", 0 < share < 1, share, "between 0 and 1")
    _require(f"{of}_rate", rate > 0, rate, "above 0")
    return Phase(name, (HEAD,), share, rate, norm="frozen", solver=solver)


def discriminative(decay: float = 2.6) -> Method:
    """Trains everything, each group slower than the one above it: rate_l = rate_(l+1) / decay.

    Howard & Ruder 2018, arXiv:1801.06146, section 3.2; `layer-wise decay` of transformers is the
    same with a decay of 1.05 to 1.5.

    Args:
        decay: at least 1.

    Raises:
        FlagError: a decay below 1.
    """
    _require("decay", decay >= 1, decay, "at least 1")
    return Method(lambda core: [Phase("discriminative", (HEAD, *_falling(groups_of(core), decay)))])


def gradual(stages: int = 4, decay: float = 2.6) -> Method:
    """Trains the head, then more of the backbone from the top in each phase, at falling rates.

    Howard & Ruder 2018, arXiv:1801.06146, section 3.3. Departs: the paper unfreezes one layer an
    epoch; here so many stages share --train_epochs evenly, each a part of the groups and at least
    one epoch, with a whole schedule and an optimizer of its own.

    Args:
        stages: phases after the head's, at least 1; no more than groups.
        decay: as `discriminative`.

    Raises:
        FlagError: a number out of its range.
    """
    _require("stages", stages >= 1, stages, "at least 1")
    _require("decay", decay >= 1, decay, "at least 1")

    def phases(core: Any) -> list[Phase]:
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
    """Solves for the head, then trains everything on the easiest rows first, in growing parts.

    Hacohen & Weinshall 2019, arXiv:1904.03626: scored by transfer (the loss under a linear
    classifier on pretrained features), paced exponentially, the same share of every class. Each
    part has a whole schedule and an optimizer of its own.

    Args:
        stages: parts, at least 2; the last one is all rows. They share --train_epochs evenly.
        start_share: of the rows in the first part.
        solver: of the head, as `lp_ft`.

    Raises:
        FlagError: an unknown solver, or a number out of its range.
    """
    _require("stages", stages >= 2, stages, "at least 2")
    _require("start_share", 0 < start_share < 1, start_share, "between 0 and 1")
    probe, tuned = lp_ft(solver).phases(None)
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


def _falling(names: Sequence[str], decay: float) -> list[tuple[str, float]]:
    """Rules of groups in depth order: the last has the rate 1 / decay, each below it less."""
    return [rule_of(name, decay ** -(depth + 1)) for depth, name in enumerate(reversed(names))]


def _require(name: str, holds: bool, value: float, allowed: str) -> None:
    if not holds:
        raise FlagError(f"{name} is {allowed} (received {value})", flag="method")
