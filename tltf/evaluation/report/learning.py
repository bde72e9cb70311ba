"""How a training went: its learning curves, and the epoch or the penalty that was kept."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

from tltf.evaluation import evaluators
from tltf.evaluation.report import plots
from tltf.evaluation.report.report import Report
from tltf.evaluation.report.wording import Wording, count_of

FEW_JUDGES = 100
"""A choice by fewer validation examples is said to be uncertain."""
MIXED = {"the share of the start's weights", "the runs of the soup"}
"""Names in `Report.chosen_on_validation` of methods whose weights are not those of one epoch."""
Rows = Sequence[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Kept:
    """The row of the history whose weights the model has.

    Args:
        place: of the row in the history, from 0.
        phase: its name.
        number: of the epoch in its phase, from 1.
        num_epochs: epochs of the phase that were run; 0 for a penalty.
        penalty: of a head that was solved for; None for an epoch.
        num_later: epochs that were run after it, in its phase and in later ones.
    """

    place: int
    phase: str
    number: int
    num_epochs: int
    penalty: float | None
    num_later: int


@dataclasses.dataclass(frozen=True)
class CurveGroup:
    """Plots that share their horizontal axis.

    Args:
        title: above them; empty where there is one group.
        svgs: an `<svg>` element each.
    """

    title: str
    svgs: Sequence[str]


def epochs_of(history: Rows) -> list[dict[str, Any]]:
    """The rows that are epochs."""
    return [row for row in history if row.get("penalty") is None and "candidate" not in row]


def penalties_of(history: Rows) -> list[dict[str, Any]]:
    """The rows that are penalties of a head that was solved for."""
    return [row for row in history if row.get("penalty") is not None]


def kept(report: Report, history: Rows) -> Kept | None:
    """The row that was kept; None where validation did not choose it, or weights were mixed."""
    options, said = report.options or {}, evaluators.wording_for(report.main_split()[1])
    is_mixed = bool(MIXED & set(report.chosen_on_validation or ()))
    is_chosen = options.get("keep") == "best" or not epochs_of(history)
    if is_mixed or not is_chosen or not report.chosen_on_validation:
        return None
    passed = 1 + max((i for i, row in enumerate(history) if row.get("is_passed")), default=-1)
    place = _best(history[passed:], said, is_by_loss=options.get("metric") == "loss")
    if place is None:
        return None
    place += passed
    row, later = history[place], epochs_of(history[place + 1 :])
    phase, penalty = str(row.get("phase", "")), row.get("penalty")
    num_epochs = len([other for other in epochs_of(history) if other.get("phase") == phase])
    number = int(row.get("epoch", place + 1))
    return Kept(place, phase, number, num_epochs, penalty, len(later))


def _best(rows: Rows, said: Wording, *, is_by_loss: bool = False) -> int | None:
    """The place of the first row with the best validation metric or loss; the loss decides ties.

    Training keeps its best epoch by the same rule, and a solver its penalty.
    """
    best, found = (-math.inf, -math.inf), None
    name = metric_name(rows, said)
    for place, row in enumerate(rows):
        value, loss = row.get(f"val_{name}"), row.get("val_loss")
        if value is None or loss is None or not math.isfinite(value + loss):
            continue
        quality = (-value if said.is_error else value, -loss)
        quality = (-loss, -loss) if is_by_loss else quality
        if quality > best:
            best, found = quality, place
    return found


def metric_name(history: Rows, said: Wording) -> str:
    """The metric of the learning curves beside the loss; empty where none was recorded."""
    names = [k[4:] for row in history for k in row if k.startswith("val_") and k[4:] != "loss"]
    names += [k for row in history for k in row if k.endswith(said.curves)]
    return names[0] if names else ""


def sentences(report: Report, history: Rows) -> Iterator[str]:
    """Which row was kept, and how sure its choice is."""
    if ended := [row for row in epochs_of(history) if row.get("is_learned")]:
        yield (
            f"The training ended after epoch {ended[-1]['epoch']}, as its rows were learned; "
            "without --stop_when_learned it would have trained all epochs."
        )
    given = kept(report, history)
    if given is None:
        return
    yield _kept_sentence(given, history)
    num = report.validation.num_examples if report.validation else None
    if num and num < FEW_JUDGES:
        examples = count_of(num, "validation example")
        yield f"Only {examples} chose it: other examples might have chosen another one."


def _kept_sentence(given: Kept, history: Rows) -> str:
    if given.penalty is not None and not epochs_of(history):
        num = len(penalties_of(history))
        return f"Kept: penalty {given.penalty:g}, the best on validation of {num}."
    if given.penalty is not None:
        return (
            f"Kept: the head as it was solved for, with penalty {given.penalty:g}: none of the "
            f"{count_of(given.num_later, 'epoch')} after it was better on validation."
        )
    phases = {row.get("phase") for row in history}
    where = f" of the phase {given.phase}" if len(phases) > 1 else ""
    text = f"Kept: epoch {given.number} of {given.num_epochs}{where}, the best on validation"
    if not given.num_later:
        return f"{text}; it was the last, so more epochs may be better still."
    verb = "was" if given.num_later == 1 else "were"
    return f"{text}; {count_of(given.num_later, 'later epoch')} {verb} no better."


def curves(report: Report, history: Rows) -> list[CurveGroup]:
    """The plots over the penalties, and those over the epochs; a single row has no curve."""
    said = evaluators.wording_for(report.main_split()[1])
    epochs, penalties = epochs_of(history), penalties_of(history)
    names = list(filter(None, ["loss", metric_name(history, said)]))
    chosen, place = _best(penalties, said), None
    given = kept(report, history)
    if given and given.penalty is None:
        place = next(i for i, row in enumerate(epochs) if row is history[given.place])
    groups = []
    if len(penalties) > 1:
        svgs = [
            plots.curve(penalties, name, f"{_title(name)} by penalty", kept=chosen)
            for name in names
        ]
        groups.append(CurveGroup("Choosing the penalty of the solved head", svgs))
    if len(epochs) > 1:
        start = penalties[chosen] if chosen is not None else {}
        svgs = [
            plots.curve(epochs, name, _title(name), kept=place, solved=start.get(f"val_{name}"))
            for name in names
        ]
        groups.append(CurveGroup("Training in epochs" if groups else "", svgs))
    return groups if len(groups) > 1 else [CurveGroup("", group.svgs) for group in groups]


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()
