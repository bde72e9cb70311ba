"""Methods that differ only in what is frozen: probe, partial, full, from scratch."""

from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.methods.method import Method, Phase, groups_of
from tltf.methods.rules import HEAD, require_rate, require_solver


def linear_probe(solver: str = "gradient") -> Method:
    """A method that trains the head on frozen features. Alain & Bengio 2016, arXiv:1610.01644.

    Args:
        solver: gradient takes steps of the optimizer; lbfgs solves the convex problem to
            convergence for a path of L2 penalties and keeps the solution that is best on the
            validation split.

    Raises:
        FlagError: an unknown solver.
    """
    require_solver(solver, "linear_probe")
    return Method(lambda core: [Phase("linear_probe", (HEAD,), norm="frozen", solver=solver)])


def partial(last_groups: int = 2) -> Method:
    """A method that trains the head and the backbone's last groups.

    Yosinski et al. 2014, arXiv:1411.1792.

    Args:
        last_groups: number of groups below the head that are trained, at least 1.

    Raises:
        FlagError: a number below 1; when the phases are made, more groups than the backbone has.
    """
    if last_groups < 1:
        raise FlagError(
            f"last_groups must be at least 1 (received {last_groups})",
            flag="method",
            fix="--method=linear_probe",
        )

    def phases(core: Core) -> list[Phase]:
        names = groups_of(core)
        if last_groups > len(names):
            what = (
                f"last_groups={last_groups}, but the backbone has {len(names)} groups: "
                f"{', '.join(names)}"
            )
            raise FlagError(what, flag="method", fix=f"--method=partial(last_groups={len(names)})")
        rules = [HEAD, *((f"{name}/.*", 1.0) for name in names[-last_groups:])]
        return [Phase("partial", tuple(rules))]

    return Method(phases)


def full(backbone_rate: float = 1.0) -> Method:
    """A method that trains everything from the pretrained weights.

    Args:
        backbone_rate: factor on the backbone's learning rate, above 0.

    Raises:
        FlagError: a rate that is not above 0.
    """
    require_rate(backbone_rate)
    return Method(lambda core: [Phase("full", (HEAD, (".*", float(backbone_rate))))])


def scratch() -> Method:
    """A method that trains everything from random weights: the baseline that transfer must beat."""
    return Method(lambda core: [Phase("scratch", ((".*", 1.0),))])
