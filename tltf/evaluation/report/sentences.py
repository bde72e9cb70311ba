"""The numbers of a report as sentences and rows, for report.md and report.html."""

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from tltf.config.checks import WITHOUT_SOURCE
from tltf.evaluation import evaluators, left_out
from tltf.evaluation.baseline_row import Gain, PairedDifference
from tltf.evaluation.evaluators import belief_sections
from tltf.evaluation.report import folds
from tltf.evaluation.report.report import DataSummary, Parameters, Report
from tltf.evaluation.report.wording import BAD, GOOD, UNCLEAR, Wording, count_of, percent
from tltf.evaluation.split_metrics import SplitMetrics

SCRATCH_TITLE = "same network from random weights"
WITHOUT_SOURCE_TITLE = "same run without its source"
OWN_TEST = "own_test"
"""Name among the baselines of an evaluation of the run itself on its own test split."""
MOST_GROUPS = 8
"""Groups of trained layers that a sentence names."""
_SHORT_NAMES = {"f1": "F1", "r2": "R²", "roc": "ROC", "auc": "AUC", "spearman": "Spearman"}
"""Parts of keys that are not words."""


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """The row of the model or of a baseline in the table that compares them.

    Args:
        name: `model`, or the baseline's key.
        title: in words.
        value: of the headline metric; None where it is not known.
        interval: [low, high] of the value.
        cells: texts of the wording's other columns.
        gain: the model's gain over a baseline; None for the model.
        note: what it is.
        bar: 0..1, the value as a share of 1, or of the largest error.
        bar_interval: the interval likewise; empty where there is none.
    """

    name: str
    title: str
    value: float | None
    interval: list[float] | None
    cells: list[str]
    gain: Gain | None = None
    note: str = ""
    bar: float = 0.0
    bar_interval: tuple[float, ...] = ()

    @property
    def is_model(self) -> bool:
        """Whether it is the model that is reported."""
        return self.name == "model"


@dataclasses.dataclass(frozen=True)
class BalanceRow:
    """How many rows one class has in each split.

    Args:
        name: of the class.
        counts: rows in each split.
        share: rows in the first split, 0..1 of those of its largest class.
    """

    name: str
    counts: list[int]
    share: float


@dataclasses.dataclass(frozen=True)
class Balance:
    """How many rows the classes have.

    Args:
        roles: of the splits.
        rows: one per class.
        smallest: rows of the smallest class of the first split.
        median: of the rows of its classes; of two in the middle the smaller one.
        largest: rows of its largest class.
    """

    roles: list[str]
    rows: list[BalanceRow]
    smallest: int
    median: int
    largest: int


def words(name: str) -> str:
    """A key as words: `macro_f1` is `macro F1`."""
    return " ".join(_SHORT_NAMES.get(part, part) for part in str(name).split("_"))


def comparison_title(report: Report) -> str:
    """The heading of the table that compares the model with others."""
    if OWN_TEST in (report.baselines or {}):
        return "Compared with the run's own test split"
    return "Compared with its members" if report.ensemble else "Compared with simpler models"


def transfer_gain(report: Report) -> PairedDifference | None:
    """The paired difference to random weights, or None."""
    scratch = (report.baselines or {}).get("scratch")
    return scratch.gain if scratch else None


def comparison(report: Report) -> list[ComparisonRow]:
    """The rows of the model and, after it, of its baselines, the best first."""
    _, metrics = report.main_split()
    said = evaluators.wording_for(metrics)
    titles = {
        "scratch": SCRATCH_TITLE,
        WITHOUT_SOURCE: WITHOUT_SOURCE_TITLE,
        OWN_TEST: "its own test split",
        **said.baselines,
    }
    others = []
    for name, row in (report.baselines or {}).items():
        title = titles.get(name, words(name))
        gain = row.gain.gains.get(said.metric) if row.gain else None
        shown = comparison_row(name, title, row.test, said, gain=gain)
        others.append(dataclasses.replace(shown, note=row.note))
    sign = 1 if said.is_error else -1
    others.sort(key=lambda row: sign * (row.value or 0))
    title = "this model on these examples" if OWN_TEST in (report.baselines or {}) else "this model"
    return with_bars([comparison_row("model", title, metrics, said), *others], said)


def with_bars(rows: Sequence[ComparisonRow], said: Wording) -> list[ComparisonRow]:
    """The rows with their bars; errors are drawn as parts of the largest."""
    whole = max([row.value or 0 for row in rows] + [1e-12]) if said.is_error else 1.0
    return [
        dataclasses.replace(
            row,
            bar=max(0.0, row.value or 0) / whole,
            bar_interval=tuple(min(bound / whole, 1.0) for bound in row.interval or ()),
        )
        for row in rows
    ]


def comparison_row(
    name: str,
    title: str,
    metrics: SplitMetrics | None,
    said: Wording,
    *,
    gain: Gain | None = None,
) -> ComparisonRow:
    """The row of a model without its bar; see ComparisonRow."""
    metrics = metrics or SplitMetrics({})
    value, interval = metrics.scores.get(said.metric), metrics.intervals.get(said.metric)
    cells = [said.text(key, metrics.scores.get(key)) for key in said.columns]
    return ComparisonRow(name, title, value, interval, cells, gain)


def sentences(report: Report) -> list[str]:
    """What the numbers say, as sentences, the most important first."""
    split, metrics = report.main_split()
    if not metrics:
        return []
    said = evaluators.wording_for(metrics)
    examples = count_of(metrics.num_examples or 0, split + " example")
    first = said.sentence(examples, metrics, _interval_text(metrics))
    return [
        folds.sentence(report.folds, metrics, said, folds.kind_of(report.round_kind))
        if report.folds
        else first,
        *compared_sentences(report),
        *choice_sentences(report),
        *probe_sentences(report),
        *_baseline_sentences(report),
        *_transfer_sentences(report),
        *evaluators.evaluator_of(metrics).sentences(metrics),
    ]


def compared_sentences(report: Report) -> Iterator[str]:
    """The headline metric on some of the examples only, and on the test split of an evaluated run."""
    _, metrics = report.main_split()
    if metrics is None:
        return
    said = evaluators.wording_for(metrics)
    for row in left_out.of_metrics(metrics):
        bounds = row.interval
        interval = f" ({said.value(bounds[0])} to {said.value(bounds[1])})" if bounds else ""
        yield (
            f"Without the {count_of(row.num_left_out, 'example')} {row.which}: {said.title} "
            f"{said.value(row.value)}{interval} on {count_of(row.num_examples, 'example')}."
        )
    yield from belief_sections.abstention_sentences(metrics)
    own = (report.baselines or {}).get(OWN_TEST)
    if own:
        yield (
            f"On the run's own test split: {said.title} {said.value(own.test.scores[said.metric])}."
        )


def choice_sentences(report: Report) -> Iterator[str]:
    """A warning where the split that is reported is the one that something was chosen on."""
    chosen = report.chosen_on_validation
    if report.main_split()[0] == "validation" and chosen:
        what = were_chosen(chosen)
        yield f"{what[0].upper()}{what[1:]} on these rows, so metrics on new rows may be worse."


def were_chosen(names: Sequence[str]) -> str:
    """`the epoch and the thresholds were chosen`, of one name or more."""
    what = f"{', '.join(names[:-1])} and {names[-1]}" if names[1:] else names[0]
    verb = "were" if names[1:] or names[0].endswith("s") else "was"
    return f"{what} {verb} chosen"


def _interval_text(metrics: SplitMetrics) -> str:
    """` (95% interval .7 to .8)` of the headline metric."""
    said = evaluators.wording_for(metrics)
    bounds = metrics.intervals.get(said.metric)
    if not bounds:
        return ""
    confidence = percent(metrics.interval_confidence or 0.95, 0)
    return f" ({confidence} interval {said.value(bounds[0])} to {said.value(bounds[1])})"


def probe_name(report: Report) -> str:
    """The baseline that is the probe from which fine-tuning started; empty without one."""
    rows = report.baselines or {}
    return next((name for name, row in rows.items() if (row.chosen or {}).get("is_probe")), "")


def probe_sentences(report: Report) -> Iterator[str]:
    """What fine-tuning added to the probe that it started from."""
    name, (_, metrics) = probe_name(report), report.main_split()
    if not name or metrics is None:
        return
    said, row = evaluators.wording_for(metrics), (report.baselines or {})[name]
    before, after = row.test.score(said.metric), metrics.score(said.metric)
    text = f"Probe {said.value(before)}, after fine-tuning {said.value(after)} {said.title}"
    gain = row.gain.gains.get(said.metric) if row.gain else None
    if gain:
        text += f": {said.interval(gain)}"
        text += f", {_chance(report)}" if said.tone(gain) == UNCLEAR else ""
    yield text + "."


def _baseline_sentences(report: Report) -> Iterator[str]:
    said = evaluators.wording_for(report.main_split()[1])
    for row in comparison(report)[1:]:
        if row.name in ("scratch", OWN_TEST, probe_name(report)) or row.value is None:
            continue
        text = f"{row.title.capitalize()}: {said.title} {said.value(row.value)}"
        if row.gain:
            text += f"; {_difference(row.gain, said, report)}"
        yield text + "."


def _difference(gain: Gain, said: Wording, report: Report) -> str:
    """How much better or worse the model is than a baseline."""
    tone = said.tone(gain)
    if tone == UNCLEAR:
        return f"this model's difference is {said.interval(gain)}, {_chance(report)}"
    return f"this model is {'better' if tone == GOOD else 'worse'} by {said.amount(gain)}"


def _transfer_sentences(report: Report) -> Iterator[str]:
    said = evaluators.wording_for(report.main_split()[1])
    found = transfer_gain(report)
    gain = found.gains.get(said.metric) if found else None
    if not gain or not gain.interval:
        return
    verbs = {
        GOOD: "Pretraining helped",
        BAD: "Pretraining did harm",
        UNCLEAR: "Whether pretraining helped cannot be told from this split",
    }
    yield f"{verbs[said.tone(gain)]}: {said.interval(gain)} over the same network from random weights."


def _chance(report: Report) -> str:
    split, metrics = report.main_split()
    examples = count_of((metrics and metrics.num_examples) or 0, split + " example")
    return f"too small to be told from chance with {examples}"


def trained_text(table: Sequence[dict[str, Any]], parameters: Parameters | None) -> str:
    """Which part of the network was trained; empty where the report does not say.

    Args:
        table: `Report.trainable_table`.
        parameters: of the network.
    """
    if not parameters or not parameters.total:
        return ""
    total, num = f"{parameters.total:,}", f"{parameters.trainable:,}"
    if parameters.trainable == parameters.total:
        return f"Everything was trained: {total} parameters."
    share = f"{num} of {total} parameters ({percent(parameters.trainable / parameters.total, 2)})"
    names = [str(row["group"]) for row in table if row.get("trained") and row.get("group")]
    if names == ["head"]:
        return f"Only the head was trained: {share}."
    groups = f", in {', '.join(names[:MOST_GROUPS])}" if names else ""
    more = f" and {len(names) - MOST_GROUPS} more groups" if len(names) > MOST_GROUPS else ""
    return f"Trained: {share}{groups}{more}."


def balance(data: DataSummary) -> Balance | None:
    """How many rows the classes have; None without splits or classes."""
    splits = {
        role: counts.class_counts for role, counts in data.splits.items() if counts.class_counts
    }
    names = list(dict.fromkeys(name for counts in splits.values() for name in counts))
    if not names:
        return None
    first = next(iter(splits.values()))
    counts = [first.get(name, 0) for name in names]
    most = max(*counts, 1)
    rows = [
        BalanceRow(name, [split.get(name, 0) for split in splits.values()], count / most)
        for name, count in zip(names, counts, strict=True)
    ]
    return Balance(list(splits), rows, min(counts), statistics.median_low(counts), max(counts))
