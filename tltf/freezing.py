"""Which variables are trained and how fast: one ordered list of rules, the first match wins.

A rule is `(pattern, rate)`; the pattern is a regular expression that must match the whole
of `<group>/<variable name>`. A variable that no rule matches is frozen. Frozen batch norm
runs on its stored statistics: that is a matter of `layer.trainable`, never of variables'
flags alone (keras#9965).
"""

import dataclasses
import re

import keras

from tltf import graphs
from tltf.errors import FlagError

NORM_MOMENTUM = 0.9
"""Largest momentum of a trained batch norm's statistics. Keras's usual .99 looks back over some
hundred steps: a fine-tuning of few steps ends before it has left the pretraining's domain
(mnist_5k, 1,000 images, EfficientNet-Lite0, second epoch: .68 validation accuracy, .98 with .9)."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a phase trains.

    Args:
        rows: dicts with group, name, size, rate and norm of every variable, in depth order.
        rates: name -> factor on the learning rate, for the trained variables.
        variables: name -> variable, for all; names as `graphs.named_weights` has them.
        moving: names of the variables that training changes: the trained ones, and statistics
            of batch norm that follow the batches.
    """

    rows: tuple
    rates: dict
    variables: dict
    moving: tuple = ()

    @property
    def factors(self):
        """id of a trained variable -> its rate; paths of variables need not be unique."""
        return {id(self.variables[name]): rate for name, rate in self.rates.items()}

    @property
    def num_trainable(self):
        """Number of scalars that are trained."""
        return sum(row["size"] for row in self.rows if row["rate"] > 0)

    @property
    def num_total(self):
        """Number of scalars in all, batch-norm statistics included."""
        return sum(row["size"] for row in self.rows)


def apply(groups, rules, norm="train", is_synchronized=False):
    """Sets every layer's and variable's `trainable` by the rules.

    Args:
        groups: the core's groups.
        rules: list of (pattern, rate); rate 0 freezes.
        norm: `train` and `recalibrate` update the batch-norm layers of trained groups, statistics
            included; `frozen` leaves them as they are.
        is_synchronized: batch norm takes its means over the batches of all devices.

    Returns:
        Plan.

    Raises:
        FlagError: nothing is trainable, a pattern is no regular expression or matches nothing, or
            a rule never decides because those before it match all that it matches.
    """
    compiled = [(expression(pattern), rate) for pattern, rate in rules]
    variables = graphs.named_weights([layer for group in groups for layer in group.layers])
    _require_used(groups, variables, compiled)
    names = {id(variable): name for name, variable in variables.items()}
    rows, rates, moving = [], {}, []
    for group in groups:
        for layer in group.layers:
            for name, variable, rate, moves in _set_layer(group.name, layer, names, compiled, norm):
                rows.append(_row(group.name, name, variable, rate))
                if rate > 0:
                    rates[name] = rate
                if moves:
                    moving.append(name)
            for sub in norms(layer):
                sub.synchronized = is_synchronized
    plan = Plan(tuple(rows), rates, variables, tuple(moving))
    if not plan.num_trainable:
        raise FlagError(f"nothing is trainable under the rules {rules}", flag="method",
                        fix="--method=linear_probe trains the head")  # fmt: skip
    return plan


def _require_used(groups, variables, compiled):
    """Raises FlagError for a rule that decides nothing."""
    names = {id(variable): name for name, variable in variables.items()}
    every = [f"{group.name}/{names[id(variable)]}"
             for group in groups for layer in group.layers for variable in layer.weights]  # fmt: skip
    left = list(dict.fromkeys(every))
    for pattern, _ in compiled:
        rest = [name for name in left if not pattern.fullmatch(name)]
        if len(rest) < len(left):
            left = rest
            continue
        matched = next((name for name in every if pattern.fullmatch(name)), None)
        if matched:
            what = f"the rule {pattern.pattern!r} decides nothing: rules before it match {matched}"
            raise FlagError(what, flag="method", fix="put the narrower rule first")
        raise FlagError(f"the rule {pattern.pattern!r} matches no variable (the first: {every[0]})",
                        flag="method", fix="--dry_run prints the groups")  # fmt: skip


def is_frozen(layer):
    """True where no variable of the layer is trained and no statistic of it moves."""
    return not layer.trainable_variables and not any(
        sub.trainable for sub in norms(layer) if sub.weights
    )


def _set_layer(group, layer, names, compiled, norm):
    """Sets one layer's flags; (name, variable, rate, whether it moves) of each of its variables."""
    layer.trainable = False  # set to what it is already, the flag would not reach the variables
    layer.trainable = True
    by_nature = {id(variable) for variable in layer.trainable_variables}
    still = {id(variable) for sub in norms(layer) if norm == "frozen" for variable in sub.weights}
    found = []
    for variable in layer.weights:
        name = names[id(variable)]
        rate = _rate(f"{group}/{name}", compiled)
        if id(variable) not in by_nature or id(variable) in still:
            rate = 0.0
        found.append((name, variable, rate))
    if not any(rate > 0 for _, _, rate in found):
        layer.trainable = False
        return [(*entry, False) for entry in found]
    for sub in norms(layer):
        sub.trainable = norm != "frozen"
        sub.momentum = min(sub.momentum, NORM_MOMENTUM)
    for _, variable, rate in found:
        if id(variable) in by_nature and id(variable) not in still:
            variable.trainable = rate > 0
    kept = by_nature | still
    return [(name, v, rate, rate > 0 or id(v) not in kept) for name, v, rate in found]


def norms(layer):
    """The batch-norm layers in `layer`, itself included."""
    return [
        sub for sub in layer._flatten_layers() if isinstance(sub, keras.layers.BatchNormalization)
    ]


def _rate(name, compiled):
    return next((float(rate) for pattern, rate in compiled if pattern.fullmatch(name)), 0.0)


def expression(pattern):
    """A pattern as re.Pattern; FlagError where it is no regular expression."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise FlagError(f"{pattern!r} is no regular expression: {error}", flag="method") from error


def _row(group, name, variable, rate):
    size = 1
    for width in variable.shape:
        size *= width
    return {"group": group, "name": name, "size": size, "rate": rate}


def table(plan):
    """Rows a group: name, variables, parameters, trained parameters and rates."""
    rows = {}
    for row in plan.rows:
        entry = rows.setdefault(
            row["group"],
            {"group": row["group"], "variables": 0, "parameters": 0, "trained": 0, "rates": []},
        )
        entry["variables"] += 1
        entry["parameters"] += row["size"]
        if row["rate"] > 0:
            entry["trained"] += row["size"]
            entry["rates"] = sorted({*entry["rates"], row["rate"]})
    return list(rows.values())


def table_text(plan):
    """The trainable table as it is printed."""
    lines = [f"{'group':<16}{'variables':>10}{'parameters':>13}{'trained':>13}  rate"]
    for row in table(plan):
        rates = ", ".join(f"{rate:g}" for rate in row["rates"]) or "frozen"
        lines.append(
            f"{row['group']:<16}{row['variables']:>10,}{row['parameters']:>13,}"
            f"{row['trained']:>13,}  {rates}"
        )
    share = plan.num_trainable / plan.num_total
    lines.append(
        f"{'all':<16}{len(plan.rows):>10,}{plan.num_total:>13,}{plan.num_trainable:>13,}"
        f"  {share:.2%} trained"
    )
    return "\n".join(lines)
