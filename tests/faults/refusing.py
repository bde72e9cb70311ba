"""Cases of hostile files: what is given to a command, and that its refusal was harmless."""

import contextlib
import dataclasses
import os
import signal

import pytest

from tests import served
from tests.faults import hostile
from tests.faults.making import (
    COVERED,
    Case,
    bounded_memory,
    require,
    run,
    snapshot,
)
from tltf import train

MOST_MB, MOST_SECONDS = 300, 40
TRAIN = ["--data=digits", f"--backbone={hostile.BACKBONE}", "--dry_run", "--nonear_duplicates"]


@dataclasses.dataclass(frozen=True)
class Hostile(Case):
    """A Case of a hostile file.

    Args:
        is_large: only run with the slow tests: another case of the suite is much like it.
    """

    is_large: bool = False


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
                marks=[pytest.mark.large] if case.is_large or case.is_program else [],
            )
            for case in cases
        ],
    )


@pytest.fixture(scope="module", autouse=True)
def warm():
    """What is imported and kept by the first run is not laid to the first case."""
    assert train.main(TRAIN) == 0
    served.image_once()


@contextlib.contextmanager
def bounded_time(seconds=MOST_SECONDS):
    """A block that is broken off: a read of a pipe would wait for ever."""

    def late(*_):
        raise AssertionError(f"not refused within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def harmless(tmp_path):
    """A block after which there is no canary and no file that was not there before."""
    before = snapshot(tmp_path)
    with bounded_memory(MOST_MB), bounded_time():
        yield
    assert not hostile.canary(tmp_path / "data").exists(), "code in the file was run"
    assert snapshot(tmp_path) == before, "something was written or changed"
    assert not os.path.exists(hostile.ABSOLUTE)


def refused(case, tmp_path, capfd):
    """Runs a case and asserts its exit code, its one line, and that it was harmless."""
    data = tmp_path / "data"
    hostile.surroundings(data)
    argv = case.make(data)
    with harmless(tmp_path):
        done = run(case.command, argv, capfd, is_program=case.is_program)
    require(done, case.code, case.said, is_alone=case.is_program)
    assert hostile.SECRET not in done.out + done.err
    return done


def weights(row, what, name, write, *said, **more):
    """A case of a file that is given as --backbone_weights."""

    def make(folder):
        write(folder / name)
        return [*TRAIN, f"--backbone_weights={folder / name}"]

    return Hostile(row, what, make, 4, said, flags=(), command="train", **more)


def backbone(row, what, name, write, *said, data="--data=digits", **more):
    """A case of a file or a folder that is given as --backbone."""

    def make(folder):
        write(folder / name)
        return [data, f"--backbone={folder / name}", "--dry_run"]

    return Hostile(row, what, make, 4, said, flags=(), command="train", **more)
