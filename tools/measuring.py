"""Helpers of the scripts here: runs as commands, a notebook of measurements, markdown tables."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Notebook:
    """A JSON-lines file of measurements, so that an interrupted script can go on.

    Args:
        path: path of the file; it is made, with its folder, when the first line is written.
    """

    def __init__(self, path):
        self._path = pathlib.Path(path)
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        self._rows = {row["key"]: row for row in map(json.loads, lines)}

    def __contains__(self, key):
        return key in self._rows

    def get(self, key, measure):
        """The row of `key`; a row that is missing is made by `measure()` and written."""
        if key not in self._rows:
            row = {"key": key, **measure()}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            self._rows[key] = row
        return self._rows[key]


def train(folder, output, *flags):
    """Runs `python -m tltf.train` in `folder`; returns report.json as a dict.

    The report of a finished run is read; an unfinished run is continued.

    Args:
        folder: the working directory; `output` and run folders in flagfiles are relative to it.
        output: the run folder.
        flags: flags as on the command line.
    """
    run = pathlib.Path(folder) / output
    run.parent.mkdir(parents=True, exist_ok=True)
    if not (run / "report.json").exists():
        command = [sys.executable, "-m", "tltf.train", *flags, f"--output={output}"]
        print("$ " + " ".join(command[1:]), file=sys.stderr, flush=True)
        subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
    return json.loads((run / "report.json").read_text(encoding="utf-8"))


def table(header, rows):
    """A markdown table of a header and rows of cells."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def interval_text(value, interval):
    """The text of a value with its interval, such as `0.832 (0.815 to 0.848)`."""
    low, high = interval
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
