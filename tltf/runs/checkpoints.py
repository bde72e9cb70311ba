"""The state of an unfinished run, written all-or-nothing.

A checkpoint is a folder `checkpoints/<step>` with arrays.npz, state.json and manifest.json, which
has the step and the SHA-256 of the other two. The step stands in all of them and in the name: parts
of different checkpoints are not taken for one. Two are kept, ordered by step whatever the clock
said; a damaged one is passed over for the older. Another one of the same step, as skipped steps do
not count, is `<step>.1`, then `<step>.2`: what is there is never replaced.
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
ARRAYS, STATE, MANIFEST = "arrays.npz", "state.json", "manifest.json"
_STEP = "checkpoint_step"
"""Name of the step among the arrays and in the state."""
_NAME = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on.

    Args:
        arrays: name -> array: trained variables, optimizer state, best weights.
        state: JSON-able dict: phase, epoch, step, history, best metric.
        place: `(step, number)` of one that was read; several of one step are numbered from 0.
    """

    arrays: dict
    state: dict
    place: tuple = ()


def save(run: Any, step: int, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint and removes all but the newest KEPT.

    Those of later steps go first: the run went on from an older one, so they are damaged. A disk
    that is full gets a warning and a second chance, for which the older ones but the newest are
    given up.

    Args:
        run: the run folder.
        step: optimizer steps so far; orders the checkpoints.
        checkpoint: Checkpoint.

    Raises:
        StorageError: it cannot be written; what was there is there still.
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
            "once more, with fewer kept",
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
                fix="free space, then the same command; the checkpoint before it is whole",
            ) from again
    for old in _folders(run)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def sweep(run: pathlib.Path) -> None:
    """Removes what a killed process left half-written."""
    for part in _folder(run).glob(f"*{PART}"):
        shutil.rmtree(part, ignore_errors=True)


def _is_useless(folder: pathlib.Path, step: int) -> bool:
    """Whether a checkpoint is later than `step`, or of that step and damaged."""
    number = _place(folder)[0]
    return number > step or (number == step and _read(folder) is None)


def _write(run: pathlib.Path, step: int, checkpoint: Checkpoint) -> None:
    """Files, then their folder, then the name: each on the disk before the next."""
    folder = _folder(run)
    same = [_place(path)[1] for path in _folders(run) if _place(path)[0] == step]
    name = f"{step:09d}" + (f".{max(same) + 1}" if same else "")
    final, part = folder / name, folder / f"{name}{PART}"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        with open(part / ARRAYS, "wb") as file:
            np.savez(file, **(checkpoint.arrays | {_STEP: np.int64(step)}))
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


def _folder(run: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(run) / layout.CHECKPOINTS


def thin(run: pathlib.Path) -> None:
    """Removes all but the newest checkpoint, which has the last and the best weights."""
    for old in _folders(run)[:-1]:
        shutil.rmtree(old, ignore_errors=True)


def newest(run: Any) -> Checkpoint | None:
    """The newest Checkpoint that is whole, or None where there is none.

    Raises:
        ModelError: there are checkpoints, and all are damaged.
    """
    folders = _folders(run)
    for folder in reversed(folders):
        found = _read(folder)
        if found:
            return found
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


def read_at(run: pathlib.Path, step: int, number: int) -> Checkpoint:
    """The Checkpoint of that place.

    Raises:
        ModelError: it is not there, or damaged.
    """
    for folder in _folders(run):
        if _place(folder) == (step, number) and (found := _read(folder)):
            return found
    what = f"checkpoint {step}, from which the first worker goes on, cannot be read here"
    raise ModelError(what, place=_folder(run), fix="a folder that all workers share")


def _folders(run: pathlib.Path) -> list[pathlib.Path]:
    """Checkpoints in the order of their steps."""
    found = [path for path in _folder(run).glob("*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_place)


def _place(folder: pathlib.Path) -> tuple[int, int]:
    """See `Checkpoint`."""
    step, _, number = folder.name.partition(".")
    return int(step), int(number or 0)


def _read(folder: pathlib.Path) -> Any:
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
            return None  # numpy gives a member that is not an array as its bytes
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
    """Whether arrays are larger than the file: tltf packs none, and a bomb would fill the memory."""
    with zipfile.ZipFile(path) as file:
        return sum(info.file_size for info in file.infolist()) > path.stat().st_size
