"""The run folder: who may write to it, what it was told, whether it is finished."""

import contextlib
import json
import os
import pathlib
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import filelock

from tltf.config import flagfiles, options
from tltf.config.options import Options, OutputOptions
from tltf.config.resume import HARMLESS, allowed_changes
from tltf.console import streams
from tltf.errors import FlagError, ModelError, StorageError
from tltf.files import atomic_files, atomic_folders, untrusted
from tltf.runs import layout, origin, removal
from tltf.runs.origin import Change

STATUS, FLAGS, LOCK = layout.STATUS, layout.FLAGS, layout.LOCK
DATA_REPORT = layout.DATA_REPORT
STATUSES = ("training", "trained", "finished")


def is_chief() -> bool:
    """Whether this process writes the run's files: true but for workers other than the first.

    TF_CONFIG tells the workers of a MultiWorkerMirroredStrategy apart. The first is the task
    `chief`; without one in the cluster it is worker 0.
    """
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    task = config.get("task", {})
    if task.get("type", "chief") == "chief":
        return True
    return "chief" not in config.get("cluster", {}) and int(task.get("index", 0)) == 0


def claim(output: OutputOptions) -> pathlib.Path:
    """Checks that a run may start in `output`, before anything expensive is done.

    Args:
        output: OutputOptions.

    Returns:
        pathlib.Path of the folder, made if it was missing.

    Raises:
        FlagError: the folder holds a finished run or something that is not a run.
        StorageError: the folder cannot be written.
    """
    run = pathlib.Path(output.output)
    status = read_status(run)
    if status == "finished" and not output.overwrite:
        raise FlagError(
            f"{run} holds a finished run",
            flag="output",
            fix="another --output; --overwrite would replace that run",
        )
    if status == "" and run.exists() and not (run.is_dir() and _is_new(run)):
        raise FlagError(
            f"{run} is not empty and holds no run", flag="output", fix="another --output"
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=run).close()
    except OSError as error:
        raise StorageError(f"cannot write: {error.strerror}", flag="output", place=run) from error
    return run


@contextlib.contextmanager
def claim_folder(output: OutputOptions) -> Iterator[Any]:
    """A block in which no other process trains into a run folder; gives the folder, see `claim`.

    None without --output or in a dry run; workers other than the first only get its path. Inside of
    such a block of this process it is that folder again.

    Args:
        output: OutputOptions.

    Raises:
        FlagError: as `claim`.
        StorageError: as `claim`, or another process has the folder.
    """
    if not output.output or output.dry_run or not is_chief():
        yield pathlib.Path(output.output) if output.output and not output.dry_run else None
        return
    path = pathlib.Path(output.output) / LOCK
    lock = filelock.FileLock(path, timeout=0, is_singleton=True)
    run = path.parent
    if not lock.is_locked:
        try:
            claim(output)
        except FlagError:
            if path.exists():  # a run that another process has just begun looks like none
                with contextlib.suppress(OSError):
                    _acquire(lock, path)
                    lock.release()
            raise
    _acquire(lock, path)
    try:
        who = f"process {os.getpid()} on {socket.gethostname()}"
        path.with_suffix(".owner").write_text(who, encoding="utf-8")
        yield run
    finally:
        lock.release()


def _acquire(lock: Any, path: pathlib.Path) -> None:
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StorageError(
            f"another process trains here ({_owner(path)})",
            place=path.parent,
            fix="wait for it, or another --output",
        ) from error
    except NotImplementedError:
        what = f"{path.parent} is on a file system without locks: two runs in it would mix"
        warnings.warn(what, stacklevel=5)


def _owner(path: Any) -> Any:
    try:
        return path.with_suffix(".owner").read_text(encoding="utf-8")[:200]
    except OSError:
        return "unknown"


def _is_new(run: pathlib.Path) -> bool:
    """Whether a folder has nothing but what a run leaves that was killed in its first moment, or
    whose data were at fault."""
    names = {item.name for item in run.iterdir() if not item.name.startswith(LOCK)}
    written = (STATUS, FLAGS, origin.FILE, DATA_REPORT)
    parts = tuple(f".{name}." for name in written)
    left = {
        n
        for n in names - {streams.LOG, DATA_REPORT}
        if not (n.startswith(parts) and n.endswith(".part"))
    }
    if not left:
        return True
    if not {STATUS} <= left <= {STATUS, origin.FILE}:
        return False
    try:
        return json.loads((run / STATUS).read_text(encoding="utf-8")) == {"status": "training"}
    except (OSError, ValueError):
        return False


def begin(
    run: pathlib.Path, resolved: Options, command: str, data: dict[str, str] | None = None
) -> None:
    """Notes what a run is told and made from, or checks that an unfinished one is so still.

    A run that is to be replaced is removed here, when data and model of the new one are known
    to be good; of the folder's files only its own go. With --overwrite that is a finished run, or
    one of other flags, data or versions: an unfinished one of these goes on, so that the same
    command again loses nothing. One that has trained nothing yet, as a flag that did not fit or a
    kill leaves it, makes way for other flags, data or versions unasked: nothing is lost with it.
    A kill at any moment leaves a folder that the same command takes.

    Args:
        run: the run folder.
        resolved: Options with every `auto` replaced.
        command: shown in run.flags.
        data: split -> text that differs where its contents do, see `origins`.

    Raises:
        FlagError: --resume names something unknown.
        ModelError: the unfinished run in this folder has other flags, data or versions, and has
            trained something.
    """
    path, data = pathlib.Path(run) / FLAGS, data or {}
    status, output = read_status(run), resolved.output
    found, export = [], None
    for folder in (run, path.parent / layout.MODEL):
        atomic_files.sweep(folder)
    if not status:
        write_status(run, "training")
    elif _is_replaced(run, status, output, lambda: changes(run, resolved, data)):
        removal.remove(run, None if _is_untrained(run, status) else origin.export_version(run))
    else:
        if found := changes(run, resolved, data):
            require_allowed(run, found, output.resume)
        export = origin.export_version(run)
    if export is None or found:
        export = export or int(atomic_folders.new_version(path.parent / layout.EXPORT).name)
        origin.write(run, data, export)
        comment = f"{command}\nEvery flag of this run, chosen defaults included."
        flagfiles.write(path, resolved, comment)
    write_status(run, "training")


def _is_replaced(
    run: pathlib.Path, status: str, output: OutputOptions, changed: Callable[..., Any]
) -> bool:
    if output.resume == "never" or not (output.overwrite or _is_untrained(run, status)):
        return output.resume == "never"
    try:
        return status == "finished" or bool(_refused(changed(), output.resume))
    except (FlagError, ModelError):  # flags of another version
        return output.overwrite


def _is_untrained(run: pathlib.Path, status: str) -> bool:
    return status == "training" and not removal.is_trained(run)


def changes(
    run: pathlib.Path | str, resolved: Options | None, data: dict[str, str]
) -> list[Change]:
    """A list of `origin.Change`: what a run would be told, or made from, otherwise than it was.

    Args:
        run: the run folder.
        resolved: Options; None leaves them out.
        data: as `begin` takes it.

    Raises:
        ModelError: what is noted of the run cannot be read.
    """
    found = origin.changes(run, data)
    if resolved is None:
        return found
    old, new = flagfiles.flatten(read_options(run)), flagfiles.flatten(resolved)
    return [
        *(
            origin.Change(
                name, f"{name}: {options.flag_text(old[name])} -> {options.flag_text(new[name])}"
            )
            for name in new
            if old[name] != new[name]
        ),
        *found,
    ]


def require_allowed(run: Any, found: Sequence[Change], resume: str) -> None:
    """Raises where something changed that must not; what may is said in one line.

    Args:
        run: the run folder.
        found: list of `origin.Change`.
        resume: --resume, which names what may change beside what is harmless.

    Raises:
        FlagError: it names something unknown.
        ModelError: something else changed.
    """
    if refused := _refused(found, resume):
        names = dict.fromkeys((*allowed_changes(resume), *(change.name for change in refused)))
        raise ModelError(
            f"the unfinished run was begun otherwise ({'; '.join(c.text for c in refused)})",
            flag="resume",
            place=run,
            fix=f"--resume='{'|'.join(names)}' goes on all the same; --resume=never would drop that run",
        )
    print(f"goes on otherwise than begun: {'; '.join(c.text for c in found)}", file=sys.stderr)


def _refused(found: Sequence[Change], resume: str) -> list[Change]:
    may_differ = (*HARMLESS, *allowed_changes(resume))
    return [change for change in found if change.name not in may_differ]


def read_options(run: pathlib.Path | str) -> Options:
    """The Options that a run was told.

    Raises:
        FlagError: the folder holds no run.
        ModelError: its run.flags cannot be read, or pulls in other files, which tltf never writes.
    """
    path = pathlib.Path(run) / FLAGS
    if not path.exists():
        raise FlagError(f"{run} holds no run (no {FLAGS})", flag="run")
    _require_alone(path)
    try:
        return flagfiles.parse(options.Options, [f"--flagfile={path}"])[0]
    except FlagError as error:
        raise ModelError(error.what, flag=error.flag, place=error.place or path) from error


def _require_alone(path: pathlib.Path) -> None:
    """Refuses a run.flags with a --flagfile: an error would show the lines of the other file."""
    untrusted.require_file(path)
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        name = line.strip().lstrip("-").partition("=")[0].split(maxsplit=1)
        if line.strip().startswith("-") and name[:1] == ["flagfile"]:
            raise ModelError("pulls in another file", flag="flagfile", place=path)


def read_status(run: pathlib.Path | str) -> str:
    """`training`, `trained`, `finished`, or "" where there is no run."""
    folder = pathlib.Path(run)
    try:
        status = json.loads((folder / STATUS).read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return status if status in STATUSES and (folder / FLAGS).is_file() else ""


def write_status(run: pathlib.Path, status: str) -> None:
    """Records how far a run is."""
    with atomic_files.replace_file(pathlib.Path(run) / STATUS) as file:
        json.dump({"status": status}, file)
