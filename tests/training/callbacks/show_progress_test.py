"""The table of epochs, of logs that the test makes, against a clock that the test turns."""

import io
import re
import types

import pytest

from tests.training.callbacks.log_epochs_test import fit
from tltf.training.callbacks.keep_best import KeepBest
from tltf.training.callbacks.show_progress import ShowProgress, duration_text


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(rows, *, file=None, first_s=0.0, step_s=2.0, **more):
    """The lines of epochs of 4 steps with 10 examples each, whose logs are `rows`."""
    clock, file = Clock(), file or io.StringIO()
    metrics = [name[4:] for name in rows[0] if name.startswith("val_") and name != "val_loss"]
    head = types.SimpleNamespace(metric=metrics[0], lower_is_better=False) if metrics else None
    best = KeepBest(dict, head=head) if head else None
    shown = ShowProgress("full", 40, 10, len(rows), best=best, file=file, clock=clock, **more)
    for epoch, row in enumerate(rows):
        shown.on_epoch_begin(epoch)
        clock.now += first_s if epoch == 0 else 0.0
        for batch in range(4):
            clock.now += step_s
            shown.on_train_batch_end(batch, {"loss": 0.5})
        if best:
            best.on_epoch_end(epoch, row)
        shown.on_epoch_end(epoch, row)
    return file.getvalue().splitlines()


def logs(loss, val_loss, accuracy):
    return {"loss": loss, "accuracy": 0.9, "val_loss": val_loss, "val_accuracy": accuracy}


def test_the_table():
    rows = [logs(0.295, 0.872, 0.74), logs(0.1, 0.9, 0.7), logs(2.5e-5, 1.032, 0.775)]
    assert run(rows) == [
        "full: 3 epochs of 40 examples; * is the best on validation so far",
        "epoch  train loss  val loss  val accuracy          time        left",
        "  1/3      0.2950    0.8720         74.0% *       8.0 s        16 s",
        "  2/3      0.1000    0.9000         70.0%         8.0 s       8.0 s",
        "  3/3      0.0000    1.0320         77.5% *       8.0 s           -",
    ]


def test_without_validation_there_are_no_columns_for_it():
    title, header, first, _ = run([{"loss": 0.5, "accuracy": 0.5}] * 2)
    assert title == "full: 2 epochs of 40 examples"
    assert header.split() == ["epoch", "train", "loss", "time", "left"]
    assert first.split() == ["1/2", "0.5000", "8.0", "s", "8.0", "s"]


def test_the_first_step_is_no_part_of_the_time_left():
    """It builds the graph, which later epochs do not."""
    lines = run([logs(0.5, 0.5, 0.5)] * 3, first_s=100.0)
    assert lines[2].endswith(" 16 s")
    assert lines[3].endswith(" 8.0 s")


def test_later_phases_are_part_of_the_time_left():
    lines = run([logs(0.5, 0.5, 0.5)] * 2, num_epochs_after=3)
    assert lines[2].endswith(" 32 s")
    assert lines[3].endswith(" 24 s")


@pytest.mark.parametrize(
    "metric", ["mean_absolute_error", "average_precision", "scaled_absolute_error"]
)
@pytest.mark.parametrize("is_watched", [False, True])
def test_every_table_fits_80_columns(metric, is_watched):
    row = {"loss": 123456.0, "val_loss": 123456.0, f"val_{metric}": 123456.0}
    if is_watched:
        row |= {"test_loss": 1.0, f"test_{metric}": 123456.0}
    lines = run([row] * 1000, step_s=3000.0)
    assert max(map(len, lines)) <= 80
    assert ("test " in lines[1]) == is_watched
    assert len({len(line) for line in lines[1:]}) == 1, "columns are aligned"


def test_a_terminal_has_a_bar_that_goes_when_the_epoch_ends():
    text = "\n".join(run([logs(0.5, 0.5, 0.5)] * 2, file=Terminal()))
    assert re.search(r"epoch 1/2: +\d+%", text)
    assert "val_accuracy" not in text, "metrics are in the rows alone"
    last = text.split("\r")[-1].splitlines()
    assert last[-1].lstrip().startswith("2/2") and "%|" not in last[-1]


@pytest.mark.parametrize("steps", [1, 2])
def test_a_fit_of_keras_fills_the_table(steps):
    file = io.StringIO()
    fit([ShowProgress("full", 10, 4, 2, file=file)], steps_per_execution=steps)
    _, header, first, second = file.getvalue().splitlines()
    assert header.split() == ["epoch", "train", "loss", "val", "loss", "time", "left"]
    number = r"\d+\.\d{4}"
    assert re.fullmatch(rf" *1/2 +{number} +{number} +[\d.]+ s +[\d.]+ s", first)
    assert re.fullmatch(rf" *2/2 +{number} +{number} +[\d.]+ s +-", second)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (200, "3 min 20 s"),
        (599, "10 min"),
        (629, "10 min"),
        (3599, "1 h"),
        (7500, "2 h 5 min"),
        (36_000, "10 h"),
        (100_000, "28 h"),
    ],
)
def test_durations_are_short(seconds, text):
    assert duration_text(seconds) == text
    assert len(text) <= 10
