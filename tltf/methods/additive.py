"""Methods that train the head and small parts that are added to a frozen backbone."""

import re
from collections.abc import Callable, Sequence

import keras

from tltf.backbones import kept_layers
from tltf.backbones.prompt import GROUP as PROMPT_GROUP
from tltf.errors import FlagError
from tltf.graphs.backbone import Group
from tltf.graphs.core import Core, replace_backbone
from tltf.graphs.freezing import Rule, expression
from tltf.graphs.layers import adapter, in_place
from tltf.graphs.layers import ia3 as layers_ia3
from tltf.graphs.layers import prefix as layers_prefix
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, TrainingOutcome
from tltf.methods.rules import HEAD

ATTENTION = ".*/attention_output/kernel"
FEED_FORWARD = ".*/(feedforward_output_dense|mlp/dense_2)/kernel"
PLACES = {"houlsby": f"{ATTENTION}|{FEED_FORWARD}", "pfeiffer": FEED_FORWARD}
"""The kernels behind which adapters are put: the last projection of a transformer block's attention
and of its feed-forward network, by the names that KerasHub gives."""
KEYS_AND_VALUES = re.compile(".*/(key|value)/kernel")
"""The kernels of keys and values, by the names that KerasHub gives."""
ADAPTERS: Rule = (r".*/adapter_(down|up)(_bias)?", 1.0)
PREFIX: Rule = (r".*/prefix_(keys|values)", 1.0)
PROMPT: Rule = (rf"{PROMPT_GROUP}/.*", 1.0)
SCALES: Rule = (rf".*/{layers_ia3.SCALE}", 1.0)
LAYER_NORMS: Rule = (".*layer_?norm[^/]*/(gamma|beta|scale)", 1.0)
"""The rules that train each kind of part, and the scales and shifts of layer normalisations."""


def adapters(
    size: int = 32, places: str = "houlsby", targets: str = "auto", layer_norms: bool = True
) -> "Additive":
    """A method that trains the head and adapters behind layers of a frozen backbone.

    The adapters stay in the core: Houlsby et al. 2019, arXiv:1902.00751, section 2.1; Pfeiffer et
    al. 2020, arXiv:2005.00247, with one adapter per block. Departs: see
    tltf.graphs.layers.adapter.

    Args:
        size: width of the bottleneck, at least 1.
        places: where adapters are put in the blocks of a transformer: houlsby puts them behind
            attention and feed-forward network, pfeiffer behind the feed-forward network only.
        targets: regular expression of the `<group>/<kernel>` behind which adapters are put; auto
            takes `places`.
        layer_norms: whether the scales and shifts of layer normalisations are trained too, as
            Houlsby et al. do; it has no effect where the backbone has none.

    Raises:
        FlagError: an unknown name of places, or a size below 1; when the core is prepared, no layer
            at these places, or adapters of another size there already.
    """
    _require_size("size", size)
    if places not in PLACES:
        what = f"there is no places={places!r} (choices: {', '.join(PLACES)})"
        raise FlagError(what, flag="method", fix="--method='adapters(places=houlsby)'")
    pattern = PLACES[places] if targets == "auto" else targets

    def names(core: Core) -> list[str] | None:
        layers = _matching_kernels(core.groups[:-1], pattern)
        return _without_parts(
            "size", size, [(name, adapter.size_of(layer)) for name, layer in layers]
        )

    return Additive("adapters", size, ADAPTERS, names, (LAYER_NORMS,) if layer_norms else ())


def prefix(length: int = 16) -> "Additive":
    """A method that trains the head and a prefix of keys and values in every attention.

    Li & Liang 2021, arXiv:2101.00190. Departs: see tltf.graphs.layers.prefix.

    Args:
        length: number of keys, at least 1.

    Raises:
        FlagError: a length below 1; when the core is prepared, a backbone without multi-head
            attention, or one that has a prefix of another length.
    """
    _require_size("length", length)

    def names(core: Core) -> list[str] | None:
        lengths = [
            (name, layers_prefix.length_of(layer)) for name, layer in _attentions(core.groups[:-1])
        ]
        return _without_parts("length", length, lengths)

    return Additive("prefix", length, PREFIX, names)


def prompt(length: int = 16) -> "Additive":
    """A method that trains the head and vectors before the embedded tokens of a text transformer.

    Lester et al. 2021, arXiv:2104.08691. Departs: see tltf.backbones.prompt.

    Args:
        length: number of vectors, at least 1.

    Raises:
        FlagError: a length below 1; when the core is prepared, another kind of backbone, or one that
            has a prompt of another length.
    """
    _require_size("length", length)

    def names(core: Core) -> list[str] | None:
        prompts = [(g.name, g.layers[0].length) for g in core.groups if g.name == PROMPT_GROUP]
        return _without_parts("length", length, prompts) if prompts else []

    return Additive("prompt", length, PROMPT, names)


def ia3() -> "Ia3":
    """A method that trains the head and factors on keys, values and feed-forward layers.

    The factors are merged at the end: Liu et al. 2022, arXiv:2205.05638, section 3.3.

    Raises:
        FlagError: when the core is prepared, a backbone without layers of these names.
    """
    return Ia3()


class Additive(Method):
    """A method that adds parts of one kind by `kept_layers.insert` and trains them.

    Args:
        kind: see `kept_layers.insert`.
        size: size of each part.
        rule: the rule that trains the parts.
        places: returns the names for `kept_layers.insert`, or None where a core has all parts
            already.
        others: rules of what is trained beside the parts, where the core has it.
    """

    def __init__(
        self,
        kind: str,
        size: int,
        rule: Rule,
        places: Callable[[Core], list[str] | None],
        others: tuple[Rule, ...] = (),
    ) -> None:
        super().__init__(lambda core: [Phase(kind, (HEAD, rule, *_matching(core, others)))])
        self.kind, self.size, self.places, self.adds_parts = kind, size, places, False

    def prepare(self, core: Core, context: FitContext) -> Core:
        """A core with the parts; parts that an earlier training left are trained further."""
        names = self.places(core)
        self.adds_parts = names is not None
        if names is None:
            return core
        return replace_backbone(
            core, kept_layers.insert(core.backbone, self.kind, self.size, names)
        )

    def release(self, core: Core) -> None:
        """Removes the parts that `prepare` added to the layers."""
        if self.adds_parts:
            kept_layers.take_out(core.backbone)


class Ia3(Method):
    """The method that `ia3` makes."""

    changes_trained = True

    def __init__(self) -> None:
        super().__init__(lambda core: [Phase("ia3", (HEAD, SCALES))])

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The same core, whose layers have factors; it computes what it did before."""
        places = (KEYS_AND_VALUES, "outputs"), (re.compile(FEED_FORWARD), "inputs")
        kernels = in_place.kernels(core.groups[:-1], layers_ia3.takes_scale)
        matches = [
            ([layer for name, layer in kernels if pattern.fullmatch(name)], side)
            for pattern, side in places
        ]
        for (pattern, _), (layers, _) in zip(places, matches, strict=True):
            if not layers:
                what = (
                    "ia3 scales layers of a transformer, but no kernel of the backbone matches "
                    f"{pattern.pattern!r}"
                )
                raise FlagError(what, flag="method", fix="--method=lora")
        for layers, side in matches:
            for layer in layers:
                layers_ia3.add(layer, side)
        return core

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """The core with the factors merged into its kernels and biases."""
        for _, layer in in_place.kernels(core.groups, layers_ia3.has_scale):
            layers_ia3.merge(layer)
        return core

    def release(self, core: Core) -> None:
        """Removes the factors."""
        for _, layer in in_place.kernels(core.groups, layers_ia3.has_scale):
            layers_ia3.remove(layer)


def _matching(core: Core, rules: tuple[Rule, ...]) -> list[Rule]:
    """The rules that match a variable of the core."""
    names = core.named_weights()
    return [rule for rule in rules if any(expression(rule[0]).fullmatch(name) for name in names)]


def _matching_kernels(groups: tuple[Group, ...], pattern: str) -> list[tuple[str, keras.Layer]]:
    """`(name, layer)` of the kernels that match and can have an adapter."""
    kernels = in_place.kernels(groups, adapter.takes_adapter)
    matching = [(name, layer) for name, layer in kernels if expression(pattern).fullmatch(name)]
    if not matching:
        example = f", e.g. {kernels[0][0]}" if kernels else ""
        what = f"{pattern!r} matches none of the kernels{example}"
        fix = "--method='adapters(targets=\".*/kernel\")', or --method=lora"
        raise FlagError(what, flag="method", fix=fix)
    return matching


def _attentions(groups: Sequence[Group]) -> list[tuple[str, keras.Layer]]:
    attentions = in_place.attentions(groups)
    if not attentions:
        what = (
            "prefix takes Keras's MultiHeadAttention, and the backbone has none "
            f"(its groups: {', '.join(group.name for group in groups)})"
        )
        raise FlagError(what, flag="method", fix="--method=lora")
    return attentions


def _without_parts(
    argument: str, wanted: int, sizes: Sequence[tuple[str, int]]
) -> list[str] | None:
    """Names of the places that have no part yet; None if all have one.

    Args:
        argument: the method's name for the size of a part.
        wanted: the size that the user wants.
        sizes: (name of the place, size of the part there, 0 without one).

    Raises:
        FlagError: an earlier training left a part of another size.
    """
    for name, size in sizes:
        if size not in (0, wanted):
            what = f"{name} has a part of {argument} {size} from an earlier training, not {wanted}"
            fix = f"{argument}={size}, which trains that part further"
            raise FlagError(what, flag="method", fix=fix)
    return [name for name, size in sizes if not size] or None


def _require_size(name: str, size: int) -> None:
    if not 1 <= size <= kept_layers.MOST:
        raise FlagError(
            f"{name} must be from 1 to {kept_layers.MOST} (received {size})", flag="method"
        )
