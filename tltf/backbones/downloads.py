"""Weights that Keras and KerasHub fetch by themselves: whole or not at all, in a few attempts.

Keras downloads to the name that it later takes for complete, and knows no hash of some files.
"""

import contextlib
import functools
import http.client
import os
import pathlib
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import h5py
from keras.src.utils import file_utils

from tltf.backbones.network import Network
from tltf.errors import StorageError
from tltf.files import assets, atomic_files, registries

_FETCH_ERRORS = re.compile(
    r"URL fetch failure|corrupted file|hash|Max retries exceeded"
    r"|\b(4\d\d Client|5\d\d Server) Error"
)
_FINAL = re.compile(r"\b4\d\d Client Error")
_START = 2**16
FETCHERS = (
    ("keras.src.utils.file_utils", "get_file"),
    ("kagglehub", "model_download"),
    ("huggingface_hub", "hf_hub_download"),
)
"""What gives the path of a fetched file, and takes `force_download`."""


def fetch_with(made: Any, name: str, what: str, flag: str, fix: str) -> Network:
    """What `made` gives, which fetches on the first call; one process at a time.

    Args:
        made: () -> anything.
        name: of the lock.
        what: that is fetched, for the error.
        flag: to blame.
        fix: where there is no network.

    Raises:
        StorageError: no attempt got it, or what was fetched before is damaged.
    """
    problem = None
    with assets.process_lock(assets.cache_folder(), name), whole_files():
        for attempt in range(assets.ATTEMPTS):
            if attempt:
                time.sleep(2 ** (attempt - 1))
            try:
                with _impatient():
                    return made()
            except Exception as error:
                if not _is_of_the_network(error):
                    raise
                problem = error
                if _FINAL.search(str(error)):
                    break
    text = str(problem)[:300]
    raise StorageError(f"could not fetch {what}: {text}", flag=flag, fix=fix) from problem


def _is_of_the_network(error: Any) -> bool:
    """Whether it is of a download: Keras raises bare Exception without a network, and ValueError
    where the hash is wrong; nothing narrower can be caught."""
    late = (TimeoutError, ConnectionError, http.client.HTTPException)
    if isinstance(error, StorageError):
        return False
    return isinstance(error, late) or _FETCH_ERRORS.search(str(error)) is not None


@contextlib.contextmanager
def _impatient() -> Iterator[Any]:
    """A block in which Keras, which sets no limit, waits for a server as long as pip would."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(registries.STALL_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def whole_files() -> Iterator[Any]:
    """A block in which Keras's downloads are whole or not there, and half files are fetched again."""
    loaded = [(sys.modules.get(module), name) for module, name in FETCHERS]
    found = [(module, name, getattr(module, name)) for module, name in loaded if module]
    retrieve = file_utils.urlretrieve
    for module, name, get in found:
        setattr(module, name, functools.partial(_got, get))
    file_utils.urlretrieve = functools.partial(_retrieved, retrieve)
    try:
        yield
    finally:
        file_utils.urlretrieve = retrieve
        for module, name, get in found:
            setattr(module, name, get)


def _retrieved(
    retrieve: Callable[..., Any], origin: str, target: str, progress: Any = None
) -> tuple[str, Any]:
    """urlretrieve to another name first; a web page is not a weights file."""
    part = f"{target}.part"
    try:
        done = retrieve(origin, part, progress)
        if (title := _page_title(part)) is not None:
            raise ConnectionError(registries.page_text(title, origin))
        atomic_files.fsync_file(part)
        os.replace(part, target)
        atomic_files.fsync_folder(os.path.dirname(target))
        return target, done[1]
    finally:
        pathlib.Path(part).unlink(missing_ok=True)


def _got(get: Callable[..., Any], *given: Any, **named: Any) -> str:
    """One of FETCHERS; a file that another program left half, and no hash tells, is fetched again."""
    path = get(*given, **named)
    if damage_of(path):
        path = get(*given, **{**named, "force_download": True})
    require_whole(path)
    return path


def require_whole(path: str) -> None:
    """Raises StorageError where a fetched file is a web page, or an HDF5 file that is cut."""
    if found := damage_of(path):
        raise StorageError(
            f"what was fetched {found}", place=path, fix="remove that file, and it is fetched again"
        )


def damage_of(path: str) -> str:
    """What is wrong with a fetched file, as far as it tells by itself; empty where nothing is."""
    if not os.path.isfile(path):
        return ""
    if (title := _page_title(path)) is not None:
        return f"is a web page ({title!r})"
    if str(path).endswith(".h5"):
        try:
            h5py.File(path).close()
        except OSError as error:
            return f"is not a whole weights file ({error})"
    return ""


def _page_title(path: str) -> str | None:
    with open(path, "rb") as file:
        return registries.page_title(file.read(_START))
