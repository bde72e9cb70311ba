"""The run folder: who may write to it, what it was told, whether it is finished."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import warnings

import filelock

from tltf import flagfiles, foreign_files, options, storage, streams
from tltf.errors import FlagError, ModelError, StorageError

STATUS, FLAGS, LOCK = "status.json", "run.flags", ".lock"
DATA_REPORT = "data_report.jsonl"
UNBOUND = ("output", "export", "baseline", "tensorboard", "checkpoint_minutes", "eval_batch_size")
"""Flags that an unfinished run may be told otherwise."""
STATUSES = ("training", "trained", "finished")
PROBE = ".writable"


def is_chief():
    """Whether this process writes the run's files: true but for workers other than the first.

    TF_CONFIG tells the workers of a MultiWorkerMirroredStrategy apart.
    """
    task = json.loads(os.environ.get("TF_CONFIG") or "{}").get("task", {})
    return task.get("type", "chief") == "chief" or task.get("index") == 0


def claim(output):
    """Checks that a run may start in `output`, before anything expensive is done.

    Args:
        output: OutputOptions.

    Returns:
        pathlib.Path of the folder, made if it was missing.

    Raises:
        FlagError: the folder holds a finished run or something that is no run.
        StorageError: the folder cannot be written.
    """
    run = pathlib.Path(output.output)
    status = read_status(run)
    if status == "finished" and not output.overwrite:
        raise FlagError(f"{run} holds a finished run", flag="output",
                        fix="--overwrite, or another --output")  # fmt: skip
    if status == "" and run.exists() and not (run.is_dir() and _is_new(run)):
        raise FlagError(f"{run} is not empty and holds no run", flag="output",
                        fix="another --output")  # fmt: skip
    try:
        run.mkdir(parents=True, exist_ok=True)
        probe = run / PROBE
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StorageError(f"cannot write: {error.strerror}", flag="output", place=run) from error
    return run


@contextlib.contextmanager
def claimed(output):
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
    run = path.parent if lock.is_locked else claim(output)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StorageError(f"another process trains here ({_owner(path)})", place=run,
                           fix="wait for it, or another --output") from error  # fmt: skip
    except NotImplementedError:
        warnings.warn(f"{run} is on a file system without locks: two runs in it would mix",
                      stacklevel=3)  # fmt: skip
    try:
        who = f"process {os.getpid()} on {socket.gethostname()}"
        path.with_suffix(".owner").write_text(who, encoding="utf-8")
        yield run
    finally:
        lock.release()


def _owner(path):
    try:
        return path.with_suffix(".owner").read_text(encoding="utf-8")[:200]
    except OSError:
        return "unknown"


def _contents(run):
    """What is in a run folder beside its lock and the log of its console."""
    items = run.iterdir()
    return [item for item in items if not item.name.startswith(LOCK) and item.name != streams.LOG]


def _is_new(run):
    """Whether a folder has nothing but what a run leaves that was killed in its first moment, or
    whose data were at fault."""
    parts = tuple(f".{name}." for name in (STATUS, FLAGS, DATA_REPORT))
    left = [item for item in _contents(run)
            if item.name not in (PROBE, DATA_REPORT) and not (item.name.startswith(parts) and item.suffix == ".part")]  # fmt: skip
    if [item.name for item in left] != [STATUS]:
        return not left
    try:
        return json.loads(left[0].read_text(encoding="utf-8")) == {"status": "training"}
    except (OSError, ValueError):
        return False


def begin(run, resolved, command):
    """Writes run.flags, or checks that an unfinished run was told the same.

    A run that is to be replaced is removed here, when data and model of the new one are known
    to be good. With --overwrite that is a finished run, or one of other flags: an unfinished one
    of these flags goes on, so that the same command again loses nothing. A kill at any moment
    leaves a folder that the same command takes.

    Args:
        run: the run folder.
        resolved: Options with every `auto` replaced.
        command: shown in run.flags.

    Raises:
        ModelError: the unfinished run in this folder has other flags.
    """
    path, status = pathlib.Path(run) / FLAGS, read_status(run)
    for folder in (run, path.parent / "model"):
        storage.sweep(folder)
    if not status:
        write_status(run, "training")
    elif _is_replaced(path, status, resolved):
        for item in _contents(run):
            if item.name not in (FLAGS, STATUS):
                shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
    else:
        _require_same_flags(path, resolved)
        write_status(run, "training")
        return
    comment = f"{command}\nEvery flag of this run, chosen defaults included."
    flagfiles.write(path, resolved, comment)
    write_status(run, "training")


def _is_replaced(path, status, resolved):
    if not resolved.output.overwrite or resolved.output.resume == "never":
        return resolved.output.resume == "never"
    try:
        return status == "finished" or bool(_changed(path, resolved))
    except FlagError:  # flags of another version
        return True


def read_options(run):
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


def _require_alone(path):
    """Refuses a run.flags with a --flagfile: an error would show the lines of the other file."""
    foreign_files.require_file(path)
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        name = line.strip().lstrip("-").partition("=")[0].split(maxsplit=1)
        if line.strip().startswith("-") and name[:1] == ["flagfile"]:
            raise ModelError("pulls in another file", flag="flagfile", place=path)


def read_status(run):
    """`training`, `trained`, `finished`, or "" where there is no run."""
    folder = pathlib.Path(run)
    try:
        status = json.loads((folder / STATUS).read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return status if status in STATUSES and (folder / FLAGS).is_file() else ""


def write_status(run, status):
    """Records how far a run is."""
    with storage.replacing(pathlib.Path(run) / STATUS) as file:
        json.dump({"status": status}, file)


def _require_same_flags(path, resolved):
    if changed := _changed(path, resolved):
        what = f"the unfinished run was told otherwise ({'; '.join(changed)})"
        raise ModelError(what, flag="resume", place=path.parent,
                         fix="--resume=never starts anew, or give the same flags")  # fmt: skip


def _changed(path, resolved):
    """What a run is told otherwise than it was, as texts."""
    old = flagfiles.flatten(read_options(path.parent))
    new = flagfiles.flatten(resolved)
    return [
        f"{name}: {options.shown(old[name])} -> {options.shown(new[name])}"
        for name in new
        if old[name] != new[name] and name not in UNBOUND
    ]
