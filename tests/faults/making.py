"""Rows of the matrix of bad inputs as cases: makes the input, runs a command, judges what it did."""

import contextlib
import ctypes
import dataclasses
import hashlib
import importlib
import io
import json
import os
import pathlib
import re
import stat
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
LENIENT = ("--max_bad_fraction=.5", "--nonear_duplicates")
COVERED = {}
"""Number of a row -> names of its cases."""
COUNTS = re.compile(
    r"([\d,]+) found = ([\d,]+) used \+ ([\d,]+) skipped \+ ([\d,]+) excluded"
    r"(?:; (\d+) other files? ignored)?"
)
CAPABILITIES = (1, 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: what lets root read files of mode 000."""
PR_CAPBSET_DROP = 24
LIBC = ctypes.CDLL(None)


@dataclasses.dataclass(frozen=True)
class Case:
    """A row of the matrix, or one kind of it.

    Args:
        row: its number, 1 to 98.
        what: names it among the cases of the row.
        make: folder -> the call string of --data that `check` scans, or all arguments as a list;
            makes the input in the folder.
        code: the exit code.
        said: words that must be in the error, or where there is none on standard output.
        counts: used, skipped, excluded rows and ignored files; empty: not looked at.
        listed: end of an id -> words of its reason, all that data_report.jsonl lists.
        flags: more arguments.
        command: module of tltf.
        is_program: runs in a process of its own.
        differs: how the program differs from the matrix; empty where it does not.
    """

    row: int
    what: str
    make: Callable
    code: int = 0
    said: tuple = ()
    counts: tuple = ()
    listed: dict = dataclasses.field(default_factory=dict)
    flags: tuple = LENIENT
    command: str = "check"
    is_program: bool = False
    differs: str = ""


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command did: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


def covers(*rows):
    """A decorator for a test of rows of the matrix that is not a table of cases."""

    def covered(test):
        for row in rows:
            COVERED.setdefault(row, []).append(test.__name__)
        return test

    return covered


def differs(reason):
    """Marks a test of what the matrix wants and the program does not do."""
    return pytest.mark.xfail(strict=True, reason=reason)


def table(*cases):
    """Parametrizes a test by `case`."""
    for case in cases:
        COVERED.setdefault(case.row, []).append(case.what)
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(
                case,
                id=f"{case.row:02}-{case.what.replace(' ', '_')}",
                marks=[differs(case.differs)] if case.differs else [],
            )
            for case in cases
        ],
    )


def judge(case, folder, capfd):
    """Runs a Case in `folder` and asserts all that the matrix says of it; returns the Done."""
    data, output = folder / "data", folder / "out"
    data.mkdir()
    given = case.make(data)
    before = snapshot(data)
    argv = [f"--data={given}", f"--output={output}"] if isinstance(given, str) else list(given)
    done = run(case.command, [*argv, *case.flags], capfd, is_program=case.is_program)
    done = Done(done.code, *(text.replace(str(folder), "") for text in (done.out, done.err)))
    assert snapshot(data) == before, "the user's files were changed"
    require(done, case.code, case.said, is_alone=case.is_program)
    if case.code == 0 and case.counts:
        require_counts(done.out, output, case)
    return done


def require(done, code, said=(), *, is_alone=False):
    """Asserts the exit code, and the one line of an error or the words on standard output."""
    assert done.code == code, done
    assert "Traceback" not in done.err
    errors = [line for line in done.err.splitlines() if line.startswith("tltf: error[")]
    if code == 0:
        assert not errors
        assert [word for word in said if word not in done.out] == [], done.out
        return
    assert len(errors) == 1 and errors[0].startswith(f"tltf: error[{code}] "), done.err
    assert not is_alone or done.err.splitlines() == errors, done.err
    assert [word for word in said if word not in errors[0]] == [], errors[0]


def require_counts(out, output, case):
    """Asserts found = used + skipped + excluded, and that each row left out is listed."""
    groups = COUNTS.search(out).groups()
    found, *counts = (int((text or "0").replace(",", "")) for text in groups)
    assert tuple(counts) == case.counts, out
    assert found == sum(counts[:3])
    rows = [json.loads(line) for line in (output / "data_report.jsonl").open(encoding="utf-8")]
    left_out = [row for row in rows if row["what"] != "near"]
    assert len(left_out) == counts[1] + counts[2]
    reasons = {row["id"]: row["reason"] for row in left_out}
    assert len(reasons) == len(left_out) == len(case.listed), reasons
    for end, words in case.listed.items():
        (reason,) = [reason for row_id, reason in reasons.items() if row_id.endswith(end)]
        assert words in reason


def run(command, argv, capfd, *, is_program=False, **settings):
    """The Done of a command, in this process by default."""
    if is_program:
        return run_program(command, argv, **settings)
    capfd.readouterr()
    code = importlib.import_module(f"tltf.{command}").main(list(argv))
    captured = capfd.readouterr()
    return Done(code, captured.out, captured.err)


def run_program(command, argv, **settings):
    """The Done of `python -m tltf.<command>` as a terminal would show it: UTF-8 and nothing else."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_CPP")}
    environment |= {"PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(
        [sys.executable, "-m", f"tltf.{command}", *argv],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=240,
        check=False,
        **settings,
    )
    return Done(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))


def without_roots_rights():
    """In a new process, before it starts: root may then read only what its owner may."""
    for capability in CAPABILITIES:
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def snapshot(folder):
    """path -> kind, size, time of change and hash of everything in a folder; links unfollowed."""
    found = {}
    for root, folders, names in os.walk(os.fsencode(folder)):
        for name in folders + names:
            path = os.path.join(root, name)
            status = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(status.st_mode) else b""
            if stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK):
                content = hashlib.sha256(pathlib.Path(os.fsdecode(path)).read_bytes()).digest()
            found[path] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
    return found


@contextlib.contextmanager
def bounded_memory(most_mb):
    """A block whose peak of resident memory is at most so much above the beginning."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    except OSError:
        pytest.skip("this system does not tell the peak of memory in use")
    before = _peak_mb()
    yield
    assert _peak_mb() - before <= most_mb


def _peak_mb():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def picture(seed, size=(24, 20)):
    """An Image of noise, `size` being width and height."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def encoded(image, kind="PNG", **settings):
    """The bytes of an Image in a format."""
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def put(folder, files):
    """Writes files, name -> bytes, text, an Image (as PNG) or a function that gives one of these."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = content() if callable(content) else content
        content = encoded(content) if isinstance(content, Image.Image) else content
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return folder


def classes(folder, count=4, labels=("cat", "dog"), first=0):
    """A folder of `count` good pictures per class."""
    for number, label in enumerate(labels):
        seeds = range(first + 1000 * number, first + 1000 * number + count)
        put(folder / label, {f"{seed}.png": picture(seed) for seed in seeds})
    return folder


def records(path, rows, compression=""):
    """A TFRecord file of dicts of bytes, int or float, one an example."""
    import tensorflow as tf

    kinds = {
        bytes: lambda value: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])),
        int: lambda value: tf.train.Feature(int64_list=tf.train.Int64List(value=[value])),
        float: lambda value: tf.train.Feature(float_list=tf.train.FloatList(value=[value])),
    }
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for row in rows:
            features = {name: kinds[type(value)](value) for name, value in row.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    return path


def call(folder):
    """The call string of an image folder."""
    return f"image_folder(path={folder})"


def beside(files):
    """A `make` for a Case: eight good pictures of two classes, and `files` beside them."""

    def make(folder):
        put(classes(folder), files)
        return call(folder)

    return make


def only(files):
    """A `make` for a Case: nothing but `files`."""

    def make(folder):
        return call(put(folder, files))

    return make
