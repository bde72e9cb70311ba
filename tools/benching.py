"""The parts of the bench scripts: processes that are measured, paired ratios, gates and table rows.

This module does not import TensorFlow: the script that measures must stay small, since Linux counts
the memory of a process into the peak of the processes that it starts.
"""

import dataclasses
import json
import os
import pathlib
import platform
import resource
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
"""Medians of accuracies that differ by at most this count as equal: one standard error of 2,000 test
rows."""
MB_PER_RSS_UNIT = 1 / 1024 if sys.platform != "darwin" else 1 / 2**20
"""MB per unit of `ru_maxrss`, which is 1 KB on Linux and 1 byte on macOS."""


@dataclasses.dataclass(frozen=True)
class Gate:
    """The limit that a ratio must reach.

    Args:
        sign: `>=` for the time of the other side per time of tltf, `<=` for the time (or memory) of
            tltf per time of the other side.
        bound: the limit; None where the comparison has none.
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


FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
"""What processors can do that matters to networks, as Linux names it."""


def processor():
    """`AMD EPYC, 2 cores, avx2 avx512f`: the processor that measured, which belongs to every table."""
    found = {}
    path = pathlib.Path("/proc/cpuinfo")
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    flags = set(found.get("flags", "").split())
    name = found.get("model name", platform.processor() or "unknown processor")
    return f"{name}, {os.cpu_count()} cores, {' '.join(flag for flag in FLAGS if flag in flags)}"


def spread(values):
    """`(median, lowest, highest)` of numbers."""
    return statistics.median(values), min(values), max(values)


def in_turn(sides, pair):
    """The sides in the order of a pair.

    The order alternates between pairs, so that no side always comes first.
    """
    return list(sides) if pair % 2 == 0 else list(reversed(sides))


def comparison(work, side, gate, ours, others, field="seconds"):
    """The row of a table that compares two sides over all pairs.

    Args:
        work: name of the row.
        side: the side that tltf is compared with.
        gate: the Gate.
        ours: tltf's measurements, one per pair: dicts with `field`, and with accuracy and peak_mb
            where they are known.
        others: the measurements of the other side.
        field: the field of which the ratio is computed.
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
    """`met`, `missed`, or empty without a limit; a side that is faster but less accurate misses it."""
    if gate.bound is None:
        return ""
    mine, other = middle_of(ours, "accuracy"), middle_of(others, "accuracy")
    if mine is not None and other is not None and mine < other - ACCURACY_SLACK:
        return "missed: less accurate"
    return "met" if gate.is_met(ratio) else "missed"


def both(ours, others, field, form):
    """`1.2 / 3.4`: the medians of a field on both sides; blank for a side that lacks it."""
    sides = [middle_of(rows, field) for rows in (ours, others)]
    return " / ".join("" if value is None else format(value, form) for value in sides)


def middle_of(rows, field):
    """The median of a field; None where a row lacks it."""
    values = [row.get(field) for row in rows]
    return None if None in values else statistics.median(values)


def run_process(command, **settings):
    """Runs a command and returns `(its standard output, its peak resident memory in MB)`.

    Args:
        command: the program and its arguments.
        settings: more arguments of subprocess.Popen.

    Raises:
        CalledProcessError: the command failed.
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
    return text, usage.ru_maxrss * MB_PER_RSS_UNIT


def child_cpu_s():
    """The processor seconds of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_side(python, script, work, environment):
    """Runs the script of a side; returns the measurement in its last line, with peak_mb.

    Args:
        python: the interpreter.
        script: name of a file in the folder of this one.
        work: bench_work.Work.
        environment: environment variables of the process.
    """
    path = pathlib.Path(__file__).with_name(script)
    text, peak_mb = run_process([python, str(path), work.text()], env=environment)
    return {**json.loads(text.splitlines()[-1]), "peak_mb": peak_mb}


class Cache:
    """A cache folder with the assets of the user's cache folder and a feature cache of its own.

    So a run can start with an empty feature cache, and the user's features are kept.

    Args:
        folder: the folder that is made.
        real: the user's cache folder, whose assets are linked.
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
        """Empties the feature cache."""
        shutil.rmtree(self.folder / "features", ignore_errors=True)

    def environment(self):
        """The environment variables of this process, changed to use this cache."""
        return {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "TLTF_CACHE": str(self.folder)}
