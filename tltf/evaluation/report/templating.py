"""The templates of pages, and the filters that they use."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jinja2
import markupsafe

from tltf.console.progress import seconds_text
from tltf.evaluation.report import examples, markdown, naming, sentences, wording
from tltf.evaluation.report.report import DataSummary

LINE = 48
"""Letters of a line of a text in its card, about."""


def render(template: str, values: dict[str, Any]) -> str:
    """The text of a template.

    Args:
        template: its file, among the templates of reports.
        values: by name, all that it uses.
    """
    return _environment().get_template(template).render(values)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tltf.evaluation.report", "templates"),
        autoescape=lambda name: (name or "").endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "number": wording.number,
        "points": wording.points,
        "bounds": lambda bounds, said: interval_text(bounds, said.value) or wording.NOTHING,
        "gain": lambda gain, said: said.interval(gain) if gain else wording.NOTHING,
        "seconds": seconds_text,
        "words": sentences.words,
        "cell_text": wording.cell_text,
        "data_facts": _data_facts,
        "row_text": _row_text,
        "shortened": shortened,
        "marked_text": examples.marked_text,
        "explained_text": examples.explained_text,
        "md": markdown.escape,
        "row": markdown.row,
        "rules": markdown.rules_of_columns,
        "rules_of_values": markdown.rules_of_values,
        "picked": lambda rows, keys: [[row.get(key) for key in keys] for row in rows],
        "trained_text": sentences.trained_text,
        "file_name": naming.file_name,
        "breakable": _breakable,
        "command": _command,
        "taller_than": _is_taller,
    }
    return environment


def _data_facts(data: DataSummary) -> list[tuple[str, str]]:
    """`(name, text)`: where the data come from, and how their rows were counted."""
    facts = [("source", data.source), ("split", data.split or "")]
    counts = [(name, getattr(data.scan, name)) for name in ("found", "used", "skipped", "excluded")]
    return [
        *((name, text) for name, text in facts if text),
        *((name, wording.cell_text(count)) for name, count in counts),
    ]


def _row_text(row: dict[str, str]) -> str:
    if not isinstance(row, dict):
        return str(row)
    return "; ".join(f"{key}: {wording.cell_text(value)}" for key, value in row.items())


def _is_taller(text: str, num_lines: int) -> bool:
    """Whether a text of a card takes more lines; a line is taken to hold LINE letters."""
    return sum(1 + len(line) // LINE for line in text.splitlines()) > num_lines


def _breakable(name: str) -> markupsafe.Markup:
    """HTML of a name that may be broken behind its marks, and nowhere else."""
    return markupsafe.Markup(re.sub(r"(?<=[_\- ])(?=\w)", "<wbr>", str(markupsafe.escape(name))))


def _command(text: str) -> markupsafe.Markup:
    """HTML of a command, of which no flag is broken behind a hyphen."""
    flag = re.compile(r"(?<=\s)((?:&#39;)?--\S+)")
    return markupsafe.Markup(flag.sub(r"<span>\1</span>", str(markupsafe.escape(text))))


def shortened(text: str, length: int) -> str:
    """The text, or as much of its start as has `length` characters with the mark of what is missing."""
    text = str(text)
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def interval_text(bounds: Sequence[float] | None, text: Callable[[float], str]) -> str:
    """`0.80 to 0.85`: an interval of which `text` writes each bound; empty without one."""
    return f"{text(bounds[0])} to {text(bounds[1])}" if bounds else ""
