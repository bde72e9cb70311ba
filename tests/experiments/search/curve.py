"""Searches whose trials are a formula, so that they take no time; also as a program that kills itself.

python -m tests.experiments.search.curve FOLDER TRIALS KILL_AT [PAUSE_S] runs a search in a folder, and ends it by SIGKILL
when its trials have told of KILL_AT steps together, 0 for never.
"""

import math
import os
import pathlib
import signal
import sys
import time

from tltf.config.options import make
from tltf.config.search_options import SearchOptions
from tltf.experiments.search import searching
from tltf.experiments.search.trial import COMPLETE, PRUNED, UNFINISHED, Outcome, Score

SPACE = "learning_rate: log(1e-5, 1e-1); method: [full, lora(rank=4)]"
STEPS = 4


def options(folder, **flags):
    given = {
        "data": "digits",
        "backbone": "small_cnn",
        "space": SPACE,
        "pruner": "none",
        "trials": 6,
    }
    return make(SearchOptions, **{**given, "output": str(folder), "quiet": True, **flags})


def quality(run):
    """Best at a rate of 1e-3, and better with `full`."""
    best = 1 - (math.log10(run.train.learning_rate) + 3) ** 2 / 10
    return best - 0.1 * (run.train.method != "full")


def runner(steps=STEPS, heard=None, pause_s=0.0):
    """A runner that gets better in each step, and calls `heard` with the run after it has told of one."""

    def run(one, watch):
        for step in range(1, steps + 1):
            time.sleep(pause_s)
            is_pruned = watch.report(step, quality(one) - 1 / step)
            if heard:
                heard(one)
            if is_pruned:
                return Outcome(PRUNED)
            if watch.is_over():
                return Outcome(UNFINISHED)
        value = quality(one)
        return Outcome(COMPLETE, Score(value, 1 - value, "accuracy", num_rows=50))

    return run


def main(folder, trials, kill_at, pause_s="0"):
    told = []

    def heard(one):
        told.append(one.output.output)
        with open(pathlib.Path(folder) / "told.txt", "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {one.output.output}\n")
        if len(told) == int(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)

    chosen = options(folder, trials=int(trials))
    searching.run(chosen, runner(heard=heard, pause_s=float(pause_s)), finishes=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
