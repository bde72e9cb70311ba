"""Requests that wait are computed together, each gets its own rows, and a bad one fails alone."""

import threading
import types

import numpy as np
import pytest

from tltf.serving.server.batcher import Batcher


class Recorder:
    def __init__(self):
        self.batches, self.longest_queue = [], 0

    def batch(self, num_requests, num_rows, seconds):
        self.batches.append((num_requests, num_rows))

    def queue(self, num_requests):
        self.longest_queue = max(self.longest_queue, num_requests)


class Version:
    """Doubles numbers; refuses negative ones; can be held up."""

    number = 1

    def __init__(self):
        self.free, self.begun, self.calls = threading.Event(), threading.Event(), 0
        self.free.set()

    def compute(self, signature, arrays):
        self.calls += 1
        self.begun.set()
        assert self.free.wait(10)
        if (arrays["x"] < 0).any():
            raise ValueError(f"row {int(np.argmax(arrays['x'] < 0))} is negative")
        return {"y": arrays["x"] * 2, "name": np.array([signature] * len(arrays["x"]))}


@pytest.fixture
def made():
    version, recorder = Version(), Recorder()
    batcher = Batcher(4, 0.0, 1, recorder)
    yield types.SimpleNamespace(version=version, recorder=recorder, batcher=batcher)
    version.free.set()
    batcher.close()


def hold(made, *requests, signature="s"):
    """The futures of requests that all wait while a first one is computed."""
    made.version.free.clear()
    first = made.batcher.submit(made.version, "s", {"x": np.array([0])})
    assert made.version.begun.wait(10)
    waiting = [made.batcher.submit(made.version, signature, {"x": np.array(x)}) for x in requests]
    made.version.free.set()
    assert first.result(10)["y"].tolist() == [0]
    return waiting


def test_what_waits_is_computed_together_and_each_gets_its_rows(made):
    futures = hold(made, [1], [2, 3], [4])
    assert [f.result(10)["y"].tolist() for f in futures] == [[2], [4, 6], [8]]
    assert made.recorder.batches == [(1, 1), (3, 4)]
    assert made.recorder.longest_queue == 3


def test_batches_have_at_most_so_many_rows(made):
    futures = hold(made, [1, 1, 1], [2, 2], [3])
    assert [f.result(10)["y"].tolist() for f in futures] == [[2, 2, 2], [4, 4], [6]]
    assert sorted(made.recorder.batches[1:]) == [(1, 2), (2, 4)]


def test_a_larger_request_is_computed_in_parts(made):
    numbers = np.arange(11)
    answer = made.batcher.submit(made.version, "s", {"x": numbers}).result(10)
    assert answer["y"].tolist() == (numbers * 2).tolist() and made.version.calls == 3


def test_other_shapes_are_not_mixed(made):
    futures = hold(made, [1], [[1, 2]], [3])
    assert [f.result(10)["y"].tolist() for f in futures] == [[2], [[2, 4]], [6]]
    assert sorted(made.recorder.batches[1:]) == [(1, 1), (2, 2)]


def test_a_bad_request_fails_alone(made):
    good, bad, other = hold(made, [1], [5, -1], [2])
    with pytest.raises(ValueError, match="row 1 is negative"):
        bad.result(10)
    assert good.result(10)["y"].tolist() == [2] and other.result(10)["y"].tolist() == [4]


def test_a_request_that_nobody_waits_for_is_not_computed(made):
    made.version.free.clear()
    made.batcher.submit(made.version, "s", {"x": np.array([0])})
    assert made.version.begun.wait(10)
    gone = made.batcher.submit(made.version, "s", {"x": np.array([1])})
    assert gone.cancel()
    made.version.free.set()
    later = made.batcher.submit(made.version, "s", {"x": np.array([2])})
    assert later.result(10)["y"].tolist() == [4], "the worker goes on"
    assert sum(rows for _, rows in made.recorder.batches) == 2


def test_closing_answers_what_waits():
    version, recorder = Version(), Recorder()
    batcher = Batcher(4, 10.0, 2, recorder)
    futures = [batcher.submit(version, "s", {"x": np.array([n])}) for n in range(3)]
    batcher.close()
    assert [f.result(0)["y"].tolist() for f in futures] == [[0], [2], [4]]
    with pytest.raises(RuntimeError, match="stopping"):
        batcher.submit(version, "s", {"x": np.array([1])})


def test_a_worker_waits_for_more_only_until_the_batch_is_full():
    version, recorder = Version(), Recorder()
    batcher = Batcher(2, 30.0, 1, recorder)
    futures = [batcher.submit(version, "s", {"x": np.array([n])}) for n in range(2)]
    assert [f.result(10)["y"].tolist() for f in futures] == [[0], [2]]
    assert recorder.batches == [(2, 2)]
    batcher.close()
