"""What tltf has written into a run folder, removed before another run takes its place.

Only what a training writes goes: notes, evaluations and exports that somebody else put there stay.
"""

import pathlib
import re
import shutil
from typing import Any

from tltf.runs import layout

EVENTS = "events.out.tfevents.*"
_PART = re.compile(r"\..+\.part")
"""What was only half written."""
_CHECKPOINT = re.compile(r"[0-9]+(\.[0-9]+)?")
"""One that is whole; not what a kill has left half written."""


def is_trained(run: pathlib.Path) -> bool:
    """Whether a run has anything to go on from: a checkpoint, a model, or a fold that has.

    Args:
        run: the run folder.
    """
    run = pathlib.Path(run)
    if any(_CHECKPOINT.fullmatch(path.name) for path in (run / layout.CHECKPOINTS).glob("*")):
        return True
    if any(
        re.fullmatch(layout.FOLDERS_OF_A_TRAINING[layout.MODEL], path.name)
        for path in (run / layout.MODEL).glob("*")
    ):
        return True
    return any(
        is_trained(path) for path in (run / layout.ROUNDS).glob("*") if path.name.isdecimal()
    )


def remove(run: pathlib.Path, export: int | None = 1) -> None:
    """Removes a run from its folder, but for the files in layout.OF_A_RUN.

    Args:
        run: the run folder.
        export: the version of the SavedModel that it wrote itself; None: it wrote none.
    """
    run = pathlib.Path(run)
    for name in layout.OF_A_TRAINING:
        _remove(run / name)
    for name, pattern in layout.FOLDERS_OF_A_TRAINING.items():
        _remove_in(run / name, re.compile(pattern))
    if export is not None:
        _remove_in(run / layout.EXPORT, re.compile(str(export)))
    _remove_events(run / layout.TENSORBOARD)
    _remove_rounds(run / layout.ROUNDS)
    for path in run.glob(".*.part"):
        _remove(path)


def _remove_rounds(rounds: pathlib.Path) -> None:
    """Removes the runs in layout.OF_A_RUN/rounds, one per fold."""
    for path in list(rounds.glob("*")) if _is_folder(rounds) else ():
        if path.name.isdecimal() and _is_folder(path):
            remove(path)
            for name in layout.OF_A_RUN:
                _remove(path / name)
            _remove_empty(path)
    _remove_empty(rounds)


def _remove_in(folder: pathlib.Path, pattern: Any) -> None:
    if not _is_folder(folder):
        return
    for path in list(folder.iterdir()):
        if pattern.fullmatch(path.name) or _PART.fullmatch(path.name):
            _remove(path)
    _remove_empty(folder)


def _remove_events(folder: pathlib.Path) -> None:
    """Removes TensorBoard's files, and the folders that held nothing else."""
    if not _is_folder(folder):
        return
    for path in list(folder.iterdir()):
        if _is_folder(path):
            _remove_events(path)
        elif path.match(EVENTS):
            _remove(path)
    _remove_empty(folder)


def _remove(path: pathlib.Path) -> None:
    """Removes a file, a link or a whole folder, where it is there."""
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: pathlib.Path) -> None:
    if _is_folder(folder) and not any(folder.iterdir()):
        folder.rmdir()


def _is_folder(path: pathlib.Path) -> bool:
    """Whether it is a folder of this run, and no link to one elsewhere."""
    return path.is_dir() and not path.is_symlink()
