"""Runs an exported model with its own runtime, without tltf, and times it.

`python -P runtime_process.py` is a program of its own, so it computes what a phone, a browser or a
server computes. It needs numpy and the runtime alone, and no package beside this file. It reads one
line of standard input, a JSON object with the fields of `Task`, writes the outputs of all rows to
`Task.outputs`, an .npz file without objects, and prints a JSON object with the fields of `Timing`.

The inputs are .npy files, one per input of the model. They are read batch by batch, so that a whole
test split need not fit into memory, and take the dtype of the model's input: pixels are stored as
uint8 and computed as float32.
"""

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

CANNOT_WRITE = 74
"""The exit code if the outputs cannot be written: EX_IOERR."""
WARM_CALLS = 3
"""Calls of each batch size before any is timed."""
LEAST_CALLS, MOST_CALLS = 20, 300
"""Calls of each batch size that are timed."""

Rows = dict[str, np.ndarray]
"""Name -> array whose first axis counts the rows of a batch."""
Run = Callable[[Rows], Rows]
"""A loaded model: inputs of a batch -> its outputs."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What is computed.

    Args:
        runtime: a name of RUNTIMES.
        model: the file or folder that the runtime loads.
        inputs: input of the model -> its .npy file, [N, ...].
        outputs: the .npz file that is written.
        num_rows: the most rows that are computed, the first ones; 0 for all.
        batch_size: rows per call.
        timed: the batch sizes that are timed.
        seconds: the time that is spent on each of them, about.
        threads: threads of the runtime.
        settings: further settings of the runtime, by its own names.
    """

    runtime: str
    model: str
    inputs: dict[str, str]
    outputs: str
    num_rows: int = 0
    batch_size: int = 32
    timed: tuple[int, ...] = ()
    seconds: float = 2.0
    threads: int = 1
    settings: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Timing:
    """How long the runtime took.

    Args:
        runtime: its name and version.
        first_call_ms: from the file to the first answer for one row, the import of the runtime not
            counted.
        latency_ms: batch size as text -> [median, 99th percentile] of one call.
        threads: threads of the runtime.
    """

    runtime: str
    first_call_ms: float
    latency_ms: dict[str, list[float]]
    threads: int


def litert(task: Task) -> tuple[str, Callable[[], Run]]:
    """`(version, loader)` of a .tflite file in LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    def load() -> Run:
        runner = Interpreter(task.model, num_threads=task.threads).get_signature_runner()
        details = runner.get_input_details()
        is_single = any(detail["shape_signature"][0] == 1 for detail in details.values())

        def call(rows: Rows) -> Rows:
            given = {name: rows[name].astype(item["dtype"]) for name, item in details.items()}
            return dict(runner(**given))

        return _one_by_one(call) if is_single else call

    return _version("ai-edge-litert"), load


def _one_by_one(call: Run) -> Run:
    """The model for any number of rows, made of one that takes a single row."""

    def each(rows: Rows) -> Rows:
        count = len(next(iter(rows.values())))
        answers = [call({k: v[row : row + 1] for k, v in rows.items()}) for row in range(count)]
        return {name: np.concatenate([row[name] for row in answers]) for name in answers[0]}

    return each


def onnxruntime(task: Task) -> tuple[str, Callable[[], Run]]:
    """`(version, loader)` of an .onnx file in ONNX Runtime on the processor."""
    import onnxruntime as ort

    def load() -> Run:
        options = ort.SessionOptions()
        options.intra_op_num_threads = task.threads
        session = ort.InferenceSession(task.model, options, providers=["CPUExecutionProvider"])
        dtypes = {item.name: _ONNX_DTYPES[item.type] for item in session.get_inputs()}
        names = [item.name for item in session.get_outputs()]

        def call(rows: Rows) -> Rows:
            given = {name: rows[name].astype(dtype) for name, dtype in dtypes.items()}
            return dict(zip(names, session.run(names, given), strict=True))

        return call

    return _version("onnxruntime"), load


_ONNX_DTYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}


def openvino(task: Task) -> tuple[str, Callable[[], Run]]:
    """`(version, loader)` of an OpenVINO model on the processor."""
    import openvino as ov

    def load() -> Run:
        settings = {"INFERENCE_NUM_THREADS": task.threads, **task.settings}
        compiled = ov.Core().compile_model(task.model, "CPU", settings)
        dtypes = {
            item.get_any_name(): item.get_element_type().to_dtype() for item in compiled.inputs
        }

        def call(rows: Rows) -> Rows:
            found = compiled({name: rows[name].astype(dtype) for name, dtype in dtypes.items()})
            return {item.get_any_name(): np.array(found[item]) for item in compiled.outputs}

        return call

    return _version("openvino"), load


def tensorflow(task: Task) -> tuple[str, Callable[[], Run]]:
    """`(version, loader)` of the signature `tensors` of a SavedModel in TensorFlow.

    `settings` may name a module under `import`, for the operators that the graph needs.
    """
    import tensorflow as tf

    if "import" in task.settings:
        importlib.import_module(task.settings["import"])
    tf.config.threading.set_intra_op_parallelism_threads(task.threads)

    def load() -> Run:
        signature = tf.saved_model.load(task.model).signatures["tensors"]
        specs = signature.structured_input_signature[1]

        def call(rows: Rows) -> Rows:
            given = {
                k: tf.constant(rows[k].astype(s.dtype.as_numpy_dtype)) for k, s in specs.items()
            }
            found = {name: value.numpy() for name, value in signature(**given).items()}
            return {name: value for name, value in found.items() if value.dtype.kind != "O"}

        call.signature = signature  # type: ignore[attr-defined]
        return call

    return f"TensorFlow {tf.__version__}", load


def numpy_bert(task: Task) -> tuple[str, Callable[[], Run]]:
    """`(version, loader)` of a Hugging Face folder, read by the formulas of BERT in numpy."""
    path = pathlib.Path(__file__).with_name("bert_in_numpy.py")
    spec = importlib.util.spec_from_file_location("bert_in_numpy", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return f"NumPy {np.__version__}", lambda: module.load(task.model)


def transformers(task: Task) -> tuple[str, Callable[[], Run]]:
    """`(version, loader)` of a Hugging Face folder in transformers and PyTorch."""
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    torch.set_num_threads(task.threads)
    folder = pathlib.Path(task.model)

    def load() -> Run:
        modules = _modules(folder)
        kind: Any = AutoModel if modules else AutoModelForSequenceClassification
        model = kind.from_pretrained(folder, dtype=torch.float32).eval()

        def call(rows: Rows) -> Rows:
            given = {name: torch.tensor(rows[own].astype(np.int64)) for name, own in _OWN.items()}
            with torch.no_grad():
                found = model(**given)
                if not modules:
                    return {"logits": found.logits.numpy()}
                return {"logits": _above(modules, found.last_hidden_state, given["attention_mask"])}

        return call

    return _version("transformers"), load


_OWN = {"input_ids": "token_ids", "attention_mask": "padding_mask", "token_type_ids": "segment_ids"}
"""Input of transformers -> of tltf."""


def _modules(folder: pathlib.Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """`(config, tensors)` of each module above the encoder that modules.json names; [] without it."""
    if not (folder / "modules.json").is_file():
        return []
    from safetensors.torch import load_file

    found = []
    for entry in json.loads((folder / "modules.json").read_text(encoding="utf-8"))[1:]:
        place = folder / entry["path"]
        weights = place / "model.safetensors"
        config = json.loads((place / "config.json").read_text(encoding="utf-8"))
        found.append((config, load_file(weights) if weights.is_file() else {}))
    return found


def _above(
    modules: list[tuple[dict[str, Any], dict[str, Any]]], steps: Any, mask: Any
) -> np.ndarray:
    """What the modules of sentence-transformers above the encoder compute, float32[B, C]."""
    import torch

    pooling, wide = modules[0][0], mask[..., None].float()
    if pooling["pooling_mode_cls_token"]:
        features = steps[:, 0]
    elif pooling["pooling_mode_max_tokens"]:
        features = steps.masked_fill(wide == 0, -1e9).max(1).values
    else:
        features = (steps * wide).sum(1) / wide.sum(1).clamp(min=1e-9)
    for config, tensors in modules[1:]:
        features = torch.nn.functional.linear(
            features, tensors["linear.weight"], tensors["linear.bias"]
        )
        name = config["activation_function"].rpartition(".")[2]
        features = getattr(torch.nn, name)()(features)
    return features.numpy()


RUNTIMES: dict[str, Callable[[Task], tuple[str, Callable[[], Run]]]] = {
    "litert": litert,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "tensorflow": tensorflow,
    "numpy_bert": numpy_bert,
    "transformers": transformers,
}


def _version(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"


def run(task: Task) -> tuple[Timing, Rows]:
    """`(timing, outputs of all rows)` of a task."""
    version, load = RUNTIMES[task.runtime](task)
    inputs = {name: np.load(path, mmap_mode="r") for name, path in task.inputs.items()}
    count = len(next(iter(inputs.values())))
    count = min(task.num_rows or count, count)

    def take(start: int, size: int) -> Rows:
        return {name: np.asarray(array[start : start + size]) for name, array in inputs.items()}

    start = time.perf_counter()
    call = load()
    call(take(0, 1))
    first = 1000 * (time.perf_counter() - start)
    places = range(0, count, task.batch_size)
    parts = [call(take(place, min(task.batch_size, count - place))) for place in places]
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    latency = {
        str(size): _latency(call, _repeated(take(0, size), size), task) for size in task.timed
    }
    return Timing(version, first, latency, task.threads), outputs


def _repeated(rows: Rows, size: int) -> Rows:
    """Exactly `size` rows, repeated where there are fewer."""
    return {k: v[np.arange(size) % len(v)] for k, v in rows.items()}


def _latency(call: Run, rows: Rows, task: Task) -> list[float]:
    """[median, 99th percentile] in milliseconds of the call for these rows."""
    for _ in range(WARM_CALLS):
        call(rows)
    times: list[float] = []
    while len(times) < LEAST_CALLS or (sum(times) < task.seconds and len(times) < MOST_CALLS):
        start = time.perf_counter()
        call(rows)
        times.append(time.perf_counter() - start)
    return [1000 * float(value) for value in np.percentile(times, [50, 99])]


def main() -> None:
    """Waits for a line of standard input and does what it says."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    task = Task(**json.loads(sys.stdin.readline()))
    timing, outputs = run(task)
    try:
        np.savez(task.outputs, **outputs)  # type: ignore[arg-type]
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(CANNOT_WRITE)
    print(json.dumps(dataclasses.asdict(timing)))


if __name__ == "__main__":
    main()
