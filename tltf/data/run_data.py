"""The data that a finished run names in its own run.flags, loaded without running a stranger's code.

A run folder may come from anywhere, and the user who opens it may not have read its run.flags. What
the user names on the command line is another matter: that may be code.
"""

import pathlib
import re
from collections.abc import Mapping

from tltf.config import call_strings, checks, data_sets, task_heads
from tltf.config.catalogs import HEADS, SOURCES, SPLITS, Row
from tltf.config.options import Options
from tltf.config.recipe import DataRecipe
from tltf.data import loader
from tltf.data.source import Splits
from tltf.errors import ModelError
from tltf.runs import folder

_PLAIN_NAME = re.compile(r"\w+(/[\w.+-]+)?(:\d+\.\d+\.\d+)?")
"""The name of a data set of TFDS, with a configuration and a version, without a namespace or arguments."""


def load_parts(run: str) -> Splits:
    """The Splits of a run folder's own data.

    Raises:
        FlagError: there is no such run, or its data is not there.
        DataError: the data cannot be used.
        ModelError: its flags name code from outside of tltf, or data that may name code.
    """
    options = folder.read_options(run)
    return loader.load_parts(options, own_recipe(options, run))


def own_recipe(options: Options, run: str) -> DataRecipe:
    """The DataRecipe of the options of a run.

    Raises:
        ModelError: they name code from outside of tltf, which must not run without being asked for.
        FlagError: the data was in memory.
    """
    target, unlabelled = options.data.target_data, options.data.unlabelled_data
    more = {"target_data": target, "unlabelled_data": unlabelled}
    named: list[tuple[str, str, Mapping[str, Row]]] = [
        *(("data", text, SOURCES) for text in _data_texts(options.data.data)),
        *((flag, text, SOURCES) for flag, text in more.items() if text),
        ("split", options.data.split, SPLITS),
        *(("head", text, HEADS) for text in task_heads.texts_of(options.model.head)),
    ]
    fix = f"--data='{options.data.data}', if you trust it"
    for flag, text, catalog in named:
        require_no_code(flag, text, catalog, pathlib.Path(run) / folder.FLAGS, fix, "the run's")
    data, head = options.data, options.model.head
    return checks.resolve_data(data.data, data.split, head, target=target, unlabelled=unlabelled)


def _data_texts(text: str) -> list[str]:
    """The call strings in a text of --data: one, or those of several data sets."""
    return [*data_sets.texts_of(text).values()] if data_sets.are_several(text) else [text]


def require_no_code(
    flag: str,
    text: str,
    catalog: Mapping[str, Row],
    place: pathlib.Path | str,
    fix: str = "",
    whose: str = "the",
) -> None:
    """Raises ModelError for a call string that would run code from outside of tltf.

    Args:
        flag: the flag that it is a value of.
        text: the call string.
        catalog: what tltf has.
        place: where it is written.
        fix: what the user can do.
        whose: the words before the name of the flag in the error.
    """
    name, _ = call_strings.parse(text, flag)
    if name not in catalog and name != call_strings.IN_MEMORY:
        what = f"{whose} {flag} {name!r} is not part of tltf, and its code would be run"
        raise ModelError(what, place=place, fix=fix)
    if name != "tfds":
        return
    arguments = call_strings.pick(catalog, text, flag).kwargs
    if arguments["data_dir"] or not _PLAIN_NAME.fullmatch(arguments["name"]):
        what = f"{whose} data {text!r} may name code, which TFDS would run"
        raise ModelError(what, place=place, fix=fix)
