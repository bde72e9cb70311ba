"""Kills writers of small files at each of their system calls and looks at what is left.

python -m tests.killed_writers_script NAME FOLDER; prints how many kills there were.
"""

import pathlib
import sys
import warnings

import numpy as np

from tests import killing
from tltf.config.options import make, replace
from tltf.runs import checkpoints
from tltf.runs import folder as runs_folder
from tltf.runs.checkpoints import Checkpoint


def save(run, step, epoch=None):
    epoch = step if epoch is None else epoch
    arrays = {"kernel": np.full((2, 3), epoch, "float32")}
    checkpoints.save(run, step, Checkpoint(arrays, {"epoch": epoch}))


def step_of(run):
    found = checkpoints.newest(run)
    assert not found or found.arrays["kernel"][0, 0] == found.state["epoch"]
    return found.state["epoch"] if found else 0


def checkpoint(folder):
    """The third save of a run: the second checkpoint or the third is there, and nothing damaged."""

    def prepare(number):
        run = folder / str(number)
        save(run, 1)
        save(run, 2)
        return run

    for number in range(1, 100):
        prepare(number)
    found = []
    for number in killing.survivors(lambda number: save(folder / str(number), 3), "/checkpoints/"):
        run = folder / str(number)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found.append(step_of(run))
        checkpoints.sweep(run)
        save(run, 4)
        save(run, 5)
        names = sorted(path.name for path in (run / "checkpoints").iterdir())
        assert names == ["000000004", "000000005"], names
    assert found == sorted(found) and set(found) == {2, 3}, found
    return len(found)


def first_checkpoint(folder):
    """None or the first, never a damaged one."""
    found = []
    for number in killing.survivors(lambda number: save(folder / str(number), 1), "/checkpoints"):
        found.append(step_of(folder / str(number)))
        save(folder / str(number), 2)
        assert step_of(folder / str(number)) == 2
    assert set(found) == {0, 1}, found
    return len(found)


def same_step(folder):
    """A second checkpoint of the same step: the first epoch's or the second's is there, whole."""
    for number in range(1, 100):
        save(folder / str(number), 0, 1)
    found = []
    for number in killing.survivors(lambda n: save(folder / str(n), 0, 2), "/checkpoints"):
        run = folder / str(number)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found.append(step_of(run))
        checkpoints.sweep(run)
        save(run, 0, 3)
        save(run, 5)
        assert step_of(run) == 5
    assert found == sorted(found) and set(found) == {1, 2}, found
    return len(found)


def options(run, **values):
    return make(data="digits", backbone="small_cnn", output=str(run), batch_size=4, **values)


def begun(chosen):
    run = runs_folder.claim(chosen.output)
    runs_folder.begin(run, chosen, "the command")
    return run


def start(folder):
    """A run that was killed in its first moment starts with the same command."""
    count = 0
    for count in killing.survivors(lambda n: begun(options(folder / str(n))), str(folder)):
        chosen = options(folder / str(count))
        run = begun(chosen)
        assert (
            runs_folder.read_status(run) == "training" and runs_folder.read_options(run) == chosen
        )
        rest = sorted(path.name for path in run.iterdir())
        assert rest == ["origin.json", "run.flags", "status.json"], rest
    return count


def overwrite(folder):
    """A run that was killed while it replaced another starts with the same command."""

    def finished(run):
        begun(options(run, seed=1))
        for path in ("report.json", "model/core.json", "checkpoints/000000003/state.json"):
            (run / path).parent.mkdir(parents=True, exist_ok=True)
            (run / path).write_text("of the old run")
        runs_folder.write_status(run, "finished")

    for number in range(1, 100):
        finished(folder / str(number))
    count = 0

    def chosen(number):
        return options(folder / str(number), overwrite=True)

    for count in killing.survivors(lambda n: begun(chosen(n)), str(folder)):
        run = begun(chosen(count))
        assert runs_folder.read_options(run) == replace(chosen(count), overwrite=False)
        left = {path.name for path in run.rglob("*") if path.is_file()}
        assert left == {"origin.json", "run.flags", "status.json"}, left
    return count


if __name__ == "__main__":
    print(globals()[sys.argv[1]](pathlib.Path(sys.argv[2])))
