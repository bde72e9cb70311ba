"""The sides of bench_engines.py, each in a process of its own.

    python tools/engine_sides.py texts FILE
    python tools/engine_sides.py pass NETWORK ROUNDS ENGINE,... FLAGS
    python tools/engine_sides.py run ENGINE FLAGS
    python tools/engine_sides.py check

`texts` writes the labelled texts; `pass` times the frozen prefix over the training rows; `run` is
`tltf.train` whose frozen pass the engine computes. tltf itself computes it in TensorFlow only, so
`run` puts the engine in its place, without any check of its results. `check` prints whether OpenVINO is
installed.
"""

import collections
import csv
import importlib.util
import json
import pathlib
import statistics
import sys
import time

import bench_engines
import bench_floor
import numpy as np
import tensorflow as tf

from tltf import train
from tltf.caching import frozen_outputs
from tltf.config import checks, flagfiles, options
from tltf.data import loader
from tltf.graphs import batch_norm_folding, frozen_prefix
from tltf.training import assembly
from tltf.training.distribution import strategies

DOMAINS = ("movie", "amazon", "nyt", "tweets")


class OpenVino:
    """A frozen prefix, its batch norms folded, compiled by OpenVINO for the processor.

    Each of its streams computes a batch on a core of its own, which is quicker than all cores on
    one batch.

    Args:
        prefix: the model.
        fields: the Field of each output that is wanted.
        specs: name -> TensorSpec of a batch of its inputs.
        number_format: the number format that it computes in, `f32` or `bf16`.
    """

    def __init__(self, prefix, fields, specs, number_format):
        import openvino

        folded, inputs = batch_norm_folding.fold(prefix), sorted(specs)
        names = [field.name for field in fields]

        def forward(*tensors):
            outputs = folded(dict(zip(inputs, tensors, strict=True)), training=False)
            return tuple(outputs[name] for name in names)

        signature = [
            tf.TensorSpec([None, *specs[name].shape[1:]], specs[name].dtype, name=f"given_{name}")
            for name in inputs
        ]
        traced = tf.function(forward, input_signature=signature, autograph=False)
        model = openvino.convert_model(traced.get_concrete_function())
        settings = {"INFERENCE_PRECISION_HINT": number_format, "PERFORMANCE_HINT": "THROUGHPUT"}
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        places = {port.get_any_name().split(":")[0]: at for at, port in enumerate(model.inputs)}
        self.places = {name: places[f"given_{name}"] for name in inputs}
        self.names, self.done = names, collections.deque()
        self.queue = openvino.AsyncInferQueue(compiled)
        self.queue.set_callback(self._keep)

    def _keep(self, request, numbers):
        arrays = [request.get_output_tensor(place).data.copy() for place in range(len(self.names))]
        self.done.append((dict(zip(self.names, arrays, strict=True)), numbers))

    def outputs(self, batches):
        """Yields (name -> array, row numbers) of (inputs, row numbers), in any order of batches."""
        for inputs, numbers in batches:
            given = {place: inputs[name].numpy() for name, place in self.places.items()}
            self.queue.start_async(given, numbers)
            while self.done:
                yield self.done.popleft()
        self.queue.wait_all()
        while self.done:
            yield self.done.popleft()


class TensorFlow:
    """A frozen prefix as tltf computes it: one graph, batch norms folded, dense layers on [B L, D].

    Args:
        prefix: the model.
        fields: the Field of each output that is wanted.
        specs: name -> TensorSpec of a batch of its inputs.
    """

    def __init__(self, prefix, fields, specs):
        self.step = frozen_outputs._traced(prefix, fields, specs)

    def outputs(self, batches):
        """Yields (name -> array, row numbers) of (inputs, row numbers)."""
        for inputs, numbers in batches:
            yield {name: value.numpy() for name, value in self.step(inputs).items()}, numbers


class ByEngine:
    """A dataset of a frozen pass whose inputs an engine has turned into the outputs of the prefix.

    Args:
        dataset: (inputs, row numbers) in batches.
        engine: gives the OpenVino when the first batch is asked for.
    """

    def __init__(self, dataset, engine):
        self.dataset, self.engine, self.element_spec = dataset, engine, dataset.element_spec

    def __iter__(self):
        for outputs, numbers in self.engine().outputs(self.dataset):
            yield {name: tf.constant(array) for name, array in outputs.items()}, numbers


def write_texts(path):
    """Writes the polar texts of all domains of vader, without repetitions, in a random order."""
    rows = {}
    for domain in DOMAINS:
        source = loader.load(f"vader(domain={domain})", seed=0)
        rows |= dict(zip(source.column.values, source.labels, strict=True))
    order = np.random.default_rng(0).permutation(len(rows))[: bench_engines.NUM_TEXTS]
    texts = list(rows)
    with pathlib.Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([texts[row], rows[texts[row]]] for row in order)


def assembled(flags):
    """The frozen prefix of a linear probe, and the Outputs that reads the training rows for it."""
    chosen, _ = flagfiles.parse(options.Options, flags)
    recipe, strategy = checks.resolve(chosen, needs_output=False), strategies.start(chosen.runtime)
    trained, method = assembly.assemble(chosen, recipe, loader.load_parts(chosen, recipe), strategy)
    bench_floor.freeze(trained, method)
    prefix = frozen_prefix.cut(trained.core.model, trained.core.groups).prefix
    reading = frozen_outputs.Reading(
        trained.splits["train"], trained.preprocessing, trained.takes_any_length
    )
    fields = frozen_outputs.fields_of(prefix, "float32")
    return prefix, frozen_outputs.Outputs(prefix, fields, reading)


def time_passes(rounds, names, flags):
    """Prints a line of JSON per engine: seconds of each round, of the start, and differences.

    Every round runs all engines over the same batches, every other round in the opposite order. The
    first pass of an engine is not a round: the CPU seconds that it took more than a round, with
    conversion and compilation, are the start.
    """
    engines, batches, starts, results = {}, {}, {}, {}
    for name in names:
        engine = bench_engines.ENGINES[name]
        prefix, outputs = assembled([*flags, f"--precision={engine.precision}"])
        dataset = outputs._inputs(outputs._order(), frozen_outputs.BATCH_SIZE)
        batches = batches or list(dataset)
        start = time.process_time()
        specs = dataset.element_spec[0]
        engines[name] = (
            OpenVino(prefix, outputs.fields, specs, engine.openvino)
            if engine.openvino
            else TensorFlow(prefix, outputs.fields, specs)
        )
        results[name] = joined(engines[name].outputs(batches))
        starts[name] = time.process_time() - start
    seconds = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            wall, cpu = time.perf_counter(), time.process_time()
            collections.deque(engines[name].outputs(batches), maxlen=0)
            seconds[name].append([time.perf_counter() - wall, time.process_time() - cpu])
    exact = results[bench_engines.REFERENCE]
    for name in names:
        usual = statistics.median(cpu for _, cpu in seconds[name])
        row = {
            "engine": name,
            "rows": len(exact),
            "seconds": seconds[name],
            "start_cpu_s": starts[name] - usual,
            **differences(results[name], exact),
        }
        print(json.dumps(row), flush=True)


def joined(outputs):
    """float64[N, d]: the first output of all rows, in the order of their numbers."""
    parts = [(next(iter(arrays.values())), numbers.numpy()) for arrays, numbers in outputs]
    features = np.concatenate([array.reshape(len(array), -1) for array, _ in parts])
    order = np.argsort(np.concatenate([numbers for _, numbers in parts]))
    return features[order].astype(np.float64)


def differences(features, exact):
    """How far features [N, d] are from the exact ones: largest, relative, and least cosine of a row."""
    lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(exact, axis=1)
    return {
        "max_abs": float(np.abs(features - exact).max()),
        "relative": float(np.linalg.norm(features - exact) / np.linalg.norm(exact)),
        "min_cosine": float((np.sum(features * exact, axis=1) / lengths).min()),
    }


def run(name, flags):
    """Trains as `tltf.train` does, with the frozen pass computed by an engine; returns its exit code."""
    engine = bench_engines.ENGINES[name]
    if engine.openvino:
        compute_by_openvino(engine.openvino)
    return train.main([*flags, f"--precision={engine.precision}"])


def compute_by_openvino(number_format):
    """Puts OpenVINO in the place of the traced prefix, for the rest of this process.

    What it computes has a namespace of its own in the feature cache.
    """
    compiled, plain = {}, frozen_outputs.Outputs._inputs
    namespace = frozen_outputs.Outputs.namespace

    def inputs(self, taken, size):
        dataset = plain(self, taken, size)

        def engine():
            if id(self.prefix) not in compiled:
                made = OpenVino(self.prefix, self.fields, dataset.element_spec[0], number_format)
                compiled[id(self.prefix)] = self.prefix, made
            return compiled[id(self.prefix)][1]

        return ByEngine(dataset, engine)

    frozen_outputs.Outputs._inputs = inputs
    frozen_outputs.Outputs.namespace = lambda self, fingerprint: namespace(
        self, f"{fingerprint} OpenVINO {number_format}"
    )
    frozen_outputs._traced = lambda prefix, fields, specs: lambda outputs: outputs


def main():
    """Does what the command line says."""
    command, *given = sys.argv[1:]
    if command == "texts":
        write_texts(*given)
    elif command == "pass":
        rounds, names, *flags = given
        time_passes(int(rounds), names.split(","), flags)
    elif command == "run":
        sys.exit(run(given[0], given[1:]))
    else:
        print(json.dumps(importlib.util.find_spec("openvino") is not None))


if __name__ == "__main__":
    main()
