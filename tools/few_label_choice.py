"""Measures what `auto` takes with few labels beside the tuned light head and lp_ft, on the same rows.

    python tools/few_label_choice.py [--folder=runs/few_label_choice] [--only=fashion,digits] [--labels=25]
        [--draws=10] [--first=0] [--methods="auto;lp_ft"] [--flags=...] [--name=NAME] [--minutes=8]

A draw takes so many rows of each class, and a fifth of each class is held out to validate, as in a run; `probe`, the
tuned light head, learns from the other rows and needs no validation. --first=100 takes other draws, for settings, than those that
are reported. For --flags, --name and --minutes see few_shot_methods.py. Images at 64 px; photographs are
crops of thirteen of them, see photographs.py. Prints means over draws with Student's 95%
intervals, and the paired differences from the tuned light head. Measurements are kept in FOLDER/few_label_choice.jsonl.
"""

import pathlib

import few_label_runs
import few_shot
import measuring
import numpy as np

from tltf.config import defaults

PIXELS = ["--backbone=efficientnet_lite0", "--image_size_px=64"]
DATA = {
    "fashion": ["--data=fashion_mnist(num_train=1200, num_test=1000)", *PIXELS],
    "digits": ["--data=digits(num_train=800, num_test=700)", *PIXELS],
    "mnist": ["--data=mnist_5k(num_train=1200, num_test=1000)", *PIXELS],
    "google": ["--data=emoji(vendor=google, num_train=900)", *PIXELS],
    "symbola": ["--data=emoji(vendor=symbola, num_train=500)", *PIXELS],
    "movie": ["--data=vader(domain=movie, num_train=1000, num_test=1000)", *few_shot.TEXTS],
    "amazon": ["--data=vader(domain=amazon, num_train=1000, num_test=1000)", *few_shot.TEXTS],
    "tweets": ["--data=vader(domain=tweets, num_train=1000, num_test=1000)", *few_shot.TEXTS],
}
PHOTOGRAPHS = "photographs"
METHODS = [few_label_runs.PROBE, "auto", "lp_ft"]


def held_out(labels, draw):
    """bool[N]: a fifth of the rows of each class of int[N] labels, and one at least."""
    chosen, draws = np.zeros(len(labels), bool), np.random.default_rng(draw)
    for own in np.unique(labels):
        places = np.flatnonzero(labels == own)
        chosen[draws.choice(places, max(1, len(places) // 5), replace=False)] = True
    return chosen


def measure(case, count, draw, method, flags):
    """int64[M]: the answers of a method on one draw to the test rows."""
    rows = case.draw(count, draw)
    is_held = held_out(np.asarray(case.pool.labels)[rows], draw)
    if method == few_label_runs.PROBE:
        return case.light_answers(rows[~is_held], draw)
    name = defaults.MIXED if method == "auto" else method
    return case.trained_answers(
        rows[~is_held], name, {"seed": draw, **flags}, validation=rows[is_held]
    )


def beside_both(found, options):
    """The markdown table of `auto` less each of the two others, and less the one with the better mean."""
    lines = []
    for case in options.only.split(","):
        for count in map(int, options.labels.split(",")):
            rows = {method: found.rows(case, count, method) for method in METHODS}
            draws = set.intersection(*(set(own) for own in rows.values()))
            if not draws:
                continue
            right = {
                method: [own[draw]["accuracy"] for draw in sorted(draws)]
                for method, own in rows.items()
            }
            others = [right[method] for method in METHODS if method != "auto"]
            gains = [np.subtract(right["auto"], other) for other in others]
            better = 100 * (np.mean(right["auto"]) - max(map(np.mean, others)))
            lines.append(
                [
                    case,
                    str(count),
                    str(len(draws)),
                    *(f"{np.mean(right[method]):.3f}" for method in METHODS),
                    *(few_label_runs.points(list(gain)) for gain in gains),
                    f"{better:+.1f}",
                ]
            )
    header = ["data", "labels a class", "draws", *METHODS, "auto - probe", "auto - lp_ft"]
    return measuring.table([*header, "auto - the better mean"], lines)


def main():
    """Measures what is missing and prints the table."""
    made = few_label_runs.parser(__doc__, "runs/few_label_choice", "25", METHODS)
    made.set_defaults(only=",".join([*DATA, PHOTOGRAPHS]))
    options = made.parse_args()
    plain, cases = (few_label_runs.PROBE,), dict(DATA)
    if PHOTOGRAPHS in options.only.split(","):
        import photographs  # which needs scikit-image, of the extra `classical`

        folder = photographs.write(pathlib.Path(options.folder).resolve() / "crops")
        cases[PHOTOGRAPHS] = [f"--data=image_folder(path='{folder}')", *PIXELS]
    found = few_label_runs.Measurements(options, "few_label_choice.jsonl", measure, plain, cases)
    header = ["data", "labels a class", "method", "draws", "test accuracy", "- probe, points", "s"]
    print(found.table(header, lambda case: options.methods.split(";")))
    print("\n" + beside_both(found, options))


if __name__ == "__main__":
    main()
