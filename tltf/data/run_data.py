"""The data that a finished run names in its own run.flags, read without running a stranger's code.

A run folder may come from anywhere, and nobody who opens one has read its run.flags. What the user
names on the command line is another thing: that may be code.
"""

import pathlib
import re
from typing import Any

from tltf.config import call_strings
from tltf.config.catalogs import HEADS, SOURCES, SPLITS
from tltf.config.options import Options
from tltf.data import loader
from tltf.errors import ModelError
from tltf.runs import folder

_PLAIN_NAME = re.compile(r"\w+(/[\w.+-]+)?(:\d+\.\d+\.\d+)?")
"""A data set of TFDS, with a configuration and a version: no namespace and no arguments."""


def parts(run: str) -> Any:
    """role -> Source: the splits of a run folder's own data.

    Raises:
        FlagError: no run there, or data that is not there.
        DataError: data that cannot be used.
        ModelError: its flags name code from outside of tltf, or data that could name some.
    """
    chosen = folder.read_options(run)
    require_own_code(chosen, run)
    return loader.load_parts(chosen)


def require_own_code(chosen: Options, run: str) -> None:
    """Refuses code from outside of tltf that a run's own Options name: it must not run unasked."""
    given = {"data": (chosen.data.data, SOURCES), "split": (chosen.data.split, SPLITS),
             "head": (chosen.model.head, HEADS)}  # fmt: skip
    fix = f"--data='{chosen.data.data}', if you trust it"
    place = pathlib.Path(run) / folder.FLAGS
    for flag, (text, catalog) in given.items():
        name, _ = call_strings.parse(text, flag)
        if name not in catalog:
            what = f"the run's {flag} {name!r} is not part of tltf, and its code would be run"
            raise ModelError(what, place=place, fix=fix)
    call = call_strings.pick(SOURCES, chosen.data.data, "data")
    if call.name == "tfds" and (
        call.kwargs["data_dir"] or not _PLAIN_NAME.fullmatch(call.kwargs["name"])
    ):
        what = f"the run's data {chosen.data.data!r} may name code, which TFDS would run"
        raise ModelError(what, place=place, fix=fix)
