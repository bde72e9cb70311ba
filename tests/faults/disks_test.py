"""Disks that are full, broken or closed to us, few open files, no home: one line and exit 5."""

import collections
import contextlib
import errno
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests import served
from tests.faults.making import ROOT, require, run_program, without_roots_rights
from tltf import check, train
from tltf.caching import feature_cache, shard_store
from tltf.config.options import Options, make
from tltf.console import command, signals, streams
from tltf.data import scan_report
from tltf.data.source import ScanCounts
from tltf.errors import StorageError
from tltf.evaluation.report import writer
from tltf.evaluation.report.report import Report
from tltf.files import assets
from tltf.models import adapters, prediction_table, saving
from tltf.models.adapters import Adapter
from tltf.runs import checkpoints, metrics_log
from tltf.runs import folder as runs_folder
from tltf.serving.export import saved_model
from tltf.training import disk_space, training

FLAGS = (
    "--data=digits(num_train=80, num_test=40)",
    "--backbone=small_cnn(filters=[8, 64])",
    "--method=full",
    "--batch_size=40",
    "--train_epochs=3",
    "--export=false",
)
"""Of a run with checkpoints of 70 KB beside small files."""


@contextlib.contextmanager
def largest_file(num_bytes):
    """A block in which no file grows beyond so many bytes: a write then fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def big_report(folder):
    writer.write(Report(title="x" * 5000), folder)


def big_table(folder):
    count = 500
    table = prediction_table.Table(
        [str(n) for n in range(count)],
        {"text": ["a"] * count},
        None,
        ["b"] * count,
        np.zeros((count, 2)),
    )
    prediction_table.write(folder / "predictions.csv", table, ("a", "b"))


def big_scan(folder):
    rows = [{"id": n, "reason": "because"} for n in range(500)]
    scan_report.write(folder, ScanCounts(skipped_rows=rows))


def big_adapter(folder):
    arrays = {"kernel": np.zeros(5000, "float32")}
    adapters.write(folder / adapters.FILE, Adapter(arrays, {"base_sha256": ""}))


def big_log(folder):
    log = metrics_log.MetricsLog(folder / "metrics.jsonl")
    try:
        log.write({"phase": "x" * 5000})
    finally:
        log.close()


def run_flags(folder):
    run = folder / "run"
    chosen = make(data="digits", backbone="small_cnn", output=str(run), batch_size=4)
    run.mkdir(exist_ok=True)
    runs_folder.begin(run, chosen, "x" * 5000)


WRITERS = {
    "report": big_report,
    "predictions": big_table,
    "data report": big_scan,
    "adapter": big_adapter,
    "metrics": big_log,
    "run.flags": run_flags,
    "model": lambda folder: saving.save(served.text_once(), folder / "run"),
    "export": lambda folder: saved_model.export_saved_model(
        served.text_once(), folder / "export", None, False
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path, capsys, writer):
    with largest_file(3000), signals.handle_signals():
        code = command.run(
            make().__class__, lambda options: WRITERS[writer](tmp_path), [], "A writer."
        )
    said = capsys.readouterr().err.splitlines()
    assert code == 5 and len(said) == 1, said
    assert said[0].startswith("tltf: error[5] ") and "File too large" in said[0]
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left in ([], ["origin.json", "status.json"], ["metrics.jsonl"]), left
    WRITERS[writer](tmp_path)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert max(sizes) > 3000, "and with room it is written"


def test_an_epoch_that_the_disk_did_not_take_is_cut_off(tmp_path):
    with largest_file(3000), pytest.raises(StorageError, match="File too large"):
        big_log(tmp_path)
    log = metrics_log.MetricsLog(tmp_path / "metrics.jsonl")
    log.write({"phase": "head", "epoch": 1})
    log.close()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"phase": "head", "epoch": 1}\n'


@pytest.mark.parametrize(("fault", "where"), [(errno.ENOSPC, "write"), (errno.EIO, "name")])
def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path, monkeypatch, capsys, fault, where
):
    """Training goes on, frozen layers in every epoch; nothing half-written is left."""
    monkeypatch.setenv("TLTF_CACHE", str(tmp_path / "cache"))

    def broken(*args, **kwargs):
        raise OSError(fault, os.strerror(fault))

    if where == "write":
        monkeypatch.setattr(shard_store._NewShard, "_write_index", broken)
    else:
        monkeypatch.setattr(
            feature_cache.shard_store.atomic_folders.atomic_files, "fsync_tree", broken
        )
    flags = [*FLAGS[:2], "--method=linear_probe", *FLAGS[3:], f"--output={tmp_path}/run"]
    with monkeypatch.context() as patch:
        patch.setattr(training.saving, "save", lambda *args: None)
        training.train(command.parse(Options, flags)[0])
    said = capsys.readouterr().err
    assert (
        f"frozen layers are computed in every epoch: cannot be written: {os.strerror(fault)}"
        in " ".join(said.split())
    )
    assert len(metrics_log.read(tmp_path / "run/metrics.jsonl")) == 3
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize("fault", [errno.EDQUOT, errno.ESTALE, errno.EIO])
@pytest.mark.parametrize("times", [1, 2])
def test_a_quota_and_a_stale_file_are_tried_once_more(tmp_path, monkeypatch, fault, times):
    """A checkpoint is written at the second try, or the error tells it; the first one stays whole."""
    saved = checkpoints.Checkpoint({"kernel": np.ones(3, "float32")}, {"epoch": 1})
    checkpoints.save(tmp_path, 1, saved)
    real, tries = os.fsync, []

    def fsync(handle):
        tries.append(handle)
        if len(tries) <= times:
            raise OSError(fault, os.strerror(fault))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    words = f"checkpoint 2 cannot be written: {os.strerror(fault)}"
    expected = pytest.raises(StorageError, match=words) if times == 2 else contextlib.nullcontext()
    with pytest.warns(UserWarning, match="once more"), expected:
        checkpoints.save(tmp_path, 2, saved)
    monkeypatch.undo()
    assert checkpoints.newest(tmp_path).state == {"epoch": 1}
    assert len(list((tmp_path / "checkpoints").iterdir())) == 3 - times


@pytest.mark.parametrize("fault", [errno.EDQUOT, errno.ESTALE])
def test_a_quota_and_a_stale_file_end_a_command_with_one_line(tmp_path, monkeypatch, capsys, fault):
    def broken(*args):
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(scan_report.atomic_files.os, "fsync", broken)
    argv = ["--data=digits", f"--output={tmp_path}/out", "--nonear_duplicates"]
    assert check.main(argv) == 5
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("tltf: error[5] ")
    assert "data_report.jsonl: cannot be written: " + os.strerror(fault) in said
    assert not list((tmp_path / "out").iterdir()), "nothing half-written"


Usage = collections.namedtuple("Usage", "total used free")


def given_free(monkeypatch, num_bytes):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, num_bytes))


def trained_into(run, *flags):
    return training.train(command.parse(Options, [*FLAGS, *flags, f"--output={run}"])[0])


@pytest.mark.parametrize(
    "flags",
    [
        ["--optimizer=adam", "--keep=best"],
        ["--optimizer=sgd", "--keep=last", "--momentum=.9", "--ema_decay=.9"],
    ],
)
def test_what_a_run_needs_is_known_before_the_first_step(tmp_path, monkeypatch, flags):
    """The estimate against the sizes of the files that a run left; less than 3% below them."""
    estimates = []
    monkeypatch.setattr(disk_space, "require", lambda run, needs: estimates.append(needs))
    trained_into(tmp_path, "--backbone=small_cnn(filters=[32, 128])", *flags)
    (needs,) = estimates
    assert needs.export == 0
    arrays = sum(path.stat().st_size for path in tmp_path.glob("checkpoints/*/arrays.npz"))
    (model,) = tmp_path.glob("model/v*/core.safetensors")
    assert 0.97 * arrays < needs.checkpoints <= arrays
    assert 0.97 * model.stat().st_size < needs.model <= model.stat().st_size


def test_too_little_room_is_said_before_the_first_step(tmp_path, monkeypatch, capfd):
    given_free(monkeypatch, 100_000)
    assert train.main([*FLAGS, "--export=true", f"--output={tmp_path}/run"]) == 5
    said = capfd.readouterr().err.splitlines()[-1]
    assert said.startswith(f"tltf: error[5] {tmp_path}/run --output: the run needs 0.2 MB (")
    assert "checkpoints" in said and "export" in said and "the disk has 0.1 MB for it" in said
    assert not metrics_log.read(tmp_path / "run/metrics.jsonl")
    given_free(monkeypatch, 2**30)
    trained_into(tmp_path / "run")
    given_free(monkeypatch, 0)
    disk_space.require(tmp_path / "run", disk_space.Needs(100_000, 20_000, 0))  # it is there


def program(flags, **settings):
    return run_program("train", [*FLAGS, *flags], **settings)


def limit(kind, value):
    return lambda: resource.setrlimit(kind, (value, value))


def test_an_output_below_a_file_is_said_before_any_download(tmp_path, monkeypatch, capfd):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TLTF_CACHE", str(tmp_path / "cache"))
    argv = [FLAGS[0], "--backbone=efficientnet_lite0", f"--output={tmp_path}/file/run"]
    assert train.main(argv) == 5
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("tltf: error[5] ") and not (tmp_path / "cache").exists()


@pytest.mark.parametrize("kind", ["read-only", "no room for temporary files"])
def test_an_output_that_cannot_be_written_is_said_before_any_download(tmp_path, kind):
    """Without the rights of root, which writes into what is read-only; without TMPDIR or another."""
    folder, cache = tmp_path / "folder", tmp_path / "cache"
    folder.mkdir(mode=0o500)
    cache.mkdir()
    before = without_roots_rights if kind == "read-only" else limit(resource.RLIMIT_FSIZE, 0)
    command = [
        sys.executable,
        "-m",
        "tltf.train",
        FLAGS[0],
        "--backbone=efficientnet_lite0",
        f"--output={folder}/run",
    ]
    environment = os.environ | {"TLTF_CACHE": str(cache)}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        preexec_fn=before,
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 5 and line.startswith("tltf: error[5] "), line
    assert kind != "read-only" or f"{folder}/run" in line
    assert not list(cache.iterdir()) and not list(folder.iterdir())


@pytest.mark.parametrize(
    "most", [6, pytest.param(7, marks=pytest.mark.large), pytest.param(12, marks=pytest.mark.large)]
)
def test_few_open_files_are_one_line(tmp_path, most):
    """8 are enough to train, 20 for report and export; with 4 Python itself does not start."""
    done = program([f"--output={tmp_path}/run"], preexec_fn=limit(resource.RLIMIT_NOFILE, most))
    require(done, 5, ["Too many open files"] if most > 6 else [])
    assert most > 7 or len(done.err.splitlines()) == 1


def test_without_a_home_the_cache_must_be_named(monkeypatch):
    for name in ("HOME", "TLTF_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    with pytest.raises(StorageError, match="no home folder; fix: set TLTF_CACHE"):
        assets.cache_folder()


@pytest.mark.large
def test_a_training_whose_checkpoints_do_not_fit_keeps_the_last_that_did(tmp_path):
    """The second run may write no file as large as a checkpoint; a third without limit goes on."""
    run, settings = tmp_path / "run", {"preexec_fn": limit(resource.RLIMIT_FSIZE, 2_000_000)}
    flags = [f"--output={run}", "--backbone=small_cnn(filters=[8, 512])"]
    done = program(["--train_epochs=2", *flags])
    require(done, 0)
    shutil.rmtree(run)
    done = program(flags, preexec_fn=limit(resource.RLIMIT_FSIZE, 300_000))
    require(done, 5, ["checkpoint 2 cannot be written: File too large", "free space"])
    assert not list((run / "checkpoints").iterdir())
    require(program(flags, **settings), 0)
    assert len(metrics_log.read(run / "metrics.jsonl")) == 3


def has_namespaces():
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


SMALL_DISK = """
set -e
mount -t tmpfs -o size={size} none {place}
set +e
"$@" --output={place}/run; code=$?
ls {place}/run/checkpoints > {place}/../listed
cp {place}/run/metrics.jsonl {place}/.. 2>/dev/null
mount -o remount,size=20m {place}
if [ $code = 5 ]; then "$@" --output={place}/run; echo $? > {place}/../again; fi
cp {place}/run/status.json {place}/..
exit $code
"""


@pytest.mark.large
@pytest.mark.skipif(not has_namespaces(), reason="this system lets nobody mount a small disk")
@pytest.mark.parametrize("size_kb", [300, 520, 660])
def test_a_disk_that_is_really_full(tmp_path, size_kb):
    """A disk of some KB fills in checkpoints, model or export; more room, and the run ends well."""
    place = tmp_path / "disk"
    place.mkdir()
    script = SMALL_DISK.format(size=f"{size_kb}k", place=place)
    estimate = (
        "import sys; from tltf import train; from tltf.training import disk_space; "
        "disk_space.require = lambda *given: None; sys.exit(train.main(sys.argv[1:]))"
    )
    command = [
        "unshare",
        "-m",
        "bash",
        "-c",
        script,
        "bash",
        sys.executable,
        "-c",
        estimate,
        *FLAGS[:-1],
        "--keep=best",
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("tltf: error")]
    assert done.returncode == 5 and len(errors) == 1, done.stderr[-2000:]
    assert "No space left on device" in errors[0] and "Traceback" not in done.stderr
    assert (tmp_path / "again").read_text() == "0\n", done.stderr[-2000:]
    assert json.loads((tmp_path / "status.json").read_text()) == {"status": "finished"}


def test_the_log_of_a_broken_console_may_be_full_too(tmp_path):
    """Its file cannot be made: what is printed goes nowhere, and the training goes on."""
    (tmp_path / streams.LOG).mkdir()
    handle = streams._open_log(tmp_path)
    assert os.readlink(f"/proc/self/fd/{handle}") == os.devnull
    os.close(handle)
    assert pathlib.Path(tmp_path, streams.LOG).is_dir()
