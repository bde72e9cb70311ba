"""Unpacks chosen members of zip, tar and deb files; nothing is written outside the target folder.

Links, absolute names, `..`, duplicate names and archives that unpack to more than a limit are refused.
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
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple, cast

from tltf.errors import ModelError

_CHUNK_BYTES = 1 << 20
MAX_MEMBERS = 200_000
"""Most members that an archive may have."""
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
    RuntimeError,  # encrypted members; its subclass NotImplementedError: unknown compression
)
"""What the standard library raises for a damaged archive."""


class _Member(NamedTuple):
    """A file in an archive; `open` is None if it is not a plain file."""

    name: str
    size: int
    open: Callable[[], IO[bytes]] | None


def unpack(
    archive: pathlib.Path,
    folder: pathlib.Path,
    members: tuple[str, ...],
    root: str = "",
    max_bytes: int = 1 << 30,
) -> list[pathlib.Path]:
    """Writes the members that match a pattern into `folder` and returns their paths.

    Args:
        archive: path of a .zip, .whl, .keras, .tar.*, .tgz or .deb file.
        folder: path; made if it does not exist.
        members: patterns of `fnmatch`; `*` also crosses slashes.
        root: the beginning of the members' names that is removed.
        max_bytes: limit on the sum of the unpacked sizes, including members that are left out.

    Raises:
        ModelError: a name that leaves the folder or comes twice, a link, a size over the limit,
            or a file that is not such an archive.
    """
    archive, folder = pathlib.Path(archive), pathlib.Path(folder)
    paths, written, left = list[pathlib.Path](), set[pathlib.Path](), max_bytes
    try:
        for number, (name, size, open_member) in enumerate(_open_members(archive)):
            _check_name(name, archive)
            left -= size
            if left < 0 or number >= MAX_MEMBERS:
                raise ModelError("unpacks to more than its limit", place=archive)
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in members):
                continue
            if open_member is None:
                raise ModelError(f"member {name!r} is a link or a device", place=archive)
            target = folder / name.removeprefix(root)
            if target.exists() or not written.isdisjoint(target.parents):
                raise ModelError(f"member {name!r} takes the place of another", place=archive)
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(open_member(), target, size, archive)
            paths.append(target)
            written.add(target)
    except ModelError:
        raise
    except _BAD_ARCHIVE as error:
        raise ModelError(f"is not a readable archive ({error})", place=archive) from error
    return paths


def _open_members(archive: pathlib.Path) -> Iterator[_Member]:
    """Yields every member of an archive but folders."""
    name = archive.name
    if name.endswith((".zip", ".whl", ".keras")):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if not info.is_dir():
                    kind = (info.external_attr >> 16) & 0o170000
                    is_plain = kind in (0, 0o100000)
                    stream = functools.partial(opened.open, info) if is_plain else None
                    yield _Member(info.filename, info.file_size, stream)
    elif name.endswith(".deb"):
        with tarfile.open(fileobj=io.BytesIO(_deb_data(archive))) as opened:
            yield from _tar_members(opened)
    else:
        with tarfile.open(archive) as opened:
            yield from _tar_members(opened)


def _tar_members(opened: tarfile.TarFile) -> Iterator[_Member]:
    for info in opened:
        if not info.isdir():
            stream = functools.partial(opened.extractfile, info) if info.isreg() else None
            open_member = cast(Callable[[], IO[bytes]] | None, stream)  # None for other files only
            yield _Member(info.name.removeprefix("./"), info.size, open_member)


def _deb_data(archive: pathlib.Path) -> bytes:
    """The bytes of `data.tar.*` inside an ar archive, which has 60-byte headers at even offsets."""
    with open(archive, "rb") as opened:
        if opened.read(8) != b"!<arch>\n":
            raise ModelError("is not a Debian package", place=archive)
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
    """Refuses a member whose name leads out of the folder that is unpacked into."""
    path = pathlib.PurePosixPath(name.replace("\\", "/"))
    is_odd = not path.parts or "\0" in name or ":" in path.parts[0]
    if is_odd or path.is_absolute() or ".." in path.parts:
        raise ModelError(f"member {name!r} would leave the folder", place=archive)


def _copy(stream: IO[bytes], target: pathlib.Path, most: int, archive: pathlib.Path) -> None:
    """Copies a stream of at most `most` bytes."""
    size = 0
    with stream, open(target, "wb") as out:
        while chunk := stream.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > most:
                raise ModelError("unpacks to more than its limit", place=archive)
            out.write(chunk)


def remove_tree(folder: pathlib.Path) -> None:
    """Removes a folder of tltf and everything in it; the folder need not exist."""
    shutil.rmtree(folder, ignore_errors=True)
