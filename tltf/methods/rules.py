"""Rules and checks of arguments that several methods share."""

import math
from collections.abc import Sequence

from tltf.errors import FlagError
from tltf.graphs.freezing import Rule

HEAD: Rule = ("head/.*", 1.0)
"""The rule that trains the head at the full learning rate."""
EVERYTHING: tuple[Rule, ...] = (HEAD, (".*", 1.0))
"""The rules that train the whole network at the full learning rate."""
SOLVERS = ("gradient", "lbfgs")
"""How a head on frozen features may be trained: by steps of the optimizer, or solved for."""
LIGHT = "light"
"""The solver of methods that may start from a tuned light head, see `tltf.methods.schedules.LightStart`."""


def require_rate(backbone_rate: float) -> None:
    """Raises FlagError for a rate at which the backbone is not trained."""
    if not 0 < backbone_rate < math.inf:
        what = f"backbone_rate must be above 0 (received {backbone_rate})"
        raise FlagError(what, flag="method", fix="--method=linear_probe trains the head only")


def require_solver(solver: str, method: str, others: Sequence[str] = ()) -> None:
    """Raises FlagError for an unknown solver.

    Args:
        solver: the name that is checked.
        method: name of the method whose argument it is, for the fix.
        others: solvers that the method knows beside SOLVERS.
    """
    known = (*SOLVERS, *others)
    if solver not in known:
        raise FlagError(
            f"there is no solver {solver!r} (choices: {', '.join(known)})",
            flag="method",
            fix=f"--method='{method}(solver=lbfgs)'",
        )


def require_strengths(alpha: float, beta: float) -> None:
    """Raises FlagError for the strength of a penalty that is below 0."""
    if not (alpha >= 0 and beta >= 0):
        raise FlagError(
            f"alpha and beta must be at least 0 (received {alpha}, {beta})", flag="method"
        )
