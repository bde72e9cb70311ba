"""Draws the measurements of scorecard.py and label_budgets.py as pictures, in their folder.

    python tools/measured_pictures.py [--folder=tools/measured] [--format=svg]

scorecard: for each data set the methods in the order of their gain over logistic regression on the
same frozen features, and their accuracy under shift less that of `full`. Both are paired by seed and
have Student's 95% interval; a hollow mark stands for one or two seeds. label_budgets: accuracy over
labels per class.
"""

import argparse
import pathlib

import label_budgets
import matplotlib as mpl
import measuring
import numpy as np
import scorecard
from matplotlib.figure import Figure

GOOD, BAD, GREY = "#1f6f8b", "#b3432b", "#8a8a8a"
NAMES = {"fashion": "Fashion-MNIST, EfficientNet-Lite0", "vader": "movie snippets, MiniLM"}
LINES = {"lp_ft": GOOD, "full": BAD, "logistic": GREY}
mpl.rcParams.update({"svg.hashsalt": "tltf", "svg.fonttype": "none"})
STYLE = {"fmt": "o", "capsize": 2, "markersize": 5, "linewidth": 1.2}
TRAINED = " --norm=train --learning_rate=1e-3"
"""What the picture calls `norms trained`."""
UNWARMED = " --warmup_fraction=0"
"""What the picture calls `no warm-up`."""
SOLVED = " --head_weights=solved"
"""What the picture calls `from a solved head`."""


def gains_of_methods(notebook, task):
    """`[(method, gains, shifts)]` in percentage points, the method with the largest mean gain last.

    Gains are over logistic regression, shifts are accuracies under shift less those of `full`.
    """
    rows = {
        method: [
            notebook.get(key, dict)
            for seed in range(10)
            if (key := f"{task} {method} {seed}") in notebook
        ]
        for method in scorecard.METHODS[task]
    }
    full = {row["key"]: row for row in rows["full"]}
    methods = []
    for method, measured in rows.items():
        good = [row for row in measured if "failed" not in row]
        gains = [100 * (row["accuracy"] - row["logistic"]) for row in good]
        pairs = [(row, full.get(f"{task} full {row['key'].split()[-1]}")) for row in good]
        shifts = [100 * (row["shift"] - other["shift"]) for row, other in pairs if other]
        if gains:
            shown = method.replace(TRAINED, ", norms trained").replace(UNWARMED, ", no warm-up")
            shown = shown.replace(SOLVED, " from a solved head")
            methods.append((shown, gains, shifts))
    return sorted(methods, key=lambda one: np.mean(one[1]))


def draw_dots(axes, methods, place, title):
    """Draws one row per method: the mean and the interval of the list at `place`."""
    for height, one in enumerate(methods):
        values = one[place]
        if not values:
            continue
        mean = float(np.mean(values))
        colour = GOOD if mean >= 0 else BAD
        face = colour if len(values) > 2 else "white"
        half = scorecard.half_width(values) if len(values) > 2 else None
        axes.errorbar(mean, height, xerr=half, color=colour, markerfacecolor=face, **STYLE)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylim(-0.7, len(methods) - 0.3)
    axes.grid(axis="both", linewidth=0.4)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def draw_scorecard(folder):
    """The figure of the methods."""
    notebook = measuring.Notebook(folder / "scorecard.jsonl")
    tasks = {task: gains_of_methods(notebook, task) for task in NAMES}
    heights = [max(len(methods), 3) for methods in tasks.values()]
    figure = Figure(figsize=(10, 2.6 + 0.24 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(tasks), 2, gridspec_kw={"height_ratios": heights}, squeeze=False)
    for row, (task, methods) in zip(panels, tasks.items(), strict=True):
        title = f"{NAMES[task].partition(',')[0]}: points over logistic regression"
        draw_dots(row[0], methods, 1, title)
        draw_dots(row[1], methods, 2, "under shift: points over full")
        row[0].set_yticks(range(len(methods)), [one[0].partition("(runs")[0] for one in methods])
        row[1].set_yticks(range(len(methods)), [""] * len(methods))
    figure.supxlabel("mean over seeds, 95% interval of three or more; hollow: fewer")
    return figure


def draw_budgets(folder):
    """The figure of accuracy over labels per class."""
    budgets = label_budgets.Budgets(folder)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(NAMES)), NAMES, strict=True):
        for number, (method, colour) in enumerate(LINES.items()):
            values = [
                [budgets.accuracy(task, budget, "fresh", draw, method) for draw in range(draws)]
                for budget, (_, draws) in label_budgets.DRAWS.items()
            ]
            axes.errorbar(
                np.array(list(label_budgets.DRAWS)) * (1 + 0.06 * (number - 1)),
                [np.mean(one) for one in values],
                yerr=[scorecard.half_width(one) for one in values],
                color=colour,
                label=method,
                **(STYLE | {"fmt": "o-"}),
            )
        axes.set(xscale="log", xlabel="labels per class", ylabel="accuracy")
        axes.set_xticks(list(label_budgets.DRAWS), list(map(str, label_budgets.DRAWS)))
        axes.minorticks_off()
        axes.set_title(NAMES[task], loc="left", fontsize=10)
        axes.grid(linewidth=0.4)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure


def main():
    """Writes both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder",
        default=str(measuring.ROOT / "tools" / "measured"),
        help="folder of the measurements and of the pictures",
    )
    parser.add_argument("--format", default="svg", choices=("svg", "png"), help="kind of picture")
    chosen = parser.parse_args()
    folder = pathlib.Path(chosen.folder)
    for name, draw in {"scorecard": draw_scorecard, "label_budgets": draw_budgets}.items():
        path = folder / f"{name}.{chosen.format}"
        # Without the date, equal measurements give equal files.
        undated = {"metadata": {"Date": None}} if chosen.format == "svg" else {}
        draw(folder).savefig(path, facecolor="white", dpi=110, **undated)
        print(path)


if __name__ == "__main__":
    main()
