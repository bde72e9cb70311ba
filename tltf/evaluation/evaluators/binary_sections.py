"""What reports show of two classes: the curves over all thresholds, and what thresholds come to."""

from collections.abc import Iterator

from tltf.evaluation.abstention import Abstention
from tltf.evaluation.binary_curves import LEAST_ALARMS, PRECISIONS, BinaryCurves, ThresholdRow
from tltf.evaluation.report import probability_plots
from tltf.evaluation.report.sections import (
    NUMBER,
    TEXT,
    Block,
    Column,
    Paragraph,
    Pictures,
    Row,
    Section,
    Table,
)
from tltf.evaluation.report.wording import NOTHING, number, percent
from tltf.evaluation.split_metrics import SplitMetrics


def sentences(metrics: SplitMetrics) -> Iterator[str]:
    """The threshold for the highest precision that was reached, and what it comes to."""
    curves = BinaryCurves.from_details(metrics.details)
    if curves is None:
        return
    rows = [row for row in curves.thresholds if row.chosen_for.endswith("precision")]
    if not rows:
        yield (
            f"The positive class is {curves.positive}; no threshold gives it a precision of "
            f"{percent(min(PRECISIONS), 0)} with {LEAST_ALARMS} answers or more"
            f"{' on the validation split' if curves.is_chosen_elsewhere else ''}."
        )
        return
    row = max(rows, key=lambda row: row.threshold)
    wanted = row.chosen_for.split(", ")[-1].removesuffix(" precision")
    text = f"For {wanted} precision answer {curves.positive} from a probability of {row.threshold:g} on"
    if curves.is_chosen_elsewhere:
        text += " (chosen on the validation split)"
    if row.precision is None:
        yield f"{text}: none of these rows reaches it."
        return
    text += f": {_precision(row)} of these answers are right, and {percent(row.recall)} of all "
    text += f"{curves.positive} are found"
    if not curves.is_chosen_elsewhere:
        text += "; the threshold was chosen on these rows, so new rows may be worse"
    yield f"{text}."


def section(metrics: SplitMetrics, split: str) -> Iterator[Section]:
    """The curves and the table of thresholds; nothing without them.

    Args:
        metrics: of a split.
        split: its name.
    """
    curves = BinaryCurves.from_details(metrics.details)
    if curves is None:
        return
    if curves.is_chosen_elsewhere:
        where = f"chosen on the validation split, measured on the {split} split"
    else:
        where = f"chosen and measured on the {split} split, so new rows may be worse"
    text = (
        f"The positive class is {curves.positive}, the second by name; it has "
        f"{percent(curves.positive_share)} of the rows. The answer is {curves.positive} where its "
        f"probability is at least the threshold, 0.5 unless another is set. Thresholds that are for "
        f"something are {where}. "
    )
    hint = Paragraph(
        f"{text}Predict with one: ",
        f"--threshold={_example(curves)}",
        " of tltf.predict.",
        is_hint=True,
    )
    if Abstention.from_details(metrics.details):
        hint = Paragraph(
            f"{text}This run answers only where it is sure, and tltf.predict then takes no "
            "threshold; a run with ",
            "--abstain=none",
            " takes one.",
            is_hint=True,
        )
    table = _table(curves)
    area = metrics.scores.get("roc_auc")
    shown: list[Block] = [
        hint,
        Pictures(
            [
                probability_plots.roc(curves.roc, f"ROC curve, area {number(area)}"),
                probability_plots.precision_recall(
                    curves.precision_recall, "Precision and recall", curves.positive_share
                ),
            ]
        ),
        table,
    ]
    title = f"From which probability on to answer {curves.positive}"
    yield Section("thresholds", "Thresholds", title, shown, table, is_after_mistakes=True)


def _example(curves: BinaryCurves) -> str:
    rows = [row for row in curves.thresholds if row.chosen_for]
    return f"{rows[-1].threshold:g}" if rows else "0.5"


def _precision(row: ThresholdRow) -> str:
    low, high = row.precision_interval or (0.0, 1.0)
    return f"{percent(row.precision)} ({percent(low)} to {percent(high)})"


def _table(curves: BinaryCurves) -> Table:
    titles = ["threshold", "precision", "95% interval", "recall", "alarms per 1,000 rows"]
    columns = [*(Column(title, NUMBER) for title in titles), Column("for", TEXT)]
    return Table(columns, [_row(row) for row in curves.thresholds])


def _row(row: ThresholdRow) -> Row:
    bounds = row.precision_interval
    cells = [
        f"{row.threshold:g}",
        percent(row.precision),
        f"{percent(bounds[0])} to {percent(bounds[1])}" if bounds else NOTHING,
        percent(row.recall),
        number(row.alarms_per_thousand, 1),
        row.chosen_for,
    ]
    return Row(cells, is_absent=row.precision is None)
