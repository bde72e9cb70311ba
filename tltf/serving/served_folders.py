"""Which folders of exports a server serves; free of TensorFlow."""

import pathlib

from tltf.config.command_options import ServeOptions
from tltf.errors import FlagError
from tltf.runs import layout

LATEST, ALL = "latest", "all"


def folder_of(options: ServeOptions) -> pathlib.Path:
    """The folder of the versions that are served.

    Raises:
        FlagError: neither a run nor an export is given, or both.
    """
    if bool(options.run) == bool(options.export):
        what = "must be given, or --export" if not options.run else "is given beside --export"
        raise FlagError(what, flag="run", fix="--run=RUN, the --output of tltf.train")
    return pathlib.Path(options.export or pathlib.Path(options.run) / layout.EXPORT)


def choose(folder: pathlib.Path, which: str) -> list[int]:
    """The numbers of the versions to serve; newest last.

    Args:
        folder: the folder of the versions.
        which: `latest`, `all`, or numbers joined with commas.

    Raises:
        FlagError: a version is not there, or `which` is something else.
    """
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    there = sorted(int(name) for name in names if name.isdecimal())
    if not there:
        fix = "python -m tltf.export --run=RUN writes one"
        raise FlagError(f"{folder} has no exported version", flag="run", fix=fix)
    if which in (LATEST, ALL):
        return there[-1:] if which == LATEST else there
    parts = [part.strip() for part in which.split(",")]
    if not all(part.isdecimal() for part in parts):
        what = f"takes latest, all, or numbers joined with commas (received {which!r})"
        raise FlagError(what, flag="versions", fix="--versions=latest")
    absent = sorted(set(map(int, parts)) - set(there))
    if absent:
        shown = ", ".join(map(str, there))
        what = f"there is no version {absent[0]} in {folder} (versions: {shown})"
        raise FlagError(what, flag="versions", fix=f"--versions={there[-1]}")
    return sorted(set(map(int, parts)))
