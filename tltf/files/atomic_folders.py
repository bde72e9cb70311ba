"""Writes folders that are either whole or not there."""

import contextlib
import itertools
import os
import pathlib
import re
import shutil
import socket
from collections.abc import Iterator

from tltf.errors import FlagError, StorageError
from tltf.files import atomic_files

_COUNTER = itertools.count()


@contextlib.contextmanager
def new_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """An empty folder beside `path`, which is renamed to `path` when the block ends without error.

    Until then its name begins with a dot, so TF Serving, which looks for integers, never sees
    half a version. Every file is on the disk before the rename. What a killed process left
    beside `path` is removed first.

    Args:
        path: the folder to make; it must not exist. Its parents are made.

    Raises:
        StorageError: the disk is full, the place cannot be written, or `path` is taken.
    """
    path = pathlib.Path(path)
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        part.mkdir()
        yield part
        atomic_files.fsync_tree(part)
        atomic_files.move_into_place(part, path)
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise StorageError(what, place=path, fix=atomic_files.fix_of(error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def new_version(folder: pathlib.Path | str, version: int | None = None) -> pathlib.Path:
    """The path of a version in `folder` that does not exist yet; nothing is made.

    Args:
        folder: the folder of the versions, whose names are integers.
        version: whole number above 0; None takes one more than the largest.

    Raises:
        FlagError: the version exists.
    """
    folder = pathlib.Path(folder)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    following = max((int(name) for name in names if name.isdecimal()), default=0) + 1
    target = folder / str(version or following)
    if target.exists():
        fix = f"--version={following}"
        raise FlagError(f"version {target.name} exists", flag="version", place=target, fix=fix)
    return target


def discard(path: pathlib.Path) -> None:
    """Renames a folder and removes it, so that nobody sees half of it; it need not exist."""
    path = pathlib.Path(path)
    part = _part(path)
    try:
        os.rename(path, part)
    except FileNotFoundError:
        return
    shutil.rmtree(part, ignore_errors=True)


def sweep(parent: pathlib.Path) -> None:
    """Removes the unfinished folders in `parent` whose process, of this machine, has ended."""
    for part in pathlib.Path(parent).glob(".*.part"):
        match = re.fullmatch(rf"\..+\.{re.escape(_host())}\.(\d+)\.\d+\.part", part.name)
        if match and part.is_dir() and not _is_alive(int(match[1])):
            shutil.rmtree(part, ignore_errors=True)


def _part(path: pathlib.Path) -> pathlib.Path:
    """The hidden name beside `path` of a folder that is being written or removed."""
    return path.parent / f".{path.name}.{_host()}.{os.getpid()}.{next(_COUNTER)}.part"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return re.sub(r"\W", "-", socket.gethostname())[:40]
