"""Measures how many labels each query strategy of tltf.label needs, beside rows drawn by chance.

    python tools/active_learning.py [--folder=runs/active] [--only=movie,fashion,emoji] [--draws=10] [--minutes=9]

Each case computes the features of its rows once. A draw takes three quarters of the training rows as the pool, and
the rows that are labelled at the start, by chance; all strategies share both. After each round the head (logistic
regression, its penalty chosen by cross-validation on the labels so far) is fitted again and judged on test rows that
no choice sees. Prints the labels needed for 95% of the accuracy that all labels of the pool give, as means over the
draws with Student's 95% intervals, with the paired saving over chance; and draws the curves into FOLDER, for a
light and for a dark page. Measurements are kept in FOLDER/active_learning_CASE.jsonl, so a call may be stopped.
"""

import argparse
import pathlib
import sys
import time

import few_shot
import measuring
import numpy as np
from matplotlib.figure import Figure

from tltf.active_learning import query, simulation
from tltf.active_learning.simulation import LabelledRows, LearningCurve, Plan
from tltf.config.catalogs import QUERIES
from tltf.evaluation.report import folds

TARGET = 0.95
PLANS = {
    "movie": Plan(num_start=20, per_round=20, num_labels=240, families="logistic"),
    "fashion": Plan(num_start=40, per_round=40, num_labels=480, families="logistic"),
    "emoji": Plan(num_start=40, per_round=60, num_labels=580, families="logistic"),
}
CHANCE = "random"
COLOURS = {
    "random": "#8a8a8a",
    "margin": "#1f77b4",
    "entropy": "#17a2a2",
    "badge": "#d1495b",
    "coreset": "#b8860b",
    "typiclust": "#7b52ab",
}
PAGES = {"light": ("white", "#222222"), "dark": ("#16181d", "#dddddd")}


def rows_of(folder, case):
    """`(training rows, test rows, number of classes)` with their features, computed once."""
    path = folder / f"{case}.npz"
    if not path.exists():
        pool, features, labels, judged = few_shot.features_of(folder, case)
        counts = np.array(len(pool.class_names))
        np.savez(
            path, x=features, y=np.asarray(pool.labels), test_x=judged, test_y=labels, num=counts
        )
    arrays = np.load(path)
    return (
        LabelledRows(arrays["x"], arrays["y"]),
        LabelledRows(arrays["test_x"], arrays["test_y"]),
        int(arrays["num"]),
    )


def measure(given, case, name, draw):
    """The curve of a strategy on a draw; `all` is the accuracy with every label of its pool."""
    pool, test, num_classes = given()
    plan = PLANS[case]
    if name == "all":
        reached = simulation.accuracy_of_all(pool, test, num_classes, plan, draw)
        return {"accuracy": reached}
    curve = simulation.learning_curve(query.pick(name), pool, test, num_classes, plan, draw)
    return {"counts": curve.counts, "accuracies": curve.accuracies}


def curves_of(notebook, case, draws):
    """Strategy -> its LearningCurves of the draws that all strategies have, and the goals of these."""
    names = ["all", *QUERIES]
    done = [d for d in range(draws) if all(f"{case} {n} {d}" in notebook for n in names)]
    rows = {n: [notebook.get(f"{case} {n} {d}", dict) for d in done] for n in names}
    goals = [TARGET * row["accuracy"] for row in rows.pop("all")]
    return {
        name: [LearningCurve(tuple(r["counts"]), tuple(r["accuracies"])) for r in found]
        for name, found in rows.items()
    }, goals


def mean_text(values, form):
    """`132 (120 to 144)`; `more than 240` where a draw never gets there."""
    bounds = folds.mean_interval(values, folds.DRAWS) or [values[0]] * 2
    return f"{form(np.mean(values))} ({form(bounds[0])} to {form(bounds[1])})"


def table_rows(case, curves, goals):
    """A row of the table for each strategy; a draw that does not get there counts with all labels asked."""
    most = PLANS[case].num_labels
    needed = {
        name: [
            simulation.labels_needed(curve, goal) for curve, goal in zip(found, goals, strict=True)
        ]
        for name, found in curves.items()
    }
    short = {name: sum(np.isinf(values)) for name, values in needed.items()}
    counted = {name: np.minimum(values, most) for name, values in needed.items()}
    for name, values in counted.items():
        saved = 1 - values / counted[CHANCE]
        bounds = folds.mean_interval(saved.tolist(), folds.DRAWS) or [0.0, 0.0]
        gate = "" if name == CHANCE else ("yes" if np.mean(saved) >= 0.2 else "no")
        areas = [
            100 * (np.mean(one.accuracies) - np.mean(other.accuracies))
            for one, other in zip(curves[name], curves[CHANCE], strict=True)
        ]
        yield [
            few_shot.TITLES[case],
            name,
            mean_text(values.tolist(), lambda value: f"{value:.0f}"),
            str(short[name]),
            f"{100 * np.mean(saved):+.0f}% ({100 * bounds[0]:+.0f} to {100 * bounds[1]:+.0f})",
            mean_text(areas, lambda value: f"{value:+.1f}"),
            gate,
        ]


def draw_curves(results, path, page):
    """The curves of all cases, side by side: means with Student's 95% intervals."""
    ground, ink = PAGES[page]
    figure = Figure(figsize=(4.6 * len(results), 4.0), layout="constrained", facecolor=ground)
    panels = np.atleast_1d(figure.subplots(1, len(results)))
    for axes, (case, (curves, goals)) in zip(panels, results.items(), strict=True):
        for name, found in curves.items():
            counts = np.array(found[0].counts)
            values = np.array([curve.accuracies for curve in found])
            pairs = [
                folds.mean_interval(column.tolist(), folds.DRAWS) or [column[0]] * 2
                for column in values.T
            ]
            low, high = np.array(pairs).T
            axes.fill_between(counts, low, high, color=COLOURS[name], alpha=0.13, linewidth=0)
            dash = "--" if name == CHANCE else "-"
            axes.plot(counts, values.mean(0), dash, color=COLOURS[name], label=name, linewidth=1.7)
        axes.axhline(np.mean(goals), color=ink, linewidth=0.8, linestyle=":")
        title = few_shot.TITLES[case].replace(", ", "\n")
        axes.set_title(f"{title}, {len(goals)} draws", loc="left", fontsize=10, color=ink)
        axes.set_xlabel("labels", color=ink)
        axes.set_facecolor(ground)
        axes.tick_params(colors=ink)
        axes.grid(linewidth=0.4, alpha=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(ink)
    panels[0].set_ylabel("test accuracy", color=ink)
    panels[-1].legend(frameon=False, loc="lower right", labelcolor=ink, fontsize=9)
    note = f"dotted: {TARGET:.0%} of the accuracy with all labels; bands: 95% intervals of the mean"
    figure.supxlabel(note, fontsize=9, color=ink)
    figure.savefig(path, facecolor=ground, dpi=110, metadata={"Date": None})


def main():
    """Measures what is missing, prints the table and draws the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/active")
    parser.add_argument("--only", default=",".join(PLANS))
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=0.0, help="stop measuring then; 0: never")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder).resolve()
    ends = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    results, rows = {}, []
    for case in options.only.split(","):
        notebook, loaded = measuring.Notebook(folder / f"active_learning_{case}.jsonl"), []

        def given(case=case, loaded=loaded):
            loaded[:] = loaded or [rows_of(folder, case)]
            return loaded[0]

        for draw in range(options.draws):
            for name in ("all", *QUERIES):
                key = f"{case} {name} {draw}"
                if time.monotonic() < ends:
                    notebook.get(key, lambda n=name, d=draw, c=case, g=given: measure(g, c, n, d))
        curves, goals = curves_of(notebook, case, options.draws)
        if goals:
            results[case] = curves, goals
            rows += table_rows(case, curves, goals)
            print(f"{case}: {len(goals)} draws, goal {np.mean(goals):.3f}", file=sys.stderr)
    if not results:
        print("nothing is measured in whole draws yet", file=sys.stderr)
        return
    header = ["data", "query", f"labels for {TARGET:.0%}", "draws that never get there"]
    header += ["fewer than random", "mean of the curve less that of random, points", "20% fewer"]
    print(measuring.table(header, rows))
    for page in PAGES:
        draw_curves(results, folder / f"active_learning_{page}.svg", page)


if __name__ == "__main__":
    main()
