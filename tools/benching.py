"""What bench_transfer.py is made of: processes that measure, paired ratios, gates and lines.

Free of TensorFlow: the driver must stay small, since Linux counts the memory of the process
that starts another into the other's peak.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

HEADER = [
    "work",
    "against",
    "ratio (lowest to highest)",
    "gate",
    "verdict",
    "accuracy tltf / other",
    "seconds tltf / other",
    "peak MB tltf / other",
]
ACCURACY_SLACK = 0.01
"""Medians of accuracies this far apart count as equal: one standard error of 2,000 test rows."""
MB_A_RSS_UNIT = 1 / 1024 if sys.platform != "darwin" else 1 / 2**20


@dataclasses.dataclass(frozen=True)
class Gate:
    """What a ratio must reach.

    Args:
        sign: `>=` for how many times slower the other side is, `<=` for how much of the other
            side's time (or memory) tltf takes.
        bound: None where the comparison has no gate.
    """

    sign: str
    bound: float | None = None

    def ratio(self, ours, other):
        """The ratio of one pair of measurements, in the direction of the gate."""
        return other / ours if self.sign == ">=" else ours / other

    def is_met(self, ratio):
        """Whether a ratio reaches the gate."""
        return ratio >= self.bound if self.sign == ">=" else ratio <= self.bound

    def __str__(self):
        return "" if self.bound is None else f"{self.sign} {self.bound:g}"


def spread(values):
    """`(median, lowest, highest)`."""
    return statistics.median(values), min(values), max(values)


def in_turn(sides, pair):
    """The sides in the order of a pair: every other pair backwards, so that no side is always
    the one that finds the machine warm."""
    return list(sides) if pair % 2 == 0 else list(reversed(sides))


def comparison(work, side, gate, ours, others, field="seconds"):
    """The line of a table that compares two sides over all pairs.

    Args:
        work: name of the row.
        side: what tltf is compared with.
        gate: Gate.
        ours: a dict a pair with `field`, and accuracy and peak_mb where they are known.
        others: the same of the other side.
        field: what the ratio is taken of.
    """
    pairs = list(zip(ours, others, strict=True))
    middle, low, high = spread([gate.ratio(a[field], b[field]) for a, b in pairs])
    return [
        work,
        side,
        f"{middle:.2f} ({low:.2f} to {high:.2f})",
        str(gate),
        verdict(gate, middle, ours, others),
        both(ours, others, "accuracy", ".3f"),
        both(ours, others, field if field != "peak_mb" else "seconds", ".3g"),
        both(ours, others, "peak_mb", ".0f"),
    ]


def verdict(gate, ratio, ours, others):
    """`met`, `missed`, or empty without a gate; what is faster but worse has missed it."""
    if gate.bound is None:
        return ""
    mine, other = middle_of(ours, "accuracy"), middle_of(others, "accuracy")
    if mine is not None and other is not None and mine < other - ACCURACY_SLACK:
        return "missed: less accurate"
    return "met" if gate.is_met(ratio) else "missed"


def both(ours, others, field, form):
    """`1.2 / 3.4`, the medians of a field; a blank where a side does not have it."""
    sides = [middle_of(rows, field) for rows in (ours, others)]
    return " / ".join("" if value is None else format(value, form) for value in sides)


def middle_of(rows, field):
    """The median of a field; None where rows do not have it."""
    values = [row.get(field) for row in rows]
    return None if None in values else statistics.median(values)


def process(command, **settings):
    """Runs a command; `(its standard output, peak resident memory in MB)`.

    Args:
        command: list of str.
        settings: of subprocess.Popen.

    Raises:
        CalledProcessError: it failed.
    """
    print("$ " + " ".join(command), file=sys.stderr, flush=True)
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **settings)
    try:
        with child.stdout:
            text = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
    except KeyboardInterrupt:
        child.terminate()
        raise
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command, text)
    return text, usage.ru_maxrss * MB_A_RSS_UNIT


def side(python, script, work, environment):
    """The row that a side's script prints as its last line, with peak_mb.

    Args:
        python: the interpreter.
        script: file beside this one.
        work: bench_work.Work.
        environment: environment variables.
    """
    path = pathlib.Path(__file__).with_name(script)
    text, peak_mb = process([python, str(path), work.text()], env=environment)
    return {**json.loads(text.splitlines()[-1]), "peak_mb": peak_mb}


class Cache:
    """A cache folder with the assets of the real one, and a features store of its own.

    So a run can start with a cold store, and nobody's features are removed.

    Args:
        folder: of the cache.
        real: the cache folder whose entries are linked.
    """

    def __init__(self, folder, real):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("assets", "converted", "downloads", "locks"):
            link, target = self.folder / name, pathlib.Path(real) / name
            target.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(target.resolve(), target_is_directory=True)

    def forget(self):
        """Removes all features."""
        shutil.rmtree(self.folder / "features", ignore_errors=True)

    def environment(self):
        """The variables of this process, with this cache."""
        return {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "TLTF_CACHE": str(self.folder)}
