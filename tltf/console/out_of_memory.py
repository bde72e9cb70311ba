"""Errors for memory that runs out, which name the flag that makes a step need less."""

import contextlib
import re
import sys
from collections.abc import Iterator

from tltf.errors import StorageError

_EXHAUSTED = re.compile(r"OOM when allocating|out of memory|OUT_OF_MEMORY|ALLOC_FAILED")
SMALLEST = "a smaller --image_size_px, --text_length or --backbone"


@contextlib.contextmanager
def explain_out_of_memory(
    flag: str, size: int | None, multiple: int = 1, also: str = ""
) -> Iterator[None]:
    """A block in which an error of memory becomes one that asks for a smaller batch.

    Args:
        flag: the flag that sets the size of the batch.
        size: rows per batch; None where that is unknown.
        multiple: the number that the size must be a multiple of.
        also: what else the fix needs.

    Raises:
        StorageError: memory ran out; it names half the batch, or other flags where there is no
            smaller one.
    """
    try:
        yield
    except Exception as error:
        if not is_exhausted(error):
            raise
        half = (size or 0) // 2 // multiple * multiple
        fix = (f"--{flag}={half}" if half else SMALLEST) + also
        rows = f" with {size} rows per batch" if size else ""
        raise StorageError(f"out of memory{rows}", flag=flag, fix=fix) from error


def is_exhausted(error: BaseException) -> bool:
    """Whether an exception says that the memory of the host or of a device ran out.

    TensorFlow's classes are looked up, not imported: where it is not loaded, none was raised.
    """
    if isinstance(error, MemoryError):
        return True
    faults = getattr(sys.modules.get("tensorflow"), "errors", None)
    if faults is None or not isinstance(error, faults.OpError) or is_full_disk(error):
        return False
    is_named = isinstance(error, faults.ResourceExhaustedError)
    return is_named or bool(_EXHAUSTED.search(error.message))


def is_full_disk(error: BaseException) -> bool:
    """Whether an error of TensorFlow says that the disk is full."""
    return "No space left" in getattr(error, "message", "")
