"""What watches a fit: the console, metrics.jsonl and TensorBoard."""

import importlib.util
import time
from typing import Any

import keras

from tltf.config import call_strings


class LogEpochs(keras.callbacks.Callback):
    """Writes an epoch's numbers to `log` and keeps them in `rows`.

    A row: phase, epoch (1 is the first of its phase), step (updates so far, all phases on the
    same optimizer), learning_rate, seconds, then every metric of Keras under its own name.

    Args:
        log: a `metrics_log.MetricsLog`, or anything with `write(dict)`.
        phase: name of the phase.
    """

    def __init__(self, log: Any, phase: str) -> None:
        super().__init__()
        self.log, self.phase, self.rows = log, phase, list[dict]()
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the epoch's clock."""
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes the row, validation included."""
        optimizer = self.model.optimizer
        row = {
            "phase": self.phase,
            "epoch": epoch + 1,
            "step": int(optimizer.iterations.numpy()),
            "learning_rate": float(keras.ops.convert_to_tensor(optimizer.learning_rate).numpy()),
            "seconds": time.monotonic() - self._start,
        }
        row |= {name: float(value) for name, value in (logs or {}).items() if name not in row}
        self.rows.append(row)
        self.log.write(row)


def tensorboard(folder: Any) -> keras.callbacks.Callback:
    """Keras's TensorBoard callback writing to `folder`.

    Raises:
        FlagError: the package tensorboard, extra `tracking`, is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise call_strings.missing_extra(ModuleNotFoundError(name="tensorboard"), "tracking")
    return keras.callbacks.TensorBoard(str(folder), write_graph=False, profile_batch=0)
