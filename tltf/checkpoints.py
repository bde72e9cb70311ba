"""The state of an unfinished run, written all-or-nothing after every epoch.

A checkpoint is a folder `checkpoints/<step>` with arrays.npz and state.json; the second
holds the SHA-256 of the first. Two are kept; a damaged one is passed over for the older.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import warnings
import zipfile

import numpy as np

from tltf.errors import ModelError

KEPT = 2


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on.

    Args:
        arrays: name -> array: trained variables, optimizer state, best weights.
        state: JSON-able dict: phase, epoch, step, history, best metric.
    """

    arrays: dict
    state: dict


def save(run, step, checkpoint):
    """Writes a checkpoint and removes all but the newest KEPT.

    Args:
        run: the run folder.
        step: optimizer steps so far; orders the checkpoints.
        checkpoint: Checkpoint.
    """
    folder = pathlib.Path(run) / "checkpoints"
    final, part = folder / f"{step:09d}", folder / f"{step:09d}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with open(part / "arrays.npz", "wb") as file:
        np.savez(file, **checkpoint.arrays)
    state = checkpoint.state | {"sha256": _sha256(part / "arrays.npz")}
    (part / "state.json").write_text(json.dumps(state), encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    for old in _folders(run)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def thin(run):
    """Removes all but the newest checkpoint, which has the last and the best weights."""
    for old in _folders(run)[:-1]:
        shutil.rmtree(old, ignore_errors=True)


def newest(run):
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
        raise ModelError("all checkpoints are damaged", place=pathlib.Path(run) / "checkpoints",
                         fix="--resume=never starts anew")  # fmt: skip
    return None


def _folders(run):
    folder = pathlib.Path(run) / "checkpoints"
    return sorted(path for path in folder.glob("*") if path.name.isdigit())


def _read(folder):
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if state.pop("sha256") != _sha256(folder / "arrays.npz"):
            return None
        with np.load(folder / "arrays.npz", allow_pickle=False) as file:
            return Checkpoint(dict(file), state)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
