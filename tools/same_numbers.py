"""Trains small runs and writes their results to a file, to compare two versions of tltf bit for bit.

    python tools/same_numbers.py --out=before.json
    python tools/same_numbers.py --out=after.json --against=before.json [--only='images_.*']

The script trains twelve runs on real images and texts, and three runs that others of them start
from; this takes some minutes. For each run it writes the SHA-256 of predictions.csv and of every
saved array (name, dtype, shape and bytes), and the metrics of its splits, its baselines and its
epochs. With --against it prints the differences and ends with exit code 1 if there are any. Numbers
differ between processors and versions of TensorFlow, so compare on one machine.
"""

import argparse
import hashlib
import json
import pathlib
import re
import sys
import tempfile

import measuring
import safetensors.numpy

IMAGES = [
    "--data=fashion_mnist(num_train=240, num_test=80)",
    "--image_size_px=48",
    "--backbone=efficientnet_lite0",
]
DIGITS = ["--data=mnist_5k(num_train=240, num_test=80)", *IMAGES[1:]]
TEXTS = [
    "--data=vader(domain=movie, num_train=200, num_test=80)",
    "--text_length=24",
    "--backbone=minilm_l6",
]
TAGS = ["--data=emoji(label=tags, num_train=240, num_test=80)", *IMAGES[1:]]
LSTM = [*TEXTS[:2], "--backbone=small_lstm"]
SHORT = "--train_epochs=2"
RUNS = {
    "images_linear_probe_solved": [*IMAGES, "--method=linear_probe(solver=lbfgs)"],
    "images_linear_probe_steps": [*IMAGES, "--method=linear_probe(solver=gradient)", SHORT],
    "images_full": [*IMAGES, "--method=full", SHORT],
    "images_start_of_lwf": [*DIGITS, "--method=full", SHORT],
    "images_lwf": [*IMAGES[:2], "--backbone={images_start_of_lwf}", "--method=lwf", SHORT],
    "images_multi_label": [
        *TAGS,
        "--head=multi_label",
        "--method=linear_probe(solver=gradient)",
        SHORT,
    ],
    "images_two_devices": [*IMAGES, "--method=full", SHORT, "--logical_devices=2"],
    "texts_partial": [*TEXTS, "--method=partial", SHORT],
    "texts_lp_ft": [*TEXTS, "--method=lp_ft", SHORT],
    "texts_lora": [*TEXTS, "--method=lora", SHORT, "--augment=token_dropout"],
    "texts_soup_1": [*TEXTS, "--method=full", SHORT],
    "texts_soup_2": [*TEXTS, "--method=full", SHORT, "--learning_rate=3e-5"],
    "texts_soup": [*TEXTS, "--method=soup(runs=['{texts_soup_1}', '{texts_soup_2}'])"],
    "texts_regress": [*TEXTS, "--head=regress", "--method=bitfit", SHORT],
    "texts_kfold": [*LSTM, SHORT, "--method=scratch", "--split=kfold(folds=3, fold=-1)"],
}
"""Name -> flags; `{name}` is the folder of that run. The numbers of `regress` are vader's ratings."""
TIMES = ("time_s", "epoch_s", "examples_per_s")
"""Keys that are left out, since they differ between two equal runs."""
METRICS = (
    "validation",
    "test",
    "baselines",
    "folds",
    "fold_means",
    "parameters",
    "trainable_table",
)
"""Keys of report.json that are compared."""


def arrays(folder):
    """Name -> SHA-256 of each array in the safetensors files of a run folder, without checkpoints."""
    hashes = {}
    for path in sorted(folder.rglob("*.safetensors")):
        place = path.relative_to(folder)
        if "checkpoints" in place.parts:
            continue
        for name, array in safetensors.numpy.load_file(path).items():
            about = f"{array.dtype} {array.shape} ".encode()
            hashes[f"{place}: {name}"] = hashlib.sha256(about + array.tobytes()).hexdigest()
    return hashes


def without_times(value):
    """Plain JSON without the keys that differ between two equal runs."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def epochs(folder):
    """The lines of every metrics.jsonl of a run folder, without times."""
    return {
        str(path.relative_to(folder)): [
            {
                key: value
                for key, value in json.loads(line).items()
                if re.search("loss|accuracy|precision|error|epoch$|penalty", key)
            }
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        for path in sorted(folder.rglob("metrics.jsonl"))
    }


def outcome(folder, report):
    """The results of a finished run, as plain JSON."""
    tables = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("predictions.csv"))
    }
    metrics = {key: without_times(report[key]) for key in METRICS if key in report}
    return {
        "predictions": tables,
        "arrays": arrays(folder),
        "metrics": metrics,
        "epochs": epochs(folder),
    }


def differences(before, after, place=""):
    """The places at which two plain JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if key not in before or key not in after:
                yield f"{place}/{key} is in one only"
            else:
                yield from differences(before[key], after[key], f"{place}/{key}")
    elif before != after:
        yield f"{place}: {str(before)[:60]} -> {str(after)[:60]}"


def main():
    """Trains, writes and compares, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", required=True, help="file that is written")
    parser.add_argument("--against", default="", help="file of another version to compare with")
    parser.add_argument("--only", default=".*", help="regular expression of the names of runs")
    args = parser.parse_args()
    outcomes = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        places = {name: str(folder / name) for name in RUNS}
        for name, flags in RUNS.items():
            if not re.fullmatch(args.only, name):
                continue
            flags = [re.sub(r"{(\w+)}", lambda match: places[match[1]], flag) for flag in flags]
            report = measuring.train(folder, name, *flags, "--export=false")
            outcomes[name] = outcome(folder / name, report)
    # No metrics name the temporary folder; if some did, they would differ from run to run.
    text = json.dumps(outcomes, indent=1, sort_keys=True)
    pathlib.Path(args.out).write_text(text + "\n", encoding="utf-8")
    if not args.against:
        return 0
    before = json.loads(pathlib.Path(args.against).read_text(encoding="utf-8"))
    before = {name: row for name, row in before.items() if re.fullmatch(args.only, name)}
    changes = list(differences(before, json.loads(text)))
    print("\n".join(changes) or f"{len(outcomes)} runs are the same, bit for bit")
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main())
