"""RUN/origin.json: what a run was begun with beside its flags, and what may differ when it goes on.

That is the contents of its data, split by split, and the versions of what computes. Flags are in
run.flags. A run goes on with what it was begun with, unless --resume names what may differ. The
version that its SavedModel gets is noted too: others in RUN/export are not its own.
"""

import json
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from tltf.config.resume import VERSIONS
from tltf.errors import ModelError
from tltf.files import atomic_files, untrusted
from tltf.runs import layout, versions

FILE = layout.ORIGIN
PACKAGES = ("tltf", "keras", "tensorflow", "numpy")


class Change(NamedTuple):
    """Something that is not as it was when a run was begun.

    Args:
        name: what --resume calls it: a flag, or VERSIONS.
        text: what it was, and is.
    """

    name: str
    text: str


def write(run: pathlib.Path, data: Any, export: int = 1) -> None:
    """Notes what a run is begun with.

    Args:
        run: the run folder.
        data: `train split` and the like -> text that differs where its contents do; {} for a run
            that reads none itself.
        export: the version that it exports.

    Raises:
        StorageError: it cannot be written.
    """
    noted = {"data": data, "versions": versions.installed_versions(PACKAGES), "export": export}
    with atomic_files.replace_file(pathlib.Path(run) / FILE) as file:
        json.dump(noted, file, indent=1)


def export_version(run: pathlib.Path) -> int:
    """The version of a run's own SavedModel; 1 where nothing says otherwise."""
    try:
        noted = untrusted.read_json(pathlib.Path(run) / FILE)
    except (FileNotFoundError, ModelError):
        return 1
    version = noted.get("export") if isinstance(noted, dict) else 1
    return version if isinstance(version, int) and version > 0 else 1


def changes(run: pathlib.Path | str, data: Any) -> list[Change]:
    """A list of `Change`: how data and versions differ from what was noted.

    Where nothing was noted the versions differ, and the data is not told of.

    Args:
        run: the run folder.
        data: as `write` takes it.

    Raises:
        ModelError: the note is damaged.
    """
    path = pathlib.Path(run) / FILE
    noted = untrusted.read_json(path) if path.exists() else {"data": data, "versions": {}}
    try:
        return [
            *_changes("data", dict(noted["data"]), data),
            *_changes(VERSIONS, dict(noted["versions"]), versions.installed_versions(PACKAGES)),
        ]
    except (KeyError, TypeError, ValueError) as error:
        fix = "another --output; --resume=never would drop the unfinished run"
        raise ModelError("is not a note of tltf", place=path, fix=fix) from error


def _changes(name: str, noted: dict[str, str], current: dict[str, str]) -> Iterator[Any]:
    for key in dict.fromkeys((*noted, *current)):
        was, now = noted.get(key, "none"), current.get(key, "none")
        if was != now:
            yield Change(name, f"{key}: {was} -> {now}")
