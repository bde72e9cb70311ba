"""RUN/data_report.jsonl: every row that was not used, and why."""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from tltf.data.row_scan import fault_row
from tltf.data.source import ScanCounts
from tltf.errors import DataError, StorageError, TltfError
from tltf.files import atomic_files
from tltf.runs import folder

NAME = folder.DATA_REPORT


def write(folder: pathlib.Path | str, scan: Any) -> None:
    """Writes `data_report.jsonl`, one JSON object a fault, and a row that was skipped or excluded.

    Each has `id` (file, or file:row), `what` (fault: the data cannot be used with it; skipped: the
    row cannot be used; excluded: it could, and must not; near: it is used, and nearly the same as
    another), `reason` and, of faults, `fix`. Without such rows the file is empty.

    Args:
        folder: the run folder.
        scan: ScanCounts.

    Raises:
        StorageError: the file cannot be written.
    """
    with atomic_files.replace_file(pathlib.Path(folder) / NAME) as file:
        for what in ("fault", "skipped", "excluded", "near"):
            for row in getattr(scan, f"{what}_rows") or ():
                line = {"id": str(row["id"]), "what": what, "reason": row["reason"]}
                line |= {"fix": row["fix"]} if row.get("fix") else {}
                file.write(json.dumps(line) + "\n")


@contextlib.contextmanager
def write_on_failure(folder: Any) -> Iterator[Any]:
    """A block that reads data: where they are at fault, `data_report.jsonl` has all that was found.

    Args:
        folder: as of `write`; empty or None: nothing is written.
    """
    try:
        yield
    except TltfError as error:
        if folder and (error.scan or isinstance(error, DataError)):
            with contextlib.suppress(StorageError):  # what is wrong with the data is told
                write(folder, error.scan or ScanCounts(fault_rows=[fault_row(error)]))
        raise
