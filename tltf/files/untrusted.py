"""Reads JSON and safetensors files of unknown origin, such that nothing in them can do harm.

Only regular files are read, never a pipe or a device, and only up to a limit: whoever made a file
can announce any size, nest lists without end and use a key twice.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from safetensors import SafetensorError, safe_open

from tltf.errors import ModelError, TltfError

MAX_JSON_BYTES = 64 * 2**20
"""Largest JSON file that is read."""
MAX_HEADER_BYTES = 16 * 2**20
"""Largest header of a safetensors file that is read; a header has some 100 bytes per tensor."""


def require_file(path: pathlib.Path | str) -> None:
    """Raises ModelError if `path` is not a regular file, FileNotFoundError if it does not exist."""
    path = pathlib.Path(path)
    path.stat()
    if not path.is_file():
        raise ModelError("is not a regular file", place=path)


def read_json(path: pathlib.Path, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: the file does not exist.
        ModelError: it is not a regular file, is too large, or is not JSON.
    """
    require_file(path)
    try:
        with open(path, "rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise ModelError(f"is larger than {max_bytes} bytes", place=path)
        return parse_json(content.decode("utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"is not readable JSON: {error}", place=path) from error


def parse_json(text: str, place: pathlib.Path | str) -> Any:
    """The content of a JSON text, in which no key of an object may come twice.

    Args:
        text: the JSON text.
        place: the file that it is from, for the error.

    Raises:
        ModelError: it is not JSON, is nested too deep, or has a number that is not finite or has
            thousands of digits.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"is not readable JSON: {str(error)[:200]}", place=place) from error


def _unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"the key {key[:80]!r} is there twice")
        content[key] = value
    return content


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


@contextlib.contextmanager
def refuse_failures(what: str, place: pathlib.Path | str) -> Iterator[None]:
    """A block that builds from a stranger's configuration; any failure in it becomes a ModelError.

    Errors of tltf, which say more, and MemoryError pass unchanged.

    Args:
        what: the beginning of the error.
        place: the file to blame.
    """
    try:
        yield
    except (TltfError, MemoryError):
        raise
    except Exception as error:  # Keras raises many kinds for arguments that nobody has checked
        reason = f"{type(error).__name__}: {str(error)[:300]}"
        raise ModelError(f"{what}: {reason}", place=place) from error


@contextlib.contextmanager
def open_safetensors(
    path: pathlib.Path | str, max_header_bytes: int = MAX_HEADER_BYTES
) -> Iterator[safe_open]:
    """A safetensors file, opened and with its header checked; no tensor has been read yet.

    Failures inside the block because the file is damaged, or has a number type that numpy does not
    have, become a ModelError too.

    Args:
        path: the file.
        max_header_bytes: a larger header is refused before it is parsed.

    Raises:
        ModelError: it is not a regular file, or not a safetensors file.
    """
    try:
        require_file(path)
        _check_header(path, max_header_bytes)
        with safe_open(path, framework="numpy") as file:
            yield file
    except FileNotFoundError as error:
        raise ModelError("there is no such file", place=path) from error
    except (SafetensorError, OSError, TypeError, AttributeError) as error:
        raise ModelError(f"holds no readable weights: {error}", place=path) from error


def count_safetensors(path: pathlib.Path) -> int:
    """The number of tensors in a safetensors file."""
    with open_safetensors(path) as file:
        return len(file.keys())


def _check_header(path: pathlib.Path | str, max_bytes: int) -> None:
    with open(path, "rb") as file:
        start = file.read(8)
        size = int.from_bytes(start, "little")
        if len(start) < 8 or size > max_bytes:
            what = f"holds no readable weights: it has no header of up to {max_bytes} bytes"
            raise ModelError(what, place=path)
        content = file.read(size)
    try:
        parse_json(content.decode("utf-8"), path)
    except (UnicodeDecodeError, ModelError) as error:
        what = (
            f"holds no readable weights: the header {getattr(error, 'what', 'is not UTF-8 text')}"
        )
        raise ModelError(what, place=path) from error
