"""Which rows a run has trained on: hashes of their contents in its folder, to know them again."""

import pathlib
from typing import Any

import numpy as np

from tltf.data.source import Source
from tltf.files import atomic_files
from tltf.runs import layout

FILE = layout.TRAINED_ROWS
"""uint64 each, sorted, little-endian: eight bytes per row."""


def write(run: pathlib.Path, part: Any) -> None:
    """Notes the contents of a training split, a Source, in a run folder."""
    hashes = np.unique(np.asarray(part.content_hashes(), "<u8"))
    with atomic_files.replace_file(pathlib.Path(run) / FILE, "wb") as file:
        file.write(hashes.tobytes())


def find_trained(run: str, part: Source) -> np.ndarray | None:
    """bool[N]: rows of a Source that the run has trained on; None where the run does not say."""
    try:
        contents = (pathlib.Path(run) / FILE).read_bytes()
    except OSError:
        return None
    if len(contents) % 8:
        return None
    return np.isin(part.content_hashes(), np.frombuffer(contents, "<u8"))
