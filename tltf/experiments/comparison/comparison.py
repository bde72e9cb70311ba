"""What is found when finished runs are compared: metrics, differences, flags, costs, disagreements."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from tltf.config.flag_fields import flag_text
from tltf.evaluation import evaluators
from tltf.evaluation.baseline_row import PairedDifference
from tltf.evaluation.report.wording import Wording, count_of
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.experiments.comparison import common_rows, disagreements, paired_rounds
from tltf.experiments.comparison.common_rows import CommonRows
from tltf.experiments.comparison.disagreements import Disagreement
from tltf.experiments.comparison.finished_run import FinishedRun
from tltf.experiments.comparison.paired_rounds import RoundsTest

SEED = 0
"""Seed of the bootstrap."""
WITHOUT_MEANING = ("output", "title", "overwrite", "resume", "dry_run", "quiet", "track")
"""Flags that do not change what a run learns or costs."""


@dataclasses.dataclass(frozen=True)
class ComparedRun:
    """One of the runs that are compared.

    Args:
        run: its report, history and answers.
        metrics: on the common rows; on its own rows where there are no common ones.
        gain: its metrics minus those of the first run on the same rows; None for the first run, and
            where they cannot be paired.
        rounds: the tests of the headline metric over rounds, where both runs have the same ones.
    """

    run: FinishedRun
    metrics: SplitMetrics
    gain: PairedDifference | None = None
    rounds: RoundsTest | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        report = self.run.report
        values = {
            "name": self.run.name,
            "folder": str(self.run.folder),
            "metrics": self.metrics.to_json(),
            "gain": self.gain and self.gain.to_json(),
            "rounds": self.rounds and self.rounds.to_json(),
            "time_s": report.time_s,
            "parameters": report.parameters and dataclasses.asdict(report.parameters),
            "facts": report.facts and report.facts.to_json(),
        }
        return {name: value for name, value in values.items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Several runs beside each other.

    Args:
        runs: in the order in which they were named; differences are from the first one.
        num_common: rows that all runs were judged on, with the same labels.
        notes: what a reader must know of the rows, in sentences.
        flags: flag -> the value of each run as text, of the flags that differ.
        disagreements: of each run with the first one.
    """

    runs: list[ComparedRun]
    num_common: int
    notes: list[str]
    flags: dict[str, list[str]]
    disagreements: list[Disagreement]

    @property
    def wording(self) -> Wording:
        """How the metrics are named and printed."""
        return evaluators.wording_for(self.runs[0].metrics)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as comparison.json holds it."""
        return {
            "runs": [row.to_json() for row in self.runs],
            "num_common_examples": self.num_common,
            "notes": self.notes,
            "flags": self.flags,
            "disagreements": [row.to_json() for row in self.disagreements],
        }


def make(runs: Sequence[FinishedRun], num_examples: int) -> Comparison:
    """Compares runs.

    Args:
        runs: two or more.
        num_examples: rows that are shown of each disagreement.

    Raises:
        FlagError: the runs answer different kinds of questions.
    """
    common = common_rows.find(runs)
    found = disagreements.find(runs, common, num_examples) if len(common) else []
    found, missing = disagreements.add_pictures(found, runs[0])
    compared = _compared(runs, common)
    return Comparison(
        compared,
        len(common),
        [*notes_of(runs, common), *_tests(compared), *filter(None, [missing])],
        differing_flags([run.options for run in runs]),
        found,
    )


def _tests(compared: Sequence[ComparedRun]) -> list[str]:
    """What the tests over rounds say, in sentences."""
    said, first = evaluators.wording_for(compared[0].metrics), compared[0].run.name
    return [
        paired_rounds.sentence(row.rounds, row.run.name, first, said)
        for row in compared
        if row.rounds
    ]


def _compared(runs: Sequence[FinishedRun], common: CommonRows) -> list[ComparedRun]:
    if not len(common):
        return [ComparedRun(run, run.metrics) for run in runs]
    rows, labels = list[ComparedRun](), common.labels
    have_rounds = [paired_rounds.are_paired(run, runs[0]) for run in runs]
    for place, (run, judge, candidate) in enumerate(
        zip(runs, common.judges, common.candidates, strict=True)
    ):
        metrics = judge.measure(labels, candidate, common.class_names, seed=SEED)
        gain = None
        if place and common.are_comparable[place]:
            gain = judge.difference(labels, candidate, common.candidates[0], seed=SEED)
        if have_rounds[place] and any(have_rounds[1:]):
            rows.append(_over_rounds(run, runs[0] if place else None, metrics))
        else:
            rows.append(ComparedRun(run, metrics, gain))
    return rows


def _over_rounds(run: FinishedRun, first: FinishedRun | None, pooled: SplitMetrics) -> ComparedRun:
    """A run with the means over its rounds, and their difference from those of the first run, if it is another.

    An interval that took the rows of all rounds as independent would be too narrow.
    """
    metrics = dataclasses.replace(
        pooled,
        scores=pooled.scores | run.metrics.scores,
        intervals=run.metrics.intervals,
        interval_confidence=run.metrics.interval_confidence,
    )
    if first is None:
        return ComparedRun(run, metrics)
    headline = evaluators.wording_for(metrics).metric
    gain = paired_rounds.difference(run, first)
    return ComparedRun(run, metrics, gain, paired_rounds.compare(run, first, headline))


def notes_of(runs: Sequence[FinishedRun], common: CommonRows) -> list[str]:
    """Which rows are compared, and what of the runs is not."""
    sizes = [len(run.table) for run in runs]
    num, notes = len(common), list[str]()
    if not num:
        notes.append(
            "No row was judged by all runs, so each run stands with the metrics of its own rows and "
            "the differences between them may be those of the rows."
        )
    elif set(sizes) == {num}:
        notes.append(f"All runs were judged on the same {count_of(num, 'row')}.")
    else:
        told = ", ".join(f"{run.name} {size:,}" for run, size in zip(runs, sizes, strict=True))
        notes.append(
            f"Compared on the {count_of(num, 'row')} that all runs were judged on; each was judged "
            f"on more or other ones too ({told})."
        )
    if common.num_relabelled:
        rows = count_of(common.num_relabelled, "row")
        notes.append(f"{rows} left out, since the runs have different labels for the same content.")
    names = [set(run.metrics.class_names) for run in runs]
    if any(own != names[0] for own in names):
        notes.append(
            "The runs do not know the same classes: the probability of a class that a run does not "
            "know counts as 0."
        )
    unlike = [
        run.name for run, is_like in zip(runs, common.are_comparable, strict=True) if not is_like
    ]
    if unlike and num:
        notes.append(
            f"{', '.join(unlike)}: no paired difference, since what is stated of each row (the "
            f"quantiles or the numbers) is not that of {runs[0].name}."
        )
    return notes


def differing_flags(options: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Flag -> the value of each run as text, of the flags that differ between runs.

    Args:
        options: flag -> value of each run.
    """
    names = dict.fromkeys(name for own in options for name in own)
    found = {
        name: [flag_text(own.get(name)) for own in options]
        for name in names
        if name not in WITHOUT_MEANING
    }
    return {name: texts for name, texts in found.items() if len(set(texts)) > 1}
