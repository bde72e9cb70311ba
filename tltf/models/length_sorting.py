"""Computation over texts sorted by length, so that little of it is padding.

Batches in the order of their source hold long texts beside short ones, so that most of what is
computed may be padding. Here a bounded number of rows is read ahead, sorted by length, computed in
batches that are cut to their longest text, and put back in order.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

READ_AHEAD_BYTES = 2**26
"""Bytes of inputs that are held together: some ten thousand tokenized texts."""
Step = Callable[[dict[str, tf.Tensor]], tf.Tensor | np.ndarray]
"""{name: tensor} -> tensor or array [B, ...]."""
Batches = Iterable[Mapping[str, tf.Tensor | np.ndarray]]
"""Batches of inputs by name."""


def run(step: Step, batches: Batches, long: Sequence[str], batch_size: int = 0) -> np.ndarray:
    """The array [N, ...] of the results of `step` for every row of `batches`, in their order.

    Args:
        step: {name: tensor} -> tensor [B, ...], for any number of rows and steps. A row's result
            must not depend on masked steps.
        batches: inputs of such a step.
        long: names of those inputs that are [B, L, ...], where L is the same within a batch.
        batch_size: rows per call of `step`; 0 takes the size of the first batch.
    """
    outputs = []
    for window in _windows(batches):
        batch_size = batch_size or _num_rows(window[0])
        outputs.append(_in_order(step, _joined(window, long), long, batch_size))
    return np.concatenate(outputs)


def lengths_of(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """int[N]: the number of steps of each row, after which it has only padding.

    Args:
        inputs: name -> array [N, L, ...], one of which is `padding_mask`, or which are padded by zeros.
    """
    if "padding_mask" in inputs:
        inputs = {"padding_mask": inputs["padding_mask"]}
    longest: np.ndarray = np.zeros((), np.int64)
    for array in inputs.values():
        is_used = np.any(array.astype(bool).reshape(*array.shape[:2], -1), axis=2)
        last = array.shape[1] - np.argmax(is_used[:, ::-1], axis=1)
        longest = np.maximum(longest, np.where(is_used.any(axis=1), last, 1))
    return longest


def _windows(batches: Batches) -> Iterator[list[dict[str, np.ndarray]]]:
    """Lists of batches, as arrays, each of which holds about READ_AHEAD_BYTES."""
    window: list[dict[str, np.ndarray]] = []
    held = 0
    for batch in batches:
        arrays = {name: np.asarray(tensor) for name, tensor in batch.items()}
        window.append(arrays)
        held += sum(array.nbytes for array in arrays.values())
        if held >= READ_AHEAD_BYTES:
            yield window
            window, held = [], 0
    if window:
        yield window


def _joined(window: Sequence[dict[str, np.ndarray]], long: Sequence[str]) -> dict[str, np.ndarray]:
    """The batches as one, padded with zeros to the longest."""
    joined = {}
    for name in window[0]:
        arrays = [batch[name] for batch in window]
        joined[name] = _padded(arrays) if name in long else np.concatenate(arrays)
    return joined


def _padded(arrays: Sequence[np.ndarray]) -> np.ndarray:
    width = max(array.shape[1] for array in arrays)
    shape = (sum(map(len, arrays)), width, *arrays[0].shape[2:])
    joined, end = np.zeros(shape, arrays[0].dtype), 0
    for array in arrays:
        start, end = end, end + len(array)
        joined[start:end, : array.shape[1]] = array
    return joined


def _in_order(
    step: Step, inputs: dict[str, np.ndarray], long: Sequence[str], batch_size: int
) -> np.ndarray:
    """The results of `step` over the rows sorted by length, in the order of the rows."""
    lengths = lengths_of({name: inputs[name] for name in long})
    order, results = np.argsort(lengths, kind="stable"), []
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        width = lengths[rows].max()
        batch = {
            name: tf.constant(array[rows, :width] if name in long else array[rows])
            for name, array in inputs.items()
        }
        results.append(np.asarray(step(batch)))
    return np.concatenate(results)[np.argsort(order)]


def _num_rows(batch: dict[str, np.ndarray]) -> int:
    return len(next(iter(batch.values())))
