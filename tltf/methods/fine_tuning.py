"""Methods that differ only in what is frozen: probe, partial, full, from scratch."""

from typing import Any

from tltf.errors import FlagError
from tltf.methods.method import Method, Phase
from tltf.methods.rules import HEAD, require_rate

SOLVERS = ("gradient", "lbfgs")


def linear_probe(solver: str = "gradient") -> Method:
    """Trains the head on frozen features. Alain & Bengio 2016, arXiv:1610.01644.

    Args:
        solver: gradient takes the optimizer's steps; lbfgs solves the convex problem to
            convergence for a path of L2 penalties and keeps the one best on validation.

    Raises:
        FlagError: no such solver.
    """
    if solver not in SOLVERS:
        raise FlagError(
            f"no solver {solver!r} (choices: {', '.join(SOLVERS)})",
            flag="method",
            fix="--method='linear_probe(solver=lbfgs)'",
        )
    return Method(lambda core: [Phase("linear_probe", (HEAD,), norm="frozen", solver=solver)])


def partial(last_groups: int = 2) -> Method:
    """Trains the head and the backbone's last groups. Yosinski et al. 2014, arXiv:1411.1792.

    Args:
        last_groups: how many groups below the head, at least 1.

    Raises:
        FlagError: more groups than the backbone has.
    """
    if last_groups < 1:
        raise FlagError(
            f"last_groups is at least 1 (received {last_groups})",
            flag="method",
            fix="--method=linear_probe",
        )

    def phases(core: Any) -> list[Phase]:
        names = [group.name for group in core.groups[:-1]]
        if last_groups > len(names):
            what = (
                f"last_groups={last_groups}, but the backbone has {len(names)}: {', '.join(names)}"
            )
            raise FlagError(what, flag="method", fix=f"--method=partial(last_groups={len(names)})")
        rules = [HEAD, *((f"{name}/.*", 1.0) for name in names[-last_groups:])]
        return [Phase("partial", tuple(rules))]

    return Method(phases)


def full(backbone_rate: float = 1.0) -> Method:
    """Trains everything from the pretrained weights.

    Args:
        backbone_rate: factor on the backbone's learning rate, above 0.

    Raises:
        FlagError: a rate that is not above 0.
    """
    require_rate(backbone_rate)
    return Method(lambda core: [Phase("full", (HEAD, (".*", float(backbone_rate))))])


def scratch() -> Method:
    """Trains everything from random weights: the baseline that transfer must beat."""
    return Method(lambda core: [Phase("scratch", ((".*", 1.0),))])
