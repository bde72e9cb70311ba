"""Unpacks chosen members of zip, tar and deb files; nothing is written outside the folder.

Links, absolute names, `..`, names that come twice and archives that grow past a limit are refused.
"""

import fnmatch
import functools
import gzip
import io
import lzma
import pathlib
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from tltf.errors import ModelError

_CHUNK_BYTES = 1 << 20
MAX_MEMBERS = 200_000
_BAD_ARCHIVE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    EOFError,
    lzma.LZMAError,
    zlib.error,
    gzip.BadGzipFile,
    UnicodeError,
    ValueError,
    RuntimeError,  # an encrypted member; its subclass: a compression that is not known
)


def unpack(
    archive: pathlib.Path,
    folder: pathlib.Path,
    members: tuple[str, ...],
    root: str = "",
    max_bytes: int = 1 << 30,
) -> Any:
    """Writes the members that match a pattern into `folder` and returns their paths.

    Args:
        archive: path of a .zip, .whl, .tar.*, .tgz or .deb file.
        folder: path; made where it does not exist.
        members: patterns of `fnmatch`; `*` also crosses slashes.
        root: the beginning of a member's name that is taken off.
        max_bytes: limit for the sum of the unpacked sizes, of members that are left out too.

    Raises:
        ModelError: a name that leaves the folder or comes twice, a link, a size over the limit,
            or a file that is no such archive.
    """
    archive, folder = pathlib.Path(archive), pathlib.Path(folder)
    paths, written, left = list[Any](), set[Any](), max_bytes
    try:
        for number, (name, size, stream) in enumerate(_open_members(archive)):
            _check_name(name, archive)
            left -= size
            if left < 0 or number >= MAX_MEMBERS:
                raise ModelError("unpacks to more than its limit", place=archive)
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in members):
                continue
            if stream is None:
                raise ModelError(f"member {name!r} is a link or a device", place=archive)
            target = folder / name.removeprefix(root)
            if target.exists() or not written.isdisjoint(target.parents):
                raise ModelError(f"member {name!r} takes the place of another", place=archive)
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(stream(), target, size, archive)
            paths.append(target)
            written.add(target)
    except ModelError:
        raise
    except _BAD_ARCHIVE as error:
        raise ModelError(f"no readable archive ({error})", place=archive) from error
    return paths


def _open_members(archive: pathlib.Path) -> Iterator[Any]:
    """Yields `(name, size, open)` of each member; `open` is None for what is not a plain file."""
    name = archive.name
    if name.endswith((".zip", ".whl")):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if not info.is_dir():
                    kind = (info.external_attr >> 16) & 0o170000
                    is_plain = kind in (0, 0o100000)
                    stream = functools.partial(opened.open, info) if is_plain else None
                    yield info.filename, info.file_size, stream
    elif name.endswith(".deb"):
        with tarfile.open(fileobj=io.BytesIO(_deb_data(archive))) as opened:
            yield from _tar_members(opened)
    else:
        with tarfile.open(archive) as opened:
            yield from _tar_members(opened)


def _tar_members(opened: Any) -> Iterator[Any]:
    for info in opened:
        if not info.isdir():
            stream = functools.partial(opened.extractfile, info) if info.isreg() else None
            yield info.name.removeprefix("./"), info.size, stream


def _deb_data(archive: pathlib.Path) -> bytes:
    """The bytes of `data.tar.*` inside of an ar archive: 60-byte headers, even offsets."""
    with open(archive, "rb") as opened:
        if opened.read(8) != b"!<arch>\n":
            raise ModelError("no Debian package", place=archive)
        while header := opened.read(60):
            digits = header[48:58].strip()
            if len(header) < 60 or not digits.isdigit():
                break
            size = int(digits)
            if header[:16].startswith(b"data.tar"):
                return opened.read(size)
            opened.seek(size + size % 2, 1)
    raise ModelError("the Debian package has no data.tar", place=archive)


def _check_name(name: str, archive: pathlib.Path) -> None:
    path = pathlib.PurePosixPath(name.replace("\\", "/"))
    is_odd = not path.parts or "\0" in name or ":" in path.parts[0]
    if is_odd or path.is_absolute() or ".." in path.parts:
        raise ModelError(f"member {name!r} would leave the folder", place=archive)


def _copy(stream: Any, target: pathlib.Path, most: int, archive: pathlib.Path) -> None:
    """Copies a stream of at most `most` bytes."""
    size = 0
    with stream, open(target, "wb") as out:
        while chunk := stream.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > most:
                raise ModelError("unpacks to more than its limit", place=archive)
            out.write(chunk)


def remove_tree(folder: pathlib.Path) -> None:
    """Removes a folder of ours and everything in it; nothing happens where there is none."""
    shutil.rmtree(folder, ignore_errors=True)
