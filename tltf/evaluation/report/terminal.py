"""A report as the lines of a terminal: the verdict, the result beside baselines, where files are."""

import os
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from tltf.config.checks import WITHOUT_SOURCE
from tltf.config.paths import HEAD_STARTS
from tltf.console.lines import NAME, TEXT, wrap
from tltf.console.progress import seconds_text
from tltf.errors import printable
from tltf.evaluation import evaluators
from tltf.evaluation.report import learning, sentences, verdict
from tltf.evaluation.report.report import Report
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.runs import layout


def closing_text(report: Report, run: pathlib.Path, history: Sequence[dict[str, Any]] = ()) -> str:
    """The text that a run prints last: its result beside baselines, and where its files are.

    Args:
        report: of the run.
        run: the run folder.
        history: a dict for each epoch or penalty.
    """
    split, metrics = report.main_split()
    lines = verdict_lines(report)
    for block in report.tasks or ():
        found = block.test or block.validation
        lines += score_lines(block.task, found) if found else wrap(block.task, "no examples")
    if not report.tasks:
        lines += score_lines(split, metrics) if metrics else wrap(split, "no examples")
    for sentence in (*sentences.compared_sentences(report), *sentences.choice_sentences(report)):
        lines += wrap("", sentence)
    for sentence in sentences.probe_sentences(report):
        lines += wrap("probe", sentence)
    said = evaluators.wording_for(metrics)
    for row in sentences.comparison(report)[1:]:
        gain = f", this model {said.change(row.gain.difference)}" if row.gain else ""
        lines += wrap("", f"{said.value(row.value)} {row.title}{gain}")
    if "scratch" not in (report.baselines or {}) and not report.tasks:
        lines += wrap("", "not measured: random weights (--baseline=scratch)")
    head_weights = (report.options or {}).get("head_weights", "")
    if head_weights not in HEAD_STARTS and WITHOUT_SOURCE not in (report.baselines or {}):
        what = f"the same run without {head_weights} (--baseline={WITHOUT_SOURCE})"
        lines += wrap("", f"not measured: {what}")
    lines += wrap("trained", " ".join(learning.sentences(report, history)))
    return "\n".join([*lines, *_next_lines(report, run)])


def _next_lines(report: Report, run: pathlib.Path) -> list[str]:
    """How long the run took, and what can be done with it: commands that can be copied."""
    total, train = map(seconds_text, (report.time_s["total"], report.time_s["train"]))
    path = shlex.quote(str(run))
    lines = [
        f"{'time':<10} {total}, {train} of it training",
        f"{'report':<10} {link(run / layout.REPORT_HTML)}",
        f"{'predict':<10} python -m tltf.predict --run={path} --input=FILE",
        f"{'python':<10} model = tltf.load({str(run)!r})",
    ]
    if any(path.name.isdecimal() for path in (run / layout.EXPORT).glob("*")):
        lines.append(f"{'serve':<10} {layout.serve_command(run / layout.EXPORT, run)}")
    return lines


def link(path: pathlib.Path) -> str:
    """A path, which a terminal that knows links opens when it is clicked."""
    shown = printable(str(path))
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return shown
    return f"\x1b]8;;{path.absolute().as_uri()}\x1b\\{shown}\x1b]8;;\x1b\\"


def verdict_lines(report: Report) -> list[str]:
    """The lines of a terminal that hold the verdict of a report and the command that it names."""
    given = verdict.verdict(report)
    if not given:
        return []
    command = [f"{'':<10} next: {given.command}"] if given.command else []
    return wrap("verdict", given.text) + command


def score_text(metrics: SplitMetrics) -> str:
    """A line with the headline metric and its interval, more metrics, and the number of examples."""
    first, *more = _scores(metrics)
    return ", ".join([" ".join(first), *(" ".join(pair) for pair in more)])


def score_lines(name: str, metrics: SplitMetrics) -> list[str]:
    """The text of `score_text` behind a name; in aligned rows where it is longer than a line."""
    text = score_text(metrics)
    if len(text) <= TEXT:
        return [f"{name:<{NAME}} {text}"]
    (value, title), *more, (count, examples) = _scores(metrics)
    width = max(len(key) for key, _ in more)
    rows = [f"{'':<{NAME}} {key:<{width}} {number:>8}" for key, number in more]
    return [f"{name:<{NAME}} {value} {title}, {count} {examples}", *rows]


def _scores(metrics: SplitMetrics) -> list[tuple[str, str]]:
    """Pairs of texts: the headline metric, names and values of more metrics, and the rows."""
    said = evaluators.wording_for(metrics)
    bounds, title = metrics.intervals.get(said.metric), said.title
    if bounds:
        title += f" ({said.value(bounds[0])} to {said.value(bounds[1])})"
    more = [
        (sentences.words(name), said.text(name, metrics.scores.get(name))) for name in said.columns
    ]
    num = metrics.num_examples or 0
    return [
        (said.value(metrics.score(said.metric)), title),
        *more,
        (f"{num:,}", "examples"),
    ]
