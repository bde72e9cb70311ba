"""How a report is headed, and its paths without the folders of the machine that it was made on."""

import functools
import os
import pathlib
import re
from typing import Any

from tltf.config import call_strings, data_sets, task_heads
from tltf.config.catalogs import BACKBONES, METHODS, SOURCES
from tltf.errors import FlagError
from tltf.evaluation.report import folds
from tltf.evaluation.report.report import Report

PLAIN_NAMES = {"all", "data", "dataset", "examples", "images", "rows", "table", "train", "training"}
"""Names of files and folders that say nothing about the data, so that the folder above is named."""
HUB = "hub:"
COMPUTED = {"center", "scale", "margin"}
"""Arguments of heads that a run computes."""
AS_THEY_ARE = {"text", "label", "predicted", "name", "class_names", "class_counts"}
"""Keys of report.json below which texts are the data's own, and are not paths."""


def title(report: Report) -> str:
    """The heading of a report, such as `mails: MiniLM-L6, fine-tuned`.

    It is what --title gives, else the title of the report itself, else made of data, backbone and method.
    """
    given = str((report.options or {}).get("title") or "")
    if given or report.title:
        return given or str(report.title)
    run, folder = report.run, str((report.options or {}).get("output") or "")
    data = data_name(str(run.get("data") or ""), folder)
    model = [
        backbone_name(str(run.get("backbone") or "")),
        method_name(str(run.get("method") or "")),
    ]
    kind = folds.kind_of(report.round_kind)
    whole = kind.whole.format(count=run[kind.plural]) if run.get(kind.plural) else ""
    named = ": ".join(filter(None, [data, ", ".join(filter(None, model))]))
    return whole + named or "Evaluation"


def chips(report: Report) -> list[tuple[str, str]]:
    """`(name, text)` of what is shown below the heading: what a user chose, by name.

    The data is left out where the section on data names it.
    """
    source = report.data.source if report.data else ""
    found = [(key, str(value)) for key, value in report.run.items() if value not in (None, "")]
    return [
        (key, _chosen(text) if key == "head" else text)
        for key, text in found
        if key != "data" or text != source
    ]


def _chosen(text: str) -> str:
    """The call string of a head without the arguments that were computed from the training rows.

    Of several heads each stands behind its task.
    """
    if task_heads.are_several(text):
        pairs = [part.partition(":") for part in call_strings.split_outside(text, ";")]
        return "; ".join(f"{task.strip()}: {_chosen(own)}" for task, _, own in pairs)
    try:
        name, arguments = call_strings.parse(text)
    except FlagError:
        return text
    written = [f"{key}={value}" for key, value in arguments.items() if key not in COMPUTED]
    return f"{name}({', '.join(written)})" if written else name


def data_name(text: str, folder: str = "") -> str:
    """The name of data: the stem of its file or the name of its folder, else of its source.

    Args:
        text: the call string of the data.
        folder: the run folder, after which data in memory is named.
    """
    if data_sets.are_several(text):
        return " and ".join(data_name(own) for own in data_sets.texts_of(text).values())
    source = call_strings.name_of(text)
    if source == call_strings.IN_MEMORY:
        name = pathlib.PurePath(folder).name
        return "" if name.startswith("tltf-") else name
    paths = SOURCES[source].paths if source in SOURCES else ()
    try:
        arguments = call_strings.read_arguments(text) if text else {}
    except FlagError:
        return source
    for key in (*paths, "name"):
        value = arguments.get(key)
        first = value[0] if isinstance(value, tuple) and value else value
        if isinstance(first, str) and first:
            return _stem(first)
    return source


def _stem(path: str) -> str:
    """The name of a file without its ending; that of the folder above where it says nothing."""
    parts = pathlib.PurePath(path.rstrip("*/")).parts
    names = [pathlib.PurePath(part).stem for part in reversed(parts[-2:]) if part.strip("/.")]
    telling = [name for name in names if name.lower() not in PLAIN_NAMES and "*" not in name]
    return next(iter([*telling, *names]), path)


def backbone_name(text: str) -> str:
    """The name of a backbone as people write it: `MiniLM-L6`."""
    name = call_strings.name_of(text)
    if name in BACKBONES:
        return BACKBONES[name].title
    return name.removeprefix(HUB) if name.startswith(HUB) else pathlib.PurePath(name).name


def method_name(text: str) -> str:
    """What a method is, in words that follow the name of a backbone: `fine-tuned`."""
    name = call_strings.name_of(text)
    return METHODS[name].title if name in METHODS else name


def hide_folders(content: Any) -> Any:
    """Plain JSON of a report in which paths are relative to the working folder, or to home by a tilde.

    Texts and names of the data stay as they are.

    Args:
        content: of report.json, or a part of it.
    """
    if isinstance(content, str):
        return shorten_paths(content)
    if isinstance(content, list):
        return [hide_folders(item) for item in content]
    if isinstance(content, dict):
        return {
            key: item if key in AS_THEY_ARE else hide_folders(item) for key, item in content.items()
        }
    return content


def shorten_paths(text: str) -> str:
    """A text in which the working folder and the home folder are left out of paths."""
    for folder, short in ((os.getcwd(), ""), (os.path.expanduser("~"), "~/")):
        if folder.strip("/") and folder in text:
            pattern = rf"(?<![\w/.~-]){re.escape(folder.rstrip('/'))}(/|(?=[\s,)\]'\":]|$))"
            text = re.sub(pattern, functools.partial(_short_folder, short), text)
    return text


def _short_folder(short: str, found: re.Match[str]) -> str:
    """What stands for a folder: at the beginning of a longer path, or alone."""
    return short if found[1] else short.rstrip("/") or "."


def file_name(row_id: str) -> str:
    """The last part of the path of an example: `mails.csv:17` of `data/mails.csv:17`."""
    return row_id.rstrip("/").rpartition("/")[2] or row_id
