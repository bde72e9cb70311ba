"""The pure parts of the script that draws reports, and its use of a browser, which is a stand-in here."""

import importlib
import sys

import pytest
from PIL import Image

from tests.tools.bench_transfer_test import TOOLS

BROWSER = f"""#!{sys.executable}
import sys
from PIL import Image
given = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:] if "=" in word)
page = open(sys.argv[-1].removeprefix("file://"), encoding="utf-8").read()
picture = Image.new("RGB", tuple(map(int, given["window-size"].split(","))), "white")
picture.paste("black", (100, 50, 900, 50 + len(page)))
picture.save(given["screenshot"])
"""


@pytest.fixture(name="script")
def _script(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("report_pictures")


def test_everything_but_the_named_parts_is_hidden(script):
    page = script.page_with("<head></head><body>", ("header", "tiles", "curves"))
    assert "main > section:not(#tiles):not(.tiles):not(#curves):not(.curves), nav {" in page
    assert "main > header" not in page
    assert "main > header" in script.page_with("<head></head>", ("curves",))


def test_the_empty_page_is_cut_off(script):
    page = Image.new("RGB", (300, 500), "#f6f7f9")
    page.paste("black", (40, 60, 200, 100))
    margin = script.MARGIN_PX
    assert script.crop_to_content(page).size == (160 + 2 * margin, 40 + 2 * margin)
    page.paste("black", (0, 60, 300, 100))
    assert script.crop_to_content(page).size == (300, 40 + 2 * margin)
    with pytest.raises(ValueError, match="empty"):
        script.crop_to_content(Image.new("RGB", (30, 50)))


def test_a_browser_draws_each_picture(script, tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(BROWSER, encoding="utf-8")
    browser.chmod(0o755)
    (tmp_path / "report.html").write_text("<head></head>", encoding="utf-8")
    folder = tmp_path / "pictures"
    assert script.main([str(tmp_path), f"--browser={browser}", f"--folder={folder}"]) == 0
    assert {path.name for path in folder.iterdir()} == set(script.PICTURES)
    heights = {name: Image.open(folder / name).height for name in script.PICTURES}
    assert len(set(heights.values())) == len(heights), "each has a page of its own"


def test_the_parts_are_those_of_the_page(script):
    template = TOOLS.parent / "tltf" / "evaluation" / "report" / "templates" / "report.html.jinja"
    text = template.read_text(encoding="utf-8")
    for part in ("tiles", "words", "comparison", "curves", "mistakes"):
        assert f'id="{part}"' in text or f'class="{part}"' in text
