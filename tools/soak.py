"""Kills trainings at random times and goes on with the same command, hundreds of times.

python tools/soak.py --kills=200 --seed=0 --folder=DIR

Small trainings on packaged data run in turn, each in processes of its own (a fork of a process that
has TensorFlow's threads would not be sound). SIGKILL comes at a time that is uniform between the
start of the run and its end, as the undisturbed one took it; now and then sooner. Every line is kept
in DIR/soak.jsonl, so the script itself can be stopped and goes on. It ends with 1 where a run could
not be read, lost more steps than lie between two checkpoints, or ended otherwise than the undisturbed one.
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
STEPS_AN_EPOCH = 50
"""400 rows in batches of 8; an epoch's end is a checkpoint, so a kill loses fewer."""
EARLY = 0.1
"""Share of the kills that may come while the process still starts."""
HEADER = [
    "training",
    "kills",
    "finished",
    "unreadable",
    "most steps lost",
    "steps between checkpoints",
    "equal to the undisturbed run",
    "seconds a kill",
]


@dataclasses.dataclass
class Soak:
    """What the script works on.

    Args:
        folder: of runs and lines.
        seed: of the times.
        notebook: measuring.Notebook.
    """

    folder: pathlib.Path
    seed: int
    notebook: measuring.Notebook

    def started(self, name, place):
        """A training's process, in folder `place`."""
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
        with open(place / "said", "wb") as said:
            return subprocess.Popen(command, stdout=said, stderr=said, env=environment)

    def reference(self, name):
        """The row of a training that nothing stops: its outcome, and how long it takes."""

        def measure():
            place = self.folder / "undisturbed" / slug(name)
            shutil.rmtree(place, ignore_errors=True)
            begun = time.monotonic()
            child = self.started(name, place)
            claimed = wait_for_start(child, place)
            if child.wait():
                raise SystemExit(f"{name}: {(place / 'said').read_text()[-500:]}")
            ended = time.monotonic()
            return {
                "outcome": outcome(place / "run"),
                "start_s": claimed - begun,
                "run_s": ended - claimed,
            }

        return self.notebook.get(f"undisturbed {name}", measure)

    def kill(self, number, training, name):
        """The row of kill `number`: goes on with a training, and kills it if it is not done before."""
        reference, place = self.reference(name), self.folder / f"training_{training}"
        draw = np.random.default_rng((self.seed, number))
        is_early = draw.uniform() < EARLY
        delay_s = draw.uniform(0, reference["start_s" if is_early else "run_s"])
        begun = time.monotonic()
        child = self.started(name, place)
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
        return self.judged(row, place)

    def end(self, training, name):
        """The row of a training that is let go to its end."""
        place, begun = self.folder / f"training_{training}", time.monotonic()
        code = self.started(name, place).wait()
        row = {
            "name": name,
            "training": training,
            "code": code,
            "lost": 0,
            "fault": fault(place, code),
            "seconds": time.monotonic() - begun,
        }
        return self.judged(row, place)

    def judged(self, row, place):
        """The row with whether the training is over, killed in its last moment or not, and then
        whether it is as the undisturbed one; if so its folder is removed."""
        row["is_over"] = not row["fault"] and runs_folder.read_status(place / "run") == "finished"
        if row["is_over"]:
            row["is_equal"] = outcome(place / "run") == self.reference(row["name"])["outcome"]
            if row["is_equal"]:
                shutil.rmtree(place)
        return row


def slug(name):
    """A folder's name."""
    return "".join(c if c.isalnum() else "_" for c in name)


def wait_for_start(child, place):
    """time.monotonic() when the process has its run folder, or has ended."""
    owner = place / "run" / ".lock.owner"
    while child.poll() is None:
        with contextlib.suppress(OSError):
            if f" {child.pid} " in owner.read_text():
                break
        time.sleep(0.01)
    return time.monotonic()


def lost_steps(place):
    """The steps that a killed process had done since its last checkpoint."""
    try:
        return int.from_bytes((place / "steps").read_bytes(), "little")
    except FileNotFoundError:  # killed while it started
        return 0


def fault(place, code):
    """What is wrong with a run that was killed or has ended; empty where nothing is."""
    if code not in (0, -signal.SIGKILL):
        return f"exit {code}: " + (place / "said").read_text(errors="replace")[-300:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            checkpoints.newest(place / "run")
        except (TltfError, UserWarning) as error:
            return str(error)
    return ""


def outcome(run):
    """SHA-256 of the final weights and of the predictions."""
    (weights,) = run.glob("model/v*/core.safetensors")
    return [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (weights, run / "predictions.csv")
    ]


def soak(work, num_kills):
    """All rows of `num_kills` kills and of the trainings that they came to; the last one is ended."""
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
            say(rows, training)
            training += 1
    return rows


def is_done(row):
    """Whether the next row is of another training."""
    return row["is_over"] or bool(row["fault"])


def say(rows, training):
    """One line on standard error for a training that is over."""
    mine = [row for row in rows if row["training"] == training]
    last, kills = mine[-1], sum(row["code"] == -signal.SIGKILL for row in mine)
    how = last["fault"] or ("equal" if last["is_equal"] else "NOT EQUAL")
    print(f"training {training}, {last['name']}: {kills} kills, {how}", file=sys.stderr, flush=True)


def line(name, rows):
    """The line of the table of some rows."""
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
        STEPS_AN_EPOCH,
        f"{equal} of {len(ended)}",
        seconds,
    ]


def is_bad(row):
    """Whether a run could not be read, ended otherwise, or lost more than a checkpoint interval."""
    return bool(row["fault"]) or not row.get("is_equal", True) or row["lost"] > STEPS_AN_EPOCH


def main():
    """Kills, prints the table, returns 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/soak"))
    given = parser.parse_args()
    folder = given.folder.resolve() / f"seed_{given.seed}"
    work = Soak(folder, given.seed, measuring.Notebook(folder / "soak.jsonl"))
    rows = soak(work, given.kills)
    by_name = {name: [row for row in rows if row["name"] == name] for name in TRAININGS}
    lines = [line(name, mine) for name, mine in by_name.items() if mine]
    print(measuring.table(HEADER, [*lines, line("all", rows)]))
    return int(any(map(is_bad, rows)))


if __name__ == "__main__":
    sys.exit(main())
