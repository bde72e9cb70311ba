import json
import os
import subprocess
import sys
import types

import pytest

from tltf.config import checks
from tltf.config import options as all_options
from tltf.config.options import make, replace
from tltf.config.resume import HARMLESS
from tltf.errors import FlagError, ModelError, StorageError
from tltf.experiments import one_run
from tltf.runs import folder, origin, versions


def options(run, **values):
    return make(data="digits", backbone="small_cnn", output=str(run), batch_size=4, **values)


def begun(run, **values):
    chosen = options(run, **values)
    folder.claim(chosen.output)
    folder.begin(run, chosen, "the command")
    return chosen


def interrupted(run, **values):
    """A run with a checkpoint to go on from."""
    chosen = begun(run, **values)
    (run / "checkpoints/000000003").mkdir(parents=True)
    return chosen


def test_a_new_folder_is_made(tmp_path):
    run = folder.claim(options(tmp_path / "a" / "b").output)
    assert run.is_dir() and folder.read_status(run) == "" and not list(run.iterdir())


def test_what_the_run_was_told_is_read_back(tmp_path):
    chosen = begun(tmp_path)
    assert folder.read_options(tmp_path) == chosen
    assert folder.read_status(tmp_path) == "training"
    assert "# the command" in (tmp_path / "run.flags").read_text()


def test_an_unfinished_run_goes_on_with_the_same_flags(tmp_path):
    chosen = begun(tmp_path)
    folder.claim(chosen.output)
    folder.begin(tmp_path, chosen, "")
    assert folder.read_options(tmp_path) == chosen


def test_an_unfinished_run_refuses_other_flags_and_names_them(tmp_path, capsys):
    chosen = interrupted(tmp_path)
    with pytest.raises(ModelError, match="batch_size: 4 -> 8"):
        folder.begin(tmp_path, replace(chosen, batch_size=8, export=False), "")
    with pytest.raises(ModelError, match=r"--resume='train_epochs\|batch_size\|seed'"):
        folder.begin(tmp_path, replace(chosen, batch_size=8, seed=1, resume="train_epochs"), "")
    assert folder.read_options(tmp_path) == chosen and not capsys.readouterr().err


def test_harmless_flags_may_differ_in_one_line_and_are_noted(tmp_path, capsys):
    other = replace(interrupted(tmp_path), export=False, cache_disk_gb=1.0, near_duplicates=False)
    folder.begin(tmp_path, other, "")
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        "near_duplicates: true -> false; cache_disk_gb: 5.0 -> 1.0; export: true -> false" in line
    )
    assert folder.read_options(tmp_path) == other
    folder.begin(tmp_path, other, "")
    assert not capsys.readouterr().err, "now it is what the run was told"


def test_what_is_harmless_are_flags():
    assert set(HARMLESS) <= set(all_options.flags_of(all_options.Options))


def test_what_resume_names_may_differ(tmp_path, capsys):
    other = replace(interrupted(tmp_path), batch_size=8, train_epochs=9)
    with pytest.raises(ModelError, match=r"versions \(train_epochs: auto -> 9\)"):
        folder.begin(tmp_path, replace(other, resume="batch_size"), "")
    folder.begin(tmp_path, replace(other, resume="batch_size|train_epochs"), "")
    (line,) = capsys.readouterr().err.splitlines()
    assert "train_epochs: auto -> 9; batch_size: 4 -> 8" in line
    assert folder.read_options(tmp_path) == other, "--resume is not among a run's flags"


def test_other_data_are_refused_split_by_split(tmp_path, capsys):
    chosen = options(tmp_path)
    was = {"train split": "5 rows (aa)", "validation split": "2 rows (bb)"}
    folder.begin(folder.claim(chosen.output), chosen, "", was)
    (tmp_path / "checkpoints/000000003").mkdir(parents=True)
    folder.begin(tmp_path, chosen, "", was)
    now = was | {"validation split": "2 rows (cc)", "test split": "1 rows (dd)"}
    told = r"validation split: 2 rows \(bb\) -> 2 rows \(cc\); test split: none -> 1 rows \(dd\)"
    with pytest.raises(ModelError, match=told + r"\); fix: --resume='data'"):
        folder.begin(tmp_path, chosen, "", now)
    assert not capsys.readouterr().err
    folder.begin(tmp_path, replace(chosen, resume="data"), "", now)
    assert "cc" in capsys.readouterr().err
    folder.begin(tmp_path, chosen, "", now)


def test_other_versions_are_refused(tmp_path, monkeypatch):
    chosen = interrupted(tmp_path)
    noted = json.loads((tmp_path / origin.FILE).read_text())["versions"]
    assert list(noted) == ["tltf", "keras", "tensorflow", "numpy"] and "." in noted["keras"]
    monkeypatch.setattr(versions, "installed_versions", lambda names: {**noted, "keras": "99.1"})
    told = rf"keras: {noted['keras']} -> 99\.1\); fix: --resume='versions'"
    with pytest.raises(ModelError, match=told):
        folder.begin(tmp_path, chosen, "")
    folder.begin(tmp_path, replace(chosen, resume="versions"), "")
    folder.begin(tmp_path, chosen, "")


def test_a_run_of_unknown_versions_is_refused_until_told(tmp_path):
    chosen = interrupted(tmp_path)
    (tmp_path / origin.FILE).unlink()
    with pytest.raises(ModelError, match="tensorflow: none -> "):
        folder.begin(tmp_path, chosen, "", {"train split": "5 rows (aa)"})
    folder.begin(tmp_path, replace(chosen, resume="versions"), "", {"train split": "5 rows (aa)"})
    (tmp_path / origin.FILE).write_text("[]")
    with pytest.raises(ModelError, match=origin.FILE):
        folder.begin(tmp_path, chosen, "")


LEFT = {
    "nothing": [],
    "notes": ["notes.txt", "checkpoints/why.txt", "metrics.jsonl", "export/1/mine.txt"],
    "half a checkpoint": ["checkpoints/000000003.part/arrays.npz"],
    "a fold that has only begun": ["rounds/0/run.flags", "rounds/0/status.json"],
}


@pytest.mark.parametrize("left", LEFT)
def test_a_run_that_has_trained_nothing_takes_other_flags_and_data(tmp_path, left, capsys):
    """A flag that did not fit is corrected without being asked about; notes of the user stay."""
    chosen = options(tmp_path)
    folder.begin(folder.claim(chosen.output), chosen, "", {"train split": "5 rows (aa)"})
    for name in LEFT[left]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    other, now = replace(chosen, batch_size=8, seed=1), {"train split": "6 rows (bb)"}
    folder.begin(folder.claim(other.output), other, "", now)
    assert not capsys.readouterr().err
    assert folder.read_options(tmp_path) == other and not folder.changes(tmp_path, other, now)
    assert folder.read_status(tmp_path) == "training"
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    kept = {name for name in LEFT[left] if name.endswith(".txt")}
    assert there == {"run.flags", "status.json", "origin.json", *kept}


@pytest.mark.parametrize(
    "left",
    [
        "checkpoints/000000003/state.json",
        "checkpoints/000000003.1/state.json",
        "model/core.json",
        "model/v1/core.safetensors",
        "rounds/1/checkpoints/000000003/x",
        "rounds/1/model/core.json",
    ],
)
def test_what_was_trained_does_not_make_way_unasked(tmp_path, left):
    chosen = begun(tmp_path)
    (tmp_path / left).parent.mkdir(parents=True)
    (tmp_path / left).write_text("x")
    with pytest.raises(ModelError, match="batch_size: 4 -> 8"):
        folder.begin(tmp_path, replace(chosen, batch_size=8), "")
    assert folder.read_options(tmp_path) == chosen and (tmp_path / left).exists()


@pytest.mark.parametrize("resume", ["Auto", "batch_sise", "auto|data", "data|keras"])
def test_resume_takes_names_of_flags(tmp_path, resume):
    chosen = options(tmp_path, resume=resume)
    with pytest.raises(
        FlagError, match="takes auto, never, or the names of flags that may differ, or versions"
    ):
        checks.resolve(chosen)


def test_a_second_process_is_refused_with_the_first_ones_number(tmp_path):
    chosen = options(tmp_path / "run")
    script = f"""
import sys
from tltf.config.options import make
from tltf.runs import folder
try:
    with folder.claim_folder(make(output={str(tmp_path / "run")!r}).output):
        pass
except Exception as error:
    print(error)
"""
    ask = [sys.executable, "-c", script]
    with folder.claim_folder(chosen.output) as run, folder.claim_folder(chosen.output) as again:
        assert run == again == tmp_path / "run"
        folder.begin(run, chosen, "")
        said = subprocess.run(ask, capture_output=True, text=True).stdout
        assert "error[5]" in said and f"process {os.getpid()} on" in said
        folder.begin(run, replace(chosen, overwrite=True), "")
        assert subprocess.run(ask, capture_output=True, text=True).stdout == said, (
            "held all the same"
        )
    assert subprocess.run(ask, capture_output=True, text=True).stdout == ""


def test_a_run_that_is_just_beginning_is_no_foreign_folder(tmp_path):
    """Between two of its first files it looks like a folder that holds no run."""
    script = f"""
import sys, time
from tltf.config.options import make
from tltf.runs import folder
with folder.claim_folder(make(output={str(tmp_path)!r}).output) as run:
    (run / "unfinished").touch()
    print("ready", flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    with (
        pytest.raises(StorageError, match=f"process {child.pid} on"),
        folder.claim_folder(options(tmp_path).output),
    ):
        pass
    child.kill()
    child.wait()
    with (
        pytest.raises(FlagError, match="holds no run"),
        folder.claim_folder(options(tmp_path).output),
    ):
        pass


def test_two_starts_at_once_do_not_take_each_others_files(tmp_path, monkeypatch):
    """Whether a folder can be written is tried without a name that another start could remove."""
    real = folder.tempfile.TemporaryFile

    def tried(dir):
        folder.claim(options(tmp_path / "run").output) if calls.append(1) or len(
            calls
        ) == 1 else None
        assert not list((tmp_path / "run").iterdir())
        return real(dir=dir)

    calls = []
    monkeypatch.setattr(folder.tempfile, "TemporaryFile", tried)
    folder.claim(options(tmp_path / "run").output)
    assert len(calls) == 2


CLUSTERS = {
    "": [True],
    "worker": [True, False],
    "chief worker": [True, False, False],
}


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("kind", [int, str])
def test_one_worker_of_a_cluster_writes(monkeypatch, cluster, kind):
    """As TensorFlow says it: the task `chief`, or else worker 0."""
    from tensorflow.python.distribute import multi_worker_util

    addresses = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    there = {name: addresses[name] for name in cluster.split()}
    tasks = [(name, index) for name in there for index in range(len(there[name]))]
    found = []
    for name, index in tasks:
        task = {"cluster": there, "task": {"type": name, "index": kind(index)}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(task))
        found.append(folder.is_chief())
        assert found[-1] == multi_worker_util.is_chief(there, name, index)
    if not tasks:
        monkeypatch.delenv("TF_CONFIG", raising=False)
        found = [folder.is_chief()]
    assert found == CLUSTERS[cluster]


def test_a_file_system_without_locks_is_said_and_used(tmp_path, monkeypatch):
    def acquire(self, *args, **kwargs):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(folder.filelock.FileLock, "acquire", acquire)
    with (
        pytest.warns(UserWarning, match="without locks"),
        folder.claim_folder(options(tmp_path / "run").output) as run,
    ):
        assert run == tmp_path / "run"


def test_nothing_is_claimed_without_an_output_and_in_a_dry_run(tmp_path):
    with folder.claim_folder(make().output) as run:
        assert run is None
    with folder.claim_folder(options(tmp_path / "run", dry_run=True).output) as run:
        assert run is None and not (tmp_path / "run").exists()


def test_a_finished_run_is_refused_unless_told(tmp_path):
    chosen = begun(tmp_path)
    folder.write_status(tmp_path, "finished")
    with pytest.raises(FlagError, match=r"holds a finished run.*--overwrite"):
        folder.claim(chosen.output)
    (tmp_path / "report.json").write_text("old")
    again = replace(chosen, overwrite=True, batch_size=8)
    folder.claim(again.output)
    assert (tmp_path / "report.json").read_text() == "old", "kept until the new run is sure"
    folder.begin(tmp_path, again, "")
    assert not (tmp_path / "report.json").exists()
    assert folder.read_options(tmp_path).train.batch_size == 8


@pytest.mark.parametrize("told", [{"overwrite": True}, {"resume": "never"}])
def test_a_run_that_is_replaced_leaves_what_is_the_users(tmp_path, told):
    """Of the folder's files only the run's own go, to the last one of them."""
    chosen = begun(tmp_path)
    own = [
        "metrics.jsonl",
        "report.html",
        "report.json",
        "predictions.csv",
        "data_report.jsonl",
        "checkpoints/000000003.1/state.json",
        "checkpoints/000000007.part/arrays.npz",
        "model/core.json",
        "model/v3/assets/words.txt",
        "model/.v4.host.12.0.part/x",
        "tensorboard/full/train/events.out.tfevents.1.v2",
        "tensorboard/features.tsv",
        "tensorboard/projector_config.pbtxt",
        "tracked_runs.json",
        "wandb/offline-run-20261129_222810-hvx8i67m/run-hvx8i67m.wandb",
        "wandb/debug.log",
        "rounds/0/run.flags",
        "rounds/0/status.json",
        "rounds/0/model/v1/core.safetensors",
        "rounds/0/export/1/a.pb",
        "export/1/saved_model.pb",
        ".report.md.x.part",
    ]
    theirs = [
        "notes.txt",
        "checkpoints/why.txt",
        "model/card.md",
        "rounds/0/look.txt",
        "rounds/mine/report.json",
        "tensorboard/full/notes.md",
        "wandb/settings",
        "export/2/saved_model.pb",
        "export/models.config",
        "evaluations/1/report.json",
        "report.pdf",
    ]
    for name in (*own, *theirs):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    folder.write_status(tmp_path, "finished")
    folder.begin(tmp_path, replace(chosen, batch_size=8, **told), "")
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*theirs, "run.flags", "status.json", "origin.json"}
    assert not (tmp_path / "model/v3").exists() and not (tmp_path / "rounds/0/export").exists()
    assert origin.export_version(tmp_path) == 3, "after the one that may be served"


def test_a_run_exports_its_own_version_once(tmp_path):
    """Beside one that the run before has left; what a kill has left of its own is whole."""
    done = []
    export = types.SimpleNamespace(
        finish=lambda: done.append("finished"), abandon=lambda: done.append("abandoned")
    )
    call = exported_call(lambda trained, *given: done.append(given) or export)
    (tmp_path / "export/2").mkdir(parents=True)
    folder.begin(tmp_path, options(tmp_path), "")
    result = types.SimpleNamespace(model=None, times_s={})
    with one_run._exporting(result, [call], tmp_path) as finish:
        done.append("reported")
        finish()
    begun = (tmp_path / "export", 3, True)
    assert done == [begun, "reported", "finished", "abandoned"] and result.times_s["export"] >= 0
    with pytest.raises(OSError), one_run._exporting(result, [call], tmp_path):
        raise OSError("the report cannot be written")
    assert done[4:] == [begun, "abandoned"]
    (tmp_path / "export/3").mkdir()
    with one_run._exporting(result, [call], tmp_path) as finish:
        finish()
    assert len(done) == 6


def exported_call(build):
    """The call of the format saved_model, made by a function."""
    return types.SimpleNamespace(
        name="saved_model", build=build, row=None, kwargs={}, load=lambda: build
    )


def test_an_export_that_cannot_be_written_is_an_error_behind_the_report(tmp_path):
    def build(*given):
        raise StorageError("the disk is full")

    folder.begin(tmp_path, options(tmp_path), "")
    result, done = types.SimpleNamespace(model=None, times_s={}), []
    call = exported_call(build)
    with (
        pytest.raises(StorageError, match="full"),
        one_run._exporting(result, [call], tmp_path) as finish,
    ):
        done.append("reported")
        finish()
    assert done == ["reported"]


def test_a_folder_elsewhere_is_not_followed(tmp_path):
    chosen = begun(tmp_path / "run")
    (tmp_path / "big/000000003").mkdir(parents=True)
    (tmp_path / "run/checkpoints").symlink_to(tmp_path / "big")
    folder.begin(tmp_path / "run", replace(chosen, resume="never"), "")
    assert (tmp_path / "big/000000003").is_dir()


def test_overwrite_keeps_an_unfinished_run_of_the_same_flags(tmp_path):
    """The same command again, after a kill, goes on; other flags replace it."""
    chosen = replace(begun(tmp_path), overwrite=True)
    (tmp_path / "checkpoints").mkdir()
    folder.claim(chosen.output)
    folder.begin(tmp_path, chosen, "")
    chosen = replace(chosen, export=False)
    folder.begin(tmp_path, chosen, "")
    folder.begin(tmp_path, replace(chosen, seed=1, resume="seed"), "")
    assert (tmp_path / "checkpoints").exists()
    folder.begin(tmp_path, replace(chosen, batch_size=8), "")
    assert not (tmp_path / "checkpoints").exists()
    assert folder.read_options(tmp_path).train.batch_size == 8


def test_what_a_killed_process_left_half_written_is_swept(tmp_path):
    chosen = begun(tmp_path)
    (tmp_path / "model").mkdir()
    for name in (".report.json.x1.part", "model/.core.json.x2.part"):
        (tmp_path / name).write_text("half")
    folder.begin(tmp_path, chosen, "")
    assert not list(tmp_path.rglob("*.part"))


def test_a_status_alone_that_tells_of_a_training_makes_way(tmp_path):
    (tmp_path / folder.STATUS).write_text('{"status": "training"}')
    (tmp_path / ".run.flags.ab.part").write_text("--half")
    begun(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / folder.STATUS).write_text('{"status": "training"}')
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(FlagError, match="holds no run"):
        folder.claim(options(tmp_path / "other").output)


def test_resume_never_starts_anew(tmp_path):
    chosen = replace(begun(tmp_path), resume="never", batch_size=8)
    (tmp_path / "checkpoints").mkdir()
    folder.claim(chosen.output)
    folder.begin(tmp_path, chosen, "")
    assert not (tmp_path / "checkpoints").exists()
    assert folder.read_status(tmp_path) == "training"


@pytest.mark.parametrize("status", ['{"status": "finished"}', '{"status": "up"}', "{"])
def test_a_status_file_of_somebody_else_makes_no_run(tmp_path, status):
    (tmp_path / "status.json").write_text(status)
    with pytest.raises(FlagError, match="holds no run"):
        folder.claim(options(tmp_path, overwrite=True).output)


def test_a_folder_with_other_things_is_never_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for values in ({}, {"overwrite": True}, {"resume": "never"}):
        with pytest.raises(FlagError, match="holds no run"):
            folder.claim(options(tmp_path, **values).output)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_file_in_the_way(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises((FlagError, StorageError)):
        folder.claim(options(path).output)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot be written"):
        folder.claim(options(tmp_path / "run").output)


def test_reading_where_there_is_no_run(tmp_path):
    with pytest.raises(FlagError, match="holds no run"):
        folder.read_options(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null"])
def test_a_broken_status_is_no_status(tmp_path, content):
    (tmp_path / folder.STATUS).write_text(content)
    assert folder.read_status(tmp_path) == ""
