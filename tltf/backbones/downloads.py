"""Downloads that Keras and KerasHub make by themselves: complete or not at all, in a few attempts.

Keras writes a download under its final name, so that the next process takes half a file for a
complete one, and it knows no hash of some files.
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
from typing import Any, TypeVar

import h5py
from keras.src.utils import file_utils

from tltf.errors import StorageError
from tltf.files import assets, atomic_files, registries

_FETCH_ERRORS = re.compile(
    r"URL fetch failure|corrupted file|hash|Max retries exceeded"
    r"|\b(4\d\d Client|5\d\d Server) Error"
)
"""Messages of the errors that a download may raise."""
_FINAL = re.compile(r"\b4\d\d Client Error")
"""Messages of errors that another attempt does not help against."""
_START_BYTES = 2**16
"""Bytes at the beginning of a file in which a web page is recognised."""
FETCHERS = (
    ("keras.src.utils.file_utils", "get_file"),
    ("kagglehub", "model_download"),
    ("huggingface_hub", "hf_hub_download"),
)
"""Functions that return the path of a fetched file and take `force_download`."""
_T = TypeVar("_T")


def fetch_with(build: Callable[[], _T], name: str, what: str, flag: str, fix: str) -> _T:
    """The result of `build`, which fetches files on its first call; one process at a time.

    Args:
        build: a function of Keras or KerasHub that downloads.
        name: name of the lock between processes.
        what: what is fetched, for the error.
        flag: the flag to blame.
        fix: what the user can do without a network.

    Raises:
        StorageError: no attempt succeeded, or a file that was fetched before is damaged.
    """
    problem = None
    with assets.process_lock(assets.cache_folder(), name), whole_files():
        for attempt in range(assets.ATTEMPTS):
            if attempt:
                time.sleep(2 ** (attempt - 1))
            try:
                with _socket_timeout():
                    return build()
            except Exception as error:
                if not _is_network_error(error):
                    raise
                problem = error
                if _FINAL.search(str(error)):
                    break
    text = str(problem)[:300]
    raise StorageError(f"could not fetch {what}: {text}", flag=flag, fix=fix) from problem


def _is_network_error(error: Exception) -> bool:
    """Whether an error is of a download.

    Keras raises a bare Exception without a network and ValueError for a wrong hash, so that the
    message has to tell.
    """
    kinds = (TimeoutError, ConnectionError, http.client.HTTPException)
    if isinstance(error, StorageError):
        return False
    return isinstance(error, kinds) or _FETCH_ERRORS.search(str(error)) is not None


@contextlib.contextmanager
def _socket_timeout() -> Iterator[None]:
    """A block in which Keras, which sets no limit, waits for a server only as long as pip does."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(registries.STALL_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def whole_files() -> Iterator[None]:
    """A block in which Keras's downloads are complete or not there; half files are fetched again."""
    loaded = [(sys.modules.get(module), name) for module, name in FETCHERS]
    fetchers = [(module, name, getattr(module, name)) for module, name in loaded if module]
    retrieve = file_utils.urlretrieve
    for module, name, get in fetchers:
        setattr(module, name, functools.partial(_get_whole, get))
    file_utils.urlretrieve = functools.partial(_retrieve_whole, retrieve)
    try:
        yield
    finally:
        file_utils.urlretrieve = retrieve
        for module, name, get in fetchers:
            setattr(module, name, get)


def _retrieve_whole(
    retrieve: Callable[..., Any], origin: str, target: str, progress: Any = None
) -> tuple[str, Any]:
    """urlretrieve that writes to another name first and refuses a web page."""
    with atomic_files.replace_path(pathlib.Path(target)) as part:
        _, headers = retrieve(origin, str(part), progress)
        if (title := _page_title(part)) is not None:
            raise ConnectionError(registries.page_text(title, origin))
    return target, headers


def _get_whole(get: Callable[..., str], *args: Any, **kwargs: Any) -> str:
    """The result of one of FETCHERS; a damaged file without a hash is fetched once more."""
    path = get(*args, **kwargs)
    if damage_of(path):
        path = get(*args, **{**kwargs, "force_download": True})
    require_whole(path)
    return path


def require_whole(path: str) -> None:
    """Raises StorageError if a fetched file is a web page or an incomplete HDF5 file."""
    if damage := damage_of(path):
        raise StorageError(
            f"the fetched file {damage}",
            place=path,
            fix="remove that file, and it is fetched again",
        )


def damage_of(path: str) -> str:
    """What is wrong with a fetched file, as far as its content tells; empty if nothing is."""
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


def _page_title(path: pathlib.Path | str) -> str | None:
    """The title of a file that is a web page; None for other files."""
    with open(path, "rb") as file:
        return registries.page_title(file.read(_START_BYTES))
