"""A side of bench_transfer.py: a plain loop of `train_on_batch` on tltf's graph and batches.

The batches of every epoch are those that tltf draws for the seed; they are made before the epoch.
The script prints the median of the seconds per epoch, without the first epoch.
"""

import statistics
import time

import bench_floor
import bench_work
import keras

from tltf.training import datasets
from tltf.training.distribution import strategies


def main():
    """Trains and prints the result."""
    work = bench_work.read_work()
    trained, method = bench_floor.assemble(work)
    bench_floor.freeze(trained, method)
    feed = datasets.build(trained, strategies.start(trained.options.runtime))
    core = trained.core
    model = keras.Model(core.model.input, core.model.output)
    model.compile(
        keras.optimizers.Adam(work.learning_rate), loss={core.head.name: core.head.loss()}
    )
    seconds = []
    for epoch in range(work.epochs):
        batches = [(inputs, targets) for inputs, targets, _ in feed.training(epoch, 1)]
        start = time.monotonic()
        for inputs, targets in batches:
            model.train_on_batch(inputs, targets)
        seconds.append(time.monotonic() - start)
    bench_work.print_row(seconds=statistics.median(seconds[1:] or seconds))


if __name__ == "__main__":
    main()
