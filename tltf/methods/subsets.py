"""Methods that train the head and a few variables in every layer."""

from tltf.errors import FlagError
from tltf.methods.method import Method, Phase
from tltf.methods.rules import HEAD

BIASES = (".*/([^/]*_)?(bias|beta)", 1.0)
NORMS = (".*/(gamma|beta)", 1.0)


def bitfit() -> Method:
    """Trains the head and the biases, those of normalisations included.

    Ben Zaken et al. 2021, arXiv:2106.10199.
    """
    return Method(lambda core: [Phase("bitfit", (HEAD, BIASES))])


def norm_only() -> Method:
    """Trains the head and the scales and shifts of normalisations.

    Frankle et al. 2020, arXiv:2003.00152; for BERT, Qi et al. 2022, arXiv:2211.11925.
    """
    return Method(lambda core: [Phase("norm_only", (HEAD, NORMS))])


def rules(patterns: tuple[str, ...] = ("head/.*",), rates: tuple[float, ...] = ()) -> Method:
    """Trains what a list of patterns says; the first that matches decides, the rest is frozen.

    Args:
        patterns: regular expressions of `<group>/<variable>`, as --dry_run prints the groups.
        rates: factor on --learning_rate for each; 0 freezes; empty: 1 for all.

    Raises:
        FlagError: not one rate a pattern, or one below 0.
    """
    rates = tuple(rates) or (1.0,) * len(patterns)
    if len(rates) != len(patterns) or any(not rate >= 0 for rate in rates):
        what = f"{len(patterns)} patterns take as many rates, none below 0 (received {rates})"
        raise FlagError(what, flag="method", fix="leave rates out for a rate of 1")
    chosen = tuple((pattern, float(rate)) for pattern, rate in zip(patterns, rates, strict=True))
    return Method(lambda core: [Phase("rules", chosen)])
