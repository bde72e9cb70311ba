"""RUN/data_report.jsonl: every row that was not used, and why."""

import json
import pathlib

from tltf import storage

NAME = "data_report.jsonl"


def write(folder, scan):
    """Writes `data_report.jsonl`, one JSON object a row that was skipped or excluded.

    Each has `id` (file, or file:row), `what` (skipped: it cannot be used; excluded: it could,
    and must not; near: it is used, and nearly the same as another) and `reason`. Without such rows the file is empty.

    Args:
        folder: the run folder.
        scan: of a Source.

    Raises:
        StorageError: the file cannot be written.
    """
    with storage.replacing(pathlib.Path(folder) / NAME) as file:
        for what in ("skipped", "excluded", "near"):
            for row in scan.get(f"{what}_rows", ()):
                line = {"id": str(row["id"]), "what": what, "reason": row["reason"]}
                file.write(json.dumps(line) + "\n")
