"""The load script counts what is lost and what is answered otherwise, on a server in this process."""

import contextlib
import importlib
import pathlib
import types

import numpy as np
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytest.importorskip("prometheus_client")

import tensorflow as tf

from tltf.config import options
from tltf.config.command_options import ServeOptions
from tltf.serving.server import exported_model, running

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


class Version:
    """Answers how long texts are; at every `wrong_every`-th batch something else."""

    number, signatures = 1, {"serving_default": None}

    def __init__(self, wrong_every=0):
        self._wrong_every, self._calls = wrong_every, 0

    def inputs_of(self, _):
        return {"text": tf.TensorSpec([None], tf.string)}

    def compute(self, _, arrays):
        self._calls += 1
        is_wrong = self._wrong_every and self._calls % self._wrong_every == 0
        scores = np.array([[len(text), 1.0] for text in arrays["text"]], np.float32) + is_wrong
        return {"label": np.array([b"x"] * len(scores), object), "probabilities": scores}


@pytest.fixture(name="tool")
def _tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("load_server")


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join("a" * n for n in range(1, 12)))
    return str(path)


def replace_process(tool, monkeypatch, version):
    """Has the tool take a server in this process."""

    @contextlib.contextmanager
    def started(run, flags, environment=None):
        model = exported_model.ServedModel("m", {1: version})
        with running.EmbeddedServer(model, options.make(ServeOptions, port=0)) as server:
            host, port = server.address.rsplit(":", 1)
            process = types.SimpleNamespace(pid="self", poll=lambda: None)
            yield tool.Server(process, host, int(port), "/v1/models/m:predict")

    monkeypatch.setattr(tool, "started", started)


def test_hostile_bodies_lose_nothing(tool, texts, monkeypatch, capsys):
    replace_process(tool, monkeypatch, Version())
    assert tool.main(["hostile", "--run=x", f"--inputs={texts}", "--requests=600"]) == 0
    printed = capsys.readouterr().out
    assert "| good | 594 | 200: 594 |" in printed
    assert "0 good requests lost, 0 answered otherwise" in printed


def test_a_server_that_mixes_answers_is_found(tool, texts, monkeypatch, capsys):
    replace_process(tool, monkeypatch, Version(wrong_every=7))
    assert tool.main(["hostile", "--run=x", f"--inputs={texts}", "--requests=100"]) == 1
    assert " 0 answered otherwise" not in capsys.readouterr().out


def test_the_table_of_loads(tool, texts, monkeypatch, capsys):
    replace_process(tool, monkeypatch, Version())
    argv = ["load", "--run=x", f"--inputs={texts}", "--requests=60", "--clients=1,8"]
    assert tool.main(argv) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["| 1", "| 8"]
    assert all(float(row[1].replace(",", "")) > 0 and row[-1] == "0 |" for row in rows)
