"""A program in place of a trial's training, which imports no TensorFlow and does what --title says."""

import dataclasses
import json
import os
import pathlib
import signal
import sys
import time

from tltf.config.options import Options
from tltf.console import command, signals
from tltf.experiments.search import train_trial
from tltf.experiments.search.trial import Score


def log_epoch(run, number):
    row = {"phase": "full", "epoch": number, "val_loss": 1 / number, "val_accuracy": number / 4}
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def service(options):
    run = pathlib.Path(options.output.output)
    title = options.output.title
    if title == "out of memory":
        print("tltf: error[5] --batch_size: out of memory with 32 rows per batch", file=sys.stderr)
        return 5
    if title == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if title == "crashed":
        os.kill(os.getpid(), signal.SIGSEGV)
    if title == "asked to end":
        return signals.EXIT_CODE
    if title == "silent":
        return 3
    if title == "epochs":
        (run / "metrics.jsonl").unlink(missing_ok=True)
        for number in (1, 2, 3):
            log_epoch(run, number)
        score = Score(0.75, 0.4, "accuracy", num_rows=9)
        (run / "score.json").write_text(json.dumps(dataclasses.asdict(score)))
    if title == "forever":
        _work_until_asked(run)
    return 0


def _work_until_asked(run):
    train_trial._end_with_parent()
    number = 0
    try:
        while True:
            number += 1
            log_epoch(run, number)
            time.sleep(0.1)
    except KeyboardInterrupt:
        (run / "ended.txt").write_text("in order")
        raise


if __name__ == "__main__":
    command.start(lambda argv: command.run(Options, service, argv, __doc__))
