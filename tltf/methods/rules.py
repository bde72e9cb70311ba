"""The rules that most methods share."""

import math

from tltf.errors import FlagError

HEAD = ("head/.*", 1.0)
EVERYTHING = (HEAD, (".*", 1.0))


def require_rate(backbone_rate: float) -> None:
    """Raises FlagError for a rate of the backbone at which it is not trained."""
    if not 0 < backbone_rate < math.inf:
        what = f"backbone_rate is above 0 (received {backbone_rate})"
        raise FlagError(what, flag="method", fix="--method=linear_probe trains the head only")
