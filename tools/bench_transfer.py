"""Compares tltf with the tools that users have today and with the least time that the work can take.

    python tools/bench_transfer.py [--only=images_probe,text_probe,...] [--pairs=5] [--quick]
        [--with=hf,retokenized] [--hf_python=PYTHON] [--images=arrays|files] [--hidden=256]
        [--folder=runs/bench] [-- more flags of tltf.train]

The sides take turns. Each measurement runs in a process of its own, on the same files, weights,
steps, batch size, learning rate and test rows. The feature cache of tltf is empty, except for
`second_run`. The time of a side runs from the first read after the scan to the last step; it
includes tracing and a pass over frozen layers, but not imports, weights, evaluation and export. No
side validates.

keras: tools/bench_keras.py, a plain Keras script; keras_cached calls `Dataset.cache()` after
decoding and resizing; keras_bf16 does so in mixed_bfloat16. Texts are tokenized once; --with=retokenized adds the way of KerasHub, which
tokenizes in every epoch. floor: tools/bench_floor.py. sklearn: logistic regression on the frozen
features. --with=hf: Hugging Face Trainer under --hf_python (pip install torch transformers
accelerate), in float32, and in bfloat16 with batches of similar lengths. tltf_float32: tltf in
float32, where the row is in bfloat16.

Measurements are kept in FOLDER/bench.jsonl; a second call measures only what is missing there.
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
FULL_IMAGES = dataclasses.replace(IMAGES, method="full", epochs=3, learning_rate=1e-4)
HALF = {"precision": "mixed_bfloat16"}

SCRIPTS = {
    "keras": ("bench_keras.py", {"is_cached": False}),
    "keras_cached": ("bench_keras.py", {"is_cached": True}),
    "keras_tokenized_once": ("bench_keras.py", {"is_cached": True}),
    "keras_retokenized": ("bench_keras.py", {"is_cached": False}),
    "floor": ("bench_floor.py", {}),
    "sklearn": ("bench_sklearn.py", {}),
    "keras_bf16": ("bench_keras.py", {"is_cached": True} | HALF),
    "hf": ("bench_hf.py", {}),
    "hf_bf16": ("bench_hf.py", HALF),
    "train_on_batch": ("bench_step.py", {}),
}
"""Side -> its script, and the fields of the Work that it changes."""
OPTIONAL = {"hf": "hf", "hf_bf16": "hf", "keras_retokenized": "retokenized"}
"""Side -> the name that --with must have for it."""
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
    "text_full_bf16": (
        dataclasses.replace(FULL, **HALF),
        {
            "tltf_float32": Gate(">=", 1.4),
            "keras_tokenized_once": NO_GATE,
            "keras_bf16": NO_GATE,
            "hf": NO_GATE,
            "hf_bf16": Gate(">=", 1.3),
        },
    ),
    "images_full_bf16": (
        dataclasses.replace(FULL_IMAGES, **HALF),
        {"tltf_float32": NO_GATE, "keras_cached": NO_GATE, "keras_bf16": NO_GATE},
    ),
}
"""Row -> the work, and side -> Gate."""
MEMORY_FLAG, MEMORY_EPOCHS, MEMORY_PAIRS = "--cache_memory_mb=200", 2, 3
OTHER_HEAD = "--head=classify(dropout=.1)"
HF_HINT = "--with=hf needs torch, transformers and accelerate: {} -m pip install torch transformers accelerate"


class Bench:
    """The measurements of this script; each is made once and then read from a notebook.

    Args:
        chosen: the arguments of the command line.
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
        """Writes the data and fetches the weights; this time is not counted."""
        script = str(pathlib.Path(__file__).with_name("bench_data.py"))
        benching.run_process(
            [sys.executable, script, str(self.folder / "data")], env=self.environment
        )
        if "hf" in self.added:
            command = [self.chosen.hf_python, "-c", "import torch, transformers, accelerate"]
            if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
                sys.exit(HF_HINT.format(self.chosen.hf_python))

    def work(self, template, pair, **changes):
        """The Work of a pair: a template with the folder of the data, a seed, and `changes`."""
        changes = {"data": str(self.folder / "data" / template.data), "seed": pair} | changes
        if template.modality == "image":
            name = "images" if self.chosen.images == "files" else "images.npz"
            changes |= {"hidden": self.chosen.hidden, "data": str(self.folder / "data" / name)}
        if self.chosen.quick:
            changes["epochs"] = min(template.epochs, 2)
        return dataclasses.replace(template, **changes)

    def side(self, row, side, pair, template):
        """The measurement of a side in a pair."""
        script, changes = SCRIPTS.get(side, ("", {}))
        python = self.chosen.hf_python if side in ("hf", "hf_bf16") else sys.executable
        of_side = {} if side == "tltf" else {"precision": "float32"} | changes
        work = self.work(template, pair, **of_side)

        def measure():
            if side.startswith("tltf"):
                return self.tltf(work)
            return benching.run_side(python, script, work, self.environment)

        return self.once(f"{row} {side}", work, measure)

    def once(self, what, work, measure):
        """The row that `measure()` returns; a row that was measured before is read."""
        key = [what, work.text(), *(self.flags if "tltf" in what else ())]
        return self.notebook.get(" ".join(key), measure)

    def tltf(self, work, *flags, forgets=True):
        """The measurement of one run of tltf, by default with an empty feature cache.

        Args:
            work: the Work.
            flags: more flags of tltf.train.
            forgets: whether the feature cache is emptied before.
        """
        if forgets:
            self.cache.forget()
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        command = [sys.executable, "-m", "tltf.train", *work.flags(), *flags, *self.flags]
        _, peak_mb = benching.run_process([*command, f"--output={run}"], env=self.environment)
        row = read_run(run) | {"peak_mb": peak_mb}
        shutil.rmtree(run)
        return row

    def all_pairs(self, row, sides, template):
        """Side -> its measurements, one per pair; the sides take turns."""
        rows = {side: [] for side in sides}
        for pair in self.pairs:
            for side in benching.in_turn(sides, pair):
                rows[side].append(self.side(row, side, pair, template))
        return rows


def read_run(run):
    """The measurement of a run folder: time, accuracy, seconds to the first step and per epoch."""
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    epochs = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return {
        "seconds": report["time_s"]["train"],
        "accuracy": report["test"]["accuracy"],
        "first_step": report["time_s"].get("first_step"),
        "epochs_s": [row["seconds"] for row in epochs],
    }


def comparisons_of(row):
    """The function that makes the lines of a row of COMPARED."""

    def lines(bench):
        template, gates = COMPARED[row]
        gates = {
            side: gate for side, gate in gates.items() if OPTIONAL.get(side) in (None, *bench.added)
        }
        rows = bench.all_pairs(row, ["tltf", *gates], template)
        for side, gate in gates.items():
            yield benching.comparison(row, side, gate, rows["tltf"], rows[side])

    return lines


def second_run(bench):
    """Compares the seconds to the end of the first step when all features are in the cache.

    They are counted from the first read after the scan.
    """

    def measure(work):
        bench.tltf(work)
        return bench.tltf(work, OTHER_HEAD, forgets=False)

    for template in (IMAGES, TEXTS):
        row = f"second_run, {template.modality}s"
        works = [bench.work(template, pair, epochs=2) for pair in bench.pairs]
        rows = [bench.once(f"{row} tltf", work, functools.partial(measure, work)) for work in works]
        limit = [{"first_step": 1.0}] * len(rows)
        yield benching.comparison(
            row, "1 s to the first step", Gate("<=", 1), rows, limit, "first_step"
        )


def memory(bench):
    """Compares the peak resident memory with ten times the texts to that with the texts once."""
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
    """Compares the seconds per epoch of full fine-tuning, without the first epoch."""
    rows = bench.all_pairs("text_full", ["tltf", "train_on_batch"], FULL)
    ours = [
        {"seconds": statistics.median(row["epochs_s"][1:]), "peak_mb": row["peak_mb"]}
        for row in rows["tltf"]
    ]
    yield benching.comparison(
        "step, per epoch", "train_on_batch", Gate("<=", 1.05), ours, rows["train_on_batch"]
    )


PARTS = {row: comparisons_of(row) for row in COMPARED} | {
    "second_run": second_run,
    "memory": memory,
    "step": step,
}


def main():
    """Measures the parts of --only, and prints each line as soon as it is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help="rows, joined with commas")
    parser.add_argument("--pairs", type=int, default=5, help="number of pairs")
    parser.add_argument(
        "--quick", action="store_true", help="one pair and two epochs, to see whether it works"
    )
    parser.add_argument("--with", dest="added", default="", help="more sides: hf, retokenized")
    parser.add_argument("--hf_python", default=sys.executable, help="interpreter with transformers")
    parser.add_argument(
        "--images", choices=("arrays", "files"), default="arrays", help="how images are stored"
    )
    parser.add_argument("--hidden", type=int, default=0, help="hidden units of the image head")
    parser.add_argument(
        "--folder",
        default=str(measuring.ROOT / "runs" / "bench"),
        help="folder of the data and of bench.jsonl",
    )
    parser.add_argument("flags", nargs="*", help="after --: more flags of tltf.train")
    chosen = parser.parse_args()
    unknown = set(chosen.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"there is no row {', '.join(unknown)} (choices: {', '.join(PARTS)})")
    bench = Bench(chosen)
    bench.prepare()
    print(measuring.table(benching.HEADER, []), flush=True)
    for name in chosen.only.split(","):
        for cells in PARTS[name](bench):
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
