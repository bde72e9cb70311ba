"""Runs `python -m tltf.train` and ends it by SIGKILL, or another signal, at a named point.

python -m tests.killed_training_script [SIGTERM] POINT -- FLAGS. The points are set from outside: before or
after the call of a function, or before a system call on a file below the run folder.
"""

import functools
import importlib
import os
import signal
import sys

from tests import killing

SMALL_SHARDS = 4000
FLAGS = (
    "--data=digits(num_train=160, num_test=60)",
    "--backbone=small_cnn(filters=[8, 8])",
    "--head=classify(dropout=.2)",
    "--method=gradual(stages=2)",
    "--train_epochs=6",
    "--batch_size=16",
    "--learning_rate=.05",
    "--checkpoint_minutes=1e-9",
)
"""Of a training of seconds: three phases of 2 epochs of 10 steps, in the last two a checkpoint each."""


class Point:
    """A place in a run.

    Args:
        target: `module:name` or `module:Class.name` of a function; or "" with `files`.
        number: of the call, from 1.
        when: before or after the call.
        files: text in a path; the kill comes before the system call `number` on it.
        calls: which; see killing.
    """

    def __init__(self, target="", number=1, when="before", *, files="", calls=killing.CALLS):
        self.target, self.number, self.when = target, number, when
        self.files, self.calls = files, calls

    def arm(self, kill=signal.SIGKILL):
        """Sets the point in this process; `kill` is the signal that comes there."""
        self.kill = kill
        if self.files:
            killing.at_call(self.number, self.files, self.calls, kill)
            return
        module, _, name = self.target.partition(":")
        owner = importlib.import_module(module)
        *inner, name = name.split(".")
        for part in inner:
            owner = getattr(owner, part)
        setattr(owner, name, self._wrapped(getattr(owner, name)))

    def _wrapped(self, function):
        count = 0

        @functools.wraps(function)
        def counted(*args, **kwargs):
            nonlocal count
            count += 1
            if count == self.number and self.when == "before":
                os.kill(os.getpid(), self.kill)
            result = function(*args, **kwargs)
            if count == self.number and self.when == "after":
                os.kill(os.getpid(), self.kill)
            return result

        return counted


STEP = "tltf.training.callbacks.non_finite:StopAtNonFinite.on_train_batch_end"

POINTS = {
    "the run begins": Point("tltf.runs.folder:begin"),
    "the data is read": Point("tltf.data.loader:load", 1, "after"),
    "the cache is filled": Point("tltf.caching.frozen_outputs:Outputs.batches", 2, "after"),
    "a shard is written": Point("tltf.caching.shard_store:_NewShard.add", 4, "after"),
    "a shard gets its name": Point(files="/features/", number=2, calls=("os.rename",)),
    "a step is traced": Point("keras:Model.make_train_function", 1),
    "the first step": Point(STEP, 1),
    "a step of the second phase": Point(STEP, 7),
    "a step of the third phase": Point(STEP, 27),
    "arrays are opened": Point(files=".part/arrays.npz", number=7, calls=("open",)),
    "arrays are fsynced": Point(files=".part/arrays.npz", number=8, calls=("fsync",)),
    "the state is fsynced": Point(files=".part/state.json", number=9, calls=("fsync",)),
    "the manifest is fsynced": Point(files=".part/manifest.json", number=10, calls=("fsync",)),
    "the checkpoint gets its name": Point(files="/checkpoints/", number=3, calls=("os.rename",)),
    "the parent is fsynced": Point("tltf.files.atomic_files:fsync_folder", 14),
    "the older is half removed": Point(files="/checkpoints/", number=5, calls=("os.remove",)),
    "a checkpoint is there": Point("tltf.runs.checkpoints:save", 15, "after"),
    "an epoch is logged and not saved": Point("tltf.runs.metrics_log:MetricsLog.write", 2, "after"),
    "the first validation": Point("tltf.training.judges:Judges.measure", 1),
    "validation": Point("tltf.training.judges:Judges.measure", 3),
    "validation has ended": Point("tltf.training.judges:Judges.measure", 2, "after"),
    "between two phases": Point("tltf.training.fit:Fit._prepare_phase", 2),
    "the last phase has ended": Point("tltf.training.fit:Fit.finish"),
    "the model is written": Point(files="/model/", number=1, calls=("os.rename",)),
    "the model has its name": Point(files="core.json", number=1, calls=("os.rename",)),
    "trained": Point("tltf.runs.folder:write_status", 3, "after"),
    "evaluation": Point("tltf.experiments.one_run:evaluate"),
    "predictions get their name": Point(files="predictions.csv", number=1, calls=("os.rename",)),
    "the report is half there": Point(files="report.", number=2, calls=("os.rename",)),
    "the export is written": Point("tltf.serving.export.verify:check_saved_model"),
    "the export gets its name": Point(files="/export/", number=1, calls=("os.rename",)),
    "exported": Point("tltf.serving.export.saved_model:SavedModelExport.finish", 1, "after"),
    "nearly finished": Point("tltf.runs.checkpoints:thin", 1, "after"),
}


def main(point, flags):
    """Trains, and dies at the point; the exit code of `tltf.train` where it is never reached."""
    from tltf import train
    from tltf.caching import shard_store
    from tltf.console import command

    command.quiet_tensorflow(False)
    command.load_tensorflow()
    shard_store.Writer.__init__.__defaults__ = (SMALL_SHARDS,)
    kill, _, rest = point.partition(" ")
    if kill == "SIGTERM":
        POINTS[rest].arm(signal.SIGTERM)
    elif point:
        POINTS[point].arm()
    return train.main(flags)


if __name__ == "__main__":
    split = sys.argv.index("--")
    sys.exit(main(" ".join(sys.argv[1:split]), sys.argv[split + 1 :]))
