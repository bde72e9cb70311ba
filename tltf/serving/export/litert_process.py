"""Makes a .tflite file of a SavedModel in a process of its own, which the converter may crash.

`python -P litert_process.py` reads one line of standard input, a JSON list of FOLDER, QUANTIZE, RANGES,
IS_MIXED and TARGET. RANGES is an .npz file with training rows, input -> [N, ...], or empty. It needs
TensorFlow and no package beside this file.
"""

import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

FLOAT_OPERATORS = (
    *("ADD", "SUB", "MUL", "DIV", "NEG", "SUM", "MAXIMUM", "BROADCAST_TO", "EXPAND_DIMS"),
    *("MEAN", "SQUARED_DIFFERENCE", "RSQRT"),
    *("SELECT_V2", "SOFTMAX", "GELU"),
)
"""What a network with layer norms computes in float32 between its products of matrices in int8.

One range for all channels leaves no steps for the small ones: a few channels of a BERT's sums are a
hundred times as large as the rest (Bondarenko et al. 2021, arXiv:2109.12948), and so are squares and
the roots of their means.
"""
LARGEST_MASK, MASK = -1e4, -100.0
"""Constants up to the first number are masks: Keras puts -1e9 in place of the attention to padding.
In int8 they would stretch the range until all other numbers are one step. The second number gives
the softmax a 0 as well."""


def main() -> None:
    """Waits for a line of standard input and writes TARGET."""
    folder, quantize, ranges, is_mixed, target = json.loads(sys.stdin.readline())
    arrays = None
    if ranges:
        with np.load(ranges, allow_pickle=False) as file:
            arrays = dict(file)
    pathlib.Path(target).write_bytes(convert(folder, quantize, arrays, is_mixed))


def convert(
    folder: str,
    quantize: str,
    ranges: dict[str, np.ndarray] | None = None,
    is_mixed: bool = False,
) -> bytes:
    """The .tflite file of a SavedModel.

    Args:
        folder: of the SavedModel.
        quantize: `none`, `float16`, `dynamic` or `int8`.
        ranges: input -> [N, ...], whose activations set the ranges of int8; the masks of the
            SavedModel are then made smaller in its folder.
        is_mixed: whether int8 leaves FLOAT_OPERATORS in float32.
    """
    import tensorflow as tf

    if ranges is not None:
        _make_masks_smaller(pathlib.Path(folder, "saved_model.pb"))
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
    if is_mixed:
        return _mixed(converter)
    content: bytes = converter.convert()
    return content


def _mixed(converter: Any) -> bytes:
    """The .tflite file in int8 with FLOAT_OPERATORS in float32, which only TensorFlow's debugger makes."""
    import tensorflow as tf

    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=list(FLOAT_OPERATORS))
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=converter.representative_dataset,
        debug_options=options,
    )
    content: bytes = debugger.get_nondebug_quantized_model()
    return content


def _make_masks_smaller(path: pathlib.Path) -> None:
    """Writes MASK into the graph of a SavedModel in place of float constants up to LARGEST_MASK."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    graph = model.meta_graphs[0].graph_def
    for node in [*graph.node, *(node for f in graph.library.function for node in f.node_def)]:
        if node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum:
            tensor = node.attr["value"].tensor
            values = tf.make_ndarray(tensor)
            if values.size and values.max() <= LARGEST_MASK:
                tensor.CopyFrom(tf.make_tensor_proto(np.full_like(values, MASK)))
    path.write_bytes(model.SerializeToString())


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
