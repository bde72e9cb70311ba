"""Measures whether probabilities can be believed, before and after calibration, as markdown tables.

    python tools/calibration.py [--only=digits,clothes] [--folder=runs/calibration]

Each case is a run of tltf.train on packaged data with --calibrate=auto. The temperature is chosen on the
validation split, and everything in the tables is of the test split, which chooses nothing. A second
table applies the rules of --abstain to the same runs. Runs that are finished are read, not repeated.
"""

import argparse
import pathlib
import sys

import measuring
import numpy as np

import tltf
from tltf.config import checks
from tltf.data import run_data
from tltf.evaluation import bootstrap, calibration
from tltf.evaluation.abstention import Abstention
from tltf.evaluation.abstention import details as abstention_details

LIMIT = 0.03
"""A calibration error above this must be halved at least."""
RULES = ("coverage(.9)", "accuracy(.95)", "conformal(.1)")
CLOTHES = [
    "--data=fashion_mnist(num_train=2000, num_validation=500, num_test=3000)",
    "--image_size_px=64",
    "--backbone=efficientnet_lite0",
]
DIGITS = [
    "--data=mnist_5k(num_train=1000, num_validation=500, num_test=2000)",
    "--backbone=small_cnn(filters=[32, 64])",
    "--image_size_px=28",
    "--head=classify(pooling=flatten, hidden=128)",
    "--method=scratch",
    "--learning_rate=1e-3",
]
CASES = {
    "digits": (
        "mnist_5k, 1,000 images, small CNN, 30 epochs",
        [*DIGITS, "--train_epochs=30", "--keep=last"],
    ),
    "digits_smoothed": (
        "mnist_5k, 1,000 images, small CNN, 15 epochs, label smoothing .2",
        [*DIGITS, "--train_epochs=15", "--label_smoothing=.2"],
    ),
    "clothes": (
        "fashion_mnist, 2,000 images, EfficientNet-Lite0 at 64 px, linear probe",
        [*CLOTHES, "--method=linear_probe(solver=lbfgs)"],
    ),
    "clothes_partial": (
        "fashion_mnist, 2,000 images, EfficientNet-Lite0 at 64 px, partial(last_groups=2), 8 epochs",
        [*CLOTHES, "--method=partial(last_groups=2)", "--train_epochs=8", "--keep=last"],
    ),
    "products": (
        "vader amazon, 600 texts, MiniLM, lp_ft, 3 epochs",
        [
            "--data=vader(domain=amazon, num_train=600, num_validation=300, num_test=1500)",
            "--backbone=minilm_l6",
            "--text_length=32",
            "--method=lp_ft",
            "--train_epochs=3",
        ],
    ),
    "emoji": (
        "emoji tags, several labels, EfficientNet-Lite0 at 64 px, linear probe, 40 epochs",
        [
            "--data=emoji(label=tags)",
            "--image_size_px=64",
            "--backbone=efficientnet_lite0",
            "--head=multi_label",
            "--method=linear_probe",
            "--train_epochs=40",
            "--keep=last",
        ],
    ),
}
USUAL = ["--calibrate=auto", "--baseline=none", "--export=false", "--near_duplicates=false"]
HEADER = [
    "run",
    "validation, test rows",
    "temperature",
    "calibration error before",
    "after",
    "difference, points",
    "loss before",
    "after",
    "difference",
    "halved where above 3%",
]
SURE_HEADER = [
    "run",
    "rule",
    "threshold",
    "validation rows sure",
    "test rows sure",
    "right where sure",
    "right on all",
    "sets with the true class",
    "classes per set",
]


def measure(folder):
    """What a finished run comes to, with and without its temperatures, on its test split."""
    model, parts = tltf.load(folder), run_data.load_parts(str(folder))
    head, rows = model.core.head, {}
    for role in ("validation", "test"):
        rows[role] = model.logits(parts[role]), np.asarray(parts[role].labels)
    logits, labels = rows["test"][0], rows["test"][1]
    before = calibration.stated(head.without_temperatures(), labels, logits)
    after = calibration.stated(head, labels, logits)
    found = calibration.details(head, labels, logits)
    return {
        "rows": [len(rows["validation"][1]), len(labels)],
        "temperatures": list(head.temperatures),
        "errors": [before.error, after.error],
        "losses": [loss_of(before), loss_of(after)],
        "gains": found["calibration"]["gains"] if found else {},
        "sure": sure_rows(head, model, rows) if head.target == "class" else [],
    }


def loss_of(stated):
    """[mean, low, high] of the losses of rows, with the bootstrap's percentile interval."""
    terms = stated.losses[None]
    values = bootstrap.intervals(
        terms, lambda totals: {"loss": totals[0] / len(stated.losses)}, seed=0
    )
    return [float(stated.losses.mean()), *values["loss"]]


def sure_rows(head, model, rows):
    """A dict for each rule of --abstain: what it chooses on validation and comes to on the test split."""
    found = []
    scores = {role: np.asarray(head.scores(logits)) for role, (logits, _) in rows.items()}
    for text in RULES:
        rule = checks.pick_abstention(text).build()
        made = head.abstain(rule, scores["validation"], rows["validation"][1])
        row = {"rule": text}
        for role, (_, labels) in rows.items():
            row[role] = abstention_details(made, labels, scores[role], text)["abstention"]
            row[role]["curve"] = []  # the table has no room for it
        found.append(row)
    return found


def temperature_text(values):
    """One temperature, or the range of several."""
    if not values:
        return "none"
    if len(values) == 1:
        return f"{values[0]:.2f}"
    changed = [value for value in values if value != 1.0]
    return f"{min(changed):.2f} to {max(changed):.2f}, {len(changed)} of {len(values)} labels"


def difference_text(gain, scale, digits):
    """A paired difference with its interval."""
    if not gain:
        return "0"
    values = [gain["difference"], *(gain["interval"] or [])]
    texts = [f"{scale * value:+.{digits}f}" for value in values]
    return f"{texts[0]} ({texts[1]} to {texts[2]})" if len(texts) == 3 else texts[0]


def calibration_row(title, row):
    """The cells of a run in the first table."""
    before, after = row["errors"]
    verdict = "not above" if before <= LIMIT else ("yes" if after <= before / 2 else "no")
    return [
        title,
        "{:,}, {:,}".format(*row["rows"]),
        temperature_text(row["temperatures"]),
        f"{100 * before:.1f}%",
        f"{100 * after:.1f}%",
        difference_text(row["gains"].get("calibration_error"), 100, 1),
        *(measuring.interval_text(loss, bounds) for loss, *bounds in row["losses"]),
        difference_text(row["gains"].get("loss"), 1, 3),
        verdict,
    ]


def sure_cells(title, row):
    """The cells of a rule on a run in the second table."""
    valid, test = (Abstention.from_details({"abstention": row[x]}) for x in ("validation", "test"))
    covered = size = ""
    if test.sets:
        low, high = bootstrap.share_interval(test.sets.num_covered, test.num_examples, 0.95)
        share = test.sets.num_covered / test.num_examples
        covered, size = f"{share:.1%} ({low:.1%} to {high:.1%})", f"{test.sets.mean_size:.2f}"
    right = "none"
    if test.num_answered:
        low, high = test.accuracy_interval
        right = f"{test.accuracy:.1%} ({low:.1%} to {high:.1%})"
    return [
        title,
        f"`{row['rule']}`",
        f"{test.threshold:.3f}",
        f"{valid.coverage:.1%}",
        f"{test.coverage:.1%}",
        right,
        f"{test.num_right_of_all / test.num_examples:.1%}",
        covered,
        size,
    ]


def main(argv=None):
    """Measures what is missing and prints both tables; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/calibration"))
    chosen = parser.parse_args(argv)
    notebook, rows, sure = measuring.Notebook(chosen.folder / "results.jsonl"), [], []
    for name in chosen.only.split(","):
        title, flags = CASES[name]

        def measured(name=name, flags=flags):
            measuring.train(chosen.folder, name, *flags, *USUAL)
            return measure(chosen.folder / name)

        row = notebook.get(name, measured)
        rows.append(calibration_row(title, row))
        sure += [sure_cells(title, part) for part in row["sure"]]
    print(measuring.table(HEADER, rows), measuring.table(SURE_HEADER, sure), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
