"""Measures what checkpoints cost: trains with and without them, in pairs, in one process.

python tools/bench_checkpoints.py --pairs=5 [-- FLAGS]

FLAGS are those of tltf.train, by default for a small network on digits; they may include
--checkpoint_minutes. Both sides of a pair train into a run folder and differ only in whether
`checkpoints.save` writes. Every other pair runs in the opposite order, and a first training, which
is slower, counts for neither side. The ratio is that of the seconds of training. The last column is
the share of its own training that a side spends in saving, so it does not depend on what else the
machine does at the same time.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time

import benching
import measuring

from tltf.config import flagfiles
from tltf.config.options import Options, replace
from tltf.console import command
from tltf.runs import checkpoints

DEFAULT = (
    "--data=digits(num_train=1200, num_test=100)",
    "--backbone=small_cnn(filters=[32, 64])",
    "--method=full",
    "--train_epochs=10",
    "--batch_size=16",
)
SIDES = ("with", "without")
HEADER = [
    "pairs",
    "with / without (lowest to highest)",
    "seconds with / without",
    "checkpoints",
    "MB each",
    "ms each",
    "share of training",
]


class Saves:
    """A replacement of `checkpoints.save` that counts its calls, seconds and bytes.

    Args:
        is_on: whether checkpoints are saved.
    """

    def __init__(self, is_on):
        self.is_on, self.count, self.seconds, self.num_bytes = is_on, 0, 0.0, 0
        self._save = checkpoints.save

    def __call__(self, run, step, checkpoint):
        """Saves a checkpoint, or does nothing."""
        if not self.is_on:
            return
        start = time.monotonic()
        self._save(run, step, checkpoint)
        self.seconds += time.monotonic() - start
        self.count += 1
        self.num_bytes = sum(array.nbytes for array in checkpoint.arrays.values())

    @contextlib.contextmanager
    def replace_save(self):
        """A block in which trainings call this object in place of `checkpoints.save`."""
        checkpoints.save = self
        try:
            yield
        finally:
            checkpoints.save = self._save


def measure(options, side):
    """`{"seconds", "saves"}` of one training on a side."""
    from tltf.training import training

    saves = Saves(side == "with")
    with tempfile.TemporaryDirectory() as folder, saves.replace_save():
        result = training.train(replace(options, output=f"{folder}/run"))
    return {"seconds": result.times_s["train"], "saves": saves}


def line(pairs):
    """The row of the table for all pairs."""
    ratio, low, high = benching.spread(
        [p["with"]["seconds"] / p["without"]["seconds"] for p in pairs]
    )
    saves = [pair["with"]["saves"] for pair in pairs]
    sides = [benching.spread([pair[side]["seconds"] for pair in pairs])[0] for side in SIDES]
    each_ms = benching.spread([1000 * s.seconds / max(s.count, 1) for s in saves])[0]
    shares = [p["with"]["saves"].seconds / p["with"]["seconds"] for p in pairs]
    return [
        len(pairs),
        f"{ratio:.3f} ({low:.3f} to {high:.3f})",
        f"{sides[0]:.2f} / {sides[1]:.2f}",
        saves[0].count,
        f"{saves[0].num_bytes / 2**20:.2f}",
        f"{each_ms:.1f}",
        f"{benching.spread(shares)[0]:.2%}",
    ]


def main():
    """Trains all pairs and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="number of pairs")
    parser.add_argument("flags", nargs="*", default=DEFAULT, help="after --: flags of tltf.train")
    given = parser.parse_args()
    command.quiet_tensorflow(False)
    command.load_tensorflow()
    options = flagfiles.parse(Options, given.flags)[0]
    pairs = []
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        measure(options, "with")
        for number in range(given.pairs):
            sides = benching.in_turn(SIDES, number)
            pairs.append({side: measure(options, side) for side in sides})
    print(measuring.table(HEADER, [line(pairs)]))


if __name__ == "__main__":
    sys.exit(main())
