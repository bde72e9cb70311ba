"""TensorBoard: curves, the report, the mistakes, and the features of the test split, in RUN/tensorboard."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tltf.experiments.tracking import examples, projector
from tltf.experiments.tracking.report_numbers import numbers_of
from tltf.experiments.tracking.tracker import EpochRow, FinishedRun, TrackedPlace, TrackedRun
from tltf.runs import layout

MOST_FLAG_LETTERS = 200
"""Letters of a flag's value in the table of hyperparameters."""


class TensorBoardTracker:
    """Event files in RUN/tensorboard, which `tensorboard --logdir=RUN/tensorboard` shows.

    It writes the numbers of each epoch and of the report as scalars, the flags as hyperparameters,
    report.md as a text, the worst mistakes as pictures or as a table, and the pooled features of the
    test split for the embedding projector, with labels and answers (at most 1,000 rows, drawn at
    random). A run that goes on adds an event file, in which an epoch that is run again has its old
    number.
    """

    def __init__(self) -> None:
        self._writer: tf.summary.SummaryWriter | None = None

    def start(self, run: TrackedRun) -> TrackedPlace:
        """Opens an event file; a new run also gets its flags, as hyperparameters."""
        from tensorboard.plugins.hparams import api as hparams

        folder = run.folder / layout.TENSORBOARD
        self._writer = tf.summary.create_file_writer(str(folder))
        if not run.id:
            flags = {name: _plain(value) for name, value in run.flags.items()}
            with self._writer.as_default():
                hparams.hparams(flags)
            self._writer.flush()
        return TrackedPlace(layout.TENSORBOARD, f"tensorboard --logdir={folder}")

    def log_epoch(self, row: EpochRow) -> None:
        """Writes a scalar for each number of the epoch."""
        self._scalars(row.numbers, row.number)

    def finish(self, finished: FinishedRun | None) -> None:
        """Writes what the report says, and closes the event file."""
        if self._writer is None:
            return
        if finished:
            self._scalars(numbers_of(finished.report), 0)
            with self._writer.as_default(step=0):
                self._texts_and_pictures(finished)
            points = finished.model and projector.points_of(finished.model)
            if points:
                projector.write(points, finished.folder / layout.TENSORBOARD)
        self._writer.close()
        self._writer = None

    def _scalars(self, numbers: Mapping[str, float], step: int) -> None:
        if self._writer is None:
            return
        with self._writer.as_default(step=step):
            for name, value in numbers.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def _texts_and_pictures(self, finished: FinishedRun) -> None:
        text = (finished.folder / layout.REPORT_MARKDOWN).read_text(encoding="utf-8")
        tf.summary.text("report", text)
        is_empty = True
        for place, (caption, image) in enumerate(examples.pictures_of(finished.report), 1):
            pixels = np.asarray(image.convert("RGB"))[None]
            tf.summary.image(f"mistakes/{place:02}, {caption}", pixels)
            is_empty = False
        rows = examples.rows_of(finished.report)
        if rows and is_empty:
            tf.summary.text("mistakes", examples.markdown_of(rows, examples.COLUMNS))


def _plain(value: bool | float | str | None) -> bool | float | str:
    """A flag's value as a hyperparameter; None is `auto`."""
    if value is None:
        return "auto"
    return value[:MOST_FLAG_LETTERS] if isinstance(value, str) else value
