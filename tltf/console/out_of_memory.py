"""Memory that runs out, told as the flag that takes less."""

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any

from tltf.errors import StorageError

_EXHAUSTED = re.compile(r"OOM when allocating|out of memory|OUT_OF_MEMORY|ALLOC_FAILED")
SMALLEST = "a smaller --image_size_px, --text_length or --backbone"


@contextlib.contextmanager
def explain_out_of_memory(flag: str, size: Any, multiple: int = 1, also: str = "") -> Iterator[Any]:
    """A block whose running out of memory is told as too large a batch.

    Args:
        flag: that sets the batch.
        size: rows of the batch.
        multiple: a batch is a multiple of it.
        also: what else the fix needs.

    Raises:
        StorageError: memory ran out; names half the batch, or other flags where it is the smallest.
    """
    try:
        yield
    except Exception as error:
        if not is_exhausted(error):
            raise
        half = size // 2 // multiple * multiple
        fix = (f"--{flag}={half}" if half else SMALLEST) + also
        raise StorageError(
            f"out of memory with {size} rows per batch", flag=flag, fix=fix
        ) from error


def is_exhausted(error: Any) -> bool:
    """Whether an exception says that the memory of the host or of a device ran out.

    TensorFlow's classes are looked up, not imported: where it is not loaded none was raised.
    """
    if isinstance(error, MemoryError):
        return True
    faults = getattr(sys.modules.get("tensorflow"), "errors", None)
    if faults is None or not isinstance(error, faults.OpError) or is_full_disk(error):
        return False
    is_named = isinstance(error, faults.ResourceExhaustedError)
    return is_named or bool(_EXHAUSTED.search(error.message))


def is_full_disk(error: Any) -> bool:
    """Whether TensorFlow means the disk by a resource that is exhausted."""
    return "No space left" in error.message
