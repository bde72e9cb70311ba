"""The command: the next version, checked on the run's own test split."""

import csv
import os
import pathlib

import pytest

from tests import served
from tltf import export
from tltf.config import flagfiles, options
from tltf.models import saving
from tltf.runs import folder as runs_folder
from tltf.serving.export import verify


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with open(folder / "all.csv", "w", newline="") as file:
        rows = [(f"{text} {n}", "bad" if n % 2 else "good") for n, text in enumerate(texts())]
        csv.writer(file).writerows([("text", "label"), *rows])
    saving.save(served.text_once(), folder)
    data = f"csv(path={folder / 'all.csv'}, text=text, label=label)"
    chosen = options.make(data=data, backbone="small_lstm", split="holdout(test=.25)")
    flagfiles.write(folder / runs_folder.FLAGS, chosen, "A run.")
    return folder


def texts():
    return served.TEXTS * 10


def test_the_next_version_is_checked_on_the_test_split(run, capsys):
    (run / "export" / "4").mkdir(parents=True)
    assert export.main([f"--run={run}"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{run / 'export' / '5'}\n"
    assert "; 10 inputs, largest difference" in captured.err
    assert (run / "export" / "5" / "saved_model.pb").is_file()


def test_an_export_holds_none_of_the_users_data(run, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    seen = []
    monkeypatch.setattr(
        verify, "check_saved_model", lambda check, *_: seen.extend(check.raw["text"])
    )
    assert export.main([f"--run={run}", f"--output={tmp_path}"]) == 0
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert (tmp_path / "1/assets.extra/tf_serving_warmup_requests").is_file()
    assert len(seen) == 10 and not [text for text in seen if text in written]


@pytest.mark.large
def test_a_run_without_its_data_is_checked_on_made_up_inputs(run, tmp_path, capsys):
    content = (run / "all.csv").read_bytes()
    (run / "all.csv").unlink()
    try:
        assert export.main([f"--run={run}", f"--output={tmp_path}", "--version=12"]) == 0
    finally:
        (run / "all.csv").write_bytes(content)
    assert "made-up inputs" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["12"]


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--run={run}", "--output={run}/taken", "--version=1"], 2, "--version: version 1 exists"),
        (
            ["--run={run}", "--format=saved_modell"],
            2,
            "--format: there is no format 'saved_modell'",
        ),
        (["--run={run}", "--version=0"], 2, "--version"),
        (["--run={run}/none"], 4, "--run: no folder"),
        (["--run={run}", "--output={run}/all.csv", "--noverify"], 5, "cannot be written"),
    ],
)
def test_faults(run, capsys, flags, code, said):
    (run / "taken" / "1").mkdir(parents=True, exist_ok=True)
    assert export.main([flag.format(run=run) for flag in flags]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"tltf: error[{code}] ")
    assert said in captured.err
    assert not list(pathlib.Path(run, "taken", "1").iterdir())
