"""The pages hang together: links, anchors, pictures, and what they quote from elsewhere."""

import ast
import functools
import pathlib
import re

import pytest
from PIL import Image

from tltf.runs import layout

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "tools" / "measured").glob("*.md")),
]
LINK = re.compile(r"\]\(([^()\s]+)\)|<(?:a|img)[^>]* (?:href|src)=\"([^\"]+)\"")
MAX_README_LINES = 250
MAX_PICTURE_BYTES = 300_000


def text_of(path):
    return path.read_text(encoding="utf-8")


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def links_of(path):
    return [first or second for first, second in LINK.findall(without_code(text_of(path)))]


@functools.cache
def anchors_of(path):
    """The anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"```.*?```", "", text_of(path), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {
        slug if not slugs[:place].count(slug) else f"{slug}-{slugs[:place].count(slug)}"
        for place, slug in enumerate(slugs)
    }


def dead_links(path):
    for link in links_of(path):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (
            anchor and (target.suffix != ".md" or anchor not in anchors_of(target))
        ):
            yield link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_anchor_exists(path):
    assert list(dead_links(path)) == []


def test_a_dead_link_and_a_dead_anchor_are_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A head: with `code`\n[a](page.md) [b](none.md) [c](#a-head-with-code) [d](page.md#no)\n"
        "![p](gone.png) `[not a link](x.md)` [far](https://example.org/x)\n",
        encoding="utf-8",
    )
    assert list(dead_links(page)) == ["none.md", "page.md#no", "gone.png"]


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links_of(page)}
        waiting += [path for path in targets if path.suffix == ".md" and path not in reached]
    assert set(PAGES) - reached == set()


def test_the_readme_is_read_in_five_minutes():
    assert len(text_of(ROOT / "README.md").splitlines()) <= MAX_README_LINES


def test_pictures_are_small_and_can_be_opened():
    pictures = sorted((ROOT / "docs").rglob("*.png"))
    assert pictures
    for path in pictures:
        assert path.stat().st_size < MAX_PICTURE_BYTES
        with Image.open(path) as picture:
            picture.verify()


def test_the_numbers_of_the_readme_are_those_that_were_measured():
    table = re.findall(r"^\| (?:Eff|MiniLM).*$", text_of(ROOT / "README.md"), re.MULTILINE)
    assert len(table) == 5
    measured = text_of(ROOT / "docs" / "measured.md")
    for row in table:
        _, _, other, time, accuracy = (cell.strip() for cell in row.split("|")[:-1])
        assert re.search(
            rf"\| {re.escape(other)} \| \d+ \| {re.escape(time)} \| {re.escape(accuracy)} \|",
            measured,
        ), row


def test_the_run_folder_is_described_with_its_real_names():
    text = text_of(ROOT / "docs" / "runs.md")
    table = text[text.index("## The run folder") : text.index("The same run again")]
    named = {name.strip("/0123456789") for name in re.findall(r"`([\w./]+)`", table)}
    known = {value for value in vars(layout).values() if isinstance(value, str)}
    assert {layout.REPORT_HTML, layout.PREDICTIONS, layout.EXPORT, layout.ROUNDS} <= named
    assert named - known - {"evaluate", "predict", "export"} == set()
    assert f"`{layout.CONSOLE_LOG}`" in text


@functools.cache
def texts_of_the_code():
    """Every text that tltf's code has; what is filled in at run time is a line break."""
    found = []
    for path in (ROOT / "tltf").rglob("*.py"):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else "\n" for part in node.values
                ]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def error_texts():
    text = text_of(ROOT / "docs" / "troubleshooting.md")
    text = text[text.index("## Flags") :]
    cells = re.findall(r"^\| (`.+?) \| ", text, re.MULTILINE)
    return [quoted for cell in cells for quoted in re.findall(r"`([^`]+)`", cell)]


def is_printed(quoted):
    pattern = re.compile("\n".join(map(re.escape, quoted.split("…"))))
    return any(pattern.search(text) for text in texts_of_the_code())


@pytest.mark.parametrize("quoted", error_texts())
def test_every_error_text_is_one_that_tltf_prints(quoted):
    assert is_printed(quoted)


def test_a_text_that_tltf_never_prints_is_seen():
    assert len(error_texts()) > 50
    assert not is_printed("no column … (fields: …)")
