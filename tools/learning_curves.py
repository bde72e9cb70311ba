"""Measures how well a learning curve that was fitted to half of the rows foretells the accuracy with all of them.

    python tools/learning_curves.py [--folder=runs/learning_curves] [--only=movie,tweets,fashion,digits,mnist,emoji]
        [--rows=1000] [--first=0] [--seeds=1] [--minutes=8]

For each data set up to --rows training rows are drawn, their features are those of one frozen network (images at 96 px),
and tltf.evaluation.held_out measures the curve of a light head in five folds, as tltf.advise does. The law is fitted to all
points but the last, which has twice the rows of the one before, and is asked for the last. Beside it stand two simpler guesses:
that the accuracy stays as it is with half of the rows, and that the last doubling comes again. Measurements are kept in
FOLDER/learning_curves.jsonl; after --minutes no new one begins, and a later call goes on.
"""

import argparse
import dataclasses
import pathlib
import sys
import time

import measuring
import numpy as np

CASES = {
    "movie": ("vader(domain=movie)", "minilm_l6"),
    "tweets": ("vader(domain=tweets)", "minilm_l6"),
    "fashion": ("fashion_mnist", "efficientnet_lite0"),
    "digits": ("digits", "efficientnet_lite0"),
    "mnist": ("mnist_5k", "efficientnet_lite0"),
    "emoji": ("emoji", "efficientnet_lite0"),
}
SIDE_PX = 96


def features_of(case, num_rows, seed):
    """The FrozenRows of a data set."""
    from tltf.config import checks
    from tltf.config.options import make
    from tltf.config.rank_options import RankOptions
    from tltf.data import loader
    from tltf.experiments.advice import trials
    from tltf.experiments.ranking import candidates, ranking

    data, network = CASES[case]
    flags = {"data": data, "backbone": network, "backbones": network, "rows": num_rows}
    if network != "minilm_l6":
        flags["image_size_px"] = SIDE_PX
    options = make(RankOptions, seed=seed, near_duplicates=False, **flags)
    recipe = checks.resolve(options, needs_output=False)
    rows = ranking.drawn_rows(loader.training_parts(options, recipe)["train"], options)
    (found,) = candidates.features_of(options, recipe, rows, [network])
    return trials.frozen_rows(found.features, rows)


def measure(case, num_rows, seed):
    """The points of the curve of a data set."""
    import keras

    from tltf.evaluation import held_out

    began = time.perf_counter()
    keras.backend.clear_session()
    rows = features_of(case, num_rows, seed)
    features_s = time.perf_counter() - began
    points = held_out.curve_points(rows, held_out.folds_of(rows, seed), seed)
    row = {
        "num_rows": len(rows.features),
        "num_classes": rows.targets.shape[1],
        "points": [dataclasses.asdict(point) for point in points],
        "features_s": features_s,
        "curve_s": time.perf_counter() - began - features_s,
    }
    print(f"{case}, {seed}: {row}", file=sys.stderr, flush=True)
    return row


def foretold(row):
    """`(rows, expected, measured, stays, again)` of a measurement: the law, the truth and two simpler guesses.

    None where there are too few points for a law.
    """
    from tltf.evaluation import learning_curve
    from tltf.evaluation.learning_curve import CurvePoint

    points = [
        CurvePoint(one["num_rows"], tuple(one["accuracies"]), one["num_judged"])
        for one in row["points"]
    ]
    *known, last = points
    expected = learning_curve.fit_curve(known).accuracy(last.num_rows)
    if expected is None:
        return None
    stays = known[-1].mean
    return last.num_rows, expected, last.mean, stays, 2 * stays - known[-2].mean


def lines_of(rows):
    """The cells of the table: a line per measurement, and the mean errors."""
    lines, errors = [], []
    for key, row in rows.items():
        found = foretold(row)
        if found is None:
            lines.append([key, str(row["num_rows"]), *[""] * 5, "too few rows for a law"])
            continue
        num_rows, expected, measured, stays, again = found
        gaps = [100 * (guess - measured) for guess in (expected.value, stays, again)]
        is_in = expected.low <= measured <= expected.high
        errors.append([*np.abs(gaps), is_in])
        interval = f"{100 * expected.low:.1f} to {100 * expected.high:.1f}"
        cells = [f"{100 * expected.value:.1f} ({interval})", f"{100 * measured:.1f}"]
        told = [f"{gap:+.1f}" for gap in gaps]
        lines.append(
            [key, f"{num_rows // 2} to {num_rows}", *cells, *told, "yes" if is_in else "no"]
        )
    if errors:
        mean = np.mean(errors, axis=0)
        own = [f"{value:.1f}" for value in mean[:3]]
        lines.append(["mean of the absolute errors", "", "", "", *own, f"{mean[3]:.0%}"])
    return lines


def main():
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/learning_curves")
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=8.0)
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    notebook = measuring.Notebook(pathlib.Path(options.folder) / "learning_curves.jsonl")
    rows = {}
    for seed in range(options.first, options.first + options.seeds):
        for case in options.only.split(","):
            key = f"{case} | {options.rows} | {seed}"
            if key in notebook or time.monotonic() < until:
                made = notebook.get(key, lambda c=case, s=seed: measure(c, options.rows, s))
                rows[f"{case}, {seed}"] = made
    header = ["data, seed", "rows", "foretold, %", "measured, %", "error of the law"]
    header += ["if it stays", "if the last rise comes again", "within the interval"]
    print(measuring.table(header, lines_of(rows)))


if __name__ == "__main__":
    main()
