"""Unpacks chosen members of zip, tar and deb files; nothing is written outside the folder.

Links, absolute names, `..` and archives that grow past a limit are refused.
"""

import fnmatch
import io
import lzma
import pathlib
import shutil
import tarfile
import zipfile

from tltf.errors import ModelError

_CHUNK_BYTES = 1 << 20
_BAD_ARCHIVE = (tarfile.TarError, zipfile.BadZipFile, EOFError, lzma.LZMAError)


def unpack(archive, folder, members, root="", max_bytes=1 << 30):
    """Writes the members that match a pattern into `folder` and returns their paths.

    Args:
        archive: path of a .zip, .whl, .tar.*, .tgz or .deb file.
        folder: path; made where it does not exist.
        members: patterns of `fnmatch`; `*` also crosses slashes.
        root: the beginning of a member's name that is taken off.
        max_bytes: limit for the sum of the unpacked sizes.

    Raises:
        ModelError: a name that leaves the folder, a link, a size over the limit, or a file
            that is no such archive.
    """
    archive, folder = pathlib.Path(archive), pathlib.Path(folder)
    written, left = [], max_bytes
    try:
        for name, stream in _open_members(archive):
            _check_name(name, archive)
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in members):
                continue
            if stream is None:
                raise ModelError(f"member {name!r} is a link or a device", place=archive)
            target = folder / name.removeprefix(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            left -= _copy(stream, target, left, archive)
            written.append(target)
    except _BAD_ARCHIVE as error:
        raise ModelError(f"no readable archive ({error})", place=archive) from error
    return written


def _open_members(archive):
    """Yields `(name, stream)` of each member; the stream is None for what is no plain file."""
    name = archive.name
    if name.endswith((".zip", ".whl")):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if not info.is_dir():
                    is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
                    yield info.filename, None if is_link else opened.open(info)
    elif name.endswith(".deb"):
        with tarfile.open(fileobj=io.BytesIO(_deb_data(archive))) as opened:
            yield from _tar_members(opened)
    else:
        with tarfile.open(archive) as opened:
            yield from _tar_members(opened)


def _tar_members(opened):
    for info in opened:
        if not info.isdir():
            stream = opened.extractfile(info) if info.isreg() else None
            yield info.name.removeprefix("./"), stream


def _deb_data(archive):
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


def _check_name(name, archive):
    path = pathlib.PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise ModelError(f"member {name!r} would leave the folder", place=archive)


def _copy(stream, target, left, archive):
    """Copies a stream of at most `left` bytes and returns its size."""
    size = 0
    with stream, open(target, "wb") as out:
        while chunk := stream.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > left:
                raise ModelError("unpacks to more than its limit", place=archive)
            out.write(chunk)
    return size


def remove_tree(folder):
    """Removes a folder of ours and everything in it; nothing happens where there is none."""
    shutil.rmtree(folder, ignore_errors=True)
