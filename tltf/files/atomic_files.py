"""Writes files that are either whole or not there."""

import contextlib
import errno
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from tltf.errors import StorageError


@contextlib.contextmanager
def replace_file(path: pathlib.Path | str, mode: str = "w", **options: Any) -> Iterator[IO[Any]]:
    """An open file whose content replaces that of `path` when the block ends without error.

    Args:
        path: the file to write; its folder is made if it is missing.
        mode: `w` (UTF-8 text unless `options` say otherwise) or `wb`.
        options: arguments of `open`.

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
            flush(file)
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, path)
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise StorageError(what, place=path, fix=fix_of(error)) from error
    finally:
        if part is not None:
            pathlib.Path(part).unlink(missing_ok=True)


@contextlib.contextmanager
def replace_path(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A path beside `path` for code that opens files itself; it replaces `path` at the end.

    When the block ends without error its file is on the disk and is renamed to `path`. An OSError
    passes as it is. The folder must exist, and only one process may write at a time.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        fsync_file(part)
        move_into_place(part, path)
    finally:
        part.unlink(missing_ok=True)


def move_into_place(part: pathlib.Path, path: pathlib.Path) -> None:
    """Renames a file or folder that is on the disk, and makes its new name last."""
    os.replace(part, path)
    fsync_folder(path.parent)


def fix_of(error: OSError) -> str:
    """What the user can do about an error of writing."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "ulimit -n 1024"
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        return "another --output that is a folder or does not exist yet"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "another --output that can be written"
    return "free space, or another --output"


def sweep(folder: pathlib.Path) -> None:
    """Removes the half-written files of `replace_file` that a killed process left in a folder."""
    for part in pathlib.Path(folder).glob(".*.part"):
        if part.is_file():
            part.unlink(missing_ok=True)


def fsync_tree(folder: pathlib.Path) -> None:
    """Waits until every file and folder in `folder` is on the disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            fsync_file(os.path.join(root, name))
        fsync_folder(root)


def flush(file: IO[Any]) -> None:
    """Waits until everything that was written to an open file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def fsync_file(path: pathlib.Path | str) -> None:
    """Waits until the content of a file is on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def fsync_folder(path: pathlib.Path | str) -> None:
    """Waits until the names in a folder are on the disk."""
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
