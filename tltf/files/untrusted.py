"""Files of unknown origin: JSON and safetensors, opened only where nothing in them can harm.

Read are regular files alone, never a pipe or a device, and no more than a header may hold: whoever
made a file can promise sizes, nest lists and name a key twice.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from safetensors import SafetensorError, safe_open

from tltf.errors import ModelError, TltfError

MAX_JSON_BYTES = 64 * 2**20
MAX_HEADER_BYTES = 16 * 2**20
"""Of a safetensors file: some 100 bytes a tensor."""


def require_file(path: pathlib.Path | str) -> None:
    """Raises ModelError where `path` is there and is not a regular file; FileNotFoundError else."""
    path = pathlib.Path(path)
    path.stat()
    if not path.is_file():
        raise ModelError("is not a regular file", place=path)


def read_json(path: pathlib.Path, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """What a JSON file holds.

    Raises:
        FileNotFoundError: there is none.
        ModelError: no regular file, a large one, or no JSON.
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


def parse_json(text: str, place: pathlib.Path | str) -> dict[str, Any] | list[int] | None:
    """What a JSON text means; a key that is there twice means nothing.

    Raises:
        ModelError: no JSON, too deep, a number of thousands of digits or one that is not finite.
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"is not readable JSON: {str(error)[:200]}", place=place) from error


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} is there twice")
        found[key] = value
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


@contextlib.contextmanager
def refuse_failures(what: str, place: pathlib.Path | str) -> Iterator[Any]:
    """A block that builds from a stranger's configuration: what fails there is a ModelError.

    Errors of tltf, which say more, and a lack of memory pass.
    """
    try:
        yield
    except (TltfError, MemoryError):
        raise
    except Exception as error:  # whatever Keras says of arguments that nobody has checked
        reason = f"{type(error).__name__}: {str(error)[:300]}"
        raise ModelError(f"{what}: {reason}", place=place) from error


@contextlib.contextmanager
def open_safetensors(
    path: pathlib.Path | str, max_header_bytes: int = MAX_HEADER_BYTES
) -> Iterator[Any]:
    """A block with the `safe_open` of a file, of which no tensor has been read yet.

    What fails inside of the block because the file is damaged, or has numbers that numpy does not
    know, is a ModelError as well.

    Args:
        path: of the file.
        max_header_bytes: a larger header is refused before it is parsed.

    Raises:
        ModelError: no regular file, or no safetensors file.
    """
    try:
        require_file(path)
        _check_header(path, max_header_bytes)
        with safe_open(path, framework="numpy") as file:
            yield file
    except FileNotFoundError as error:
        raise ModelError("no such file", place=path) from error
    except (SafetensorError, OSError, TypeError, AttributeError) as error:
        raise ModelError(f"no readable weights: {error}", place=path) from error


def count_safetensors(path: pathlib.Path) -> int:
    """The number of tensors in a safetensors file."""
    with open_safetensors(path) as file:
        return len(file.keys())


def _check_header(path: pathlib.Path | str, max_bytes: int) -> None:
    with open(path, "rb") as file:
        start = file.read(8)
        size = int.from_bytes(start, "little")
        if len(start) < 8 or size > max_bytes:
            what = f"no readable weights: no header of up to {max_bytes} bytes"
            raise ModelError(what, place=path)
        content = file.read(size)
    try:
        parse_json(content.decode("utf-8"), path)
    except (UnicodeDecodeError, ModelError) as error:
        what = f"no readable weights: the header {getattr(error, 'what', 'is not a text')}"
        raise ModelError(what, place=path) from error
