"""RUN/origin.json: what a run was started from besides its flags, to be compared when it goes on.

The file has a digest of the data of each split and the versions of the packages that compute. (The
flags are in run.flags.) A run goes on only with the same data and versions, unless --resume names
what may differ. The file also has the version of the run's own SavedModel, which tells it from
other versions in RUN/export.
"""

import json
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from tltf.config.resume import VERSIONS
from tltf.errors import ModelError
from tltf.files import atomic_files, untrusted
from tltf.runs import layout, versions

FILE = layout.ORIGIN
PACKAGES = ("tltf", "keras", "tensorflow", "numpy")
"""Packages whose versions are recorded."""


class Change(NamedTuple):
    """A difference between a run and how it was started.

    Args:
        name: the name that --resume uses for it: a flag, or VERSIONS.
        text: the old and the new value.
    """

    name: str
    text: str


def write(run: pathlib.Path, data: dict[str, str], export: int = 1) -> None:
    """Records what a run is started from.

    Args:
        run: the run folder.
        data: `train split` and the like -> a text that differs if the contents do; {} for a run
            that reads no data itself.
        export: the version of the run's SavedModel.

    Raises:
        StorageError: it cannot be written.
    """
    noted = {"data": data, "versions": versions.installed_versions(PACKAGES), "export": export}
    with atomic_files.replace_file(pathlib.Path(run) / FILE) as file:
        json.dump(noted, file, indent=1)


def export_version(run: pathlib.Path) -> int:
    """The version of a run's own SavedModel; 1 if origin.json does not have it."""
    try:
        noted = untrusted.read_json(pathlib.Path(run) / FILE)
    except (FileNotFoundError, ModelError):
        return 1
    version = noted.get("export") if isinstance(noted, dict) else 1
    return version if isinstance(version, int) and version > 0 else 1


def read_data(run: pathlib.Path) -> dict[str, str]:
    """What `write` recorded of the data; {} if there is nothing that can be read."""
    try:
        noted = untrusted.read_json(pathlib.Path(run) / FILE)
    except (FileNotFoundError, ModelError):
        return {}
    data = noted.get("data") if isinstance(noted, dict) else None
    return {str(name): str(text) for name, text in data.items()} if isinstance(data, dict) else {}


def changes(run: pathlib.Path | str, data: dict[str, str]) -> list[Change]:
    """The differences of data and versions from what was recorded.

    If nothing was recorded, all versions differ and the data do not.

    Args:
        run: the run folder.
        data: as `write` takes it.

    Raises:
        ModelError: origin.json is damaged.
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
        raise ModelError("is not in the form that tltf writes", place=path, fix=fix) from error


def _changes(name: str, noted: dict[str, str], current: dict[str, str]) -> Iterator[Change]:
    for key in dict.fromkeys((*noted, *current)):
        was, now = noted.get(key, "none"), current.get(key, "none")
        if was != now:
            yield Change(name, f"{key}: {was} -> {now}")
