"""Makes a .tflite file of a SavedModel in a process of its own, which the converter may crash.

`python -P litert_process.py` reads one line of standard input, a JSON list of FOLDER, QUANTIZE, RANGES
and TARGET. RANGES is an .npz file with training rows, input -> [N, ...], or empty. It needs TensorFlow
and no package beside this file.
"""

import json
import pathlib
import sys
from collections.abc import Callable, Iterator

import numpy as np


def main() -> None:
    """Waits for a line of standard input and writes TARGET."""
    folder, quantize, ranges, target = json.loads(sys.stdin.readline())
    arrays = None
    if ranges:
        with np.load(ranges, allow_pickle=False) as file:
            arrays = dict(file)
    pathlib.Path(target).write_bytes(convert(folder, quantize, arrays))


def convert(folder: str, quantize: str, ranges: dict[str, np.ndarray] | None = None) -> bytes:
    """The .tflite file of a SavedModel.

    Args:
        folder: of the SavedModel.
        quantize: `none`, `float16`, `dynamic` or `int8`.
        ranges: input -> [N, ...], whose activations set the ranges of int8.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if ranges is not None:
        converter.representative_dataset = _one_by_one(ranges)
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
    content: bytes = converter.convert()
    return content


def _one_by_one(ranges: dict[str, np.ndarray]) -> Callable[[], Iterator[dict[str, np.ndarray]]]:
    """The representative data set of the converter: one row after the other, as inputs by name."""
    count = len(next(iter(ranges.values())))

    def rows() -> Iterator[dict[str, np.ndarray]]:
        for row in range(count):
            yield {
                name: array[row : row + 1].astype(
                    np.float32 if array.dtype.kind == "f" else np.int32
                )
                for name, array in ranges.items()
            }

    return rows


if __name__ == "__main__":
    main()
