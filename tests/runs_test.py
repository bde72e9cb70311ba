import os
import subprocess
import sys

import pytest

from tltf import runs
from tltf.errors import FlagError, ModelError, StorageError
from tltf.options import make, replace


def options(run, **values):
    return make(data="digits", backbone="small_cnn", output=str(run), batch_size=4, **values)


def begun(run, **values):
    chosen = options(run, **values)
    runs.claim(chosen.output)
    runs.begin(run, chosen, "the command")
    return chosen


def test_a_new_folder_is_made(tmp_path):
    run = runs.claim(options(tmp_path / "a" / "b").output)
    assert run.is_dir() and runs.read_status(run) == "" and not list(run.iterdir())


def test_what_the_run_was_told_is_read_back(tmp_path):
    chosen = begun(tmp_path)
    assert runs.read_options(tmp_path) == chosen
    assert runs.read_status(tmp_path) == "training"
    assert "# the command" in (tmp_path / "run.flags").read_text()


def test_an_unfinished_run_goes_on_with_the_same_flags(tmp_path):
    chosen = begun(tmp_path)
    runs.claim(chosen.output)
    runs.begin(tmp_path, chosen, "")
    assert runs.read_options(tmp_path) == chosen


def test_an_unfinished_run_refuses_other_flags_and_names_them(tmp_path):
    chosen = begun(tmp_path)
    with pytest.raises(ModelError, match="batch_size: 4 -> 8"):
        runs.begin(tmp_path, replace(chosen, batch_size=8), "")
    runs.begin(tmp_path, replace(chosen, export=False), "")


def test_a_second_process_is_refused_with_the_first_ones_number(tmp_path):
    chosen = options(tmp_path / "run")
    script = f"""
import sys
from tltf import runs
from tltf.options import make
try:
    with runs.claimed(make(output={str(tmp_path / "run")!r}).output):
        pass
except Exception as error:
    print(error)
"""
    ask = [sys.executable, "-c", script]
    with runs.claimed(chosen.output) as run, runs.claimed(chosen.output) as again:
        assert run == again == tmp_path / "run"
        runs.begin(run, chosen, "")
        said = subprocess.run(ask, capture_output=True, text=True).stdout
        assert "error[5]" in said and f"process {os.getpid()} on" in said
        runs.begin(run, replace(chosen, overwrite=True), "")
        assert subprocess.run(ask, capture_output=True, text=True).stdout == said, (
            "held all the same"
        )
    assert subprocess.run(ask, capture_output=True, text=True).stdout == ""


def test_a_file_system_without_locks_is_said_and_used(tmp_path, monkeypatch):
    def acquire(self, *args, **kwargs):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(runs.filelock.FileLock, "acquire", acquire)
    with (
        pytest.warns(UserWarning, match="without locks"),
        runs.claimed(options(tmp_path / "run").output) as run,
    ):
        assert run == tmp_path / "run"


def test_nothing_is_claimed_without_an_output_and_in_a_dry_run(tmp_path):
    with runs.claimed(make().output) as run:
        assert run is None
    with runs.claimed(options(tmp_path / "run", dry_run=True).output) as run:
        assert run is None and not (tmp_path / "run").exists()


def test_a_finished_run_is_refused_unless_told(tmp_path):
    chosen = begun(tmp_path)
    runs.write_status(tmp_path, "finished")
    with pytest.raises(FlagError, match=r"holds a finished run.*--overwrite"):
        runs.claim(chosen.output)
    (tmp_path / "report.json").write_text("old")
    again = replace(chosen, overwrite=True, batch_size=8)
    runs.claim(again.output)
    assert (tmp_path / "report.json").read_text() == "old", "kept until the new run is sure"
    runs.begin(tmp_path, again, "")
    assert not (tmp_path / "report.json").exists()
    assert runs.read_options(tmp_path).train.batch_size == 8


def test_overwrite_keeps_an_unfinished_run_of_the_same_flags(tmp_path):
    """The same command again, after a kill, goes on; other flags replace it."""
    chosen = replace(begun(tmp_path), overwrite=True)
    (tmp_path / "checkpoints").mkdir()
    runs.claim(chosen.output)
    runs.begin(tmp_path, chosen, "")
    assert (tmp_path / "checkpoints").exists()
    runs.begin(tmp_path, replace(chosen, batch_size=8), "")
    assert not (tmp_path / "checkpoints").exists()
    assert runs.read_options(tmp_path).train.batch_size == 8


def test_what_a_killed_process_left_half_written_is_swept(tmp_path):
    chosen = begun(tmp_path)
    (tmp_path / "model").mkdir()
    for name in (".report.json.x1.part", "model/.core.json.x2.part"):
        (tmp_path / name).write_text("half")
    runs.begin(tmp_path, chosen, "")
    assert not list(tmp_path.rglob("*.part"))


def test_a_status_alone_that_tells_of_a_training_makes_way(tmp_path):
    (tmp_path / runs.STATUS).write_text('{"status": "training"}')
    (tmp_path / ".run.flags.ab.part").write_text("--half")
    begun(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / runs.STATUS).write_text('{"status": "training"}')
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(FlagError, match="holds no run"):
        runs.claim(options(tmp_path / "other").output)


def test_resume_never_starts_anew(tmp_path):
    chosen = replace(begun(tmp_path), resume="never", batch_size=8)
    (tmp_path / "checkpoints").mkdir()
    runs.claim(chosen.output)
    runs.begin(tmp_path, chosen, "")
    assert not (tmp_path / "checkpoints").exists()
    assert runs.read_status(tmp_path) == "training"


@pytest.mark.parametrize("status", ['{"status": "finished"}', '{"status": "up"}', "{"])
def test_a_status_file_of_somebody_else_makes_no_run(tmp_path, status):
    (tmp_path / "status.json").write_text(status)
    with pytest.raises(FlagError, match="holds no run"):
        runs.claim(options(tmp_path, overwrite=True).output)


def test_a_folder_with_other_things_is_never_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for values in ({}, {"overwrite": True}, {"resume": "never"}):
        with pytest.raises(FlagError, match="holds no run"):
            runs.claim(options(tmp_path, **values).output)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_file_in_the_way(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises((FlagError, StorageError)):
        runs.claim(options(path).output)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot write"):
        runs.claim(options(tmp_path / "run").output)


def test_reading_where_there_is_no_run(tmp_path):
    with pytest.raises(FlagError, match="holds no run"):
        runs.read_options(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null"])
def test_a_broken_status_is_no_status(tmp_path, content):
    (tmp_path / runs.STATUS).write_text(content)
    assert runs.read_status(tmp_path) == ""
