"""Methods that train the head and small parts added to a frozen backbone."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from tltf.backbones import kept_layers
from tltf.backbones.prompt import GROUP as PROMPT_GROUP
from tltf.errors import FlagError
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core, on_backbone
from tltf.graphs.freezing import expression
from tltf.graphs.layers import adapter, in_place
from tltf.graphs.layers import ia3 as layers_ia3
from tltf.graphs.layers import prefix as layers_prefix
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, TrainingOutcome
from tltf.methods.rules import HEAD

ATTENTION = ".*/attention_output/kernel"
FEED_FORWARD = ".*/(feedforward_output_dense|mlp/dense_2)/kernel"
PLACES = {"houlsby": f"{ATTENTION}|{FEED_FORWARD}", "pfeiffer": FEED_FORWARD}
"""Where a block's projections end, by the names that KerasHub gives."""
KEYS_AND_VALUES = re.compile(".*/(key|value)/kernel")
ADAPTERS = (r".*/adapter_(down|up)(_bias)?", 1.0)
PREFIX = (r".*/prefix_(keys|values)", 1.0)
PROMPT = (rf"{PROMPT_GROUP}/.*", 1.0)
SCALES = (rf".*/{layers_ia3.SCALE}", 1.0)
LAYER_NORMS = (".*layer_norm[^/]*/(gamma|beta)", 1.0)


def adapters(
    size: int = 32, places: str = "houlsby", targets: str = "auto", layer_norms: bool = True
) -> "Additive":
    """Trains the head and bottlenecks behind layers of a frozen backbone; they stay in the core.

    Houlsby et al. 2019, arXiv:1902.00751, section 2.1; Pfeiffer et al. 2020, arXiv:2005.00247,
    with one bottleneck a block. Departures: see tltf.graphs.layers.adapter.

    Args:
        size: width of the bottleneck, at least 1.
        places: of a transformer's blocks: houlsby, behind attention and feed-forward network;
            pfeiffer, behind the latter.
        targets: regular expression of `<group>/<kernel>` of the layers, in place of `places`.
        layer_norms: whether the scales and shifts of layer normalisations are trained too, as
            Houlsby et al. do; nothing where the backbone has none.

    Raises:
        FlagError: an unknown place, a size below 1, no layer at these places, or adapters of another
            size there already.
    """
    _require_size("size", size)
    if places not in PLACES:
        what = f"no places {places!r} (choices: {', '.join(PLACES)})"
        raise FlagError(what, flag="method", fix="--method='adapters(places=houlsby)'")
    pattern = PLACES[places] if targets == "auto" else targets

    def names(core: Core) -> Any:
        found = _matrices(core.groups[:-1], pattern)
        return _without("size", size, [(name, adapter.size_of(layer)) for name, layer in found])

    return Additive("adapters", size, ADAPTERS, names, (LAYER_NORMS,) if layer_norms else ())


def prefix(length: int = 16) -> "Additive":
    """Trains the head and keys and values before those of the sequence, in every attention.

    Li & Liang 2021, arXiv:2101.00190. Departures: see tltf.graphs.layers.prefix.

    Args:
        length: number of keys, at least 1.

    Raises:
        FlagError: a length below 1, a backbone without multi-head attention, or one that has a
            prefix of another length.
    """
    _require_size("length", length)

    def names(core: Core) -> Any:
        found = [(name, layers_prefix.length_of(layer))
                 for name, layer in _attentions(core.groups[:-1])]  # fmt: skip
        return _without("length", length, found)

    return Additive("prefix", length, PREFIX, names)


def prompt(length: int = 16) -> "Additive":
    """Trains the head and vectors before the embedded tokens of a transformer for texts.

    Lester et al. 2021, arXiv:2104.08691. Departures: see tltf.backbones.prompt.

    Args:
        length: number of vectors, at least 1.

    Raises:
        FlagError: a length below 1, another kind of backbone, or one that has a prompt of another
            length.
    """
    _require_size("length", length)

    def names(core: Core) -> Any:
        found = [(g.name, g.layers[0].length) for g in core.groups if g.name == PROMPT_GROUP]
        return _without("length", length, found) if found else []

    return Additive("prompt", length, PROMPT, names)


def ia3() -> "Scaled":
    """Trains the head and factors on keys, values and feed-forward layers, merged at the end.

    Liu et al. 2022, arXiv:2205.05638, section 3.3.

    Raises:
        FlagError: a backbone without layers of these names.
    """
    return Scaled()


class Additive(Method):
    """Parts of one kind that are put in by `kept_layers.insert`.

    Args:
        kind: see `kept_layers.insert`.
        size: of each part.
        rule: that trains them.
        places: core -> names for `kept_layers.insert`, or None where all parts are there already.
        others: rules of what is trained beside them, where the core has it.
    """

    def __init__(
        self,
        kind: str,
        size: int,
        rule: tuple[str, float],
        places: Callable[..., Any],
        others: tuple[tuple[str, float], ...] = (),
    ) -> None:
        super().__init__(lambda core: [Phase(kind, (HEAD, rule, *_matching(core, others)))])
        self.kind, self.size, self.places, self.puts_in = kind, size, places, False

    def prepare(self, core: Core, context: FitContext) -> Core:
        """A core with the parts; those that an earlier training left are trained on."""
        names = self.places(core)
        self.puts_in = names is not None
        if not self.puts_in:
            return core
        return on_backbone(core, kept_layers.insert(core.backbone, self.kind, self.size, names))

    def release(self, core: Core) -> None:
        """Takes the parts out of the layers that `prepare` put in."""
        if self.puts_in:
            kept_layers.take_out(core.backbone)


class Scaled(Method):
    """See `ia3`."""

    def __init__(self) -> None:
        super().__init__(lambda core: [Phase("ia3", (HEAD, SCALES))])

    def prepare(self, core: Core, context: FitContext) -> Core:
        """Gives the layers their factors; the core computes what it did."""
        places = (KEYS_AND_VALUES, "outputs"), (re.compile(FEED_FORWARD), "inputs")
        every = in_place.kernels(core.groups[:-1], layers_ia3.takes_scale)
        found = [([layer for name, layer in every if pattern.fullmatch(name)], side)
                 for pattern, side in places]  # fmt: skip
        for (pattern, _), (chosen, _) in zip(places, found, strict=True):
            if not chosen:
                what = f"ia3 scales layers of a transformer: no kernel is {pattern.pattern!r}"
                raise FlagError(what, flag="method", fix="--method=lora")
        for chosen, side in found:
            for layer in chosen:
                layers_ia3.add(layer, side)
        return core

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """Merges the factors: the core is one of plain layers again."""
        for _, layer in in_place.kernels(core.groups, layers_ia3.has_scale):
            layers_ia3.merge(layer)
        return core

    def release(self, core: Core) -> None:
        """Takes the factors away."""
        for _, layer in in_place.kernels(core.groups, layers_ia3.has_scale):
            layers_ia3.remove(layer)


def _matching(core: Core, rules: tuple[tuple[str, float], ...]) -> list[tuple[str, float]]:
    """Those of the rules that match a variable of the core."""
    names = core.named_weights()
    return [rule for rule in rules if any(expression(rule[0]).fullmatch(name) for name in names)]


def _matrices(groups: tuple[Group, ...], pattern: str) -> list[tuple[str, Any]]:
    """`(name, layer)` of the kernels that match."""
    every = in_place.kernels(groups, adapter.takes_adapter)
    found = [(name, layer) for name, layer in every if expression(pattern).fullmatch(name)]
    if not found:
        example = f", e.g. {every[0][0]}" if every else ""
        what = f"{pattern!r} matches none of the kernels{example}"
        fix = "--method='adapters(targets=\".*/kernel\")', or --method=lora"
        raise FlagError(what, flag="method", fix=fix)
    return found


def _attentions(groups: Sequence[Group]) -> list[tuple[str, Any]]:
    found = in_place.attentions(groups)
    if not found:
        what = (
            "prefix takes Keras's MultiHeadAttention, and the backbone has none "
            f"(its groups: {', '.join(group.name for group in groups)})"
        )
        raise FlagError(what, flag="method", fix="--method=lora")
    return found


def _without(argument: str, wanted: int, found: Sequence[tuple[str, int]]) -> list[str] | None:
    """Names of the places that have no part yet; None if all have one.

    Args:
        argument: what the method calls a part's size.
        wanted: the size that is asked for.
        found: list of (name, size of the part there, 0 without one).

    Raises:
        FlagError: an earlier training left a part of another size.
    """
    for name, there in found:
        if there not in (0, wanted):
            what = f"{name} keeps a part of {argument} {there} from its training, not {wanted}"
            raise FlagError(what, flag="method", fix=f"{argument}={there}, which is trained on")
    return [name for name, there in found if not there] or None


def _require_size(name: str, size: int) -> None:
    if not 1 <= size <= kept_layers.MOST:
        raise FlagError(f"{name} is 1 to {kept_layers.MOST} (received {size})", flag="method")
