"""Kills trainings at random times and continues them by the same command, hundreds of times.

python tools/soak.py --kills=200 --seed=0 --folder=DIR

Small trainings on packaged data run in turn, each in processes of its own (a fork of a process with
TensorFlow's threads would not be safe). SIGKILL is sent at a time that is uniform between the start
and the end of the run, whose length an undisturbed run gives; some kills come while the process
still starts. Every row is kept in DIR/soak.jsonl, so the script itself can be stopped and continued.
It ends with exit code 1 if a run could not be read, lost more steps than lie between two
checkpoints, or ended with other results than the undisturbed run.
"""

import argparse
import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time
import warnings

import measuring
import numpy as np

from tltf.errors import TltfError
from tltf.runs import checkpoints
from tltf.runs import folder as runs_folder

DIGITS = (
    "--data=digits(num_train=400, num_test=100)",
    "--backbone=small_cnn(filters=[16, 16])",
    "--batch_size=8",
    "--learning_rate=.01",
    "--export=false",
)
DROPOUT = "--head=classify(dropout=.2)"
TRAININGS = {
    "full": (*DIGITS, DROPOUT, "--method=full", "--train_epochs=6"),
    "full, ema": (
        *DIGITS,
        DROPOUT,
        "--method=full",
        "--train_epochs=6",
        "--ema_decay=.99",
        "--optimizer=adamw",
        "--augment=crop",
        "--checkpoint_minutes=.005",
    ),
    "gradual": (*DIGITS, DROPOUT, "--method=gradual(stages=2)", "--train_epochs=9"),
    "lp_ft": (*DIGITS, "--method=lp_ft", "--train_epochs=6", "--schedule=plateau"),
}
STEPS_PER_EPOCH = 50
"""400 rows in batches of 8; each epoch ends with a checkpoint, so a kill loses fewer steps."""
OUTPUT = "output.txt"
"""The file of a training's folder with the output of its last process."""
EARLY = 0.1
"""Share of the kills that come while the process may still be starting."""
HEADER = [
    "training",
    "kills",
    "finished",
    "unreadable",
    "most steps lost",
    "steps between checkpoints",
    "equal to the undisturbed run",
    "seconds per kill",
]


@dataclasses.dataclass
class Soak:
    """The trainings and kills of this script.

    Args:
        folder: folder of the runs.
        seed: seed of the times at which runs are killed.
        notebook: measuring.Notebook of the rows.
    """

    folder: pathlib.Path
    seed: int
    notebook: measuring.Notebook

    def start(self, name, place):
        """Starts the process of a training in the folder `place`, and returns it."""
        place.mkdir(parents=True, exist_ok=True)
        (place / "steps").unlink(missing_ok=True)
        script = str(pathlib.Path(__file__).with_name("soak_training.py"))
        command = [
            sys.executable,
            script,
            str(place / "steps"),
            *TRAININGS[name],
            f"--output={place / 'run'}",
        ]
        environment = os.environ | {"TLTF_CACHE": str(place / "cache")}
        with open(place / OUTPUT, "wb") as output:
            return subprocess.Popen(command, stdout=output, stderr=output, env=environment)

    def reference(self, name):
        """The row of a training that nothing stops: its outcome and its duration."""

        def measure():
            place = self.folder / "undisturbed" / slug(name)
            shutil.rmtree(place, ignore_errors=True)
            begun = time.monotonic()
            child = self.start(name, place)
            claimed = wait_for_start(child, place)
            if child.wait():
                raise SystemExit(f"{name}: {(place / OUTPUT).read_text()[-500:]}")
            ended = time.monotonic()
            return {
                "outcome": outcome(place / "run"),
                "start_s": claimed - begun,
                "run_s": ended - claimed,
            }

        return self.notebook.get(f"undisturbed {name}", measure)

    def kill(self, number, training, name):
        """The row of kill `number`: continues a training, and kills it unless it ends before."""
        reference, place = self.reference(name), self.folder / f"training_{training}"
        draw = np.random.default_rng((self.seed, number))
        is_early = draw.uniform() < EARLY
        delay_s = draw.uniform(0, reference["start_s" if is_early else "run_s"])
        begun = time.monotonic()
        child = self.start(name, place)
        if not is_early:
            wait_for_start(child, place)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(delay_s)
        child.send_signal(signal.SIGKILL)
        code = child.wait()
        row = {
            "name": name,
            "training": training,
            "delay_s": delay_s,
            "code": code,
            "is_early": bool(is_early),
            "lost": lost_steps(place) if code else 0,
            "fault": fault(place, code),
            "seconds": time.monotonic() - begun,
        }
        return self.add_result(row, place)

    def end(self, training, name):
        """The row of a training that is continued to its end."""
        place, begun = self.folder / f"training_{training}", time.monotonic()
        code = self.start(name, place).wait()
        row = {
            "name": name,
            "training": training,
            "code": code,
            "lost": 0,
            "fault": fault(place, code),
            "seconds": time.monotonic() - begun,
        }
        return self.add_result(row, place)

    def add_result(self, row, place):
        """Adds to the row whether the training is over, and if so whether its outcome is right.

        A run that was killed in its last moment may be over. The outcome is right if it equals that
        of the undisturbed run; the folder is then removed.
        """
        row["is_over"] = not row["fault"] and runs_folder.read_status(place / "run") == "finished"
        if row["is_over"]:
            row["is_equal"] = outcome(place / "run") == self.reference(row["name"])["outcome"]
            if row["is_equal"]:
                shutil.rmtree(place)
        return row


def slug(name):
    """The name of a training as the name of a folder."""
    return "".join(c if c.isalnum() else "_" for c in name)


def wait_for_start(child, place):
    """Waits until the process has claimed its run folder or has ended; returns time.monotonic()."""
    owner = place / "run" / ".lock.owner"
    while child.poll() is None:
        with contextlib.suppress(OSError):
            if f" {child.pid} " in owner.read_text():
                break
        time.sleep(0.01)
    return time.monotonic()


def lost_steps(place):
    """The number of steps that a killed process had taken since its last checkpoint."""
    try:
        return int.from_bytes((place / "steps").read_bytes(), "little")
    except FileNotFoundError:  # killed while it started
        return 0


def fault(place, code):
    """The fault of a run that was killed or has ended; empty if there is none."""
    if code not in (0, -signal.SIGKILL):
        return f"exit {code}: " + (place / OUTPUT).read_text(errors="replace")[-300:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            checkpoints.newest(place / "run")
        except (TltfError, UserWarning) as error:
            return str(error)
    return ""


def outcome(run):
    """The SHA-256 of the final weights and of the predictions."""
    (weights,) = run.glob("model/v*/core.safetensors")
    return [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (weights, run / "predictions.csv")
    ]


def soak(work, num_kills):
    """The rows of `num_kills` kills; the last training is continued to its end."""
    names, rows = list(TRAININGS), []
    training = kills = 0
    while kills < num_kills or not is_done(rows[-1]):
        name, number = names[training % len(names)], len(rows)
        key, measure = f"kill {number}", functools.partial(work.kill, number)
        if kills >= num_kills:
            key, measure = f"end {number}", work.end
        rows.append(work.notebook.get(key, functools.partial(measure, training, name)))
        kills += rows[-1]["code"] == -signal.SIGKILL
        if is_done(rows[-1]):
            print_training(rows, training)
            training += 1
    return rows


def is_done(row):
    """Whether the next row belongs to another training."""
    return row["is_over"] or bool(row["fault"])


def print_training(rows, training):
    """Prints one line on standard error for a training that is over."""
    mine = [row for row in rows if row["training"] == training]
    last, kills = mine[-1], sum(row["code"] == -signal.SIGKILL for row in mine)
    how = last["fault"] or ("equal" if last["is_equal"] else "NOT EQUAL")
    print(f"training {training}, {last['name']}: {kills} kills, {how}", file=sys.stderr, flush=True)


def line(name, rows):
    """The row of the table for a training, from the rows of its kills."""
    killed = [row for row in rows if row["code"] == -signal.SIGKILL]
    ended = [row for row in rows if row["is_over"]]
    equal = sum(row["is_equal"] for row in ended)
    seconds = f"{statistics.mean(row['seconds'] for row in killed):.1f}" if killed else ""
    return [
        name,
        len(killed),
        len(ended),
        sum(bool(row["fault"]) for row in rows),
        max((row["lost"] for row in rows), default=0),
        STEPS_PER_EPOCH,
        f"{equal} of {len(ended)}",
        seconds,
    ]


def is_bad(row):
    """Whether a run could not be read, ended with another outcome, or lost too many steps."""
    return bool(row["fault"]) or not row.get("is_equal", True) or row["lost"] > STEPS_PER_EPOCH


def main():
    """Kills, prints the table, and returns 1 if something was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="number of kills")
    parser.add_argument("--seed", type=int, default=0, help="seed of the times of the kills")
    parser.add_argument(
        "--folder",
        type=pathlib.Path,
        default=pathlib.Path("runs/soak"),
        help="folder of the runs and of soak.jsonl",
    )
    chosen = parser.parse_args()
    folder = chosen.folder.resolve() / f"seed_{chosen.seed}"
    work = Soak(folder, chosen.seed, measuring.Notebook(folder / "soak.jsonl"))
    rows = soak(work, chosen.kills)
    by_name = {name: [row for row in rows if row["name"] == name] for name in TRAININGS}
    lines = [line(name, mine) for name, mine in by_name.items() if mine]
    print(measuring.table(HEADER, [*lines, line("all", rows)]))
    return int(any(map(is_bad, rows)))


if __name__ == "__main__":
    sys.exit(main())
