"""A side of bench_transfer.py: a bare `train_on_batch` on tltf's graph and tltf's batches.

The batches of every epoch are those that tltf draws for the seed, made beforehand. Prints the
median of the seconds an epoch, the first left out.
"""

import statistics
import time

import bench_floor
import bench_work
import keras

from tltf.training import datasets
from tltf.training.distribution import strategies


def main():
    """Trains and prints the line."""
    work = bench_work.given()
    trained, method = bench_floor.assembled(work)
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
    bench_work.say(seconds=statistics.median(seconds[1:] or seconds))


if __name__ == "__main__":
    main()
