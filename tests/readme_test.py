"""README and guides tell the truth: their flags and files exist, and their Python runs."""

import http.server
import json
import pathlib
import re
import shlex
import threading

import numpy as np
import pytest
import tensorflow as tf

from tltf.config import (
    advise_options,
    call_strings,
    checks,
    command_options,
    ensemble_options,
    flagfiles,
    label_options,
    options,
    preset_options,
    rank_options,
    search_options,
    task_heads,
)
from tltf.config.catalogs import ALARMS, BACKBONES, HEADS, METHODS, SOURCES

ROOT = pathlib.Path(__file__).resolve().parents[1]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *GUIDES]}
KINDS = {
    "train": preset_options.TrainCommandOptions,
    "lr_find": command_options.FindOptions,
    "rank": rank_options.RankOptions,
    "advise": advise_options.AdviseOptions,
    "search": search_options.SearchOptions,
    "check": command_options.CheckOptions,
    "update": command_options.UpdateOptions,
    "label": label_options.LabelOptions,
    "compare": command_options.CompareOptions,
    "ensemble": ensemble_options.EnsembleOptions,
    "explain": command_options.ExplainOptions,
    "monitor": command_options.MonitorOptions,
    "evaluate": command_options.EvaluateOptions,
    "predict": command_options.PredictOptions,
    "export": command_options.ExportOptions,
    "demo": command_options.DemoOptions,
    "serve": command_options.ServeOptions,
}
TINY = {
    "mnist_5k(num_train=1000)": "digits(num_train=60, num_validation=20, num_test=30)",
    "efficientnet_lite0": "small_cnn(filters=[4, 4])",
    'backbone="minilm_l6"': 'backbone="small_lstm", train_epochs=1',
    "image_size_px=96": "image_size_px=12",
    "stage_7": "stage_2",
    'method="full"': 'method="full", train_epochs=1',
    "epochs=3, shuffle": "epochs=1, shuffle",
}
PLACEHOLDERS = {"flag", "name"}
"""What stands for any flag."""
OF_THE_PROGRAM = {"completion", "version"}
"""What `tltf` takes without a command."""


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands():
    """The commands of all pages: those of blocks, and what echo gives to a command."""
    lines = "\n".join("\n".join(blocks(text, "sh")) for text in TEXTS.values()).splitlines()
    found = [re.sub(r"^echo .*? \| ", "", line) for line in lines]
    return sorted({line for line in found if line.startswith("python -m tltf.")})


def test_every_flag_exists_and_every_flag_of_train_is_told():
    known = {name for kind in KINDS.values() for name in options.flags_of(kind)}
    switches = {f"no{name}" for name in known}
    told = {
        name: set(re.findall(r"--([a-z][a-z_0-9]+)", re.sub(r"`tools/[^`]*`", "", text)))
        for name, text in TEXTS.items()
        if name != "architecture.md"
    }
    allowed = known | switches | {*flagfiles.CONSOLE_FLAGS} | PLACEHOLDERS | OF_THE_PROGRAM
    assert {name: flags - allowed for name, flags in told.items() if flags - allowed} == {}
    of_reference = "".join(path.read_text(encoding="utf-8") for path in REFERENCE)
    assert known - set(re.findall(r"`--([a-z][a-z_0-9]+)`", of_reference)) == set()


def test_every_file_exists():
    pattern = r"(?<!/)\b(?:configs|tools|tests|notebooks|tltf)/[\w./]+\b"
    named = {name for text in TEXTS.values() for name in re.findall(pattern, text)}
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_commands_of_every_guide_are_seen():
    assert len(commands()) >= 20
    assert {line.split()[2].removeprefix("tltf.") for line in commands()} == set(KINDS)


@pytest.mark.parametrize("line", commands())
def test_commands_parse_and_their_call_strings_are_real(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    _, _, module, *argv = shlex.split(line)
    chosen, _ = flagfiles.parse(KINDS[module.removeprefix("tltf.")], argv)
    values = options.flag_values(chosen)
    data, head = values.get("data"), values.get("head")
    assert not data or checks.pick_source(data)
    assert not head or head == "auto" or task_heads.pick_head(head)
    if values.get("method") not in (None, "", "auto"):
        assert call_strings.pick(METHODS, values["method"], "method")
    if values.get("backbone") not in (None, "", "usual", "auto"):
        assert call_strings.pick(BACKBONES, values["backbone"], "backbone")


def test_call_strings_of_the_tables_are_real():
    catalogs = {**ALARMS, **SOURCES, **BACKBONES, **HEADS, **METHODS}
    together = "\n".join(TEXTS.values())
    named = set(re.findall(r"^\| `(\w+)\(", together, re.MULTILINE))
    assert {"image_folder", "csv", "jsonl", "tfds", "lora", "classify"} <= named <= set(catalogs)
    for text in ("small_cnn(filters=[32, 64])", "minilm_l6", "convnext_tiny"):
        assert f"`{text}`" in together and call_strings.pick(BACKBONES, text)
    for text in ("linear_probe", "partial(last_groups=2)", "full(backbone_rate=.1)", "scratch"):
        assert f"`{text}`" in together and call_strings.pick(METHODS, text)


class Served(http.server.BaseHTTPRequestHandler):
    """What TF Serving answers to one image."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = {"outputs": {"label": ["cat"], "probabilities": [[0.9, 0.1]]}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        """Nothing is printed."""


@pytest.fixture
def served():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def with_python():
    return [name for name, text in TEXTS.items() if blocks(text, "python")]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the files that the pages read."""
    monkeypatch.chdir(tmp_path)
    pixels = np.full((9, 9, 3), 90, np.uint8)
    (tmp_path / "photo.jpg").write_bytes(tf.io.encode_jpeg(pixels).numpy())
    rows = [
        f"{'fine' if n % 3 else 'awful'} day {n},{'good' if n % 3 else 'bad'}" for n in range(60)
    ]
    (tmp_path / "reviews.csv").write_text("\n".join(["review,stars", *rows]), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", with_python())
def test_python_runs(name, workplace, served, capsys):
    """The blocks of a page, one after the other, as a reader would try them."""
    names = {}
    for code in blocks(TEXTS[name], "python"):
        for whole, tiny in {**TINY, "localhost:8501": served}.items():
            code = code.replace(whole, tiny)
        exec(compile(code, name, "exec"), names)
        assert re.search(r"0\.\d+|1\.0", capsys.readouterr().out), code
    exports = list(workplace.glob("**/saved_model.pb"))
    assert len(exports) == {"README.md": 1, "python.md": 2, "deploying.md": 0}[name]


def test_the_tables_are_filled_or_marked():
    for name in ("results", "recipes"):
        assert f"TABLE:{name}" in TEXTS["measured.md"]
