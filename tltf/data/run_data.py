"""The data that a finished run names in its own run.flags, read without running a stranger's code.

A run folder may come from anywhere, and nobody who opens one has read its run.flags. What the user
names on the command line is another thing: that may be code.
"""

import pathlib
import re
from collections.abc import Mapping

from tltf.config import call_strings, checks
from tltf.config.catalogs import HEADS, SOURCES, SPLITS, Row
from tltf.config.options import Options
from tltf.config.recipe import DataRecipe
from tltf.data import loader
from tltf.data.source import Splits
from tltf.errors import ModelError
from tltf.runs import folder

_PLAIN_NAME = re.compile(r"\w+(/[\w.+-]+)?(:\d+\.\d+\.\d+)?")
"""A data set of TFDS, with a configuration and a version: no namespace and no arguments."""


def load_parts(run: str) -> Splits:
    """The Splits of a run folder's own data.

    Raises:
        FlagError: no run there, or data that is not there.
        DataError: data that cannot be used.
        ModelError: its flags name code from outside of tltf, or data that could name some.
    """
    chosen = folder.read_options(run)
    return loader.load_parts(chosen, own_recipe(chosen, run))


def own_recipe(chosen: Options, run: str) -> DataRecipe:
    """The DataRecipe of a run's own Options.

    Raises:
        ModelError: they name code from outside of tltf, which must not run unasked.
    """
    given: dict[str, tuple[str, Mapping[str, Row]]] = {
        "data": (chosen.data.data, SOURCES),
        "split": (chosen.data.split, SPLITS),
        "head": (chosen.model.head, HEADS),
    }
    fix = f"--data='{chosen.data.data}', if you trust it"
    place = pathlib.Path(run) / folder.FLAGS
    for flag, (text, catalog) in given.items():
        name, _ = call_strings.parse(text, flag)
        if name not in catalog:
            what = f"the run's {flag} {name!r} is not part of tltf, and its code would be run"
            raise ModelError(what, place=place, fix=fix)
    recipe = checks.resolve_data(chosen.data.data, chosen.data.split, chosen.model.head)
    call = recipe.source
    if call.name == "tfds" and (
        call.kwargs["data_dir"] or not _PLAIN_NAME.fullmatch(call.kwargs["name"])
    ):
        what = f"the run's data {chosen.data.data!r} may name code, which TFDS would run"
        raise ModelError(what, place=place, fix=fix)
    return recipe
