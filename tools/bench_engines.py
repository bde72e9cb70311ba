"""Compares engines that could compute frozen layers with TensorFlow, which tltf computes them in.

    pip install openvino
    python tools/bench_engines.py [--networks=minilm_l6,efficientnet_lite0,resnet50] [--rounds=5]
        [--runs=3] [--run_rows=10000] [--folder=runs/bench_engines]

The first table is of the frozen pass of a linear probe alone, over rows that are read already: all
engines in one process, in turn, over the same batches. Its differences are those of the features
to TensorFlow's in float32; the start is what tracing, conversion, compilation and the first
batch of each shape take. The second table is of whole runs of `tltf.train` with
--method='linear_probe(solver=lbfgs)', each in a process of its own, in turn, with an empty feature
cache; --runs=0 leaves it out. Both have seconds by the clock and of all cores together (user and
system), which other work on the machine changes less.

An engine is worth a dependency where whole runs are at least 1.5 times faster than in TensorFlow
in the better of its two number formats. Measurements are kept in FOLDER/bench.jsonl; a second call
measures only what is missing there.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import resource
import shutil
import sys
import time

import benching
import measuring

SIDES = str(pathlib.Path(__file__).with_name("engine_sides.py"))
NUM_TEXTS = 10_000
FEATURES_OF_PROCESSORS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
)
"""The flags of /proc/cpuinfo that decide how fast matrix products are."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """What computes a frozen pass.

    Args:
        precision: --precision of tltf.
        openvino: the number format that OpenVINO computes in, `f32` or `bf16`; empty for TensorFlow.
    """

    precision: str
    openvino: str = ""


REFERENCE = "TensorFlow float32"
ENGINES = {
    REFERENCE: Engine("float32"),
    "TensorFlow bfloat16": Engine("mixed_bfloat16"),
    "OpenVINO float32": Engine("float32", "f32"),
    "OpenVINO bfloat16": Engine("float32", "bf16"),
}
RUN_ENGINES = tuple(name for name in ENGINES if name != "OpenVINO float32")
"""The engines of whole runs; OpenVINO's float32 is level with TensorFlow's in the pass alone."""
RIVALS = (REFERENCE, "TensorFlow bfloat16")
"""The engines that ratios are to."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A backbone with its data.

    Args:
        flags: flags of tltf, with {folder} for the folder of the texts and {rows}, {train},
            {validation} and {test} for numbers of rows.
        pass_rows: number of rows in all splits for the pass alone, which reads the training rows.
        run_share: share of --run_rows that a whole run has; less for a network that takes minutes.
    """

    flags: tuple[str, ...]
    pass_rows: int
    run_share: float = 1.0

    def flags_for(self, folder, rows):
        """The flags of tltf for so many rows: 70% to train on, 10% for validation, 20% for the test."""
        validation, test = rows // 10, rows // 5
        numbers = {"train": rows - validation - test, "validation": validation, "test": test}
        flags = [flag.format(folder=folder, rows=rows, **numbers) for flag in self.flags]
        return [*flags, "--split=holdout(test=.2, validation=.1)", METHOD]


METHOD = "--method=linear_probe(solver=lbfgs)"
FASHION = "--data=fashion_mnist(num_train={train}, num_validation={validation}, num_test={test})"
NETWORKS = {
    "minilm_l6": Network(
        (
            "--data=csv(path='{folder}/texts.csv', text=text, label=label)",
            "--limit={rows}",
            "--backbone=minilm_l6",
        ),
        pass_rows=1500,
    ),
    "efficientnet_lite0": Network(
        (FASHION, "--backbone=efficientnet_lite0", "--image_size_px=96"), pass_rows=1000
    ),
    "resnet50": Network(
        (FASHION, "--backbone=resnet50", "--backbone_weights=none", "--image_size_px=224"),
        pass_rows=100,
        run_share=0.1,
    ),
}
PASS_HEADER = [
    "network",
    "engine",
    "rows per s (per CPU s)",
    "wall, times TensorFlow float32",
    "CPU, times TensorFlow float32",
    "CPU, times TensorFlow bfloat16",
    "start, CPU s",
    "largest difference",
    "relative",
    "least cosine",
]
RUN_HEADER = [
    "network",
    "rows",
    "engine",
    "wall, times TensorFlow float32",
    "CPU, times TensorFlow float32",
    "wall, times TensorFlow bfloat16",
    "CPU, times TensorFlow bfloat16",
    "wall s",
    "CPU s",
    "accuracy",
    "peak MB",
]


def ratio_text(others, ours):
    """`1.52 (1.40 to 1.61)`: how many times faster, in pairs of seconds."""
    middle, low, high = benching.spread(
        [other / own for other, own in zip(others, ours, strict=True)]
    )
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def pass_lines(network, rows):
    """The lines of the first table for a network: engine -> the row that its process printed."""
    column = lambda name, place: [pair[place] for pair in rows[name]["seconds"]]  # noqa: E731
    lines = []
    for name, row in rows.items():
        rates = [row["rows"] / benching.spread(column(name, place))[0] for place in (0, 1)]
        lines.append(
            [
                network,
                name,
                f"{rates[0]:.4g} ({rates[1]:.4g})",
                ratio_text(column(RIVALS[0], 0), column(name, 0)),
                *(ratio_text(column(rival, 1), column(name, 1)) for rival in RIVALS),
                f"{row['start_cpu_s']:.1f}",
                f"{row['max_abs']:.2g}",
                f"{row['relative']:.2g}",
                f"{row['min_cosine']:.5f}",
            ]
        )
    return lines


def run_lines(network, num_rows, rows):
    """The lines of the second table for a network: engine -> its measurements, one per round."""
    column = lambda name, field: [row[field] for row in rows[name]]  # noqa: E731
    lines = []
    for name in rows:
        ratios = [
            ratio_text(column(rival, field), column(name, field))
            for rival in RIVALS
            for field in ("seconds", "cpu_s")
        ]
        middle = {field: benching.middle_of(rows[name], field) for field in rows[name][0]}
        lines.append(
            [
                network,
                str(num_rows),
                name,
                *ratios,
                f"{middle['seconds']:.3g}",
                f"{middle['cpu_s']:.3g}",
                f"{middle['accuracy']:.4f}",
                f"{middle['peak_mb']:.0f}",
            ]
        )
    return lines


def processor_text(path=pathlib.Path("/proc/cpuinfo")):
    """The processor, the number of its cores and those of its flags that matter here.

    Args:
        path: the file in which Linux describes processors.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    has = set(flags[1].split()) if flags else set()
    found = [name for name in FEATURES_OF_PROCESSORS if name in has]
    name = model[1] if model else "unknown processor"
    return f"{name}, {os.cpu_count()} cores, {' '.join(found) or 'unknown flags'}"


class Bench:
    """The measurements of this script; each is made once and then read from a notebook.

    Args:
        chosen: the arguments of the command line.
    """

    def __init__(self, chosen):
        self.folder, self.chosen = pathlib.Path(chosen.folder).resolve(), chosen
        self.notebook = measuring.Notebook(self.folder / "bench.jsonl")
        real = os.environ.get("TLTF_CACHE") or pathlib.Path.home() / ".cache" / "tltf"
        self.cache = benching.Cache(self.folder / "cache", real)
        paths = [str(measuring.ROOT), os.environ.get("PYTHONPATH", "")]
        self.environment = self.cache.environment() | {
            "PYTHONPATH": os.pathsep.join(filter(None, paths))
        }

    def side(self, *arguments):
        """`(standard output, peak MB)` of a side's process."""
        command = [sys.executable, SIDES, *map(str, arguments)]
        return benching.run_process(command, env=self.environment)

    def prepare(self):
        """Writes the texts; ends the script where OpenVINO is not installed."""
        if not json.loads(self.side("check")[0].splitlines()[-1]):
            sys.exit(f"OpenVINO is not installed: {sys.executable} -m pip install openvino")
        path = self.folder / "texts.csv"
        if not path.exists():
            part = path.with_suffix(".part")
            self.side("texts", part)
            part.rename(path)

    def passes(self, name):
        """Engine -> what its passes took, of a network."""
        network, rounds = NETWORKS[name], self.chosen.rounds
        flags = network.flags_for(self.folder, network.pass_rows)

        def measure():
            text, _ = self.side("pass", rounds, ",".join(ENGINES), *flags)
            rows = map(json.loads, text.splitlines()[-len(ENGINES) :])
            return {"rows": {row.pop("engine"): row for row in rows}}

        return self.notebook.get(f"pass {name} {rounds} {flags}", measure)["rows"]

    def run(self, network, engine, number):
        """The measurement of one whole run."""
        rows = self.num_rows(network)
        flags = NETWORKS[network].flags_for(self.folder, rows)

        def measure():
            self.cache.forget()
            output = self.folder / "run"
            shutil.rmtree(output, ignore_errors=True)
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            given = [*flags, "--export=false", f"--output={output}"]
            _, peak_mb = self.side("run", engine, *given)
            seconds = time.perf_counter() - start
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            report = json.loads((output / "report.json").read_text(encoding="utf-8"))
            shutil.rmtree(output)
            used = [after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime]
            return {
                "seconds": seconds,
                "cpu_s": sum(used),
                "accuracy": report["test"]["accuracy"],
                "peak_mb": peak_mb,
            }

        return self.notebook.get(f"run {network} {engine} {number} {flags}", measure)

    def num_rows(self, network):
        """The number of rows of a whole run, all splits together."""
        return round(self.chosen.run_rows * NETWORKS[network].run_share)

    def runs(self, network):
        """Engine -> the measurements of its whole runs; the engines take turns."""
        rows = {engine: [] for engine in RUN_ENGINES}
        for number in range(self.chosen.runs):
            for engine in benching.in_turn(RUN_ENGINES, number):
                row = self.run(network, engine, number)
                rows[engine].append({key: row[key] for key in row if key != "key"})
        return rows


def main():
    """Measures and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS), help="joined with a comma")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the pass alone")
    parser.add_argument("--runs", type=int, default=3, help="whole runs per engine; 0 for none")
    parser.add_argument("--run_rows", type=int, default=NUM_TEXTS, help="rows of a whole run")
    parser.add_argument("--folder", default="runs/bench_engines", help="where all of it is kept")
    chosen = parser.parse_args()
    networks, bench = chosen.networks.split(","), Bench(chosen)
    bench.prepare()
    lines = [line for name in networks for line in pass_lines(name, bench.passes(name))]
    print(f"{processor_text()}\n\n{measuring.table(PASS_HEADER, lines)}", flush=True)
    if chosen.runs:
        lines = [
            line
            for name in networks
            for line in run_lines(name, bench.num_rows(name), bench.runs(name))
        ]
        print(f"\n{measuring.table(RUN_HEADER, lines)}")


if __name__ == "__main__":
    main()
