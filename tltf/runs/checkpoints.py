"""The state of an unfinished run, in checkpoints that are either whole or not there.

A checkpoint is a folder `checkpoints/<step>` with arrays.npz, state.json and manifest.json, which
has the step and the SHA-256 of the other two. All three and the name have the step, so that parts
of different checkpoints are never taken for one. Two checkpoints are kept, in the order of their
steps, whatever their files' dates; if the newer one is damaged, the older one is used. A second
checkpoint of the same step, since skipped steps do not count, is `<step>.1`, then `<step>.2`: an
existing one is never replaced.
"""

import dataclasses
import json
import pathlib
import re
import shutil
import warnings
import zipfile
from typing import Any

import numpy as np

from tltf.errors import ModelError, StorageError
from tltf.files import atomic_files
from tltf.files.hashes import sha256_of_file
from tltf.runs import layout

KEPT, PART = 2, ".part"
"""How many checkpoints are kept; the end of the name of one that is being written."""
ARRAYS, STATE, MANIFEST = "arrays.npz", "state.json", "manifest.json"
_STEP = "checkpoint_step"
"""Key of the step among the arrays and in the state."""
_NAME = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to go on after an interruption.

    Args:
        arrays: name -> array: trained variables, optimizer state, best weights.
        state: JSON data: phase, epoch, step, history, best metric.
        place: `(step, number)` of a checkpoint that was read; the number tells those of one step
            apart, from 0. Empty for one that was not read.
    """

    arrays: dict[str, np.ndarray]
    state: dict[str, Any]
    place: tuple[int, ...] = ()


def save(run: pathlib.Path | str, step: int, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint and removes all but the newest KEPT.

    Checkpoints of later steps are removed first: the run went on from an older one because they
    are damaged. If the disk is full, there is a warning and a second attempt, before which all
    checkpoints but the newest are removed.

    Args:
        run: the run folder.
        step: number of optimizer steps so far, which orders the checkpoints.
        checkpoint: what to write.

    Raises:
        StorageError: it cannot be written; the newest checkpoint is still there.
    """
    before = _folders(run)
    for other in [path for path in before if _is_useless(path, step)]:
        shutil.rmtree(other, ignore_errors=True)
        before.remove(other)
    try:
        _write(run, step, checkpoint)
    except OSError as error:
        warnings.warn(
            f"checkpoint {step} cannot be written ({error.strerror or error}); "
            "it is tried once more, with fewer kept",
            stacklevel=2,
        )
        for old in before[:-1]:
            shutil.rmtree(old, ignore_errors=True)
        try:
            _write(run, step, checkpoint)
        except OSError as again:
            what = f"checkpoint {step} cannot be written: {again.strerror or again}"
            raise StorageError(
                what,
                place=_folder(run),
                fix="free space, then the same command; the previous checkpoint is whole",
            ) from again
    for old in _folders(run)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def sweep(run: pathlib.Path) -> None:
    """Removes the half-written checkpoints that a killed process left."""
    for part in _folder(run).glob(f"*{PART}"):
        shutil.rmtree(part, ignore_errors=True)


def _is_useless(folder: pathlib.Path, step: int) -> bool:
    """Whether a checkpoint is of a step after `step`, or of that step and damaged."""
    number = _place(folder)[0]
    return number > step or (number == step and _read(folder) is None)


def _write(run: pathlib.Path | str, step: int, checkpoint: Checkpoint) -> None:
    """Writes the files, then their folder, then its name; each is on the disk before the next."""
    folder = _folder(run)
    same = [_place(path)[1] for path in _folders(run) if _place(path)[0] == step]
    name = f"{step:09d}" + (f".{max(same) + 1}" if same else "")
    final, part = folder / name, folder / f"{name}{PART}"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        arrays: dict[str, Any] = checkpoint.arrays | {_STEP: np.int64(step)}
        with open(part / ARRAYS, "wb") as file:
            np.savez(file, **arrays)
            atomic_files.flush(file)
        _write_json(part / STATE, checkpoint.state | {_STEP: step})
        hashes = {name: sha256_of_file(part / name) for name in (ARRAYS, STATE)}
        _write_json(part / MANIFEST, {"step": step, "sha256": hashes})
        atomic_files.fsync_folder(part)
        atomic_files.move_into_place(part, final)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file)
        atomic_files.flush(file)


def _folder(run: pathlib.Path | str) -> pathlib.Path:
    return pathlib.Path(run) / layout.CHECKPOINTS


def thin(run: pathlib.Path) -> None:
    """Removes all checkpoints but the newest, which has the last and the best weights."""
    for old in _folders(run)[:-1]:
        shutil.rmtree(old, ignore_errors=True)


def newest(run: pathlib.Path | str) -> Checkpoint | None:
    """The newest checkpoint of a run that is whole, or None if it has no checkpoints.

    Raises:
        ModelError: the run has checkpoints, but all are damaged.
    """
    folders = _folders(run)
    for folder in reversed(folders):
        checkpoint = _read(folder)
        if checkpoint:
            return checkpoint
        warnings.warn(
            f"checkpoint {folder.name} is damaged; the one before it is used", stacklevel=2
        )
    if folders:
        raise ModelError(
            "all checkpoints are damaged",
            place=_folder(run),
            fix="another --output; --resume=never would drop the unfinished run",
        )
    return None


def read_at(run: pathlib.Path | str, step: int, number: int) -> Checkpoint:
    """The checkpoint at the place `(step, number)`, see `Checkpoint`.

    Raises:
        ModelError: it is not there, or it is damaged.
    """
    for folder in _folders(run):
        if _place(folder) == (step, number) and (checkpoint := _read(folder)):
            return checkpoint
    what = f"checkpoint {step}, from which the first worker goes on, cannot be read here"
    raise ModelError(what, place=_folder(run), fix="an --output that all workers share")


def _folders(run: pathlib.Path | str) -> list[pathlib.Path]:
    """The folders of a run's checkpoints in the order of their places."""
    folders = [path for path in _folder(run).glob("*") if _NAME.fullmatch(path.name)]
    return sorted(folders, key=_place)


def _place(folder: pathlib.Path) -> tuple[int, int]:
    """`(step, number)` from the name of a checkpoint's folder, see `Checkpoint`."""
    step, _, number = folder.name.partition(".")
    return int(step), int(number or 0)


def _read(folder: pathlib.Path) -> Checkpoint | None:
    """The checkpoint in a folder; None if it is damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["sha256"] != {name: sha256_of_file(folder / name) for name in (ARRAYS, STATE)}:
            return None
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if _is_packed(folder / ARRAYS):
            return None
        with np.load(folder / ARRAYS, allow_pickle=False) as file:
            arrays = dict(file)
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            return None  # numpy returns a member that is not an array as its bytes
        steps = {_place(folder)[0], manifest["step"], state.pop(_STEP), int(arrays.pop(_STEP))}
        return Checkpoint(arrays, state, _place(folder)) if len(steps) == 1 else None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        EOFError,
        MemoryError,
        zipfile.BadZipFile,
    ):
        return None


def _is_packed(path: pathlib.Path) -> bool:
    """Whether the arrays are larger than their file; tltf compresses none, a zip bomb would."""
    with zipfile.ZipFile(path) as file:
        return sum(info.file_size for info in file.infolist()) > path.stat().st_size
