"""A training of soak.py: runs `python -m tltf.train` and records how many steps a kill would lose.

soak_training.py FILE FLAGS: FILE holds, in 8 bytes, the number of steps since the last complete
checkpoint. It is written at each step and stays after a kill.
"""

import os
import sys

from tltf import train
from tltf.console import command
from tltf.runs import checkpoints


def record_steps(path):
    """Wraps the functions that end a step and that save a checkpoint, to write FILE."""
    from tltf.training.callbacks import non_finite

    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    done = 0

    def write(steps):
        nonlocal done
        done = steps
        os.pwrite(handle, steps.to_bytes(8, "little"), 0)

    step, save = non_finite.StopAtNonFinite.on_train_batch_end, checkpoints.save

    def count_step(self, batch, logs=None):
        step(self, batch, logs)
        write(done + self.model.steps_per_execution)

    def save_and_restart(*args):
        save(*args)
        write(0)

    non_finite.StopAtNonFinite.on_train_batch_end = count_step
    checkpoints.save = save_and_restart
    write(0)


def main():
    """Trains and returns the exit code."""
    command.quiet_tensorflow(False)
    command.load_tensorflow()
    record_steps(sys.argv[1])
    return train.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
