"""The notebooks run from the first cell to the last."""

import ast
import pathlib
import types
from inspect import signature

import nbformat
import pytest
from matplotlib import pyplot as plt

import tltf
from tltf.config.options import Options, flags_of
from tltf.runs import layout
from tltf.serving.export import verify

NOTEBOOKS = sorted((pathlib.Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
TINY = {
    "lesson": """
DATA = "digits(num_train=100, num_validation=40, num_test=40)"
BACKBONE, SIZE_PX = "small_cnn(filters=[4, 4])", 12
PER_CLASS, EPOCHS, PROBE_EPOCHS, FEWER_PER_CLASS, DRAWS = 4, 1, 2, [2], 1
PARTIAL, LORA, RUN = "partial(last_groups=1)", "lora(rank=1)", "runs/tiny"
""",
    "quickstart": """
DATA = "digits(num_train=60, num_validation=20, num_test=30)"
BACKBONE = "small_cnn(filters=[4])"
SIZE_PX, EPOCHS, RUN = 12, 2, "runs/tiny"
""",
    "photos": """
SAMPLE = "digits(num_train=60, num_validation=20, num_test=30)"
BACKBONE, SIZE_PX, RUN = "small_cnn(filters=[4])", 12, "runs/tiny"
METHOD = "linear_probe(solver=lbfgs)"
""",
    "texts": """
NUM_TRAIN, BACKBONE, RUN = 60, "small_lstm", "runs/tiny"
""",
    "tpu": """
BATCH_SIZE, DATA = 32, "digits(num_train=64, num_validation=20, num_test=30)"
BACKBONE, SIZE_PX, EPOCHS, RUN = "small_cnn(filters=[4])", 12, 2, "runs/tiny"
""",
}
"""Notebook -> what takes the place of its parameters."""
RUNS = {"lesson": ("full", "lora", "probe_2_draw_0")}
"""Notebook -> the runs that it leaves in its folder; others leave one, with an export."""
SAYS = {"tpu": "There is no TPU: everything below runs on the CPU."}
"""Notebook -> what it must print beside its predictions."""


def read(path):
    return nbformat.read(path, as_version=4)


def read_tiny(path):
    """The notebook with its tiny parameters behind its own."""
    notebook = read(path)
    (parameters,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    parameters.source += TINY[path.stem]
    return notebook


def run_cell(source, names):
    """Runs a cell and returns the value that it shows: that of its last line, if it has one."""
    lines = ast.parse(source)
    last = lines.body.pop() if lines.body and isinstance(lines.body[-1], ast.Expr) else None
    exec(compile(lines, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def require_results(name, folder, printed):
    assert "predicted" in printed and SAYS.get(name, "") in printed
    for run in RUNS.get(name, ()):
        assert (folder / "runs/tiny" / run / layout.REPORT_HTML).exists()
    if name not in RUNS:
        assert (folder / "runs/tiny/export/1/saved_model.pb").exists()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_without_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and not cell.get("execution_count")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_python_compiles_and_its_flags_exist(path):
    for cell in read(path).cells:
        if cell.cell_type == "code":
            compile(cell.source, path.name, "exec")
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "tltf.fit":
                    named = {keyword.arg for keyword in node.keywords} - {None}
                    assert named <= {*flags_of(Options), *signature(tltf.fit).parameters}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_on_a_cpu(path, tmp_path, monkeypatch, capsys):
    """In this process, and with exports that no clean process checks: both would import TensorFlow
    again, which takes longer than the notebook. In `test_it_runs_in_a_kernel` they do."""
    monkeypatch.chdir(tmp_path)
    shown_figures = []
    monkeypatch.setattr(plt, "show", lambda: shown_figures.append(plt.close()))
    monkeypatch.setattr(verify, "start_process", lambda modality: None)
    unchecked = types.SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(verify, "Check", lambda *_: unchecked)
    monkeypatch.setattr(verify, "check_saved_model", lambda *_: None)
    names, shown = {"__name__": "__main__"}, []
    for cell in read_tiny(path).cells:
        if cell.cell_type == "code":
            value = run_cell(cell.source, names)
            shown.append(value._repr_html_() if hasattr(value, "_repr_html_") else value)
    require_results(path.stem, tmp_path, capsys.readouterr().out)
    assert len(shown_figures) == sum(c.source.count("plt.show()") for c in read(path).cells)
    assert any(f"{value}".startswith(("<iframe", "<style")) for value in shown), "a report, a table"


@pytest.mark.large
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_in_a_kernel(path, tmp_path):
    from nbclient import NotebookClient

    notebook = read_tiny(path)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    printed = [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stdout"
    ]
    require_results(path.stem, tmp_path, "".join(printed))
