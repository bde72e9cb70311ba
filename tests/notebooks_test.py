"""The notebooks run from the first cell to the last."""

import pathlib
from inspect import signature

import nbformat
import pytest

import tltf
from tltf.config.options import Options, flags_of

NOTEBOOKS = sorted((pathlib.Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
TINY = {
    "quickstart": """
DATA = "digits(num_train=60, num_validation=20, num_test=30)"
BACKBONE = "small_cnn(filters=[4])"
SIZE_PX, EPOCHS, RUN = 12, 2, "runs/tiny"
""",
    "photos": """
SAMPLE = "digits(num_train=60, num_validation=20, num_test=30)"
BACKBONE, SIZE_PX, METHOD, RUN = "small_cnn(filters=[4])", 12, "scratch", "runs/tiny"
""",
    "texts": """
NUM_TRAIN, BACKBONE, METHOD, RUN = 60, "small_lstm", "scratch", "runs/tiny"
""",
}
"""Notebook -> what takes the place of its parameters."""


def read(path):
    return nbformat.read(path, as_version=4)


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
            for line in cell.source.splitlines():
                name, equals, _ = line.strip().partition("=")
                if line.startswith("    ") and equals and line.endswith(","):
                    assert name in flags_of(Options) or name in signature(tltf.fit).parameters


@pytest.mark.large
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_on_a_cpu(path, tmp_path):
    from nbclient import NotebookClient

    notebook = read(path)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += TINY[path.stem]
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    printed = [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stdout"
    ]
    assert any("predicted" in text for text in printed)
    assert (tmp_path / "runs" / "tiny" / "export" / "1" / "saved_model.pb").exists()
