import subprocess
import sys

import pytest

from tltf.config.catalogs import CATALOGS
from tltf.config.options import Options
from tltf.console import command
from tltf.errors import DataError

COMMANDS = [
    "train",
    "evaluate",
    "predict",
    "export",
    "serve",
    "lr_find",
    "rank",
    "advise",
    "search",
    "check",
    "compare",
    "ensemble",
    "explain",
    "monitor",
    "update",
    "label",
    "demo",
]

WATCHED = """
import sys
from tltf import {command}
code = {command}.main({argv!r})
heavy = sorted({{"tensorflow", "keras", "keras_hub", "sklearn", "matplotlib"}} & set(sys.modules))
print("HEAVY", heavy, file=sys.stderr)
sys.exit(code)
"""


def watched(command, *argv):
    """The command's process, with a last line that lists the heavy packages it imported."""
    code = WATCHED.format(command=command, argv=list(argv))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def run(service, *argv):
    return command.run(Options, service, argv, "What it does.")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "--helpfull"])
def test_help_needs_no_tensorflow(command, flag):
    done = watched(command, flag)
    assert done.returncode == 0 and "--flagfile=FILE" in done.stdout
    assert done.stderr == "HEAVY []\n"
    assert ("arXiv" in done.stdout) == (flag == "--helpfull")


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("train", ["--bach_size=3"]),
        ("train", ["--batch_size=0"]),
        ("train", ["--learning_rate=nan"]),
        ("train", ["--train_epochs=0"]),
        ("train", ["--flagfile=/no/such.flags"]),
        ("train", ["--data=mnist_5k", "--output=x", "--backbone=resnet5"]),
        ("train", ["--data=mnits", "--output=x", "--backbone=resnet50"]),
        ("train", ["--data=mnist_5k", "--output=x", "--backbone=vgg16", "--method=fulll"]),
        ("train", ["--data=mnist_5k", "--output=x", "--backbone=vgg16", "--image_size_px=8"]),
        ("evaluate", []),
        ("evaluate", ["--run=x", "--data=mnits"]),
        ("predict", []),
        ("predict", ["--server=localhost:8501"]),
        ("search", ["--data=digits"]),
        ("search", ["--data=digits", "--output=x", "--space=rate: log(1, 2)"]),
        ("serve", []),
        ("serve", ["--run=/no/such/run"]),
        ("serve", ["--run=x", "--port=70000"]),
        ("export", ["--format=saved_modle"]),
        ("explain", ["--run=x", "--explainer=grad_camm"]),
        ("train", ["--data=mnist_5k", "--output=x", "--backbone=vgg16", "--explain=grad_camm"]),
        ("label", []),
        ("label", ["--run=x", "--pool=y", "--query=margn"]),
        ("monitor", []),
        ("monitor", ["--run=x", "--input=y", "--alarm=drfit"]),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_2_without_tensorflow(command, argv):
    done = watched(command, *argv)
    error, heavy = done.stderr.splitlines()
    assert done.returncode == 2 and done.stdout == ""
    assert error.startswith("tltf: error[2] ") and heavy == "HEAVY []"


@pytest.mark.parametrize("command", ["evaluate", "predict", "export", "explain", "monitor", "demo"])
def test_a_run_that_is_not_there_is_refused_without_tensorflow(command):
    more = ["--input=log.csv"] if command == "monitor" else []
    done = watched(command, "--run=/no/such/run", *more)
    error, heavy = done.stderr.splitlines()
    assert done.returncode in (2, 4) and "/no/such/run" in error and heavy == "HEAVY []"


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_as_modules(command):
    argv = [sys.executable, "-m", f"tltf.{command}", "--no_such_flag=1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", CATALOGS)
def test_lists_name_every_row(name, capsys):
    assert run(None, f"--list={name}") == 0
    printed = capsys.readouterr().out
    assert all(key in printed for key in CATALOGS[name])


def test_an_unknown_list(capsys):
    assert run(None, "--list=backbone") == 2
    assert "--list=backbones" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("bad row"), 3),
        (KeyboardInterrupt(), 75),
        (MemoryError(), 5),
        (FileNotFoundError(2, "No such file or directory", "a\nb.txt"), 5),
        (PermissionError(13, "Permission denied", b"/x/\xff"), 5),
        (OSError("no number"), 5),
        (KeyError("x\ny"), 70),
    ],
)
def test_each_fault_is_one_line_with_its_code(error, code, capsys):
    def service(_):
        raise error

    assert run(service) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"tltf: error[{code}] ")


def failing(error):
    def service(_):
        raise error

    return service


def test_a_fault_of_a_file_names_it(capsys):
    assert run(failing(OSError(28, "No space left on device", "/data/x.bin"))) == 5
    assert capsys.readouterr().err == "tltf: error[5] /data/x.bin: No space left on device\n"


def test_faults_of_tensorflow(tmp_path, capsys):
    import tensorflow as tf

    path = str(tmp_path / "gone away: 1.jpg")
    dataset = tf.data.Dataset.from_tensors(path).map(tf.io.read_file)
    for read in (lambda _: list(dataset), lambda _: tf.io.read_file(path)):
        assert run(read) == 3
        error = capsys.readouterr().err
        assert error == f"tltf: error[3] {path} --data: the file does not exist any more\n"
    assert run(failing(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"))) == 5
    assert "a smaller --batch_size" in capsys.readouterr().err
    for kind, what in (
        (tf.errors.ResourceExhaustedError, "No space left on device"),
        (tf.errors.OutOfRangeError, "File too large"),
        (tf.errors.UnknownError, "Input/output error"),
    ):
        assert run(failing(kind(None, None, f"/run/x.tfevents; {what} [Op:SaveV2]"))) == 5
        error = capsys.readouterr().err
        assert error == f"tltf: error[5] /run/x.tfevents: {what}\n"
    assert run(failing(tf.errors.NotFoundError(None, None, "Key kernel not found"))) == 70


def test_debug_shows_the_traceback(capsys):
    def service(_):
        raise DataError("bad row")

    assert run(service, "--debug") == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--debug=1", "--debug=True", "--flagfile={}"])
def test_debug_in_any_spelling_shows_the_traceback(flag, tmp_path, capsys):
    (tmp_path / "a.flags").write_text("--debug\n")
    assert run(failing(DataError("bad row")), flag.format(tmp_path / "a.flags")) == 3
    assert "Traceback" in capsys.readouterr().err


def test_debug_can_be_taken_back(capsys):
    assert run(failing(DataError("bad row")), "--debug", "--nodebug") == 3
    assert capsys.readouterr().err == "tltf: error[3] bad row\n"
    assert run(None, "--debug=maybe") == 2


def test_the_service_gets_the_options_and_may_choose_the_code():
    got = []
    assert run(got.append, "--seed=4") == 0 and got[0].runtime.seed == 4
    assert run(lambda options: 7) == 7


def test_help_shows_defaults_and_choices():
    text = command.help_text(Options, "Doc.", is_full=False)
    assert "--batch_size  (default: auto)" in text or "--batch_size  (default: empty)" in text
    assert "adamw" in text and "Doc." in text


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_is_told_at_once_what_takes_seconds(is_terminal, monkeypatch, capsys):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(command.importlib, "import_module", lambda name: None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
    command.load_tensorflow("reading digits")
    said = "start      loading TensorFlow, then reading digits\n"
    assert capsys.readouterr().err == (said if is_terminal else "")
