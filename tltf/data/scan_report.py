"""RUN/data_report.jsonl, which lists every row that was not used, and why."""

import contextlib
import json
import pathlib
from collections.abc import Iterator

from tltf.data.row_scan import fault_row
from tltf.data.source import ScanCounts
from tltf.errors import DataError, StorageError, TltfError
from tltf.files import atomic_files
from tltf.runs import folder

NAME = folder.DATA_REPORT


def write(folder: pathlib.Path | str, scan: ScanCounts) -> None:
    """Writes `data_report.jsonl`, with one JSON object per fault and per row that was not used.

    Each has `id` (file, or file:row), `what` (fault: the data cannot be used with it; skipped: the
    row cannot be used; excluded: the row could be used, and must not be; near: the row is used, and
    is nearly the same as another), `reason` and, for faults, `fix`. Without such rows the file is
    empty.

    Args:
        folder: the run folder.
        scan: the counts and rows of the data.

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
def write_on_failure(folder: pathlib.Path | str | None) -> Iterator[None]:
    """A block that reads data and writes `data_report.jsonl` where the data are at fault.

    Args:
        folder: the run folder; nothing is written where it is empty or None.
    """
    try:
        yield
    except TltfError as error:
        if folder and (error.scan or isinstance(error, DataError)):
            with contextlib.suppress(StorageError):  # the fault of the data is raised instead
                write(folder, error.scan or ScanCounts(fault_rows=[fault_row(error)]))
        raise
