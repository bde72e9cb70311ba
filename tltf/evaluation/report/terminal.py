"""A report as the lines of a terminal: the verdict, the result beside baselines, where files are."""

import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

from tltf.evaluation import evaluators
from tltf.evaluation.report import learning, sentences, verdict
from tltf.evaluation.report.report import Report
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.runs import layout

LINE = 68
"""Letters of a line of a sentence, behind the ten of its name and a space."""


def closing_text(report: Report, run: pathlib.Path, history: Sequence[dict[str, Any]] = ()) -> str:
    """The text that a run prints last: its result beside baselines, and where its files are.

    Args:
        report: of the run.
        run: the run folder.
        history: a dict for each epoch or penalty.
    """
    split, metrics = report.main_split()
    lines = verdict_lines(report)
    lines.append(f"{split:<10} " + (score_text(metrics) if metrics else "no examples"))
    lines += [f"{'':<10} {sentence}" for sentence in sentences.choice_sentences(report)]
    said = evaluators.wording_for(metrics)
    for row in sentences.comparison(report)[1:]:
        gain = f", this model {said.change(row.gain.difference)}" if row.gain else ""
        lines.append(f"{'':<10} {said.value(row.value)} {row.title}{gain}")
    if "scratch" not in (report.baselines or {}):
        lines.append(f"{'':<10} not measured: random weights (--baseline=scratch)")
    total_s, train_s = report.time_s["total"], report.time_s["train"]
    lines += wrapped_lines("trained", " ".join(learning.sentences(report, history)))
    lines += [
        f"{'time':<10} {total_s:.0f} s, {train_s:.0f} s of it training",
        f"{'report':<10} {run / layout.REPORT_HTML}",
        f"{'predict':<10} python -m tltf.predict --run={run} --input=FILE",
    ]
    if (run / layout.EXPORT).is_dir():
        lines.append(f"{'serve':<10} {run / 'export'}")
    return "\n".join(lines)


def verdict_lines(report: Report) -> list[str]:
    """The lines of a terminal that hold the verdict of a report and the command that it names."""
    given = verdict.verdict(report)
    if not given:
        return []
    command = [f"{'':<10} next: {given.command}"] if given.command else []
    return wrapped_lines("verdict", given.text) + command


def wrapped_lines(name: str, text: str) -> list[str]:
    """The lines of a text behind its name; none for an empty text."""
    parts = textwrap.wrap(text, LINE, break_long_words=False, break_on_hyphens=False)
    return [f"{'' if place else name:<10} {part}" for place, part in enumerate(parts)]


def score_text(metrics: SplitMetrics) -> str:
    """A line with the headline metric and its interval, more metrics, and the number of examples."""
    said = evaluators.wording_for(metrics)
    bounds = metrics.intervals.get(said.metric)
    more = [
        f"{sentences.words(name).replace('f1', 'F1')} {said.text(name, metrics.scores.get(name))}"
        for name in said.columns
    ]
    first = f"{said.value(metrics.score(said.metric))} {said.title}"
    if bounds:
        first += f" ({said.value(bounds[0])} to {said.value(bounds[1])})"
    return ", ".join([first, *more, f"{metrics.num_examples:,} examples"])
