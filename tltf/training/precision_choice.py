"""--precision=auto: the number format in which a network computes.

Half precision halves what is read and moved, and processors with units for it multiply several times
as many numbers. Networks gain by that as far as they consist of matrix products; element-wise layers
and depthwise convolutions even lose on CPUs. So a kind of network is a candidate only where the whole
training was measured to gain without losing accuracy, and a short probe of its first layers confirms
the gain on the machine:

- linear probes of texts on CPUs with bfloat16 products (`amx_bf16`, `avx512_bf16`): the frozen pass over
  MiniLM takes 0.6 of the time, with the same accuracy over five seeds (tools/bench_precision.py). As what is
  judged is computed in float32, a run gains only where it has many more rows to train on than to judge.
- full fine-tuning of texts on such CPUs: a run takes 0.75 of the processor time, and over five seeds the
  accuracy differs by +0.2 points (95% interval -0.3 to +0.7). Other methods that train were not measured.
- images on CPUs stay in float32: training EfficientNet-Lite0 gained at most a tenth and ResNet-50 nothing,
  and features of depthwise convolutions in bfloat16 are 6% from those in float32. Frozen passes over many
  images gain by --precision=mixed_bfloat16.
- GPUs take what their generation multiplies: bfloat16 from compute capability 8 on, float16 from 7 on.
- TPUs take bfloat16.
"""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltf.config.option_groups import ModelOptions, RuntimeOptions
from tltf.console import lines
from tltf.errors import StorageError
from tltf.files import assets, atomic_files
from tltf.graphs import functional
from tltf.graphs.core import Core
from tltf.runs import machine, versions

AUTO, FULL, BRAIN, HALF = "auto", "float32", "mixed_bfloat16", "mixed_float16"
UNITS = frozenset({"amx_bf16", "avx512_bf16"})
"""Flags of processors that multiply bfloat16."""
PROBES, TRAINED = ("linear_probe",), ("full",)
"""Methods that were measured to lose less than half a point by bfloat16, with their 95% interval: those that
pass once through a frozen network, and those that take steps with it."""
LEAST_WEIGHTS = 5_000_000
"""Weights below which a network is not probed: it spends its time on other things than products."""
LEAST_GAIN = 1.15
"""How many times as fast a run must be in bfloat16."""
PROBE_ROWS, PROBE_TOKENS, PROBE_ROUNDS, PROBE_S = 32, 48, 6, 0.5
"""Texts and tokens of the probe, its rounds, and the seconds after which it takes no further round."""
PROBED_GROUP = 1
"""The group of layers that is probed: the first behind the embeddings, which all others are like."""
REMEMBERED = "precision.json"
"""File in the cache folder with the gains that were measured."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """What a gain was measured on: a gain counts for the same probe only.

    Args:
        processor: the model of the processor.
        backbone: the call string.
        text_length: --text_length; 0 where it is chosen by the data.
        packages: versions of the packages that compute.
    """

    processor: str
    backbone: str
    text_length: int
    packages: tuple[str, ...]

    @property
    def key(self) -> str:
        """The name of the probe in the file of gains."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:24]


@dataclasses.dataclass(frozen=True)
class Work:
    """What a run computes, by which --precision=auto is chosen on a CPU.

    Args:
        modality: of the data, `image` or `text`.
        method: the name of the method; empty where it is not chosen yet.
        num_replicas: the devices that train together.
        num_training, num_validation, num_test: the rows of the splits.
    """

    modality: str
    method: str
    num_replicas: int
    num_training: int
    num_validation: int = 0
    num_test: int = 0

    @property
    def is_candidate(self) -> bool:
        """Whether bfloat16 may be taken, if it gains."""
        is_measured = self.modality == "text" and self.method in PROBES + TRAINED
        return is_measured and self.num_replicas == 1 and has_units()

    def gains(self, gain: float) -> bool:
        """Whether the run gains enough, where a pass in bfloat16 gains `gain`.

        Steps outweigh what is judged. A frozen pass does not, and validation is then computed in both
        precisions: the penalty is chosen on it, and it is judged.
        """
        if self.method in TRAINED:
            return gain >= LEAST_GAIN
        num_read, num_judged = (
            rows + self.num_validation for rows in (self.num_training, self.num_test)
        )
        in_float32 = self.num_training + num_judged
        return in_float32 / (num_read / gain + num_judged) >= LEAST_GAIN


def build(
    make: Callable[[], Core], runtime: RuntimeOptions, model: ModelOptions, work: Work
) -> tuple[Core, str]:
    """`(core, precision)`: a new core in the precision of --precision, which is also set for new layers.

    Args:
        make: builds the core in the precision that is set.
        runtime: the options of devices; `precision` may be auto.
        model: the options of the network.
        work: what the run computes.
    """
    chosen = runtime.precision if runtime.precision != AUTO else _of_devices(runtime.strategy)
    if not chosen and work.is_candidate:
        return _build_by_probe(make, _probe_of(model), work)
    keras.config.set_dtype_policy(chosen or FULL)
    return make(), chosen or FULL


def _build_by_probe(make: Callable[[], Core], probe: Probe, work: Work) -> tuple[Core, str]:
    """The result of `build` where a probe decides, which is made unless its gain is remembered."""
    gain = _remembered_gains().get(probe.key)
    if gain is None:
        keras.config.set_dtype_policy(FULL)
        core = make()
        gain = measure_gain(core)
        _remember(probe, gain)
        if not work.gains(gain):
            return core, FULL
        lines.say(
            "precision", f"bfloat16 is {gain:.2f} times as fast in a probe of the first layer"
        )
    chosen = BRAIN if work.gains(gain) else FULL
    keras.config.set_dtype_policy(chosen)
    return make(), chosen


def has_units() -> bool:
    """Whether the processor multiplies bfloat16."""
    return bool(UNITS & machine.cpu_flags())


def _of_devices(strategy: str) -> str:
    """The precision that the accelerators of a strategy take; empty on CPUs."""
    if strategy == "tpu":
        return BRAIN
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return ""
    details = map(tf.config.experimental.get_device_details, gpus)
    oldest = min(tuple(found.get("compute_capability", (0, 0))) for found in details)
    return BRAIN if oldest >= (8, 0) else HALF if oldest >= (7, 0) else FULL


def measure_gain(core: Core) -> float:
    """How many times as fast the first layer of texts is in bfloat16 as in float32, forward.

    It takes little more than PROBE_S, beside the making of two graphs. It is 1.0 for small networks, for
    those that have only embeddings, and for those that cannot be copied.
    """
    if len(core.backbone.groups) <= PROBED_GROUP:
        return 1.0
    if sum(math.prod(weight.shape) for weight in core.model.weights) < LEAST_WEIGHTS:
        return 1.0
    first = _first_layer(core)
    try:
        other = keras.models.clone_model(first, clone_function=_in_bfloat16)
    except (NotImplementedError, TypeError, ValueError):
        return 1.0
    shapes = [
        [size or (PROBE_ROWS if axis == 0 else PROBE_TOKENS) for axis, size in enumerate(t.shape)]
        for t in first.inputs
    ]
    inputs = [tf.ones(shape, t.dtype) for shape, t in zip(shapes, first.inputs, strict=True)]
    return _compare([first, other], inputs)


def _first_layer(core: Core) -> keras.Model:
    """The group of layers behind the embeddings as a model of its own."""
    known = {id(layer) for layer in core.backbone.groups[PROBED_GROUP].layers}
    nodes = [node for node in functional.nodes_of(core.model) if id(node.operation) in known]
    made = {id(tensor) for node in nodes for tensor in node.outputs}
    outer = {id(t): t for node in nodes for t in node.input_tensors if id(t) not in made}
    given = [(t, keras.Input(batch_shape=t.shape, dtype=t.dtype)) for t in outer.values()]
    outputs = functional.replay([nodes[-1].outputs[0]], given)
    return keras.Model([new for _, new in given], outputs)


def _in_bfloat16(layer: keras.Layer) -> keras.Layer:
    config = layer.get_config()
    if not isinstance(layer, keras.layers.InputLayer):
        config["dtype"] = BRAIN
    return type(layer).from_config(config)


def _compare(models: Sequence[keras.Model], inputs: Sequence[tf.Tensor]) -> float:
    """The shortest time of the first model in terms of that of the second, which take turns."""
    steps = [tf.function(model, autograph=False) for model in models]
    for step in steps:
        step(inputs, training=False)
    shortest, begun = [np.inf] * len(steps), time.perf_counter()
    for _ in range(PROBE_ROUNDS):
        for place, step in enumerate(steps):
            start = time.perf_counter()
            keras.ops.convert_to_numpy(step(inputs, training=False)[0])
            shortest[place] = min(shortest[place], time.perf_counter() - start)
        if time.perf_counter() - begun > PROBE_S:
            break
    return shortest[0] / shortest[1]


def _probe_of(model: ModelOptions) -> Probe:
    packages = versions.installed_versions(("tensorflow", "keras", "keras-hub"))
    flags = "+".join(sorted(UNITS & machine.cpu_flags()))
    cpu = machine.this_machine()
    processor = f"{cpu.cpu} {flags} {cpu.cores}"
    return Probe(
        processor, model.backbone, model.text_length or 0, tuple(map(str, packages.values()))
    )


def _remembered_gains() -> dict[str, float]:
    """Key of a Probe -> the gain that was measured."""
    try:
        found: Any = json.loads((assets.cache_folder() / REMEMBERED).read_text(encoding="utf-8"))
        return {str(key): float(gain) for key, gain in found.items()}
    except (OSError, ValueError, AttributeError, TypeError, StorageError):
        return {}


def _remember(probe: Probe, gain: float) -> None:
    """Keeps a gain, so that later runs, also one that goes on, choose the same without a probe."""
    try:
        path = assets.cache_folder() / REMEMBERED
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.replace_file(path) as file:
            json.dump(_remembered_gains() | {probe.key: round(gain, 3)}, file, indent=1)
    except (OSError, StorageError):
        lines.say("precision", "the probe cannot be kept, so a later run measures it again")
