"""What reports show of numbers: answers beside the true numbers, quantiles, and how errors are spread."""

from collections.abc import Iterator

from tltf.evaluation.number_errors import LEAST_ROWS, NumberErrors, SizeGroup
from tltf.evaluation.report import number_plots
from tltf.evaluation.report.sections import (
    NUMBER,
    Beside,
    Block,
    Column,
    Folded,
    Group,
    Paragraph,
    Picture,
    Pictures,
    Row,
    Section,
    Table,
)
from tltf.evaluation.report.wording import NOTHING, count_of, number, percent
from tltf.evaluation.split_metrics import LABEL_NAME, SplitMetrics

NUMBER_NAME = "number"
"""What a number is where its column has no name that says it."""
PLAIN_NAMES = ("", "label", "labels", "target", "value", "y", NUMBER_NAME)
"""Names of columns that say nothing of the number."""


def name_of(metrics: SplitMetrics) -> str:
    """What the number is, such as `price`; `number` where its column does not say."""
    name = str(metrics.details.get(LABEL_NAME, ""))
    return NUMBER_NAME if name.lower() in PLAIN_NAMES else name


def first_sentence(examples: str, metrics: SplitMetrics, interval: str) -> str:
    """The first sentence of a report: by how much the answers are off."""
    error, name = number(metrics.score("mean_absolute_error")), name_of(metrics)
    who = "The model" if name == NUMBER_NAME else f"The predicted {name}"
    return f"{who} is off by {error} on average{interval}, over {examples}."


def sentences(metrics: SplitMetrics) -> Iterator[str]:
    """How large the error is beside the numbers, and how many numbers the intervals hold."""
    share, spread = (metrics.scores.get(name) for name in ("error_of_spread", "spread"))
    if share is not None and spread is not None:
        yield (
            f"The mean absolute error is {percent(share)} of the spread of the true numbers: the "
            f"middle 90% of them are within {number(spread)} of one another."
        )
    coverage = metrics.scores.get("coverage")
    if coverage is None:
        return
    wanted = metrics.score("wanted_coverage")
    low, high = metrics.intervals.get("coverage") or (coverage, coverage)
    verdict = "as they should, as far as these examples can show"
    if not low <= wanted <= high:
        verdict = f"they are too {'narrow' if coverage < wanted else 'wide'}"
    yield (
        f"The {percent(wanted, 0)} intervals hold {percent(coverage)} of the true values: {verdict}."
    )


def answer_section(metrics: SplitMetrics, split: str) -> Iterator[Section]:
    """The answers beside the true numbers, and the quantiles.

    Args:
        metrics: of a split.
        split: its name.
    """
    shown: list[Block] = []
    if metrics.points:
        text = (
            f"Each point is an example of the {split} split; the line through it goes from its "
            "lowest to its highest quantile. On the dashed line the answer is right."
        )
        name = name_of(metrics)
        drawn = Picture(number_plots.scatter(metrics.points, "Answers and true numbers", name))
        table = _level_table(metrics, "quantile")
        shown = [Beside(drawn, Group([Paragraph(text), table]))]
    text_table = _level_table(metrics, "level") if metrics.levels else None
    title = "Answers compared with the true numbers"
    yield Section("numbers", "Numbers", title, shown, text_table, "Quantiles")


def error_section(metrics: SplitMetrics) -> Iterator[Section]:
    """How the errors are spread; nothing where that was not measured."""
    errors, name = NumberErrors.from_details(metrics.details), name_of(metrics)
    if errors is None:
        return
    drawn = []
    if metrics.points:
        drawn.append(number_plots.residuals(metrics.points, "Errors over the answer", name))
    drawn.append(number_plots.histogram(errors.edges, errors.counts, "How large errors are"))
    text = "Errors are answers minus true numbers: above 0 the answer is too large."
    if errors.num_beyond:
        beyond = count_of(errors.num_beyond, "error")
        text += f" The outermost bars hold {beyond} beyond them as well."
    blocks: list[Block] = [Paragraph(text, is_hint=True)]
    table, title = None, f"Errors by the size of the {name}"
    if errors.groups:
        table = _group_table(errors.groups, name)
        middles, means, bounds = zip(
            *((row.middle, row.mean_absolute_error, row.interval) for row in errors.groups),
            strict=True,
        )
        drawn.append(number_plots.errors_of_groups(middles, means, bounds, title, name))
        shown = f"{title}: {len(errors.groups)} groups of at least {LEAST_ROWS} examples"
        blocks.append(Folded([table], shown))
    blocks.insert(1, Pictures(drawn))
    yield Section("errors", "Errors", "How large the errors are, and where", blocks, table, title)


def _level_table(metrics: SplitMetrics, title: str) -> Table:
    columns = Column(title, NUMBER), Column("share of the true numbers below", NUMBER)
    rows = [Row([percent(row.level), percent(row.share_below)]) for row in metrics.levels]
    return Table(columns, rows)


def _group_table(groups: list[SizeGroup], name: str) -> Table:
    titles = [f"{name} from", "to", "examples", "mean absolute error", "95% interval", "mean error"]
    rows = []
    for group in groups:
        bounds = group.interval
        cells = [
            number(group.low),
            number(group.high),
            f"{group.count:,}",
            number(group.mean_absolute_error),
            f"{number(bounds[0])} to {number(bounds[1])}" if bounds else NOTHING,
            number(group.mean_error),
        ]
        rows.append(Row(cells))
    return Table([Column(title, NUMBER) for title in titles], rows)
