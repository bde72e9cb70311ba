"""A page that is one file, in a frame of a notebook."""

import html
import pathlib

HEIGHT_PX = 700
_LINKS_STAY = '<base href="about:srcdoc">'
"""Without it, links to the sections of a page in a notebook would open the notebook in that page."""


def as_frame(path: pathlib.Path) -> str:
    """HTML of a frame that shows the page in a file."""
    page = path.read_text(encoding="utf-8").replace("<head>", f"<head>{_LINKS_STAY}", 1)
    return (
        f'<iframe srcdoc="{html.escape(page)}" style="width: 100%; border: 0" '
        f'height="{HEIGHT_PX}"></iframe>'
    )
