"""How the pictures of measurements look: a light and a dark page, axes without a box, texts that stay texts."""

import matplotlib as mpl
from matplotlib.figure import Figure

PAGES = {"light": ("#ffffff", "#1c2733"), "dark": ("#0d1117", "#d8dee6")}
"""Page -> its ground and its ink."""


def page_of(page, num_panels, size_in):
    """`(figure, list of axes)`: panels side by side.

    Args:
        page: of PAGES.
        num_panels: how many there are.
        size_in: `(width, height)` of each in inches.
    """
    ground, ink = PAGES[page]
    width, height = size_in
    size = (width * num_panels, height)
    figure = Figure(figsize=size, layout="constrained", facecolor=ground)
    panels = list(figure.subplots(1, num_panels, squeeze=False)[0])
    for axes in panels:
        axes.set_facecolor(ground)
        axes.tick_params(colors=ink)
        axes.grid(linewidth=0.4, alpha=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(ink)
    return figure, panels


def save(figure, path, page):
    """Writes the figure of a page as an SVG file that is the same each time."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tltf"}):
        figure.savefig(path, facecolor=PAGES[page][0], dpi=110, metadata={"Date": None})
