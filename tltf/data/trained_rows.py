"""The rows that a run has trained on, as hashes of their contents in its folder."""

import pathlib
from collections.abc import Iterable

import numpy as np

from tltf.data.source import Source
from tltf.files import atomic_files
from tltf.runs import layout

FILE = layout.TRAINED_ROWS
"""The file with one uint64 per row, sorted and little-endian."""


def write(run: pathlib.Path, part: Source) -> None:
    """Writes the hashes of the contents of a training split to a run folder."""
    hashes = np.unique(np.asarray(part.content_hashes(), "<u8"))
    with atomic_files.replace_file(pathlib.Path(run) / FILE, "wb") as file:
        file.write(hashes.tobytes())


def write_union(run: pathlib.Path, others: Iterable[pathlib.Path]) -> None:
    """Adds the hashes that other run folders have to those of a run; a run without them adds none."""
    found = [hashes for path in (run, *others) if (hashes := _read(path)) is not None]
    with atomic_files.replace_file(run / FILE, "wb") as file:
        file.write(np.unique(np.concatenate(found)).tobytes() if found else b"")


def find_trained(run: str, part: Source) -> np.ndarray | None:
    """bool[N], true for rows that the run has trained on; None where the run does not say."""
    hashes = _read(pathlib.Path(run))
    return None if hashes is None else np.isin(part.content_hashes(), hashes)


def _read(run: pathlib.Path) -> np.ndarray | None:
    """uint64[M]: the hashes in a run folder; None where there is no such file, or it is damaged."""
    try:
        contents = (run / FILE).read_bytes()
    except OSError:
        return None
    return None if len(contents) % 8 else np.frombuffer(contents, "<u8")
