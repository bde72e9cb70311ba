"""Rows of an array that come block by block: kept in memory up to a limit, beyond it in a file."""

import pathlib
import tempfile
from typing import IO

import numpy as np

from tltf.errors import StorageError


class RowBuffer:
    """Blocks of rows, which become one array.

    Once they take more than the limit they are written to a file, and the array is a memory map of
    it. The file has no name, so the system removes it when nothing holds the array any more,
    and also where the process is killed.

    Args:
        limit_bytes: most bytes that are kept in memory.
        folder: the folder of the file; made if it is missing.
        flag: the flag that sets the limit, as errors name it.
    """

    def __init__(
        self, limit_bytes: float, folder: pathlib.Path, flag: str = "cache_memory_mb"
    ) -> None:
        self._limit_bytes, self._folder, self._flag = limit_bytes, folder, flag
        self._blocks, self._num_bytes = list[np.ndarray](), 0
        self._file: IO[bytes] | None = None
        self._num_rows, self._dtype, self._shape = 0, np.dtype(np.float64), (0,)

    def add(self, block: np.ndarray) -> None:
        """Adds rows.

        Args:
            block: array [B, ...]; all blocks have the same dtype and the same shape of a row.

        Raises:
            StorageError: the file cannot be written, because the disk is full, say.
        """
        self._dtype, self._shape = block.dtype, block.shape[1:]
        self._num_rows += len(block)
        self._num_bytes += block.nbytes
        self._blocks.append(block)
        if self._num_bytes <= self._limit_bytes:
            return
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            for kept in self._blocks:
                self._file.write(np.ascontiguousarray(kept).data)
            self._file.flush()
        except OSError as error:
            what = f"{self._num_bytes / 2**20:,.0f} MB of rows cannot be written: {error.strerror}"
            fix = f"free space, or a larger --{self._flag}, which keeps them in memory"
            raise StorageError(what, flag=self._flag, place=self._folder, fix=fix) from error
        self._blocks.clear()

    def array(self) -> np.ndarray:
        """All rows [N, ...] in the order in which they were added; a numpy.memmap of a file."""
        if self._file is None:
            return np.concatenate(self._blocks) if self._blocks else np.empty(0)
        shape = (self._num_rows, *self._shape)
        return np.memmap(self._file, self._dtype, mode="r", shape=shape)
