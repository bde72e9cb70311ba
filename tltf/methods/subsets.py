"""Methods that train the head and a few variables in every layer, or the variables of given rules."""

from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.graphs.core import Core
from tltf.graphs.freezing import Rule, expression
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase
from tltf.methods.rules import HEAD

BIASES: Rule = (".*/([^/]*_)?(bias|beta)", 1.0)
"""The rule that trains the biases, also those of normalisations."""
NORMS: Rule = (".*/(gamma|beta|[^/]*norm[^/]*/scale)", 1.0)
"""The rule that trains the scales and shifts of normalisations; those of root mean squares have a `scale` alone."""


def bitfit() -> Method:
    """A method that trains the head and the biases, also those of normalisations.

    Ben Zaken et al. 2021, arXiv:2106.10199.

    Raises:
        FlagError: when the core is prepared, a backbone without biases.
    """
    return Bitfit(lambda core: [Phase("bitfit", (HEAD, BIASES))])


class Bitfit(Method):
    """The method that `bitfit` makes."""

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The same core, whose backbone has biases."""
        layers = [layer for group in core.groups[:-1] for layer in group.layers]
        names = functional.named_weights(layers)
        if not any(expression(BIASES[0]).fullmatch(f"group/{name}") for name in names):
            what = f"bitfit trains biases, and {core.backbone.name} has no biases"
            raise FlagError(what, flag="method", fix="--method=norm_only")
        return core


def norm_only() -> Method:
    """A method that trains the head and the scales and shifts of normalisations.

    Frankle et al. 2020, arXiv:2003.00152; for BERT, Qi et al. 2022, arXiv:2211.11925.
    """
    return Method(lambda core: [Phase("norm_only", (HEAD, NORMS))])


def rules(patterns: tuple[str, ...] = ("head/.*",), rates: tuple[float, ...] = ()) -> Method:
    """A method that trains what a list of patterns says; what no pattern matches is frozen.

    The first pattern that matches a variable counts.

    Args:
        patterns: regular expressions of `<group>/<variable>`; --dry_run prints the groups.
        rates: factor on --learning_rate for each pattern; 0 freezes; empty: 1 for all.

    Raises:
        FlagError: the numbers of rates and patterns differ, or a rate is below 0.
    """
    rates = tuple(rates) or (1.0,) * len(patterns)
    if len(rates) != len(patterns) or any(not rate >= 0 for rate in rates):
        what = f"{len(patterns)} patterns take as many rates, none below 0 (received {rates})"
        raise FlagError(what, flag="method", fix="leave rates out for a rate of 1")
    chosen = tuple((pattern, float(rate)) for pattern, rate in zip(patterns, rates, strict=True))
    return Method(lambda core: [Phase("rules", chosen)])
