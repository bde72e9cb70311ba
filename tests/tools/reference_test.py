"""The reference pages say what the code says, and are made without TensorFlow."""

import importlib
import subprocess
import sys

import pytest

from tests.tools.bench_transfer_test import TOOLS
from tltf.config import options
from tltf.config.catalogs import CATALOGS
from tltf.config.commands import COMMANDS


@pytest.fixture(name="reference")
def _reference(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("reference")


def test_no_page_is_stale(reference):
    assert reference.stale_pages() == [], "run: python tools/reference.py"


def test_a_changed_a_missing_and_a_foreign_page_are_stale(reference, tmp_path):
    for name, text in reference.pages().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert reference.stale_pages(tmp_path) == []
    (tmp_path / "flags.md").write_text("old\n", encoding="utf-8")
    (tmp_path / "heads.md").unlink()
    (tmp_path / "gone.md").write_text("of a catalog that is gone\n", encoding="utf-8")
    assert reference.stale_pages(tmp_path) == ["flags.md", "gone.md", "heads.md"]


def test_every_entry_and_every_argument_is_explained(reference):
    """An argument without words of its own is in the summary of its entry, or in its paragraphs."""
    for catalog, rows in CATALOGS.items():
        page = reference.pages()[f"{catalog}.md"]
        for name, row in rows.items():
            assert f"`{name}" in page or f"\n## {name}\n" in page
            said = reference.said_of(name, row)
            words = " ".join([row.summary, *reference.details_of(row)]).lower()
            lacking = [key for key in row.args if key not in said and key not in words]
            assert lacking == [], (catalog, name)


def test_every_command_and_every_flag_has_its_place(reference):
    assert set(reference.OPTIONS_OF) == set(COMMANDS)
    page = reference.pages()["flags.md"]
    for command, kind in reference.OPTIONS_OF.items():
        assert f"\n## tltf.{command}\n" in page
        assert [name for name in options.flags_of(kind) if f"| `--{name}` |" not in page] == []


def test_angle_brackets_are_no_tags_and_code_keeps_its_own(reference):
    assert reference.prose("of <group>,\n  `<kernel>` and a < b") == (
        "of &lt;group>, `<kernel>` and a < b"
    )


def test_it_needs_no_tensorflow():
    code = "import sys, reference; reference.pages(); print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{TOOLS}:{TOOLS.parent}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "False", done.stderr
