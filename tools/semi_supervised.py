"""Measures methods that learn from rows without labels beside the tuned light head, and prints the table.

    python tools/semi_supervised.py [--folder=runs/semi_supervised] [--only=movie,fashion,emoji] [--labels=4,25]
        [--draws=10] [--first=0] [--methods="probe;fixmatch;flexmatch(threshold=.9)"] [--flags=...] [--name=NAME]
        [--minutes=8]

A draw takes so many rows of each class, as --split=few_shot does. Rows without labels are the whole pool, labelled
ones among them. `probe` is the tuned light head on the labelled rows, and `all labels` the same head on all rows
of the pool with theirs: what answers could at most be worth. For --first, --flags, --name and --minutes see
few_shot_methods.py. Prints means over draws with Student's 95% intervals and the paired differences from `probe`.
Measurements are kept in FOLDER/semi_supervised.jsonl.
"""

import few_label_runs
import numpy as np

ALL = "all labels"
METHODS = [
    few_label_runs.PROBE,
    "label_propagation",
    "self_training",
    "pseudo_label",
    "fixmatch",
    "flexmatch",
    ALL,
]


def measure(case, count, draw, method, flags):
    """int64[M]: the answers of a method on one draw to the test rows."""
    if method == ALL:
        return case.light_answers(np.arange(len(case.pool)), draw)
    rows = case.draw(count, draw)
    if method == few_label_runs.PROBE:
        return case.light_answers(rows, draw)
    return case.trained_answers(rows, method, flags, reads_others=True)


def main():
    """Measures what is missing and prints the table."""
    options = few_label_runs.parser(__doc__, "runs/semi_supervised", "4,25", METHODS).parse_args()
    plain = (few_label_runs.PROBE, ALL)
    found = few_label_runs.Measurements(options, "semi_supervised.jsonl", measure, plain)
    header = ["data", "labels a class", "method", "draws", "test accuracy", "- probe, points", "s"]
    methods = options.methods.split(";")
    print(found.table(header, lambda case: methods))


if __name__ == "__main__":
    main()
