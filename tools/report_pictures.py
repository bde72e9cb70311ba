"""Takes the pictures of a report that the README and docs/report.md show, from a finished run.

    python -m tltf.train --flagfile=configs/quickstart.flags --output=runs/quickstart
    python tools/report_pictures.py runs/quickstart [--browser=chromium] [--folder=docs/pictures]

A browser of the Chromium family draws the page, without a window. Each picture is the page with only
some of its sections, cut where its content ends, in at most 256 colours.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

from PIL import Image, ImageChops

ROOT = pathlib.Path(__file__).resolve().parents[1]
REPORT = "report.html"
WIDTH_PX = 1000
TALLEST_PX = 6000
MARGIN_PX = 24
MAX_BYTES = 300_000
PICTURES = {
    "report.png": ("header", "tiles", "words", "comparison", "curves"),
    "report_mistakes.png": ("confusion", "mistakes"),
    "report_calibration.png": ("calibration",),
}
"""File -> the parts of the page that it shows: ids or classes of sections, and the page's head."""


def page_with(text, parts):
    """The page of a report on which everything but some parts is hidden."""
    shown = [f":not(#{part}):not(.{part})" for part in parts if part != "header"]
    hidden = [f"main > section{''.join(shown)}", "nav"]
    if "header" not in parts:
        hidden.append("main > header")
    style = f"<style>{', '.join(hidden)} {{ display: none !important; }}</style>"
    return text.replace("</head>", f"{style}</head>", 1)


def crop_to_content(picture):
    """The picture without the empty page below and around its content, but for a margin."""
    page = Image.new("RGB", picture.size, picture.getpixel((0, 0)))
    box = ImageChops.difference(picture, page).getbbox()
    if box is None:
        raise ValueError("the page is empty")
    left, top, right, bottom = box
    return picture.crop(
        (
            max(left - MARGIN_PX, 0),
            max(top - MARGIN_PX, 0),
            min(right + MARGIN_PX, picture.width),
            min(bottom + MARGIN_PX, picture.height),
        )
    )


def draw_page(text, browser):
    """The picture of a page, as the browser draws it."""
    with tempfile.TemporaryDirectory() as folder:
        page, picture = pathlib.Path(folder, "page.html"), pathlib.Path(folder, "page.png")
        page.write_text(text, encoding="utf-8")
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--window-size={WIDTH_PX},{TALLEST_PX}",
            f"--screenshot={picture}",
            page.as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        return Image.open(picture).convert("RGB")


def main(argv=None):
    """Writes the pictures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=pathlib.Path, help="a finished run folder")
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "docs" / "pictures")
    chosen = parser.parse_args(argv)
    text = (chosen.run / REPORT).read_text(encoding="utf-8")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for name, parts in PICTURES.items():
        picture = crop_to_content(draw_page(page_with(text, parts), chosen.browser))
        path = chosen.folder / name
        picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
        size = path.stat().st_size
        print(f"{path}: {picture.width} x {picture.height} px, {size:,} bytes")
        if size > MAX_BYTES:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
