"""What reports show of probabilities: whether they can be believed, and what the unsure ones come to."""

from collections.abc import Iterator

from tltf.evaluation import abstention, bootstrap, reliability
from tltf.evaluation.abstention import Abstention
from tltf.evaluation.calibration import Calibration
from tltf.evaluation.report import probability_plots
from tltf.evaluation.report.sections import (
    NUMBER,
    Beside,
    Block,
    Column,
    Group,
    Paragraph,
    Picture,
    Pictures,
    Row,
    Section,
    Table,
)
from tltf.evaluation.report.wording import count_of, number, percent
from tltf.evaluation.split_metrics import SplitMetrics

MOST_TEMPERATURES = 8
"""Temperatures of labels that a sentence names."""


def calibration_section(metrics: SplitMetrics, what: str) -> Iterator[Section]:
    """Stated probabilities beside what they come to; nothing without bins of them.

    Args:
        metrics: of a split.
        what: what is grouped and what a bar stands for, as a sentence without its end.
    """
    groups = reliability.merged_bins(metrics.reliability)
    if not groups:
        return
    text = (
        f"{what}, and the line through its end the 95% interval of that share, at the probability "
        "that was stated on average. Where the line crosses the dashed diagonal, the probabilities "
        "can be believed, as far as these examples can show; below the diagonal they are too high, "
        "above it too low. Paler bars stand for fewer examples; neighbours are put together, so that "
        f"each has {reliability.LEAST_GROUP} or more."
    )
    error = Paragraph(
        "The mean gap, weighted by the size of the groups, is the calibration error: ",
        percent(metrics.scores.get("calibration_error")),
        ".",
    )
    before = Calibration.from_details(metrics.details)
    blocks: list[Block]
    if before:
        earlier = reliability.merged_bins(before.reliability)
        drawn = [
            probability_plots.reliability(earlier, "Before calibration"),
            probability_plots.reliability(groups, "After calibration"),
        ]
        blocks = [Pictures(drawn), Paragraph(text), error, _comparison(metrics, before)]
        blocks.append(Paragraph(_how_text(before), is_hint=True))
    else:
        picture = Picture(probability_plots.reliability(groups, "Reliability"))
        blocks = [Beside(picture, Group([Paragraph(text), error]))]
    yield Section(
        "calibration",
        "Calibration",
        "Can the probabilities be believed?",
        blocks,
        _comparison(metrics, before) if before else None,
        "Probabilities before and after calibration",
        is_after_mistakes=True,
    )


def calibration_end(metrics: SplitMetrics) -> str:
    """`; before calibration 6.1%`, behind the calibration error in a sentence; empty without one."""
    before = Calibration.from_details(metrics.details)
    return f"; before calibration {percent(before.calibration_error)}" if before else ""


def _how_text(before: Calibration) -> str:
    """How the probabilities were calibrated."""
    values = [number(value, 2) for value in before.temperatures]
    if len(values) == 1:
        text = f"The logits are divided by the temperature {values[0]}, which was chosen"
    else:
        more = f" and {len(values) - MOST_TEMPERATURES} more" * (len(values) > MOST_TEMPERATURES)
        named = ", ".join(values[:MOST_TEMPERATURES])
        text = f"The logit of each label is divided by its temperature ({named}{more}), chosen"
    return (
        f"{text} on the validation split. A temperature above 1 makes the model less sure, one below "
        "1 surer; the answers stay the same."
    )


def _comparison(metrics: SplitMetrics, before: Calibration) -> Table:
    rows = []
    for name, earlier in (("calibration_error", before.calibration_error), ("loss", before.loss)):
        is_share, gain = name == "calibration_error", before.gains.get(name)
        show = percent if is_share else number
        change = "" if gain is None else _change_text(gain.difference, gain.interval, is_share)
        title = "calibration error" if is_share else "loss"
        rows.append(Row([title, show(earlier), show(metrics.scores.get(name)), change]))
    columns = [
        Column("metric"),
        Column("before", NUMBER),
        Column("after", NUMBER),
        Column("difference", NUMBER),
    ]
    return Table(columns, rows)


def _change_text(difference: float, interval: list[float] | None, is_share: bool) -> str:
    def text(value: float) -> str:
        shown = f"{100 * value:+.1f}" if is_share else f"{value:+.3f}"
        return shown.replace("-", "\N{MINUS SIGN}")

    bounds = f" ({text(interval[0])} to {text(interval[1])})" if interval else ""
    return f"{text(difference)}{' points' if is_share else ''}{bounds}"


def abstention_sentences(metrics: SplitMetrics) -> Iterator[str]:
    """How many examples the model answers and how well; nothing for one that always answers."""
    found = Abstention.from_details(metrics.details)
    if found is None:
        return
    rule = f" (--abstain='{found.rule}')" if found.rule else ""
    if found.accuracy is None:
        yield f"The model is sure of none of the examples{rule}."
        return
    low, high = found.accuracy_interval or (0.0, 1.0)
    yield (
        f"The model is sure of {percent(found.coverage)} of the examples{rule} and right on "
        f"{percent(found.accuracy)} of these (95% interval {percent(low)} to {percent(high)}); on "
        "all examples its most probable class is right "
        f"{percent(found.num_right_of_all / found.num_examples)} of the time."
    )
    if found.sets:
        covered = found.sets.num_covered, found.num_examples
        low, high = bootstrap.share_interval(*covered, bootstrap.CONFIDENCE)
        yield (
            f"Its conformal sets hold the true class of {percent(covered[0] / covered[1])} of the "
            f"examples (95% interval {percent(low)} to {percent(high)}) and "
            f"{number(found.sets.mean_size, 2)} classes on average."
        )


def abstention_section(metrics: SplitMetrics, split: str) -> Iterator[Section]:
    """The coverage-accuracy curve and what the threshold comes to; nothing without a threshold.

    Args:
        metrics: of a split.
        split: its name.
    """
    found = Abstention.from_details(metrics.details)
    if found is None:
        return
    threshold = (
        f"from a probability of {number(found.threshold)} on, chosen on the validation split"
    )
    rule = f"it is sure of an answer {threshold}"
    if found.sets:
        rule = (
            f"a class is in the conformal set {threshold}, and the model is sure where that set has "
            "exactly one class"
        )
    text = (
        "The curve shows how often the model is right if it answers only the share of the "
        f"{split} examples with the highest probabilities; accuracies of fewer than "
        f"{abstention.LEAST_ANSWERS} answers are left out. The dot is what the model answers: {rule}. "
        "Where it is not sure, its label is empty."
    )
    mark = None if found.accuracy is None else (found.coverage, found.accuracy)
    drawn = Picture(
        probability_plots.coverage_accuracy(found.curve, "Accuracy of the answers", mark)
    )
    table = _answers_table(found)
    yield Section(
        "sure",
        "Sure",
        "What comes of answering only where the model is sure",
        [Beside(drawn, Group([Paragraph(text), table]))],
        table,
        is_after_mistakes=True,
    )


def _answers_table(found: Abstention) -> Table:
    interval = found.accuracy_interval
    bounds = f" ({percent(interval[0])} to {percent(interval[1])})" if interval else ""
    cells = [
        ["rule", found.rule or "given with the head"],
        ["threshold", number(found.threshold)],
        [
            "sure of",
            f"{percent(found.coverage)} of {count_of(found.num_examples, 'example')}",
        ],
        ["right where it is sure", percent(found.accuracy) + bounds],
        ["right on all", percent(found.num_right_of_all / found.num_examples)],
    ]
    unsure = found.num_examples - found.num_answered
    if unsure:
        right = found.num_right_of_all - found.num_right
        cells.append(["right where it is not sure", percent(right / unsure)])
    if found.sets:
        total = found.num_examples
        low, high = bootstrap.share_interval(found.sets.num_covered, total, bootstrap.CONFIDENCE)
        covered = f"{percent(found.sets.num_covered / total)} ({percent(low)} to {percent(high)})"
        cells += [
            ["sets with the true class", covered],
            ["classes per set", number(found.sets.mean_size, 2)],
            ["empty sets", percent(found.sets.num_empty / total)],
        ]
    return Table([Column(""), Column("", NUMBER)], [Row(row) for row in cells])
