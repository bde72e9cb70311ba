"""Plans of which variables are trained and how fast, made from an ordered list of rules.

A rule is `(pattern, rate)`; the pattern is a regular expression that must match the whole
of `<group>/<variable name>`, and the first rule that matches a variable counts. A variable that
no rule matches is frozen. A frozen batch norm runs on its stored statistics: `layer.trainable`
decides this, never the flags of its variables alone (keras#9965).
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, TypedDict

import keras

from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.graphs.backbone import Group

Rule = tuple[str, float]
"""A pattern of `<group>/<variable name>` and the factor on the learning rate of what it matches."""
NORM_MOMENTUM = 0.9
"""Largest momentum of a trained batch norm's statistics. Keras's usual .99 averages over some
hundred steps, so a short fine-tuning ends while the statistics are still those of the pretraining
data (mnist_5k, 1,000 images, EfficientNet-Lite0, second epoch: .68 validation accuracy, .98 with
.9)."""
WEIGHT, NORM, STATE = "weight", "norm", "state"
"""Kinds of variables: those that rules train, those that rules train unless the batch-norm policy is
`frozen`, and all others, which no rule can train."""


class PlanRow(TypedDict):
    """What a plan says of one variable.

    `norm` is the policy of a batch norm's variable, `frozen` where the batch norm is left as it is;
    it is empty for other variables.
    """

    group: str
    name: str
    size: int
    rate: float
    norm: str


@dataclasses.dataclass(frozen=True)
class LayerSetting:
    """The flags that a plan sets in one layer.

    Args:
        layer: the layer.
        is_trained: whether anything in the layer is trained, or a statistic of it moves.
        norms: (batch norm inside the layer, whether its statistics move); () for a layer of which
            nothing is trained.
        variables: (variable, whether it is trained) of those that a gradient can reach; () for a
            layer of which nothing is trained.
    """

    layer: keras.Layer
    is_trained: bool
    norms: tuple[tuple[keras.Layer, bool], ...]
    variables: tuple[tuple[keras.Variable, bool], ...]

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
        rows: a PlanRow for every variable, in depth order.
        rates: name -> factor on the learning rate, for the trained variables.
        variables: name -> variable, for all; names as `functional.named_weights` has them.
        moving: names of the variables that training changes: the trained ones, and statistics
            of batch norms that follow the batches.
        settings: a LayerSetting for every layer.
    """

    rows: tuple[PlanRow, ...]
    rates: dict[str, float]
    variables: dict[str, keras.Variable]
    moving: tuple[str, ...] = ()
    settings: tuple[LayerSetting, ...] = ()

    def apply(self, is_synchronized: bool = False) -> "Plan":
        """Sets the `trainable` flag of every layer and variable; returns the plan.

        Args:
            is_synchronized: whether batch norms take their means over the batches of all devices.
        """
        for setting in self.settings:
            setting.apply(is_synchronized)
        return self

    @property
    def factors(self) -> dict[int, float]:
        """`id(variable)` -> rate, for the trained variables; their paths need not be unique."""
        return {id(self.variables[name]): rate for name, rate in self.rates.items()}

    @property
    def num_trainable(self) -> int:
        """Number of scalars that are trained."""
        return sum(row["size"] for row in self.rows if row["rate"] > 0)

    @property
    def num_total(self) -> int:
        """Number of all scalars, batch-norm statistics included."""
        return sum(row["size"] for row in self.rows)


def apply(
    groups: Sequence[Group],
    rules: Sequence[Rule],
    norm: str = "train",
    is_synchronized: bool = False,
) -> Plan:
    """The Plan of the rules, as `plan` makes it, after it has been applied."""
    return plan(groups, rules, norm).apply(is_synchronized)


def plan(groups: Sequence[Group], rules: Sequence[Rule], norm: str = "train") -> Plan:
    """The Plan of the rules; this function changes no layer.

    Args:
        groups: the core's groups.
        rules: in order; rate 0 freezes.
        norm: `train` and `recalibrate` train batch norms as the rules say; the statistics of a batch
            norm move where the rules train something of it, also inside another layer. `frozen`
            leaves all batch norms as they are.

    Returns:
        Plan.

    Raises:
        FlagError: nothing is trainable, a pattern is not a regular expression, or a rule has no
            effect: it matches nothing, only what earlier rules match, or nothing that a gradient
            can reach.
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
    rows, rates = list[PlanRow](), dict[str, float]()
    moving, settings = list[str](), list[LayerSetting]()
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


def _learned(layer: keras.Layer) -> set[int]:
    """The ids of the variables that a gradient can reach, whatever is frozen now."""
    return {id(v) for part in layer._flatten_layers() for v in part._trainable_variables}


def _kinds(layer: keras.Layer) -> dict[int, str]:
    """`id(variable)` -> the kind of the variable.

    The statistics of a batch norm without scale and shift are of the kind NORM: a rule that matches
    them decides whether the batch norm is trained.
    """
    learned = _learned(layer)
    kinds = {id(v): WEIGHT if id(v) in learned else STATE for v in layer.weights}
    for sub in norms(layer):
        own = [v for v in sub.weights if id(v) in learned] or sub.weights
        kinds |= {id(variable): NORM for variable in own}
    return kinds


def _require_used(
    entries: Sequence[tuple[str, str]],
    compiled: Sequence[tuple[re.Pattern[str], float]],
    norm: str,
) -> None:
    """Raises FlagError for a rule without effect.

    Args:
        entries: (`<group>/<variable>`, its kind), in depth order.
        compiled: the rules, their patterns compiled.
        norm: see `plan`.
    """
    left = entries
    for pattern, rate in compiled:
        taken = [entry for entry in left if pattern.fullmatch(entry[0])]
        left = [entry for entry in left if not pattern.fullmatch(entry[0])]
        kinds = {kind for _, kind in taken}
        if not (WEIGHT in kinds or (NORM in kinds and (norm != "frozen" or rate == 0))):
            raise _unused(pattern, taken, entries)


def _unused(
    pattern: re.Pattern[str],
    taken: Sequence[tuple[str, str]],
    entries: Sequence[tuple[str, str]],
) -> FlagError:
    """The FlagError for a rule that has no effect on the entries that it decides."""
    rule, name = f"the rule {pattern.pattern!r}", taken[0][0] if taken else ""
    if any(kind == NORM for _, kind in taken):
        what = (
            f"{rule} trains nothing: it matches only batch norms, and norm=frozen leaves them as "
            f"they are ({name})"
        )
        return FlagError(what, flag="method", fix="--norm=train")
    if taken:
        what = f"{rule} decides nothing: it matches only what no gradient can train, e.g. {name}"
        return FlagError(
            what, flag="method", fix="statistics follow the gamma and beta of their batch norm"
        )
    matched = next((name for name, _ in entries if pattern.fullmatch(name)), None)
    if matched:
        what = f"{rule} decides nothing: earlier rules match {matched}"
        return FlagError(what, flag="method", fix="put the narrower rule first")
    what = f"{rule} matches no variable (the first variable is {entries[0][0]})"
    return FlagError(what, flag="method", fix="--dry_run prints the groups")


def is_frozen(layer: keras.Layer) -> bool:
    """Whether no variable of the layer is trained and no statistic of it moves."""
    return not layer.trainable_variables and not any(
        sub.trainable for sub in norms(layer) if sub.weights
    )


def _setting(
    layer: keras.Layer, wanted: dict[int, float], kinds: dict[int, str], norm: str
) -> tuple[LayerSetting, list[tuple[keras.Variable, float, str, bool]]]:
    """`(LayerSetting, outcomes)`: (variable, rate, norm mode, whether it moves) of each variable.

    Args:
        layer: the layer.
        wanted: `id(variable)` -> the rate that the rules give it.
        kinds: `id(variable)` -> its kind.
        norm: see `plan`.
    """
    learned, modes = _learned(layer), dict[int, str]()
    flags = list[tuple[keras.Layer, bool]]()
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
    follows = is_trained or getattr(layer, "follows_batches", False)
    outcomes, trained = [], []
    for variable in layer.weights:
        key = id(variable)
        rate, mode = rates[key], modes.get(key, "")
        if is_trained and key in learned:
            trained.append((variable, rate > 0))
        is_state = follows and key not in learned and mode != "frozen"
        outcomes.append((variable, rate, mode, rate > 0 or is_state))
    setting = LayerSetting(layer, is_trained, tuple(flags) if is_trained else (), tuple(trained))
    return setting, outcomes


def norms(layer: keras.Layer) -> list[keras.Layer]:
    """The batch-norm layers inside `layer`, or itself if it is one."""
    return [
        sub for sub in layer._flatten_layers() if isinstance(sub, keras.layers.BatchNormalization)
    ]


def _rate(name: str, compiled: Sequence[tuple[re.Pattern[str], float]]) -> float:
    return next((float(rate) for pattern, rate in compiled if pattern.fullmatch(name)), 0.0)


def expression(pattern: str) -> re.Pattern[str]:
    """The compiled pattern of a rule; raises FlagError where it is not a regular expression."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise FlagError(
            f"{pattern!r} is not a regular expression: {error}", flag="method"
        ) from error


def _row(group: str, name: str, variable: keras.Variable, rate: float, mode: str) -> PlanRow:
    size = 1
    for width in variable.shape:
        size *= width
    return {"group": group, "name": name, "size": size, "rate": rate, "norm": mode}


def table(plan: Plan) -> list[dict[str, Any]]:
    """The trainable table: a row of plain data for each group, in depth order.

    The keys of a row are `group`, `variables` (their number), `parameters` and `trained` (numbers of
    scalars), `rates` (those above 0) and `norm` (the policies of the group's batch norms).
    """
    rows: dict[str, dict[str, Any]] = {}
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
    """The trainable table as it is printed; `norm` is - for a group without batch norms."""
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
