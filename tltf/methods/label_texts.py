"""Texts that stand for classes: their names in templates, or descriptions in a file."""

import csv
import json
import os
from collections.abc import Sequence
from typing import Any

from tltf.errors import DataError, FlagError
from tltf.methods.context import FitContext, TextInputs

PLACE = "{label}"
"""What a template has in place of the name."""
SEPARATOR = "|"
"""What joins several templates."""


def check_template(template: str, method: str) -> tuple[str, ...]:
    """The templates that an argument joins with |.

    Raises:
        FlagError: one of them has no place for the name.
    """
    templates = tuple(part.strip() for part in template.split(SEPARATOR))
    for one in templates:
        if PLACE not in one:
            raise FlagError(
                f"the template {one!r} has no {PLACE}, where the name of the class goes",
                flag="method",
                fix=f"--method={method}(template='This text is about {PLACE}.')",
            )
    return templates


def named_texts(class_names: Sequence[str], templates: Sequence[str]) -> list[list[str]]:
    """The texts of each class: its name, in which _ is a space, in each template."""
    names = [name.replace("_", " ") for name in class_names]
    return [[template.replace(PLACE, name) for template in templates] for name in names]


def described_texts(class_names: Sequence[str], path: str) -> list[list[str]]:
    """The descriptions of each class, as a file has them.

    Args:
        class_names: the classes.
        path: a CSV file with the columns label and description, maybe several rows for a label, or a
            JSON file: {label: description or list of descriptions}.

    Raises:
        DataError: the file cannot be read, or a class has no description.
    """
    path = os.path.expanduser(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            found = _of_json(json.load(file)) if path.endswith(".json") else _of_csv(file)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise _fault(f"the descriptions cannot be read: {error}", path) from error
    missing = [name for name in class_names if not found.get(name)]
    if missing:
        known = ", ".join(list(found)[:6]) or "none"
        raise _fault(f"has no description of {', '.join(missing[:6])} (it has {known})", path)
    return [found[name] for name in class_names]


def _of_csv(file: Any) -> dict[str, list[str]]:
    reader, found = csv.DictReader(file), dict[str, list[str]]()
    if not {"label", "description"} <= set(reader.fieldnames or ()):
        raise csv.Error("it has no columns label and description")
    for row in reader:
        if row["description"]:
            found.setdefault(row["label"], []).append(row["description"])
    return found


def _of_json(content: Any) -> dict[str, list[str]]:
    found = dict[str, list[str]]()
    for label, texts in content.items() if isinstance(content, dict) else ():
        given = [texts] if isinstance(texts, str) else texts
        if isinstance(given, list) and all(isinstance(text, str) for text in given):
            found[label] = given
    return found


def _fault(what: str, path: str) -> DataError:
    fix = "a CSV file with the columns label,description"
    return DataError(what, flag="method", place=path, fix=fix)


def require_inputs(context: FitContext, method: str) -> TextInputs:
    """What makes the network's inputs of texts about the classes.

    Raises:
        FlagError: the network takes images, or several texts for a row.
    """
    if context.text_inputs is None or not context.class_names:
        raise FlagError(
            f"{method} reads the names of the classes with the network itself, so that it takes a "
            "network of texts, one for each row",
            flag="method",
            fix="--method=prototypes, which takes a few labels and works for images too",
        )
    return context.text_inputs
