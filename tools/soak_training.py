"""A training of soak.py: `python -m tltf.train` that also tells how much a kill would lose.

soak_training.py FILE FLAGS: FILE holds, in 8 bytes, the steps since the last checkpoint was whole;
it is written at each step, and a kill leaves it.
"""

import os
import sys

from tltf import train
from tltf.console import command
from tltf.runs import checkpoints


def tell_steps(path):
    """Wraps what ends a step and what saves a checkpoint."""
    from tltf.training.callbacks import non_finite

    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    done = 0

    def tell(steps):
        nonlocal done
        done = steps
        os.pwrite(handle, steps.to_bytes(8, "little"), 0)

    step, save = non_finite.StopAtNonFinite.on_train_batch_end, checkpoints.save

    def counted_step(self, batch, logs=None):
        step(self, batch, logs)
        tell(done + self.model.steps_per_execution)

    def counted_save(*args):
        save(*args)
        tell(0)

    non_finite.StopAtNonFinite.on_train_batch_end = counted_step
    checkpoints.save = counted_save
    tell(0)


def main():
    """Returns the exit code of the training."""
    command.quiet_tensorflow(False)
    command.load_tensorflow()
    tell_steps(sys.argv[1])
    return train.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
