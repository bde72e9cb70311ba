"""What tltf has written into a run folder, removed before another run takes its place.

Only what a training writes goes: notes, evaluations and exports that somebody else put there stay.
"""

import pathlib
import re
import shutil

FILES = ("metrics.jsonl", "adapter.safetensors", "report.html", "report.md", "report.json",
         "predictions.csv", "data_report.jsonl", "trained_rows.bin")  # fmt: skip
FOLDERS = {
    "checkpoints": r"[0-9]+(\.[0-9]+)?(\.part)?",
    "model": r"v[0-9]+|core\.json",
}
"""Folder -> the names in it that are tltf's."""
EVENTS = "events.out.tfevents.*"
_PART = re.compile(r"\..+\.part")
"""What was only half written."""
_CHECKPOINT = re.compile(r"[0-9]+(\.[0-9]+)?")
"""One that is whole; not what a kill has left half written."""
RUN = ("run.flags", "status.json", "origin.json", ".lock", ".lock.owner", "console.log")
"""What says that a folder is a run's, and whose."""


def is_trained(run):
    """Whether a run has anything to go on from: a checkpoint, a model, or a fold that has.

    Args:
        run: the run folder.
    """
    run = pathlib.Path(run)
    if any(_CHECKPOINT.fullmatch(path.name) for path in (run / "checkpoints").glob("*")):
        return True
    if any(re.fullmatch(FOLDERS["model"], path.name) for path in (run / "model").glob("*")):
        return True
    return any(is_trained(path) for path in (run / "rounds").glob("*") if path.name.isdecimal())


def remove(run, export=1):
    """Removes a run from its folder, but for the files in RUN.

    Args:
        run: the run folder.
        export: the version of the SavedModel that it wrote itself; None: it wrote none.
    """
    run = pathlib.Path(run)
    for name in FILES:
        _remove(run / name)
    for name, pattern in FOLDERS.items():
        _remove_in(run / name, re.compile(pattern))
    if export is not None:
        _remove_in(run / "export", re.compile(str(export)))
    _remove_events(run / "tensorboard")
    _remove_rounds(run / "rounds")
    for path in run.glob(".*.part"):
        _remove(path)


def _remove_rounds(rounds):
    """Removes the runs in RUN/rounds, one a fold."""
    for path in list(rounds.glob("*")) if _is_folder(rounds) else ():
        if path.name.isdecimal() and _is_folder(path):
            remove(path)
            for name in RUN:
                _remove(path / name)
            _remove_empty(path)
    _remove_empty(rounds)


def _remove_in(folder, pattern):
    if not _is_folder(folder):
        return
    for path in list(folder.iterdir()):
        if pattern.fullmatch(path.name) or _PART.fullmatch(path.name):
            _remove(path)
    _remove_empty(folder)


def _remove_events(folder):
    """Removes TensorBoard's files, and the folders that held nothing else."""
    if not _is_folder(folder):
        return
    for path in list(folder.iterdir()):
        if _is_folder(path):
            _remove_events(path)
        elif path.match(EVENTS):
            _remove(path)
    _remove_empty(folder)


def _remove(path):
    """Removes a file, a link or a whole folder, where it is there."""
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder):
    if _is_folder(folder) and not any(folder.iterdir()):
        folder.rmdir()


def _is_folder(path):
    """Whether it is a folder of this run, and no link to one elsewhere."""
    return path.is_dir() and not path.is_symlink()
