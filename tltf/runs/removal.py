"""Removes a run from its folder before another run is written there.

Only files that a training writes are removed; notes, evaluations and other exports stay.
"""

import pathlib
import re
import shutil

from tltf.runs import layout

EVENTS = re.compile(
    "|".join(
        (
            r"events\.out\.tfevents\..*",
            r"projector_config\.pbtxt",
            re.escape(layout.PROJECTOR_FEATURES),
            re.escape(layout.PROJECTOR_LABELS),
            re.escape(layout.PROJECTOR_PICTURES),
        )
    )
)
"""Names of TensorBoard's files."""
_PART = re.compile(r"\..+\.part")
"""Names of files and folders that are only half written."""
_CHECKPOINT = re.compile(r"[0-9]+(\.[0-9]+)?")
"""Names of checkpoints that are whole; those that a kill has left half written have others."""


def is_trained(run: pathlib.Path) -> bool:
    """Whether a run has anything to go on from: a checkpoint, a model, or a fold or step with one.

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
    return any(map(is_trained, [*layout.folds_of(run), *layout.steps_of(run)]))


def remove(run: pathlib.Path, export: int | None = 1) -> None:
    """Removes a run from its folder, except for the files in layout.OF_A_RUN.

    Args:
        run: the run folder.
        export: the version of the exports that the run wrote, in whatever formats; None if it
            wrote none.
    """
    run = pathlib.Path(run)
    for name in layout.OF_A_TRAINING:
        _remove(run / name)
    for name, pattern in layout.FOLDERS_OF_A_TRAINING.items():
        _remove_in(run / name, re.compile(pattern))
    if export is not None:
        _remove_exports(run / layout.EXPORT, re.compile(str(export)))
    _remove_events(run / layout.TENSORBOARD)
    for name in (layout.ROUNDS, layout.STEPS):
        _remove_runs(run / name)
    _remove_tasks(run / layout.TASKS)
    for path in run.glob(".*.part"):
        _remove(path)


def _remove_exports(exports: pathlib.Path, version: re.Pattern[str]) -> None:
    """Removes a version of all formats, and the table, which is of the model that was."""
    for path in list(exports.glob("*")) if _is_folder(exports) else ():
        if not path.name.isdecimal() and _is_folder(path):
            _remove_in(path, version)
    for name in (layout.FORMATS_JSON, layout.FORMATS_MARKDOWN):
        _remove(exports / name)
    _remove_in(exports, version)


def _remove_runs(runs: pathlib.Path) -> None:
    """Removes the runs in RUN/rounds or RUN/steps, of which there is one per fold or step."""
    for path in list(runs.glob("*")) if _is_folder(runs) else ():
        if path.name.isdecimal() and _is_folder(path):
            remove(path)
            for name in layout.OF_A_RUN:
                _remove(path / name)
            _remove_empty(path)
    _remove_empty(runs)


def _remove_tasks(tasks: pathlib.Path) -> None:
    """Removes what a run of several heads has written of each task."""
    for path in list(tasks.glob("*")) if _is_folder(tasks) else ():
        for name in layout.OF_A_TASK if _is_folder(path) else ():
            _remove(path / name)
        _remove_empty(path)
    _remove_empty(tasks)


def _remove_in(folder: pathlib.Path, pattern: re.Pattern[str]) -> None:
    """Removes what a pattern matches and half-written parts from a folder, then an empty folder."""
    if not _is_folder(folder):
        return
    for path in list(folder.iterdir()):
        if pattern.fullmatch(path.name) or _PART.fullmatch(path.name):
            _remove(path)
    _remove_empty(folder)


def _remove_events(folder: pathlib.Path) -> None:
    """Removes TensorBoard's files, and the folders that are empty without them."""
    if not _is_folder(folder):
        return
    for path in list(folder.iterdir()):
        if _is_folder(path):
            _remove_events(path)
        elif EVENTS.fullmatch(path.name):
            _remove(path)
    _remove_empty(folder)


def _remove(path: pathlib.Path) -> None:
    """Removes a file, a link or a whole folder; it need not exist."""
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: pathlib.Path) -> None:
    if _is_folder(folder) and not any(folder.iterdir()):
        folder.rmdir()


def _is_folder(path: pathlib.Path) -> bool:
    """Whether a path is a folder itself, not a link to a folder elsewhere."""
    return path.is_dir() and not path.is_symlink()
