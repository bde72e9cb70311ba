"""RUN/model_card.md: what a model is, what it was measured to do, and what was not measured."""

import html
import pathlib
import re
from collections.abc import Iterator

from tltf.data import label_kinds
from tltf.evaluation import evaluators
from tltf.evaluation.evaluators import belief_sections
from tltf.evaluation.report import sentences
from tltf.evaluation.report.report import Report
from tltf.evaluation.report.run_facts import size_text, speed_text
from tltf.evaluation.report.verdict import verdict
from tltf.evaluation.report.wording import Wording, count_of, percent
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.files import atomic_files
from tltf.runs import layout

FEW_EXAMPLES = 20
"""A class with fewer training or test examples is named as a limit."""
MOST_NAMED = 10
"""Classes that are named."""
_TASKS = {
    label_kinds.CLASS: "classification",
    label_kinds.LABELS: "classification",
    label_kinds.NUMBER: "regression",
    label_kinds.NUMBERS: "regression",
}
_FOLDERS = re.compile(r"(?<![\w.~:/])/(?:[^\s/,;)'\"|]+/)+")
"""The folders of a path from the root, which are nobody else's business."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~])")


def write(report: Report, folder: pathlib.Path) -> None:
    """Writes `model_card.md` into a run folder; the file is whole or absent.

    Args:
        report: of a run with one model.
        folder: the run folder.

    Raises:
        StorageError: it cannot be written.
    """
    with atomic_files.replace_file(folder / layout.MODEL_CARD) as file:
        file.write(text(report, folder.name))


def text(report: Report, name: str) -> str:
    """The model card as Markdown, with the head that the Hugging Face hub reads.

    It says nothing that the report does not hold.

    Args:
        report: of a run with one model.
        name: of the model.
    """
    parts = [
        *_front_matter(report),
        f"# {_plain(name)}",
        "",
        *_description(report),
        *_intended_use(report),
        *_metrics(report),
        *_limits(report),
        *_use(report),
    ]
    return "\n".join(parts).encode("utf-8", "backslashreplace").decode("utf-8") + "\n"


def _plain(text: object) -> str:
    """A text on one line, without folders of the machine, with marks of Markdown and HTML escaped."""
    flat = html.escape(" ".join(_FOLDERS.sub("", str(text)).split()), quote=False)
    return _MARKDOWN.sub(r"\\\1", flat)


def _front_matter(report: Report) -> list[str]:
    _, metrics = report.main_split()
    task = _TASKS[metrics.target] if metrics else "classification"
    return [
        "---",
        "library_name: keras",
        "tags:",
        "- tltf",
        "- transfer-learning",
        f"- {task}",
        "---",
        "",
    ]


def _description(report: Report) -> Iterator[str]:
    """What the model is, and what it was made from."""
    licences = report.facts.licences if report.facts else {}
    options, data = report.options or {}, report.data
    yield "## What it is"
    yield ""
    for part, flag in (("backbone", "backbone"), ("method", "method"), ("head", "head")):
        yield f"- {part}: {_plain(options.get(flag, 'unknown'))}"
    yield f"- data: {_plain(options.get('data', 'unknown'))}"
    for role, counts in (data.splits if data else {}).items():
        yield f"- {_plain(role)} examples: {counts.num_examples or 0:,}"
    if report.parameters:
        trained = f"{report.parameters.trainable:,} of them trained in the last phase"
        yield f"- parameters: {report.parameters.total:,}, {trained}"
    for part in ("backbone", "data"):
        yield f"- licence of the {part}: {_plain(licences.get(part, 'not recorded'))}"
    if report.facts and report.facts.finished:
        yield f"- trained: {report.facts.finished.partition('T')[0]}, tltf {_plain(report.versions.get('tltf', ''))}"
    yield ""


def _intended_use(report: Report) -> Iterator[str]:
    """What it answers, and for which examples; more a run does not know."""
    _, metrics = report.main_split()
    kind = metrics.target if metrics else label_kinds.CLASS
    splits = report.data.splits.values() if report.data else ()
    names = max((list(counts.class_counts or ()) for counts in splits), key=len, default=[])
    shown = ", ".join(map(_plain, names[:MOST_NAMED])) + (", ..." if names[MOST_NAMED:] else "")
    what = {
        label_kinds.CLASS: f"one of {count_of(len(names), 'class', 'classes')} ({shown})",
        label_kinds.LABELS: f"any of {count_of(len(names), 'label')} ({shown})",
        label_kinds.NUMBER: "a number",
        label_kinds.NUMBERS: "several numbers",
    }[kind]
    yield "## Intended use"
    yield ""
    yield (
        f"It answers {what} for examples like those of the data above. Other uses were not judged; what "
        "it is meant for beyond that, its makers have to add."
    )
    yield ""


def _metrics(report: Report) -> Iterator[str]:
    """What was measured, each number with its interval where it has one."""
    split, metrics = report.main_split()
    yield "## What was measured"
    yield ""
    if not metrics:
        yield "Nothing: the run had no validation and no test examples."
        yield ""
        return
    said, given = evaluators.wording_for(metrics), verdict(report)
    yield f"On {count_of(metrics.num_examples or 0, split + ' example')}:"
    yield ""
    for name in dict.fromkeys((said.metric, *said.columns)):
        if metrics.scores.get(name) is not None:
            yield f"- {sentences.words(name)}: {_value(name, metrics, said)}"
    error = metrics.scores.get("calibration_error")
    if error is not None:
        yield f"- calibration error: {percent(error)}{belief_sections.calibration_end(metrics)}"
    for text in belief_sections.abstention_sentences(metrics):
        yield f"- {_plain(text)}"
    for row in sentences.comparison(report)[1:]:
        gain = f"; this model {said.interval(row.gain)}" if row.gain else ""
        yield f"- {_plain(row.title)}, for comparison: {said.value(row.value)} {said.title}{gain}"
    speed = report.facts and report.facts.speed
    if speed:
        yield f"- time per example: {_plain(speed_text(speed))}"
    if given:
        yield f"\n{_plain(given.text)}"
    yield ""


def _value(name: str, metrics: SplitMetrics, said: Wording) -> str:
    text, bounds = said.text(name, metrics.scores[name]), metrics.intervals.get(name)
    if not bounds:
        return text
    low, high = (said.text(name, bound) for bound in bounds)
    return f"{text} ({metrics.interval_confidence or 0.95:.0%} interval {low} to {high})"


def _limits(report: Report) -> Iterator[str]:
    """What the numbers do not say."""
    split, metrics = report.main_split()
    yield "## Limits"
    yield ""
    for role, counts in (report.data.splits if report.data else {}).items():
        few = [
            f"{_plain(name)} ({count:,})"
            for name, count in sorted((counts.class_counts or {}).items(), key=lambda row: row[1])
            if count < FEW_EXAMPLES
        ]
        if few:
            more = f" and {len(few) - MOST_NAMED} more" if len(few) > MOST_NAMED else ""
            yield (
                f"- Fewer than {FEW_EXAMPLES} {_plain(role)} examples: "
                f"{', '.join(few[:MOST_NAMED])}{more}."
            )
    for warning in report.data.scan.warnings if report.data else ():
        yield f"- {_plain(warning)}"
    if split == "validation" and metrics:
        yield "- The run had no test split: these numbers are of the rows on which choices were made."
    yield (
        "- Only examples drawn from the same data were judged. Other sources, cameras, languages or "
        "times were not measured, nor were groups of people, nor inputs that are none of its classes."
    )
    yield ""


def _use(report: Report) -> Iterator[str]:
    """How the model is loaded, and how large it is."""
    facts = report.facts
    sizes = {
        "model": facts.model_bytes if facts else None,
        "export": facts.export_bytes if facts else None,
    }
    yield "## How to load it"
    yield ""
    yield "```python"
    yield "import tltf"
    yield ""
    yield 'model = tltf.load("RUN")  # this folder'
    yield "model.predict([...])  # texts, or paths of images"
    yield 'tltf.explain([...], run="RUN")  # shows what the answers rest on'
    yield "```"
    for name, size in sizes.items():
        if size:
            yield f"\nSize of the {name}: {size_text(size)}."
