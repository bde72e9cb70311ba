"""The command: rows on standard output and nothing else there, errors in one line."""

import csv
import io
import json
import pathlib
import shutil
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import PIL.Image
import pytest

from tests import served
from tltf import predict
from tltf.config import flagfiles
from tltf.config.command_options import TableOptions
from tltf.config.options import make
from tltf.models import input_format, inputs, prediction_rows, saving
from tltf.models.inputs import Item
from tltf.models.prediction import Prediction


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return saved(served.image_once(), tmp_path_factory)


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    return saved(served.text_once(), tmp_path_factory)


def saved(trained, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    saving.save(trained, run)
    return run


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, value in (("a.png", 10), ("b,\n.png", 200)):
        PIL.Image.fromarray(np.full((9, 9, 3), value, np.uint8)).save(folder / name)
    (folder / "c.jpg").write_bytes(b"no image")
    return folder


def test_csv_on_standard_output(photos, folder, capsys):
    assert predict.main([f"--run={photos}", f"--input={folder}"]) == 0
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    names = [f"probability_{name}" for name in ("cat", "dog", "owl")]
    assert list(rows[0]) == ["id", "path", "predicted_label", "confidence", *names, "error"]
    assert [row["path"] for row in rows] == [
        str(folder / n) for n in ("a.png", "b,\n.png", "c.jpg")
    ]
    assert rows[2]["error"] == "is not an image"
    assert [rows[2][name] for name in ("predicted_label", *names)] == [""] * 4
    expected = served.image_once().predict(folder / "a.png")[0]
    assert rows[0]["predicted_label"] == expected.label
    given = [np.float32(rows[0][name]) for name in names]  # 9 digits restore every float32
    assert given == [np.float32(value) for value in expected.probabilities.values()]
    assert float(rows[0]["confidence"]) == round(max(expected.probabilities.values()), 4)
    said = "tltf: 2 of 3 inputs predicted; 1 with an error in the row: "
    assert captured.err.startswith(said) and f"{expected.label} " in captured.err


def test_the_most_probable_classes_alone(photos, folder, capsys):
    expected = served.image_once().predict(folder / "a.png")[0].probabilities
    first, second = sorted(expected, key=lambda name: -expected[name])[:2]
    flags = [f"--run={photos}", f"--input={folder}/a.png", "--top_k=2"]
    assert predict.main(flags) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(row)[2:] == ["predicted_label", "confidence", "label_2", "confidence_2", "error"]
    assert (row["predicted_label"], row["label_2"]) == (first, second)
    assert row["confidence_2"] == f"{expected[second]:.4f}"
    assert predict.main([*flags, "--format=jsonl"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["probabilities"]) == [first, second]
    assert found["confidence"] == pytest.approx(expected[first])


def test_one_text_on_the_command_line(reviews, photos, capsys):
    assert predict.main([f"--run={reviews}", "--text=a film, and a long one"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["text"] == "a film, and a long one" and row["predicted_label"]
    assert predict.main([f"--run={photos}", "--text=a film"]) == 2
    assert "--text: takes one text, and the model takes images" in capsys.readouterr().err


def test_an_empty_standard_input_has_a_fix(reviews, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert predict.main([f"--run={reviews}", "--input=-"]) == 2
    assert "has no lines; fix: pipe texts or paths in" in capsys.readouterr().err


def test_json_lines_in_a_file(reviews, tmp_path, capsys):
    (tmp_path / "t.csv").write_text('text\na film\n" "\nanother\n')
    output = tmp_path / "new" / "rows.jsonl"
    flags = [f"--run={reviews}", f"--input={tmp_path}/t.csv", "--format=jsonl"]
    assert predict.main([*flags, f"--output={output}", "--eval_batch_size=1"]) == 0
    assert capsys.readouterr().out == ""
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["text"] for row in rows] == ["a film", " ", "another"]
    assert [row["error"] for row in rows] == ["", "the text is empty", ""]
    assert rows[1]["predicted_label"] is None
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1.0, abs=1e-6)


def test_the_positive_class_is_answered_from_a_threshold_on(reviews, tmp_path, capsys):
    (tmp_path / "t.csv").write_text("text\na film\nanother\n")
    flags = [f"--run={reviews}", f"--input={tmp_path}/t.csv"]
    for threshold, label in (("0", "good"), ("1", "bad")):
        assert predict.main([*flags, f"--threshold={threshold}"]) == 0
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert [row["predicted_label"] for row in rows] == [label] * 2


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (
            ["--run={run}", "--input={table}", "--threshold=2"],
            2,
            "--threshold: takes a number <= 1",
        ),
        (["--input=x"], 2, "--run: must be given"),
        (["--run={run}", "--input=none.csv"], 2, "--input: no file or folder none.csv"),
        (["--run={run}", "--input="], 2, "--input: is empty"),
        (["--run={run}", "--imput=x"], 2, "no flag --imput"),
        (["--run=nowhere"], 4, "--run: no folder nowhere"),
        (["--run={run}", "--input={table}", "--output={run}/model/core.json/x"], 5, "cannot be"),
    ],
)
def test_faults_are_one_line_with_their_code(reviews, tmp_path, capsys, flags, code, said):
    (tmp_path / "t.csv").write_text("text\na\n")
    given = [flag.format(run=reviews, table=tmp_path / "t.csv") for flag in flags]
    assert predict.main(given) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"tltf: error[{code}] ")
    assert said in captured.err and captured.err.count("\n") == 1


def test_three_classes_take_no_threshold(photos, folder, capsys):
    assert predict.main([f"--run={photos}", f"--input={folder}", "--threshold=.5"]) == 2
    captured = capsys.readouterr()
    assert "--threshold: a threshold is for one class of two; this model predicts 3" in captured.err
    assert captured.out == ""


def test_the_column_is_that_of_the_runs_data(reviews, tmp_path, capsys):
    run = shutil.copytree(reviews, tmp_path / "run")
    (tmp_path / "t.csv").write_text("text,review\n7,a film\n")
    options = make(data=f"csv(path={tmp_path}/t.csv, text=review)")
    flagfiles.write(run / "run.flags", options, "made")
    assert predict.main([f"--run={run}", f"--input={tmp_path}/t.csv", "--format=jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "a film"


def test_a_terminal_is_not_waited_for(reviews, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert predict.main([f"--run={reviews}"]) == 2
    assert "--input: standard input is a terminal" in capsys.readouterr().err
    assert predict.main([f"--run={reviews}", "--input=nothing,here"]) == 2
    assert "no file or folder nothing" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["predict", "export"])
@pytest.mark.parametrize(("flags", "code"), [(["--help"], 0), (["--run=/nowhere"], 4)])
def test_help_and_a_wrong_run_take_no_tensorflow(module, flags, code):
    start = time.monotonic()
    script = (
        f"import sys; from tltf import {module}; code = {module}.main(sys.argv[1:])\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script, *flags], capture_output=True)
    assert done.returncode == code, done.stderr
    assert time.monotonic() - start < 5  # under a second on an idle machine


@pytest.mark.large
def test_the_program_reads_standard_input_and_keeps_standard_output_clean(reviews):
    command = [sys.executable, "-m", "tltf.predict", f"--run={reviews}"]
    root = pathlib.Path(__file__).parent.parent
    done = subprocess.run(command, input=b"a film\n\nthe end\n", capture_output=True, cwd=root)
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, len(lines)) == (0, 4)
    assert lines[0].startswith("id,text,predicted_label,confidence,probability_bad,")
    assert lines[2].endswith("the line is empty")


def test_the_first_rows_do_not_wait_for_many_inputs():
    """A file may be large, and a pipe slow."""

    class Echo:
        batch_size = 64

        def stream(self, values):
            return (Prediction(value) for value in values)

    read = []
    items = (read.append(n) or Item(f"{n}", f"text {n}", "bad" * (n == 3)) for n in range(500))
    made = prediction_rows.predictions(Echo(), items)
    assert next(made)[1].id == "text 0"
    assert len(read) == prediction_rows.FIRST_INPUTS
    rest = list(made)
    assert [item.id for item, _ in rest] == [str(n) for n in range(1, 500)]
    assert rest[2][1].error == "bad"


@pytest.mark.parametrize(("name", "lines"), [("a.csv", 6_000), ("a.jsonl", 6_000)])
def test_a_large_table_is_not_read_into_memory(tmp_path, name, lines):
    is_json = name.endswith("l")
    row = json.dumps({"text": "x" * 4_000}) if is_json else "x" * 4_000
    header = "" if is_json else "text\n"
    (tmp_path / name).write_text(header + f"{row}\n" * lines, encoding="utf-8")
    form = input_format.format_of(TableOptions(), "text", "csv(path=a.csv, text=text)")
    tracemalloc.start()
    count = sum(1 for _ in inputs.read(str(tmp_path / name), form))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == lines and peak < 8e6  # of 24 MB
