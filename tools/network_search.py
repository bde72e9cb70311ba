"""Compares the default run with the best of 20 trials of a search of whole networks, on five data sets.

    python tools/network_search.py [--folder=runs/network_search] [--only=digits,fashion,mnist,google,movie] [--seeds=1]
        [--first=0] [--trials=20] [--minutes=30]

Rows, networks and precision are those of tools/starts.py: 640 rows for training, 160 for validation, up to 1,000 others for
the test. The space is the one that `python -m tltf.search` has for --method=auto, which names methods and rates, with
the number of epochs; TPE draws as it does there. A trial is a training of its own, without early stopping of trials. Validation
chooses the best trial, and test rows judge it once. Beside it: the default run, `auto`, and the test accuracy of the trial
that is best on the test rows, which nobody knows. Prints a row per data set, with the difference of the two paired over
test rows and its 95% interval, and the methods of the three best trials. Each training is kept in
FOLDER/network_search.jsonl; after so many --minutes no training begins, and a later call goes on.
"""

import argparse
import functools
import json
import pathlib
import time

import keras
import measuring
import numpy as np
import search_regret
import starts

from tltf.config import default_spaces
from tltf.config.options import make
from tltf.evaluation import held_out
from tltf.experiments.search import repeats

CASES = ("digits", "fashion", "mnist", "google", "movie")
SPACE = default_spaces.space_of("auto") + "; train_epochs: [4, 8, 15]"
DEFAULT = "default"


class OutOfTimeError(Exception):
    """No further training is to begin."""


def train(case, seed, values):
    """The row of a training: its numbers on validation and test, and which test rows are right."""
    began = time.process_time()
    done, parts = starts.fit(case, seed, values)
    rows = {
        role: np.asarray(done.model.logits(parts[role], 128)) for role in ("validation", "test")
    }
    losses = done.model.core.head.losses(rows["validation"], np.asarray(parts.validation.labels))
    right = rows["test"].argmax(axis=1) == np.asarray(parts.test.labels)
    return {
        "validation": starts.accuracy_on(rows["validation"], parts.validation),
        "loss": float(np.mean(keras.ops.convert_to_numpy(losses))),
        "test": float(right.mean()),
        "right": "".join(map(str, right.astype(int))),
        "cpu_s": time.process_time() - began,
    }


def search(notebook, case, seed, options, ends):
    """The trials of a data set, as `search_regret.search` gives them.

    Raises:
        OutOfTimeError: a training is missing, and the minutes are over.
    """

    def fit(values):
        flags = repeats.used_values(make(), values)
        row = row_of(notebook, case, seed, flags, json.dumps(flags), ends)
        return row["validation"], row["loss"], row["test"]

    return search_regret.search(fit, SPACE, "tpe", seed, options.trials)


def row_of(notebook, case, seed, flags, name, ends):
    """The row of a training, which is measured where it is missing.

    Raises:
        OutOfTimeError: it is missing, and the minutes are over.
    """
    key = f"{case} {seed} {name}"
    if key not in notebook and time.monotonic() > ends:
        raise OutOfTimeError
    return notebook.get(key, functools.partial(train, case, seed, flags))


def rights(row):
    """bool[N]: which test rows a training has right."""
    return np.array([char == "1" for char in row["right"]])


def line_of(notebook, case, seed, trials, default):
    """The cells of a data set and a seed."""
    chosen = search_regret.incumbents(trials)[-1]
    flags = repeats.used_values(make(), chosen["values"])
    best = notebook.get(f"{case} {seed} {json.dumps(flags)}", dict)
    gap = held_out.compare(rights(default), rights(best))
    ranked = sorted(trials, key=lambda trial: (-trial["validation"], trial["loss"]))
    return [
        f"{case}, {seed}",
        f"{default['validation']:.3f}",
        f"{default['test']:.3f}",
        f"{chosen['validation']:.3f}",
        f"{chosen['test']:.3f}",
        f"{100 * gap.value:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})",
        f"{max(trial['test'] for trial in trials):.3f}",
        ", ".join(f"`{trial['values']['method']}`" for trial in ranked[:3]),
    ]


def main():
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/network_search")
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    notebook = measuring.Notebook(pathlib.Path(options.folder).resolve() / "network_search.jsonl")
    ends, table = time.monotonic() + 60 * options.minutes, []
    for seed in range(options.first, options.first + options.seeds):
        for case in options.only.split(","):
            try:
                default = row_of(notebook, case, seed, {}, DEFAULT, ends)
                trials = search(notebook, case, seed, options, ends)
            except OutOfTimeError:
                continue
            table.append(line_of(notebook, case, seed, trials, default))
            print(*table[-1], sep=" | ", flush=True)
    header = ["data, seed", "default, validation", "default, test", "best trial, validation"]
    header += ["best trial, test", "default - best trial, points", "best on test", "three best"]
    print(measuring.table(header, table))


if __name__ == "__main__":
    main()
