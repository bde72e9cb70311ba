"""Dynamic batching: requests that wait at the same time are computed together.

A free worker takes all waiting requests of one kind, up to `max_batch` rows. So batches grow with the
load by themselves: while a batch is computed, the next ones wait. `max_wait_s` makes a worker wait
for more requests before it begins. A request that the graph refuses fails alone: its batch is halved
until the others have their answers.
"""

import collections
import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from tltf.serving.server.exported_model import Arrays, LoadedVersion


class RefusedPart(ValueError):
    """The graph refuses a row of a request that is computed in parts."""


class Observer(Protocol):
    """What is told of batches."""

    def batch(self, num_requests: int, num_rows: int, seconds: float) -> None:
        """A batch was computed."""

    def queue(self, num_requests: int) -> None:
        """So many requests wait now."""


@dataclasses.dataclass(frozen=True)
class Waiting:
    """A request that waits.

    Args:
        version: the version that answers.
        signature: its signature.
        arrays: the inputs, each [B, ...].
        num_rows: B.
        arrived: the time of time.monotonic() at which it came.
        answer: its outputs or its error, once they are there.
    """

    version: LoadedVersion
    signature: str
    arrays: Arrays
    num_rows: int
    arrived: float
    answer: "concurrent.futures.Future[Arrays]" = dataclasses.field(
        default_factory=concurrent.futures.Future
    )

    @property
    def kind(self) -> Hashable:
        """What requests of one batch have in common."""
        shapes = tuple((name, array.shape[1:]) for name, array in sorted(self.arrays.items()))
        return self.version.number, self.signature, shapes


class Batcher:
    """A queue of requests and the threads that compute them.

    Args:
        max_batch: the most rows that are computed at once; a larger request is computed in parts.
        max_wait_s: how long a free worker waits for more requests to compute with the first one.
        num_workers: the batches that are computed at the same time.
        observer: what is told of each batch.
    """

    def __init__(
        self, max_batch: int, max_wait_s: float, num_workers: int, observer: Observer
    ) -> None:
        self._max_batch, self._max_wait_s, self._observer = max_batch, max_wait_s, observer
        self._queue = collections.deque[Waiting]()
        self._changed, self._forming = threading.Condition(), threading.Lock()
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batches-{number}", daemon=True)
            for number in range(num_workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, version: LoadedVersion, signature: str, arrays: Arrays
    ) -> "concurrent.futures.Future[Arrays]":
        """A future of the outputs for arrays that fit the signature, all of the same first length.

        Raises:
            RuntimeError: the batcher is closed.
        """
        num_rows = len(next(iter(arrays.values())))
        request = Waiting(version, signature, arrays, num_rows, time.monotonic())
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the server is stopping")
            self._queue.append(request)
            self._observer.queue(len(self._queue))
            self._changed.notify_all()
        return request.answer

    def close(self) -> None:
        """Answers every request that waits, and ends the threads."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            if batch:
                self._answer(batch)

    def _next_batch(self) -> list[Waiting] | None:
        """The requests of the next batch; None once the batcher is closed and nothing waits.

        One worker at a time forms a batch, so that two do not share what waits between them.
        """
        with self._forming, self._changed:
            while not self._queue:
                if self._is_closed:
                    return None
                self._changed.wait()
            first = self._queue[0]
            end = first.arrived + self._max_wait_s
            while not self._is_closed and (left := end - time.monotonic()) > 0:
                if sum(item.num_rows for item in self._queue) >= self._max_batch:
                    break
                self._changed.wait(left)
            return self._take(first.kind)

    def _take(self, kind: Hashable) -> list[Waiting]:
        """Removes the requests of a batch from the queue: the first one, and those that fit with it."""
        batch, rest, num_rows = list[Waiting](), list[Waiting](), 0
        for item in self._queue:
            fits = not batch or num_rows + item.num_rows <= self._max_batch
            if item.kind == kind and fits:
                batch.append(item)
                num_rows += item.num_rows
            else:
                rest.append(item)
        self._queue = collections.deque(rest)
        self._observer.queue(len(rest))
        return [item for item in batch if item.answer.set_running_or_notify_cancel()]

    def _answer(self, batch: Sequence[Waiting]) -> None:
        """Sets the answers of a batch; where it is refused, those of its halves."""
        began = time.monotonic()
        try:
            outputs = self._compute(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
            else:
                half = len(batch) // 2
                self._answer(batch[:half])
                self._answer(batch[half:])
            return
        num_rows, start = sum(item.num_rows for item in batch), 0
        self._observer.batch(len(batch), num_rows, time.monotonic() - began)
        for item in batch:
            end = start + item.num_rows
            item.answer.set_result({name: rows[start:end] for name, rows in outputs.items()})
            start = end

    def _compute(self, batch: Sequence[Waiting]) -> Arrays:
        """The outputs of all rows of a batch, of which at most `max_batch` are computed at once."""
        first = batch[0]
        arrays = first.arrays
        if len(batch) > 1:
            arrays = {
                name: np.concatenate([item.arrays[name] for item in batch]) for name in first.arrays
            }
        num_rows, step = sum(item.num_rows for item in batch), self._max_batch
        if num_rows <= step:
            return first.version.compute(first.signature, arrays)
        parts = []
        for start in range(0, num_rows, step):
            part = {name: rows[start : start + step] for name, rows in arrays.items()}
            try:
                parts.append(first.version.compute(first.signature, part))
            except tf.errors.InvalidArgumentError as error:  # its places are those in the part
                raise RefusedPart(f"in the rows from {start} on: {error.message}") from error
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
