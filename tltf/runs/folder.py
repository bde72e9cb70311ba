"""The run folder: which process may write to it, the flags of its run, and how far that is."""

import contextlib
import json
import os
import pathlib
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence

import filelock

from tltf.config import flagfiles, options
from tltf.config.flag_fields import flag_text
from tltf.config.option_groups import OutputOptions
from tltf.config.options import Options
from tltf.config.resume import HARMLESS, allowed_changes
from tltf.console import streams
from tltf.errors import FlagError, ModelError, StorageError
from tltf.files import atomic_files, untrusted
from tltf.runs import layout, origin, removal
from tltf.runs.origin import Change

STATUS, FLAGS, LOCK = layout.STATUS, layout.FLAGS, layout.LOCK
DATA_REPORT = layout.DATA_REPORT
STATUSES = ("training", "trained", "finished")
"""How far a run is, in order."""


def is_chief() -> bool:
    """Whether this process writes the run's files; with several workers, only the first one does.

    TF_CONFIG tells the workers of a MultiWorkerMirroredStrategy apart. The first is the task
    `chief`, or worker 0 in a cluster that has no chief.
    """
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    task = config.get("task", {})
    if task.get("type", "chief") == "chief":
        return True
    return "chief" not in config.get("cluster", {}) and int(task.get("index", 0)) == 0


def claim(output: OutputOptions) -> pathlib.Path:
    """Checks that a run may start in --output, before anything expensive is done.

    Args:
        output: the flags of the output.

    Returns:
        The run folder, made if it was missing.

    Raises:
        FlagError: the folder holds a finished run, or files that are not a run's.
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
        raise StorageError(
            f"cannot be written: {error.strerror}", flag="output", place=run
        ) from error
    return run


@contextlib.contextmanager
def claim_folder(output: OutputOptions) -> Iterator[pathlib.Path | None]:
    """A block in which no other process may train into a run folder, see `claim`; gives the folder.

    It gives None without --output or in a dry run. Workers other than the first get the path and
    claim nothing. Blocks of one process may be nested.

    Args:
        output: the flags of the output.

    Raises:
        FlagError: as `claim`.
        StorageError: as `claim`, or another process has claimed the folder.
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
            if path.exists():  # a run that another process has just started may look like no run
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


def _acquire(lock: filelock.BaseFileLock, path: pathlib.Path) -> None:
    """Takes a run's lock; warns on a file system that has none."""
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StorageError(
            f"another process is training here ({_owner(path)})",
            place=path.parent,
            fix="wait for it, or another --output",
        ) from error
    except NotImplementedError:
        what = (
            f"{path.parent} is on a file system without locks: two runs in it would mix their files"
        )
        warnings.warn(what, stacklevel=5)


def _owner(path: pathlib.Path) -> str:
    """The process that holds a lock, as it described itself."""
    try:
        return path.with_suffix(".owner").read_text(encoding="utf-8")[:200]
    except OSError:
        return "unknown"


def _is_new(run: pathlib.Path) -> bool:
    """Whether a folder holds nothing of value.

    It may have what a run leaves that was killed in its first moment or stopped by faulty data, and what was
    tried before the run itself.
    """
    names = {item.name for item in run.iterdir() if not item.name.startswith(LOCK)}
    written = (STATUS, FLAGS, origin.FILE, DATA_REPORT)
    parts = tuple(f".{name}." for name in written)
    left = {
        n
        for n in names - {streams.LOG, DATA_REPORT, layout.SAMPLES, layout.ADVICE, layout.SEARCH}
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
    """Records the flags, data and versions of a new run, or compares those of an unfinished one.

    A run that is to be replaced is removed here, when data and model of the new run are known to
    be good, and only its own files are. --overwrite replaces a finished run, and an unfinished one
    with other flags, data or versions; with the same ones an unfinished run goes on, so that
    repeating a command loses nothing. A run that has trained nothing yet, because a flag was
    wrong or it was killed, is replaced without asking. A kill at any moment leaves a folder in
    which the same command works.

    Args:
        run: the run folder.
        resolved: the run's options with every `auto` replaced.
        command: the command that run.flags shows.
        data: split -> text that differs if the contents do, see `origin.write`.

    Raises:
        FlagError: --resume names something unknown.
        ModelError: the unfinished run in this folder has other flags, data or versions, and has
            trained something.
    """
    path, data = pathlib.Path(run) / FLAGS, data or {}
    status, output = read_status(run), resolved.output
    differences, export = [], None
    for folder in (run, path.parent / layout.MODEL):
        atomic_files.sweep(folder)
    if not status:
        write_status(run, "training")
    elif _is_replaced(run, status, output, lambda: changes(run, resolved, data)):
        removal.remove(run, None if _is_untrained(run, status) else origin.export_version(run))
    else:
        if differences := changes(run, resolved, data):
            require_allowed(run, differences, output.resume)
        export = origin.export_version(run)
    if export is None or differences:
        export = export or layout.next_version(path.parent / layout.EXPORT)
        origin.write(run, data, export)
        comment = f"{command}\nEvery flag of this run, chosen defaults included."
        flagfiles.write(path, resolved, comment)
    write_status(run, "training")


def _is_replaced(
    run: pathlib.Path, status: str, output: OutputOptions, changed: Callable[[], list[Change]]
) -> bool:
    """Whether a new run replaces the one in a folder; `changed` says what differs, see `changes`."""
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
    """The differences of flags, data and versions from those that a run was started with.

    Args:
        run: the run folder.
        resolved: the options to compare; None compares no flags.
        data: as `begin` takes it.

    Raises:
        ModelError: run.flags or origin.json cannot be read.
    """
    differences = origin.changes(run, data)
    if resolved is None:
        return differences
    old, new = flagfiles.flatten(read_options(run)), flagfiles.flatten(resolved)
    return [
        *(
            origin.Change(name, f"{name}: {flag_text(old[name])} -> {flag_text(new[name])}")
            for name in new
            if old[name] != new[name]
        ),
        *differences,
    ]


def require_allowed(run: pathlib.Path | str, differences: Sequence[Change], resume: str) -> None:
    """Checks that every difference is allowed; prints allowed differences on one line.

    Args:
        run: the run folder.
        differences: what changed since the run was started.
        resume: --resume, which names what may change besides harmless flags.

    Raises:
        FlagError: --resume names something unknown.
        ModelError: something changed that is not allowed.
    """
    if refused := _refused(differences, resume):
        names = dict.fromkeys((*allowed_changes(resume), *(change.name for change in refused)))
        raise ModelError(
            "the unfinished run was started with other flags, data or versions "
            f"({'; '.join(change.text for change in refused)})",
            flag="resume",
            place=run,
            fix=f"--resume='{'|'.join(names)}' allows these changes; --resume=never would drop that run",
        )
    texts = "; ".join(change.text for change in differences)
    print(f"the run goes on with these changes: {texts}", file=sys.stderr)


def _refused(differences: Sequence[Change], resume: str) -> list[Change]:
    may_differ = (*HARMLESS, *allowed_changes(resume))
    return [change for change in differences if change.name not in may_differ]


def read_options(run: pathlib.Path | str) -> Options:
    """The options of the run in a folder.

    Raises:
        FlagError: the folder holds no run.
        ModelError: run.flags cannot be read, or pulls in other files, which tltf never writes.
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
    """Refuses a run.flags with a --flagfile, since an error would show lines of that other file."""
    untrusted.require_file(path)
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        name = line.strip().lstrip("-").partition("=")[0].split(maxsplit=1)
        if line.strip().startswith("-") and name[:1] == ["flagfile"]:
            raise ModelError("pulls in another file", flag="flagfile", place=path)


def read_status(run: pathlib.Path | str) -> str:
    """How far a run is: `training`, `trained` or `finished`; "" if the folder holds no run."""
    folder = pathlib.Path(run)
    try:
        status = json.loads((folder / STATUS).read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return status if status in STATUSES and (folder / FLAGS).is_file() else ""


def write_status(run: pathlib.Path, status: str) -> None:
    """Records how far a run is, one of STATUSES."""
    with atomic_files.replace_file(pathlib.Path(run) / STATUS) as file:
        json.dump({"status": status}, file)
