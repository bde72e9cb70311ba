"""Files that are either whole or not there."""

import contextlib
import errno
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

from tltf.errors import StorageError


@contextlib.contextmanager
def replace_file(path: pathlib.Path | str, mode: str = "w", **options: Any) -> Iterator[Any]:
    """A file object; its content takes the place of `path` when the block ends without error.

    Args:
        path: the file to write; its folder is made.
        mode: `w` (UTF-8 text unless `options` say otherwise) or `wb`.
        options: of `open`.

    Raises:
        StorageError: the disk is full, or the place cannot be written.
    """
    path = pathlib.Path(path)
    if "b" not in mode:
        options = {"encoding": "utf-8", "errors": "backslashreplace", "newline": "\n"} | options
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(
            prefix=f".{path.name[:60]}.", suffix=".part", dir=path.parent
        )
        with open(handle, mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, path)
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise StorageError(what, place=path, fix=fix_of(error)) from error
    finally:
        if part is not None:
            pathlib.Path(part).unlink(missing_ok=True)


def fix_of(error: Any) -> str:
    """What helps against an OSError of a write."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "ulimit -n 1024"
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        return "another --output, that is a folder or not there yet"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "another --output, that may be written"
    return "free space, or another --output"


def sweep(folder: pathlib.Path) -> None:
    """Removes what a killed process left half-written by `replace_file` in a folder."""
    for part in pathlib.Path(folder).glob(".*.part"):
        if part.is_file():
            part.unlink(missing_ok=True)


def fsync_tree(folder: pathlib.Path) -> None:
    """Waits until all files and folders in `folder` are on the disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            fsync_file(os.path.join(root, name))
        fsync_folder(root)


def fsync_file(path: Any) -> None:
    """Waits until what was written to a file is on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def fsync_folder(path: pathlib.Path | str) -> None:
    """Makes the names in a folder last, as fsync does the content of a file."""
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
