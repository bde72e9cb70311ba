"""The rounds of a run in a report, such as folds: their scores, and means over them with intervals."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tltf.console import lazy_imports
from tltf.evaluation.report.wording import Wording, count_of
from tltf.evaluation.split_metrics import SplitMetrics, from_known_keys

stats = lazy_imports.Module("scipy.stats")

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class RoundKind:
    """What the rounds of a run are.

    Args:
        name: by which report.json names it.
        noun: `fold`, `draw` or `seed`.
        whole: what all of them together are, as in `5-fold cross-validation of`.
        note: what an interval over them means.
        judged: how the rows were judged, as a sentence in which {rows} stands for them, and {times} for how
            often each was.
        shares_rows: whether each round is trained on what others are judged on, so that the interval of
            a mean has to be wider than Student's.
        pooled: what a page says of the tables that hold the rows of all rounds.
    """

    name: str
    noun: str
    whole: str
    note: str
    judged: str
    shares_rows: bool
    pooled: str

    @property
    def plural(self) -> str:
        """`folds`, `draws` or `seeds`."""
        return f"{self.noun}s"


_NOTE_OF_FOLDS = (
    "Every interval of this report is a 95% corrected t interval over folds (Nadeau & Bengio 2003): "
    "it shows how much a score depends on which rows a model is trained and judged on. An interval "
    "that took the rows of all folds as independent would be too narrow, since the rows of a fold "
    "share a model and the models share training rows. With few folds it is wide; more folds make "
    "it narrower."
)
_NOTE_OF_DRAWS = (
    "Every interval of this report is Student's 95% interval over draws: it shows how much a score "
    "depends on which rows were labelled. All draws are judged on the same test rows, and what these "
    "rows leave open is not in it."
)
_NOTE_OF_SEEDS = (
    "Every interval of this report is a 95% corrected t interval over seeds (Nadeau & Bengio 2003): it "
    "shows how much a score depends on which rows a model is trained and judged on, and on the chance in "
    "its training. Seeds share rows, so an interval that took them as independent would be too narrow."
)
_NOTE_OF_SEEDS_OF_A_SPLIT = (
    "Every interval of this report is Student's 95% interval over seeds: it shows how much a score depends "
    "on the chance in training, such as the first weights of the head and the order of the rows. All seeds "
    "are judged on the same test rows, which the data gives, and what these rows leave open is not in it."
)
FOLDS = RoundKind(
    "fold",
    "fold",
    "{count}-fold cross-validation of ",
    _NOTE_OF_FOLDS,
    "Each of {rows} was judged {times}, by a model that was not trained on it.",
    True,
    "Classes, confusions and calibration are those of the rows of all folds together.",
)
DRAWS = RoundKind(
    "draw",
    "draw",
    "{count} draws of few labels from ",
    _NOTE_OF_DRAWS,
    "{rows} were judged, the same test rows for each draw.",
    False,
    "Classes, confusions and calibration are those of the answers of all draws together.",
)


SEEDS = RoundKind(
    "seed",
    "seed",
    "{count} seeds of ",
    _NOTE_OF_SEEDS,
    "{rows} were judged for each seed, drawn anew.",
    True,
    "Classes, confusions and calibration are those of the answers of all seeds together.",
)
SEEDS_OF_A_SPLIT = dataclasses.replace(
    SEEDS,
    name="seed_of_a_split",
    note=_NOTE_OF_SEEDS_OF_A_SPLIT,
    judged="{rows} were judged, the same test rows for each seed.",
    shares_rows=False,
)
KINDS = {kind.name: kind for kind in (FOLDS, DRAWS, SEEDS, SEEDS_OF_A_SPLIT)}


def kind_of(name: str) -> RoundKind:
    """The RoundKind of a name; folds for what is not known."""
    return KINDS.get(name, FOLDS)


ENDS_OF_SHARES = ("accuracy", "f1", "recall", "precision", "exact_match", "coverage", "auc")
"""Ends of the names of metrics from 0 to 1."""
ENDS_OF_ERRORS = ("loss", "error")
"""Ends of the names of metrics from 0."""


@dataclasses.dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation, one draw, or one seed.

    Args:
        scores: the headline metrics on its test rows, by name.
        folder: its run folder, relative to that of the cross-validation; empty in old reports.
        kept: which epoch or penalty its model has, in words; empty where it is not known.
        examples: role -> rows.
    """

    scores: dict[str, float | None]
    folder: str = ""
    kept: str = ""
    examples: dict[str, int] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: the scores stand beside the other keys."""
        values = {"folder": self.folder, "kept": self.kept, "examples": self.examples}
        return self.scores | {name: value for name, value in values.items() if value}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Fold":
        """The fold of plain JSON; every key may be missing, and texts of other versions are passed over."""
        known = {field.name for field in dataclasses.fields(cls)} - {"scores"}
        scores = {
            name: value
            for name, value in values.items()
            if name not in known and (value is None or isinstance(value, (int, float)))
        }
        parts = {name: value for name, value in values.items() if name in known}
        return from_known_keys(cls, parts | {"scores": scores})


@dataclasses.dataclass(frozen=True)
class FoldMean:
    """A metric over folds.

    Args:
        mean: of the folds, each counting the same.
        deviation: the standard deviation of the folds, at least 0.
        interval: [low, high] of the mean, see `mean_interval`; None where all folds are equal.
    """

    mean: float
    deviation: float
    interval: list[float] | None = None


@dataclasses.dataclass(frozen=True)
class FoldRow:
    """A fold as a row of a table.

    Args:
        number: from 1.
        score: the headline metric, as text.
        kept: which epoch or penalty its model has, in words.
        examples: its rows in words.
        link: its report, relative to that of the cross-validation; empty where it is not known.
    """

    number: int
    score: str
    kept: str
    examples: str
    link: str


def mean_interval(
    values: Sequence[float], kind: RoundKind = FOLDS, shared: float | None = None
) -> list[float] | None:
    """`[low, high]`, about 95%, of the mean of one number per round; None if all are equal.

    Folds share training rows, so Student's interval, which takes them as independent, is too narrow.
    Nadeau & Bengio 2003 widen it: they multiply the variance by 1 / J + test / other rows for J rounds,
    which is 1 / K + 1 / (K - 1) for K folds, in place of 1 / J. For two equally good models the interval of
    the difference leaves out 0 in 2 to 4 of 100 samples (Student's in 7 to 10).

    Args:
        values: one per round, at least two.
        kind: draws share no rows that they are judged on, so theirs is Student's interval.
        shared: test rows per other row, see `shared_rows`; None for that of as many folds.
    """
    mean = float(np.mean(values))
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    half = float(quantile) * mean_error(values, kind, shared)
    return [mean - half, mean + half] if half > 1e-12 else None


def mean_error(values: Sequence[float], kind: RoundKind, shared: float | None) -> float:
    """The standard error of the mean of one number per round, see `mean_interval`."""
    count = len(values)
    if shared is None:
        shared = 1 / (count - 1) if kind.shares_rows else 0.0
    return float(np.std(values, ddof=1) * np.sqrt(1 / count + shared))


def shared_rows(folds: Sequence[Fold], kind: RoundKind) -> float | None:
    """Test rows per other row in a round; 0 where rounds share none, None where it is not known.

    Of K folds it is 1 / (K - 1), also where K does not divide the rows.
    """
    if not kind.shares_rows:
        return 0.0
    if not all(fold.examples.get("test") for fold in folds):
        return None
    tests = sum(fold.examples["test"] for fold in folds)
    every = sum(_num_rows(fold) for fold in folds)
    return 1 / (round(every / tests) - 1) if kind is FOLDS else tests / (every - tests)


def _num_rows(fold: Fold) -> int:
    """The rows with labels of a round."""
    return sum(fold.examples.get(role, 0) for role in ("train", "validation", "test"))


def times_judged(folds: Sequence[Fold], kind: RoundKind) -> int:
    """How often each row was judged: in a cross-validation once for each repeat; else once a round."""
    if kind is not FOLDS:
        return len(folds)
    every = _num_rows(folds[0])
    tests = sum(fold.examples.get("test", 0) for fold in folds)
    return max(1, round(tests / every)) if every else 1


def means(folds: Sequence[Fold], kind: RoundKind = FOLDS) -> dict[str, FoldMean]:
    """Metric -> its FoldMean, for those that every round has.

    Args:
        folds: at least two.
        kind: of the rounds.
    """
    found, shared = {}, shared_rows(folds, kind)
    for name in folds[0].scores:
        values = [value for fold in folds if (value := fold.scores.get(name)) is not None]
        if len(values) == len(folds):
            bounds = mean_interval(values, kind, shared)
            interval = _inside_its_range(name, bounds) if bounds else None
            found[name] = FoldMean(statistics.fmean(values), statistics.stdev(values), interval)
    return found


def average(pooled: SplitMetrics, folds: Sequence[Fold], kind: RoundKind = FOLDS) -> SplitMetrics:
    """The metrics of all rows with the headline metrics as means over rounds, and their intervals.

    The intervals are the only ones: those of pooled rows take these as independent.

    Args:
        pooled: the metrics of the rows of all rounds together.
        folds: at least two.
        kind: of the rounds.
    """
    found = means(folds, kind)
    scores = pooled.scores | {name: row.mean for name, row in found.items()}
    intervals = {name: row.interval for name, row in found.items() if row.interval}
    return dataclasses.replace(
        pooled, scores=scores, intervals=intervals, interval_confidence=CONFIDENCE
    )


def _inside_its_range(name: str, bounds: list[float]) -> list[float]:
    is_share = name.endswith(ENDS_OF_SHARES)
    least = 0.0 if is_share or name.endswith(ENDS_OF_ERRORS) else -np.inf
    low, high = np.clip(bounds, least, 1.0 if is_share else np.inf).tolist()
    return [low, high]


def deviation_text(folds: Sequence[Fold], said: Wording) -> str:
    """`± 10.5 points`, the standard deviation of the headline metric over folds; empty for too few."""
    values = [value for fold in folds if (value := fold.scores.get(said.metric)) is not None]
    if len(values) < 2:
        return ""
    text = said.change(statistics.stdev(values)).lstrip("+")
    return f"± {text}{' points' if said.is_share else ''}"


def scores_text(folds: Sequence[Fold], said: Wording) -> str:
    """`63.5%, 83.9%, 69.4%`: the headline metric of each fold."""
    return ", ".join(said.value(fold.scores.get(said.metric)) for fold in folds)


def sentence(
    folds: Sequence[Fold], metrics: SplitMetrics, said: Wording, kind: RoundKind = FOLDS
) -> str:
    """What several rounds have found: the mean, its spread, its interval, and how rows were judged.

    Args:
        folds: at least one.
        metrics: as `average` gives them.
        said: the wording of the labels.
        kind: of the rounds.
    """
    value, spread = said.value(metrics.scores.get(said.metric)), deviation_text(folds, said)
    text = f"Mean {said.title} of {count_of(len(folds), kind.noun)}: {value}"
    text += f" {spread} (standard deviation)" if spread else ""
    bounds = metrics.intervals.get(said.metric)
    if bounds:
        text += f", 95% interval {said.value(bounds[0])} to {said.value(bounds[1])}"
    times = times_judged(folds, kind)
    rows = count_of((metrics.num_examples or 0) // times, "example")
    told = "once" if times == 1 else f"{times} times"
    return f"{text}. {kind.judged.format(rows=rows, times=told)}"


def rows(folds: Sequence[Fold], said: Wording, report_name: str) -> list[FoldRow]:
    """The rows of the table of folds.

    Args:
        folds: of the cross-validation; may be empty.
        said: the wording of the labels.
        report_name: the name of the page in a run folder.
    """
    return [
        FoldRow(
            number,
            said.value(fold.scores.get(said.metric)),
            fold.kept,
            ", ".join(f"{count:,} {role}" for role, count in fold.examples.items()),
            f"{fold.folder}/{report_name}" if fold.folder else "",
        )
        for number, fold in enumerate(folds, 1)
    ]
