"""Runs a SavedModel on inputs from a file with TensorFlow alone, without tltf and Keras.

`python clean_process.py [MODULE]` is a program of its own, so it computes what a server computes. It
imports TensorFlow, and MODULE for the operators that the graph needs (tensorflow_text); then it
reads a line of standard input, a JSON list of FOLDER, INPUTS and OUTPUTS. So it can be started
before there is an export. INPUTS and OUTPUTS are .npz files without objects. The byte strings of an
input are stored as two arrays: `data/<input>` uint8[], all their bytes, and `ends/<input>` int64[],
the place where each string ends.
"""

import importlib
import itertools
import json
import sys
from collections.abc import Sequence

import numpy as np

BATCH = 32
"""Number of rows that are computed at once."""
CANNOT_WRITE = 74
"""The exit code if OUTPUTS cannot be written: EX_IOERR."""


def main(argv: Sequence[str]) -> None:
    """Waits for a line of standard input, computes the outputs of all inputs and writes them to OUTPUTS.

    Without a line, where standard input is closed, nothing is computed.

    Their names begin with `raw/` for the signature `serving_default` and with `tensors/` for the
    signature `tensors`; those of strings have `data/` or `ends/` before that.
    """
    import tensorflow as tf

    for module in argv[1:]:
        importlib.import_module(module)
    line = sys.stdin.readline()
    if not line:
        return
    folder, inputs_path, outputs_path = json.loads(line)
    with np.load(inputs_path, allow_pickle=False) as file:
        arrays = dict(file)
    signatures = tf.saved_model.load(folder).signatures
    default = signatures["serving_default"]
    names = [key.removeprefix("data/") for key in arrays if key.startswith("data/")]
    raw = {name: unpack(arrays.pop(f"data/{name}"), arrays.pop(f"ends/{name}")) for name in names}
    batches = [
        default(**{name: tf.constant(items[start : start + BATCH]) for name, items in raw.items()})
        for start in range(0, len(raw[names[0]]), BATCH)
    ]
    tensors = {key: tf.constant(value) for key, value in arrays.items()}
    whole = {
        name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]
    }
    computed = {"raw": whole, "tensors": signatures["tensors"](**tensors)}
    outputs = {}
    for kind, values in computed.items():
        for key, value in values.items():
            value = np.asarray(value)
            if value.dtype.kind == "O":
                outputs[f"data/{kind}/{key}"], outputs[f"ends/{kind}/{key}"] = pack(value.tolist())
            else:
                outputs[f"{kind}/{key}"] = value
    try:
        np.savez(outputs_path, **outputs)  # type: ignore[arg-type]
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(CANNOT_WRITE)


def pack(items: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """`(uint8[total], int64[N])`: the bytes of all items, and the place where each item ends."""
    ends = np.cumsum([len(item) for item in items], dtype=np.int64)
    return np.frombuffer(b"".join(items), np.uint8), ends


def unpack(data: np.ndarray, ends: np.ndarray) -> list[bytes]:
    """The items from which `pack` made the arrays."""
    content, places = data.tobytes(), [0, *ends.tolist()]
    return [content[start:end] for start, end in itertools.pairwise(places)]


if __name__ == "__main__":
    main(sys.argv)
