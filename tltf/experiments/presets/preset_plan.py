"""What a preset tries and what it has chosen, kept in its run, so that one that was interrupted goes on with the same."""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

from tltf.config.flag_fields import FlagValue
from tltf.config.options import Options
from tltf.config.preset_options import QUICK
from tltf.errors import FlagError, ModelError
from tltf.evaluation.report.tried_block import TriedBlock, TriedRow
from tltf.evaluation.split_metrics import from_known_keys
from tltf.experiments.advice import advising, automatic, page
from tltf.experiments.advice.advising import Advice
from tltf.experiments.presets import budget, trial_space
from tltf.experiments.presets.trial_space import TrialSpace
from tltf.runs import layout

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class PresetPlan:
    """What a preset tries.

    Args:
        preset: its name.
        given: the flags of the run that change what is trained, as texts.
        network: the flags of the network that trials begin with.
        space: of the trials; None for `quick`, which has none.
        rows: of the report, about the advice and its networks.
        warnings: of the advice.
        why: why trials begin with another network than the advised one; empty where they do not.
        advice_s: seconds that the advice took.
        reserve_s: seconds that are kept for the end.
    """

    preset: str
    given: list[str]
    network: dict[str, FlagValue]
    space: TrialSpace | None
    rows: list[TriedRow]
    warnings: list[str]
    why: list[str]
    advice_s: float
    reserve_s: float

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "PresetPlan":
        """The plan of plain JSON."""
        rows = [from_known_keys(TriedRow, row) for row in values["rows"]]
        space = values["space"] and trial_space.from_json(values["space"])
        return from_known_keys(cls, values | {"rows": rows, "space": space})


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a preset has chosen.

    Args:
        values: the flags of the model, by name; None for an ensemble.
        trials: the names of the folders of its trials: one, several of an ensemble, or none where it is yet to be trained.
        block: of the report.
    """

    values: dict[str, FlagValue] | None
    trials: list[str]
    block: TriedBlock

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Choice":
        """The choice of plain JSON."""
        return from_known_keys(cls, values | {"block": TriedBlock.from_json(values["block"])})


def make(preset: str, given: Options, advice: Advice, left_s: float) -> PresetPlan:
    """The PresetPlan of an advice.

    Args:
        preset: its name.
        given: the options of the run.
        advice: the advice.
        left_s: seconds that are left for trials and for the end.
    """
    reserve_s, why, space = budget.reserve_s(advice), list[str](), None
    network = advising.first_flags(advice)
    rows = [TriedRow("advice: all of the following networks", advice.seconds)]
    if preset != QUICK:
        advised = advice.networks[0].name
        advice = trial_space.put_affordable_first(given, advice, left_s - reserve_s)
        network = dict(advice.networks[0].candidate.flags)
        space = trial_space.make(given, advice, left_s - reserve_s)
        if advice.networks[0].name != advised:
            why.append(
                f"There was no time to fine-tune {advised}, the first network of the advice, twice; "
                f"{advice.networks[0].name} is nearly as good and faster."
            )
    rows += [
        TriedRow(
            f"{one.name}, a light head",
            one.ms_per_example / 1000 * advice.num_looked_at + one.head_s,
            one.accuracy,
            "folds of training",
        )
        for one in advice.networks
    ]
    given_flags = automatic.given_flags(given)
    return PresetPlan(
        preset, given_flags, network, space, rows, advice.warnings, why, advice.seconds, reserve_s
    )


def write(run: pathlib.Path, name: str, found: PresetPlan | Choice) -> None:
    """Writes a plan or a choice into the advice of a run."""
    page.write_json(run / layout.ADVICE / name, dataclasses.asdict(found))


def read_plan(run: pathlib.Path, preset: str, given: Options) -> PresetPlan | None:
    """The plan with which a run was begun; None where there is none.

    Raises:
        FlagError: it was begun with another preset or other flags.
        ModelError: the file is damaged.
    """
    plan = _read(run / layout.ADVICE / layout.PRESET_PLAN, PresetPlan.from_json)
    if plan is None:
        return None
    old = {f"--preset={plan.preset}", *plan.given}
    changed = old ^ {f"--preset={preset}", *automatic.given_flags(given)}
    if changed:
        what = f"{run} was begun with other flags ({', '.join(sorted(changed))})"
        raise FlagError(what, flag="output", fix="another --output, or --overwrite")
    return plan


def read_choice(run: pathlib.Path) -> Choice | None:
    """What a run has chosen; None where it has not.

    Raises:
        ModelError: the file is damaged.
    """
    return _read(run / layout.ADVICE / layout.PRESET_CHOICE, Choice.from_json)


def _read(path: pathlib.Path, make: Callable[[dict[str, Any]], T]) -> T | None:
    if not path.exists():
        return None
    try:
        return make(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError("cannot be read", place=path, fix="another --output") from error
