"""What reports show of several labels per row, beside what they show of each label alone."""

from collections.abc import Iterator

from tltf.evaluation import label_details
from tltf.evaluation.evaluators import belief_sections, class_sections
from tltf.evaluation.report import probability_plots
from tltf.evaluation.report.sections import (
    NUMBER,
    Block,
    Column,
    Paragraph,
    Picture,
    Row,
    Section,
    Table,
)
from tltf.evaluation.report.wording import count_of, number, percent
from tltf.evaluation.split_metrics import SplitMetrics


def sentences(metrics: SplitMetrics) -> Iterator[str]:
    """Whether probabilities are too high, rows without labels, and the weakest label."""
    yield from _calibration_sentences(metrics)
    yield from _empty_sentences(metrics)
    yield from class_sections.weakest_sentences(metrics, "label")


def _calibration_sentences(metrics: SplitMetrics) -> Iterator[str]:
    stated, labels = (metrics.scores.get(name) for name in ("mean_probability", "mean_labels"))
    error = metrics.scores.get("calibration_error")
    if stated is None or labels is None or error is None:
        return
    share = labels / len(metrics.class_names)
    name = "Overconfident" if stated > share else "Underconfident"
    name = "Probabilities are right on average" if abs(stated - share) < 0.01 else name
    yield (
        f"{name}: the model states a probability of {percent(stated)} per label on average, and "
        f"examples have {percent(share)} of the labels (calibration error {percent(error)}"
        f"{belief_sections.calibration_end(metrics)})."
    )


def _empty_sentences(metrics: SplitMetrics) -> Iterator[str]:
    shares = [metrics.scores.get(name) for name in ("share_without_labels", "share_given_none")]
    count = metrics.num_examples
    if count is None or None in shares or not any(shares):
        return
    have, given = (round((share or 0.0) * count) for share in shares)
    yield (
        f"{count_of(have, 'example')} ({percent(shares[0])}) "
        f"{'has' if have == 1 else 'have'} no label; the model gives none to {given:,} "
        f"({percent(shares[1])})."
    )


def curve_section(metrics: SplitMetrics, split: str) -> Iterator[Section]:
    """Precision over recall of the weakest labels; nothing without curves.

    Args:
        metrics: of a split.
        split: its name.
    """
    curves = metrics.details.get(label_details.CURVES)
    if not curves:
        return
    marks = {row.name: (row.recall, row.precision) for row in metrics.per_class}
    title = f"Precision over recall of {count_of(len(curves), 'label')}"
    hint = (
        f"Precision over recall on the {split} split, for all thresholds; the dot is the threshold "
        "that the model uses. "
    )
    if len(curves) < len(metrics.class_names):
        hint += "These are the weakest labels of those with enough examples. "
    drawn = probability_plots.precision_recall_of_each(curves, marks, title)
    blocks: list[Block] = [Paragraph(hint.strip(), is_hint=True), Picture(drawn, is_wide=True)]
    yield Section("curves_of_labels", "Thresholds", title, blocks, is_after_mistakes=True)


def pair_section(metrics: SplitMetrics) -> Iterator[Section]:
    """Which labels come together, in the data and in the answers; nothing without such."""
    pairs = label_details.pairs_of(metrics.details)
    if not pairs:
        return
    columns = [
        Column("label"),
        Column("together with"),
        Column("examples with both", NUMBER),
        Column("answers with both", NUMBER),
        Column("expected by chance", NUMBER),
    ]
    rows = [
        Row(
            [
                pair.first,
                pair.second,
                f"{pair.num_true:,}",
                f"{pair.num_given:,}",
                number(pair.num_by_chance, 1),
            ]
        )
        for pair in pairs
    ]
    table = Table(columns, rows)
    hint = (
        "Expected by chance is the number of examples that would have both if labels did not depend "
        "on one another. Each label is predicted on its own."
    )
    yield Section(
        "pairs",
        "Pairs",
        "Labels that come together",
        [Paragraph(hint, is_hint=True), table],
        table,
        is_after_mistakes=True,
    )
