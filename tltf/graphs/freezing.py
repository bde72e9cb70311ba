"""Which variables are trained and how fast: one ordered list of rules, the first match wins.

A rule is `(pattern, rate)`; the pattern is a regular expression that must match the whole
of `<group>/<variable name>`. A variable that no rule matches is frozen. Frozen batch norm
runs on its stored statistics: that is a matter of `layer.trainable`, never of variables'
flags alone (keras#9965).
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import keras

from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.graphs.backbone import Group

NORM_MOMENTUM = 0.9
"""Largest momentum of a trained batch norm's statistics. Keras's usual .99 looks back over some
hundred steps: a fine-tuning of few steps ends before it has left the pretraining's domain
(mnist_5k, 1,000 images, EfficientNet-Lite0, second epoch: .68 validation accuracy, .98 with .9)."""
WEIGHT, NORM, STATE = "weight", "norm", "state"
"""Kinds of variables: what rules train, what they train unless norm is `frozen`, and the rest."""


@dataclasses.dataclass(frozen=True)
class LayerSetting:
    """How one layer is set.

    Args:
        layer: keras.Layer.
        is_trained: whether anything in it is trained, or a statistic of it moves.
        norms: (batch norm inside, whether its statistics move) of a layer that is trained.
        variables: (variable, whether it is trained) of those that are learned.
    """

    layer: keras.Layer
    is_trained: bool
    norms: tuple
    variables: tuple

    def apply(self, is_synchronized: bool) -> None:
        """Sets the flags of the layer, of what is inside, and of its variables."""
        self.layer.trainable = True  # set to what it is already, a flag would not reach variables
        self.layer.trainable = self.is_trained
        for norm, is_on in self.norms:
            norm.trainable = is_on
            norm.momentum = min(norm.momentum, NORM_MOMENTUM) if is_on else norm.momentum
        for variable, is_on in self.variables:
            variable.trainable = is_on
        for norm in norms(self.layer):
            norm.synchronized = is_synchronized


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a phase trains.

    Args:
        rows: dicts with group, name, size, rate and norm of every variable, in depth order. norm:
            of a batch norm's, whether it is left `frozen`, else the policy; "" of others.
        rates: name -> factor on the learning rate, for the trained variables.
        variables: name -> variable, for all; names as `functional.named_weights` has them.
        moving: names of the variables that training changes: the trained ones, and statistics
            of batch norm that follow the batches.
        settings: a LayerSetting of each layer.
    """

    rows: tuple
    rates: dict
    variables: dict
    moving: tuple = ()
    settings: tuple = ()

    def apply(self, is_synchronized: bool = False) -> "Plan":
        """Sets every layer's and variable's `trainable`; gives the plan back.

        Args:
            is_synchronized: batch norm takes its means over the batches of all devices.
        """
        for setting in self.settings:
            setting.apply(is_synchronized)
        return self

    @property
    def factors(self) -> dict[int, float]:
        """id of a trained variable -> its rate; paths of variables need not be unique."""
        return {id(self.variables[name]): rate for name, rate in self.rates.items()}

    @property
    def num_trainable(self) -> int:
        """Number of scalars that are trained."""
        return sum(row["size"] for row in self.rows if row["rate"] > 0)

    @property
    def num_total(self) -> int:
        """Number of scalars in all, batch-norm statistics included."""
        return sum(row["size"] for row in self.rows)


def apply(
    groups: Sequence[Group],
    rules: Sequence[tuple[str, float]],
    norm: str = "train",
    is_synchronized: bool = False,
) -> Plan:
    """The Plan of the rules, see `plan`, after it has been applied."""
    return plan(groups, rules, norm).apply(is_synchronized)


def plan(groups: Sequence[Group], rules: Sequence[tuple[str, float]], norm: str = "train") -> Plan:
    """What the rules train; changes nothing.

    Args:
        groups: the core's groups.
        rules: list of (pattern, rate); rate 0 freezes.
        norm: `train` and `recalibrate` train batch norms as the rules say, and the statistics of
            those of which something is trained, inside of other layers too; `frozen` leaves all
            batch norms as they are.

    Returns:
        Plan.

    Raises:
        FlagError: nothing is trainable, a pattern is not a regular expression, or a rule has no
            effect: it matches nothing, only what rules before it match, or nothing that is learned.
    """
    compiled = [(expression(pattern), rate) for pattern, rate in rules]
    layers = [(group.name, layer) for group in groups for layer in group.layers]
    variables = functional.named_weights([layer for _, layer in layers])
    names = {id(variable): name for name, variable in variables.items()}
    kinds = {key: kind for _, layer in layers for key, kind in _kinds(layer).items()}
    entries = [
        (f"{group}/{names[id(variable)]}", kinds[id(variable)])
        for group, layer in layers
        for variable in layer.weights
    ]
    _require_used(entries, compiled, norm)
    rows, rates, moving, settings = [], {}, [], []
    for group, layer in layers:
        wanted = {id(v): _rate(f"{group}/{names[id(v)]}", compiled) for v in layer.weights}
        setting, outcomes = _setting(layer, wanted, kinds, norm)
        settings.append(setting)
        for variable, rate, mode, moves in outcomes:
            name = names[id(variable)]
            rows.append(_row(group, name, variable, rate, mode))
            if rate > 0:
                rates[name] = rate
            if moves:
                moving.append(name)
    found = Plan(tuple(rows), rates, variables, tuple(moving), tuple(settings))
    if not found.num_trainable:
        raise FlagError(
            f"nothing is trainable under the rules {rules}",
            flag="method",
            fix="--method=linear_probe trains the head",
        )
    return found


def _learned(layer: Any) -> set[int]:
    """The ids of the variables that a gradient can reach, whatever is frozen now."""
    return {id(v) for part in layer._flatten_layers() for v in part._trainable_variables}


def _kinds(layer: Any) -> dict[int, str]:
    """id of each variable -> its kind.

    Of a batch norm without scale and shift the statistics are NORM: rules decide on it by them.
    """
    learned = _learned(layer)
    kinds = {id(v): WEIGHT if id(v) in learned else STATE for v in layer.weights}
    for sub in norms(layer):
        own = [v for v in sub.weights if id(v) in learned] or sub.weights
        kinds |= {id(variable): NORM for variable in own}
    return kinds


def _require_used(
    entries: Sequence[tuple[str, str]], compiled: Sequence[tuple[Any, float]], norm: str
) -> None:
    """Raises FlagError for a rule without effect.

    Args:
        entries: list of (`<group>/<variable>`, its kind), in depth order.
        compiled: list of (re.Pattern, rate).
        norm: as `plan`.
    """
    left = entries
    for pattern, rate in compiled:
        taken = [entry for entry in left if pattern.fullmatch(entry[0])]
        left = [entry for entry in left if not pattern.fullmatch(entry[0])]
        kinds = {kind for _, kind in taken}
        if not (WEIGHT in kinds or (NORM in kinds and (norm != "frozen" or rate == 0))):
            raise _unused(pattern, taken, entries)


def _unused(
    pattern: Any, taken: Sequence[tuple[str, str]], entries: Sequence[tuple[str, str]]
) -> FlagError:
    """The FlagError for a rule that has no effect on the entries that it decides."""
    rule, name = f"the rule {pattern.pattern!r}", taken[0][0] if taken else ""
    if any(kind == NORM for _, kind in taken):
        what = (
            f"{rule} trains nothing: it matches batch norms only, which norm=frozen leaves ({name})"
        )
        return FlagError(what, flag="method", fix="--norm=train")
    if taken:
        what = f"{rule} decides nothing: it matches only what is not learned, e.g. {name}"
        return FlagError(
            what, flag="method", fix="statistics follow their batch norm's gamma and beta"
        )
    matched = next((name for name, _ in entries if pattern.fullmatch(name)), None)
    if matched:
        what = f"{rule} decides nothing: rules before it match {matched}"
        return FlagError(what, flag="method", fix="put the narrower rule first")
    what = f"{rule} matches no variable (the first: {entries[0][0]})"
    return FlagError(what, flag="method", fix="--dry_run prints the groups")


def is_frozen(layer: Any) -> bool:
    """True where no variable of the layer is trained and no statistic of it moves."""
    return not layer.trainable_variables and not any(
        sub.trainable for sub in norms(layer) if sub.weights
    )


def _setting(
    layer: Any, wanted: dict[int, float], kinds: dict[int, str], norm: str
) -> tuple[LayerSetting, list[tuple]]:
    """`(LayerSetting, outcomes)`: (variable, rate, norm mode, whether it moves) of each variable.

    Args:
        layer: keras.Layer.
        wanted: id of a variable -> the rate that the rules give it.
        kinds: id of a variable -> its kind.
        norm: as `plan`.
    """
    learned, modes, flags = _learned(layer), dict[int, str](), list[Any]()
    for sub in norms(layer):
        is_asked = any(wanted[id(v)] > 0 for v in sub.weights if kinds[id(v)] == NORM)
        mode = norm if is_asked else "frozen"
        modes |= {id(variable): mode for variable in sub.weights}
        flags.append((sub, mode != "frozen"))
    rates = {
        key: rate if key in learned and modes.get(key) != "frozen" else 0.0
        for key, rate in wanted.items()
    }
    is_trained = any(rates.values()) or any(is_on for _, is_on in flags)
    outcomes, trained = [], []
    for variable in layer.weights:
        key = id(variable)
        rate, mode = rates[key], modes.get(key, "")
        if is_trained and key in learned:
            trained.append((variable, rate > 0))
        is_state = is_trained and key not in learned and mode != "frozen"
        outcomes.append((variable, rate, mode, rate > 0 or is_state))
    setting = LayerSetting(layer, is_trained, tuple(flags) if is_trained else (), tuple(trained))
    return setting, outcomes


def norms(layer: keras.Layer) -> list[keras.Layer]:
    """The batch-norm layers in `layer`, itself included."""
    return [
        sub for sub in layer._flatten_layers() if isinstance(sub, keras.layers.BatchNormalization)
    ]


def _rate(name: str, compiled: Sequence[tuple[Any, float]]) -> float:
    return next((float(rate) for pattern, rate in compiled if pattern.fullmatch(name)), 0.0)


def expression(pattern: str) -> Any:
    """A pattern as re.Pattern; FlagError where it is not a regular expression."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise FlagError(
            f"{pattern!r} is not a regular expression: {error}", flag="method"
        ) from error


def _row(group: str, name: str, variable: keras.Variable, rate: float, mode: str) -> dict[str, Any]:
    size = 1
    for width in variable.shape:
        size *= width
    return {"group": group, "name": name, "size": size, "rate": rate, "norm": mode}


def table(plan: Plan) -> list[dict[str, Any]]:
    """Rows a group: name, variables, parameters, trained parameters, rates, batch norms' modes."""
    rows: dict[str, dict] = {}
    for row in plan.rows:
        entry = rows.setdefault(
            row["group"],
            {
                "group": row["group"],
                "variables": 0,
                "parameters": 0,
                "trained": 0,
                "rates": [],
                "norm": [],
            },
        )
        entry["variables"] += 1
        entry["parameters"] += row["size"]
        entry["norm"] = sorted({*entry["norm"], row["norm"]} - {""})
        if row["rate"] > 0:
            entry["trained"] += row["size"]
            entry["rates"] = sorted({*entry["rates"], row["rate"]})
    return list(rows.values())


def table_text(plan: Plan) -> str:
    """The trainable table as it is printed; norm is that of batch norms, - where there are none."""
    lines = [f"{'group':<16}{'variables':>10}{'parameters':>13}{'trained':>13}  {'norm':<19}  rate"]
    for row in table(plan):
        rates = ", ".join(f"{rate:g}" for rate in row["rates"]) or "frozen"
        norm = ", ".join(row["norm"]) or "-"
        lines.append(
            f"{row['group']:<16}{row['variables']:>10,}{row['parameters']:>13,}"
            f"{row['trained']:>13,}  {norm:<19}  {rates}"
        )
    share = plan.num_trainable / plan.num_total
    lines.append(
        f"{'all':<16}{len(plan.rows):>10,}{plan.num_total:>13,}{plan.num_trainable:>13,}"
        f"  {share:.2%} trained"
    )
    return "\n".join(lines)
