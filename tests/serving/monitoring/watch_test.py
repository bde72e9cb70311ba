"""The command: only new windows, exit codes, the state, and what survives a failure."""

import json
import subprocess
import sys
import warnings

import filelock
import numpy as np
import pytest

from tests import served
from tests.serving.monitoring import making
from tltf import monitor
from tltf.config.command_options import MonitorOptions
from tltf.config.options import make
from tltf.errors import DataError, FlagError, ModelError, StorageError
from tltf.serving.monitoring import page, state, watch, webhook


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return making.make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log.csv"


DRAW = page._plots


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Pages without plots, which take most of the time of a call."""
    monkeypatch.setattr(page, "_plots", lambda *_: [])


def write(log, num, tilt=0.0, seed=1, mode="a"):
    scores = making.probabilities(np.random.default_rng(seed), num, tilt)
    with log.open(mode) as file:
        file.write(making.csv_rows(scores, has_header=file.tell() == 0))


def watched(run, log, **flags):
    flags = {"window": 100, "output": str(log.parent / "watch"), **flags}
    return watch.run(make(MonitorOptions, run=str(run), input=str(log), **flags))


def test_only_new_windows_are_looked_at(run, log):
    write(log, 250)
    first = watched(run, log)
    assert [found.num_rows for found in first.looks] == [100, 100, 50], (
        "the first look takes the rest"
    )
    assert watched(run, log).looks == []
    write(log, 130, seed=2)
    again = watched(run, log)
    assert [found.number for found in again.looks] == [4] and again.waiting == 30
    write(log, 70, seed=3)
    last = watched(run, log)
    assert [found.num_rows for found in last.looks] == [100] and last.waiting == 0
    assert last.state.num_rows == 450 and len(last.state.looks) == 5
    write(log, 7, seed=4)
    assert [found.num_rows for found in watched(run, log, rest=True).looks] == [7]


def test_windows_do_not_depend_on_when_they_are_looked_at(run, log, tmp_path):
    for number in range(5):
        write(log, 80, seed=number)
        parts = watched(run, log, rest=False)
    whole = watched(run, log, output=str(tmp_path / "other"), rest=False)
    assert parts.state.looks[-1].p_values == whole.looks[-1].p_values
    rates = [[found.summary for found in each.state.looks] for each in (parts, whole)]
    assert rates[0] == rates[1] and len(rates[0]) == 4


def test_an_alarm_is_exit_code_10_and_rings_once(run, log, capsys, monkeypatch):
    monkeypatch.setattr(page, "_plots", DRAW)
    flags = [f"--run={run}", f"--input={log}", f"--output={log.parent / 'watch'}", "--window=300"]
    write(log, 300)
    assert monitor.main(flags) == 0 and "none rings" in capsys.readouterr().out
    write(log, 300, tilt=1.0, seed=2)
    assert monitor.main(flags) == 10
    said = capsys.readouterr().out
    assert "ALARM      window 2, the predicted classes" in said or "model's outputs" in said
    shown = (log.parent / "watch" / "monitor.html").read_text()
    assert "An alarm rings in the last window" in shown and "<svg" in shown
    assert "http://" not in shown.replace("http://www.w3.org", "") and "src=" not in shown
    assert monitor.main(flags) == 0, "it was told already"
    write(log, 300, seed=3)
    assert monitor.main(flags) == 0
    assert "windows before had one" in (log.parent / "watch" / "monitor.html").read_text()


def test_a_webhook_that_fails_is_a_warning_and_tried_again(run, log, monkeypatch):
    posted, answers = [], ["it answered 500", ""]
    monkeypatch.setattr(
        webhook, "post", lambda address, content: posted.append(content) or answers.pop(0)
    )
    write(log, 300, tilt=1.0)
    with pytest.warns(UserWarning, match="posted again"):
        first = watched(run, log, webhook="http://example.org/x", window=300)
    assert (first.exit_code == 10 and first.state.untold == ()) or first.rung
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = watched(run, log, webhook="http://example.org/x", window=300)
        third = watched(run, log, webhook="http://example.org/x", window=300)
    assert second.exit_code == 10 and third.exit_code == 0 and len(posted) == 2
    assert posted[0] == posted[1]
    (alarm,) = posted[0]["alarms"]
    assert alarm["alarm"] == "drift" and alarm["window"] == 1 and alarm["text"] in posted[0]["text"]
    json.dumps(posted)


def test_a_crash_before_the_alarm_is_told_loses_nothing(run, log, monkeypatch):
    write(log, 300, tilt=1.0)
    with monkeypatch.context() as patch, pytest.raises(StorageError):
        patch.setattr(watch.page, "write", raise_full)
        watched(run, log, window=300)
    after = watched(run, log, window=300)
    assert after.looks == [] and after.exit_code == 10


def raise_full(*_):
    raise StorageError("no space left on the device")


def test_an_error_in_the_middle_keeps_whole_windows(run, log):
    write(log, 200)
    with log.open("a") as file:
        file.write("in:9,x,ugly,1,0.5,0.5,\n")
    with pytest.raises(DataError, match="'ugly' is none"):
        watched(run, log)
    assert state.read(log.parent / "watch").num_looks == 2


def test_a_rotated_log_goes_on(run, log):
    write(log, 150)
    watched(run, log, rest=False)
    log.rename(log.with_name("log.csv.1"))
    write(log, 60, seed=2)
    found = watched(run, log)
    assert [row.num_rows for row in found.looks] == [100] and "rotated" in " ".join(found.notes)
    log.with_name("log.csv.1").unlink()
    log.write_text("")
    write(log, 100, seed=3, mode="w")
    found = watched(run, log)
    assert "truncated" in " ".join(found.notes) and len(found.looks) == 1


def test_two_at_once_are_refused(run, log):
    write(log, 100)
    (log.parent / "watch").mkdir()
    with (
        filelock.FileLock(log.parent / "watch" / ".lock"),
        pytest.raises(StorageError, match="another process"),
    ):
        watched(run, log)
    assert len(watched(run, log).looks) == 1


def test_a_folder_watches_one_input(run, log, tmp_path):
    write(log, 100)
    watched(run, log)
    other = tmp_path / "other.csv"
    write(other, 100)
    with pytest.raises(FlagError, match=r"watches .*log\.csv") as error:
        watched(run, other)
    assert error.value.flag == "output"


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"format": 9}'])
def test_a_damaged_state_is_refused(run, log, content):
    write(log, 100)
    (log.parent / "watch").mkdir()
    (log.parent / "watch" / "monitor.json").write_text(content)
    with pytest.raises(ModelError):
        watched(run, log)


def test_a_run_that_was_trained_anew_begins_a_new_series(run, log):
    write(log, 200)
    found = watched(run, log)
    folder = log.parent / "watch"
    content = json.loads((folder / "monitor.json").read_text())
    (folder / "monitor.json").write_text(json.dumps(content | {"model_sha256": "another"}))
    write(log, 100, seed=2)
    again = watched(run, log)
    assert len(again.state.looks) == 1 and again.looks[0].number == len(found.looks) + 1
    assert "trained anew" in " ".join(again.notes)


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ({"run": ""}, "must be given"),
        ({"input": ""}, "must be given"),
        ({"input": "/no/such/log.csv"}, "there is nothing|not exist|no such|/no/such"),
        ({"input": "-"}, "one file or one folder"),
        ({"input": "a.csv,b.csv"}, "one file or one folder"),
        ({"alarm": "drfit"}, "there is no alarm"),
        ({"alarm": "rate(label=ugly, above=.1)"}, "does not predict"),
        ({"webhook": "nowhere"}, "takes an address"),
        ({"time": "seen"}, "no column 'seen'"),
    ],
)
def test_wrong_flags(run, log, flags, what):
    write(log, 100)
    with pytest.raises((FlagError, DataError), match=what):
        given = {"run": str(run), "input": str(log), "output": str(log.parent / "watch"), **flags}
        watch.run(make(MonitorOptions, **given))


def test_a_log_is_watched_without_tensorflow(run, log):
    write(log, 100)
    code = (
        "import sys; from tltf import monitor; code = monitor.main(sys.argv[1:]); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules); sys.exit(code)"
    )
    flags = [f"--run={run}", f"--input={log}", f"--output={log.parent / 'watch'}"]
    done = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_inputs_are_predicted_with_the_run(run, tmp_path):
    """A table of texts, and a log that is predicted again, give the answers of the model."""
    texts = ["a good film", "a bad film", "the plot is thin"] * 10
    table = tmp_path / "texts.csv"
    rows = [f'2026-03-01,"{text}"\n' for text in texts]
    table.write_text("time,text\n" + "".join(rows) + '2026-03-02," "\n')
    log = tmp_path / "log.csv"
    scores = making.probabilities(np.random.default_rng(0), len(texts))
    log.write_text(making.csv_rows(scores, texts=texts))
    predicted = served.text_once(names=making.NAMES).predict(texts)
    stated = np.mean([max(each.scores) for each in predicted])
    for path, flags in ((table, {}), (log, {"predict_again": True})):
        found = watched(run, path, output=str(tmp_path / path.stem), window=30, rest=True, **flags)
        summary = found.looks[0].summary
        assert summary.confidence == pytest.approx(stated, abs=1e-5)
        assert summary.rates["bad"] == np.mean([each.label == "bad" for each in predicted])
        assert set(found.looks[0].p_values) == {"outputs", "answers", "features"}
        if path == table:
            assert found.looks[1].num_bad == 1 and found.looks[1].num_rows == 0
            assert found.looks[1].time.startswith("2026-03-02")


def test_a_folder_is_refused_by_a_model_of_texts(run, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FlagError, match="is a folder"):
        watched(run, tmp_path / "folder")
