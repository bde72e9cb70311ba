"""Paths in flags: a tilde is expanded when they are read, and a run writes them as absolute paths."""

import os
import pathlib
from collections.abc import Mapping

from tltf.config import call_strings, data_sets
from tltf.config.catalogs import BACKBONES, METHODS, SOURCES
from tltf.config.catalogs.row import Row
from tltf.config.flag_fields import FlagValue

FLAGS = ("output", "run", "backbone", "backbone_weights", "head_weights", "publish")
"""Flags whose whole value is, or may be, a path."""
SOLVED = "solved"
HEAD_STARTS = ("", "random", SOLVED)
"""The values of --head_weights that name no run."""
CALLS: dict[str, Mapping[str, Row]] = {
    "data": SOURCES,
    "target_data": SOURCES,
    "unlabelled_data": SOURCES,
    "method": METHODS,
}
"""Flags whose arguments may be paths; the code that reads these arguments expands the tilde."""


def expand_home(name: str, text: str) -> str:
    """The text of flag `name`, with the home folder in place of a tilde at its beginning."""
    return os.path.expanduser(text) if name in FLAGS and text.startswith("~") else text


def make_absolute(name: str, value: FlagValue) -> FlagValue:
    """A flag's value that means the same from every working directory.

    Paths in --data and --method, a folder in --backbone and a file in --backbone_weights become
    absolute; all other values stay as they are, call strings letter by letter.

    Args:
        name: the flag's.
        value: the flag's.
    """
    if not isinstance(value, str):
        return value
    if CALLS.get(name) is SOURCES:
        return data_sets.change_paths(value, _path)
    if name in CALLS:
        return call_strings.change_paths(value, CALLS[name], _path)
    if name == "backbone":
        is_name = not value or value in BACKBONES
        is_folder = not is_name and pathlib.Path(os.path.expanduser(value)).is_dir()
        return _path(value) if is_folder else value
    if name == "backbone_weights" and value not in ("", "default", "none"):
        return _path(value)
    if name == "head_weights" and value not in HEAD_STARTS:
        return _path(value)
    return value


def _path(text: str) -> str:
    """The absolute path of `text`; empty texts and addresses such as gs://bucket stay."""
    return os.path.abspath(os.path.expanduser(text)) if text and "://" not in text else text
