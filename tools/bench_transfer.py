"""Measures tltf against what users have today and against the least that the work can cost.

    python tools/bench_transfer.py [--only=images_probe,text_probe,...] [--pairs=5] [--quick]
        [--with=hf,retokenized] [--hf_python=PYTHON] [--images=arrays|files] [--hidden=256]
        [--folder=runs/bench] [-- more flags of tltf.train]

Sides take turns, each measurement in a process of its own, on the same files, weights, steps,
batch size, rate and test rows; tltf's features store is cold but for `second_run`. A side's time
runs from the first read after the scan to the last step, tracing and a pass over frozen layers
included; imports, weights, evaluation and export are not counted. No side validates.

keras: tools/bench_keras.py, a plain Keras script; keras_cached has `Dataset.cache()` behind
decoding and resizing. Texts are tokenized once; --with=retokenized adds KerasHub's way, in every
epoch. floor: tools/bench_floor.py. sklearn: logistic regression on the frozen features.
--with=hf: Hugging Face Trainer under --hf_python (pip install torch transformers accelerate).

What was measured is kept in FOLDER/bench.jsonl: run it again to go on.
"""

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import bench_work
import benching
import measuring
from benching import Gate

IMAGES = bench_work.Work("images", "image", "linear_probe", 20, 1e-3)
TEXTS = bench_work.Work("texts", "text", "linear_probe", 20, 1e-3)
LAST_2 = dataclasses.replace(TEXTS, method="partial(last_groups=2)", epochs=5, learning_rate=5e-5)
FULL = dataclasses.replace(TEXTS, method="full", epochs=3, learning_rate=5e-5)

SCRIPTS = {
    "keras": ("bench_keras.py", {"is_cached": False}),
    "keras_cached": ("bench_keras.py", {"is_cached": True}),
    "keras_tokenized_once": ("bench_keras.py", {"is_cached": True}),
    "keras_retokenized": ("bench_keras.py", {"is_cached": False}),
    "floor": ("bench_floor.py", {}),
    "sklearn": ("bench_sklearn.py", {}),
    "hf": ("bench_hf.py", {}),
    "train_on_batch": ("bench_step.py", {}),
}
"""Side -> its script, and what it changes in the Work."""
OPTIONAL = {"hf": "hf", "keras_retokenized": "retokenized"}
"""Side -> what --with must name."""
FLOOR, NO_GATE = Gate("<=", 1.35), Gate(">=")
COMPARED = {
    "images_probe": (
        IMAGES,
        {"keras": Gate(">=", 9), "keras_cached": Gate(">=", 9), "floor": FLOOR, "sklearn": NO_GATE},
    ),
    "text_probe": (
        TEXTS,
        {
            "keras_tokenized_once": Gate(">=", 12),
            "keras_retokenized": NO_GATE,
            "floor": FLOOR,
            "sklearn": NO_GATE,
        },
    ),
    "text_last2": (
        LAST_2,
        {"keras_tokenized_once": Gate(">=", 2), "keras_retokenized": NO_GATE, "floor": Gate("<=")},
    ),
    "text_full": (
        FULL,
        {
            "keras_tokenized_once": Gate(">=", 1.6),
            "keras_retokenized": NO_GATE,
            "hf": Gate(">=", 1.5),
        },
    ),
}
"""Row -> the work, and side -> Gate."""
MEMORY_FLAG, MEMORY_EPOCHS, MEMORY_PAIRS = "--cache_memory_mb=200", 2, 3
OTHER_HEAD = "--head=classify(dropout=.1)"
HF_HINT = "--with=hf needs torch, transformers and accelerate: {} -m pip install torch transformers accelerate"


class Bench:
    """Measurements that are made once.

    Args:
        chosen: the command line.
    """

    def __init__(self, chosen):
        self.folder = pathlib.Path(chosen.folder).resolve()
        self.chosen, self.added = chosen, chosen.added.split(",")
        self.pairs, self.flags = range(1 if chosen.quick else chosen.pairs), chosen.flags
        self.notebook = measuring.Notebook(self.folder / "bench.jsonl")
        real = os.environ.get("TLTF_CACHE") or pathlib.Path.home() / ".cache" / "tltf"
        self.cache = benching.Cache(self.folder / "cache", real)
        paths = [str(measuring.ROOT), os.environ.get("PYTHONPATH", "")]
        self.environment = self.cache.environment() | {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "MINILM": str(self.cache.folder / "assets" / "minilm_l6"),
        }

    def prepare(self):
        """Writes the data and fetches the weights, uncounted."""
        script = str(pathlib.Path(__file__).with_name("bench_data.py"))
        benching.process([sys.executable, script, str(self.folder / "data")], env=self.environment)
        if "hf" in self.added:
            command = [self.chosen.hf_python, "-c", "import torch, transformers, accelerate"]
            if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
                sys.exit(HF_HINT.format(self.chosen.hf_python))

    def work(self, template, pair, **changes):
        """The Work of a pair: its data's folder, its seed, what the command line changes."""
        changes = {"data": str(self.folder / "data" / template.data), "seed": pair} | changes
        if template.modality == "image":
            name = "images" if self.chosen.images == "files" else "images.npz"
            changes |= {"hidden": self.chosen.hidden, "data": str(self.folder / "data" / name)}
        if self.chosen.quick:
            changes["epochs"] = min(template.epochs, 2)
        return dataclasses.replace(template, **changes)

    def side(self, row, side, pair, template):
        """One measurement of a side."""
        script, changes = SCRIPTS.get(side, ("", {}))
        python = self.chosen.hf_python if side == "hf" else sys.executable
        work = self.work(template, pair, **changes)

        def measure():
            if side == "tltf":
                return self.tltf(work)
            return benching.side(python, script, work, self.environment)

        return self.once(f"{row} {side}", work, measure)

    def once(self, what, work, measure):
        """The row that `measure()` gives; one that was measured before is read."""
        key = [what, work.text(), *(self.flags if "tltf" in what else ())]
        return self.notebook.get(" ".join(key), measure)

    def tltf(self, work, *flags, forgets=True):
        """One run of tltf, by default on a cold features store.

        Args:
            work: Work.
            flags: more flags.
            forgets: whether to empty the features store before.
        """
        if forgets:
            self.cache.forget()
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        command = [sys.executable, "-m", "tltf.train", *work.flags(), *flags, *self.flags]
        _, peak_mb = benching.process([*command, f"--output={run}"], env=self.environment)
        row = told(run) | {"peak_mb": peak_mb}
        shutil.rmtree(run)
        return row

    def all_pairs(self, row, sides, template):
        """side -> its rows, one a pair; the sides take turns."""
        found = {side: [] for side in sides}
        for pair in self.pairs:
            for side in benching.in_turn(sides, pair):
                found[side].append(self.side(row, side, pair, template))
        return found


def told(run):
    """What a run folder tells: time, accuracy, seconds to the first step and of each epoch."""
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    epochs = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return {
        "seconds": report["time_s"]["train"],
        "accuracy": report["test"]["accuracy"],
        "first_step": report["time_s"].get("first_step"),
        "epochs_s": [row["seconds"] for row in epochs],
    }


def compared(row):
    """The part of a row of COMPARED."""

    def lines(bench):
        template, gates = COMPARED[row]
        gates = {
            side: gate for side, gate in gates.items() if OPTIONAL.get(side) in (None, *bench.added)
        }
        found = bench.all_pairs(row, ["tltf", *gates], template)
        for side, gate in gates.items():
            yield benching.comparison(row, side, gate, found["tltf"], found[side])

    return lines


def second_run(bench):
    """Seconds from the first read after the scan to the end of the first step, features known."""

    def measure(work):
        bench.tltf(work)
        return bench.tltf(work, OTHER_HEAD, forgets=False)

    for template in (IMAGES, TEXTS):
        row = f"second_run, {template.modality}s"
        works = [bench.work(template, pair, epochs=2) for pair in bench.pairs]
        found = [
            bench.once(f"{row} tltf", work, functools.partial(measure, work)) for work in works
        ]
        limit = [{"first_step": 1.0}] * len(found)
        yield benching.comparison(
            row, "1 s to the first step", Gate("<=", 1), found, limit, "first_step"
        )


def memory(bench):
    """Peak resident memory at ten times the texts."""
    peaks = {"texts_1": [], "texts_10": []}
    for pair in bench.pairs[:MEMORY_PAIRS]:
        for data in benching.in_turn(peaks, pair):
            template = dataclasses.replace(LAST_2, data=data, epochs=MEMORY_EPOCHS)
            work = bench.work(template, pair)
            measure = functools.partial(bench.tltf, work, MEMORY_FLAG)
            peaks[data].append(bench.once("memory tltf", work, measure))
    yield benching.comparison(
        "memory, 20,000 texts",
        "2,000 texts",
        Gate("<=", 1.3),
        peaks["texts_10"],
        peaks["texts_1"],
        "peak_mb",
    )


def step(bench):
    """Seconds an epoch of full fine-tuning, the first left out."""
    found = bench.all_pairs("text_full", ["tltf", "train_on_batch"], FULL)
    ours = [
        {"seconds": statistics.median(row["epochs_s"][1:]), "peak_mb": row["peak_mb"]}
        for row in found["tltf"]
    ]
    yield benching.comparison(
        "step, an epoch", "train_on_batch", Gate("<=", 1.05), ours, found["train_on_batch"]
    )


PARTS = {row: compared(row) for row in COMPARED} | {
    "second_run": second_run,
    "memory": memory,
    "step": step,
}


def main():
    """Measures the parts that are asked for, printing each line when it is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help="rows, joined with commas")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one pair, two epochs: does it work?")
    parser.add_argument("--with", dest="added", default="", help="hf, retokenized")
    parser.add_argument("--hf_python", default=sys.executable, help="interpreter with transformers")
    parser.add_argument("--images", choices=("arrays", "files"), default="arrays")
    parser.add_argument("--hidden", type=int, default=0, help="hidden units of the image head")
    parser.add_argument("--folder", default=str(measuring.ROOT / "runs" / "bench"))
    parser.add_argument("flags", nargs="*", help="after --: more flags of tltf.train")
    chosen = parser.parse_args()
    unknown = set(chosen.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"no row {', '.join(unknown)} (choices: {', '.join(PARTS)})")
    bench = Bench(chosen)
    bench.prepare()
    print(measuring.table(benching.HEADER, []), flush=True)
    for name in chosen.only.split(","):
        for cells in PARTS[name](bench):
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
