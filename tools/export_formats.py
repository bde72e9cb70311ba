"""Exports real runs in every format and prints a table of each: size, difference, accuracy, times.

    python tools/export_formats.py [--only=fashion,digits,vader,vader_pooled] [--folder=runs/export_formats]
                                   [--hf_python=PYTHON] [--float64]

fashion and digits are linear probes of EfficientNet-Lite0, vader and vader_pooled of MiniLM, whose head
takes the mean over the tokens or BERT's pooler. Every format answers the whole test split in its own
runtime, which the extras litert, onnx and openvino install. PYTHON is that of an environment with
torch and transformers: the Hugging Face folders are then read by transformers too, with its tokenizer.
With --float64 the pictures on which LiteRT differs most are computed in float64 too, which says how much
of the difference is TensorFlow's own rounding.
Runs and exports that are in FOLDER already are not made again.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import keras
import measuring
import numpy as np

from tltf.data import run_data
from tltf.evaluation import evaluators
from tltf.evaluation.report import format_rows
from tltf.graphs import batch_norm_folding
from tltf.models import loading
from tltf.runs import layout
from tltf.serving.export import exporting, prepared_rows, scores_graph
from tltf.serving.export import measuring as export_measuring
from tltf.serving.export.measuring import Subject

IMAGES = ["--backbone=efficientnet_lite0", "--image_size_px=96", "--method=linear_probe"]
TEXTS = ["--backbone=minilm_l6", "--text_length=48", "--method=linear_probe"]
FORMATS = "saved_model|litert|litert(quantize=float16)|litert(quantize=dynamic)|litert(quantize=int8)|onnx|openvino"
CASES = {
    "fashion": (["--data=fashion_mnist(num_train=3000)", *IMAGES], FORMATS),
    "digits": (["--data=mnist_5k", *IMAGES], FORMATS),
    "vader": (["--data=vader", *TEXTS], f"{FORMATS}|hf"),
    "vader_pooled": (["--data=vader", *TEXTS, "--head=classify(pooling=pooled)"], "hf"),
}
"""Case -> (flags of tltf.train, formats)."""
NUM_WORST = 64
"""Rows that --float64 computes."""
TOKENS = """
import json, sys
from transformers import AutoTokenizer
folder, length, texts = json.load(sys.stdin)
tokenizer = AutoTokenizer.from_pretrained(folder)
found = tokenizer(texts, padding="max_length", truncation=True, max_length=length)
print(json.dumps(found["input_ids"]))
"""
"""The program that tokenizes texts in the environment of transformers."""


def export(run, formats):
    """Exports a run unless its table is there, and returns the table's rows."""
    root = run / layout.EXPORT
    if not exporting.read_table(root):
        command = [sys.executable, "-m", "tltf.export", f"--run={run}", f"--format={formats}"]
        print("$ " + " ".join(command[1:]), file=sys.stderr, flush=True)
        subprocess.run(command, check=True, stdout=sys.stderr, cwd=measuring.ROOT)
    return exporting.read_table(root)


def read_by_transformers(run, rows, python):
    """`(row, sentence)` of the Hugging Face folder of a run in transformers, on the whole test split."""
    place = next(row.place for row in rows if row.name == "hf")
    folder = run / layout.EXPORT / place
    trained = loading.load(run)
    trained.splits = run_data.load_parts(str(run))
    subject = Subject("hf", folder, "transformers", (".",))
    with prepared_rows.prepare(trained) as prepared:
        real = export_measuring.run

        def run_there(*given, **options):
            return real(*given, **options, python=python)

        export_measuring.run = run_there
        row = export_measuring.measure(subject, trained, prepared)
        _, outputs = run_there(subject, prepared)
        own = trained.core.model(
            {k: np.load(path) for k, path in prepared.files.items()}, training=False
        )[trained.core.head.name].numpy()
        ids = np.load(prepared.files["token_ids"])
    different = np.abs(outputs["logits"] - own).max()
    texts = list(trained.splits["test"].column.values)
    given = json.dumps([str(folder), trained.preprocessing.length, texts])
    done = subprocess.run(
        [python, "-c", TOKENS], input=given, capture_output=True, text=True, check=True
    )
    others = (np.array(json.loads(done.stdout.splitlines()[-1])) != ids).any(axis=1).sum()
    return row, (
        f"{run.name}: the logits differ by at most {different:.1e}; transformers' tokenizer gives "
        f"other tokens for {others} of {len(texts)} texts."
    )


def beside_float64(run, rows):
    """A sentence: where LiteRT differs most, how far it and TensorFlow are from the network in float64."""
    place = next(row.place for row in rows if row.name == "litert")
    subject = Subject("litert", run / layout.EXPORT / place, "litert", ("model.tflite",))
    trained = loading.load(run)
    trained.splits = run_data.load_parts(str(run))
    head = trained.core.head
    exact = in_float64(batch_norm_folding.fold(scores_graph.float32_core(trained.core).model))
    with prepared_rows.prepare(trained) as prepared:
        _, outputs = export_measuring.run(subject, prepared)
        found = export_measuring.scores_of(outputs, head)
        differences = export_measuring.differences_of(found, prepared.scores, head)
        worst = np.sort(np.argsort(-differences)[:NUM_WORST])
        inputs = {k: np.load(v, mmap_mode="r")[worst] for k, v in prepared.files.items()}
        expected = np.asarray(head.scores(exact(inputs)))
        far = [
            export_measuring.differences_of(scores[worst], expected, head).max()
            for scores in (found, prepared.scores)
        ]
    return (
        f"{run.name}: on the {len(worst)} rows where LiteRT differs most from TensorFlow, by up to "
        f"{differences.max():.1e}, LiteRT is at most {far[0]:.1e} and TensorFlow {far[1]:.1e} away from "
        "the same network in float64."
    )


def in_float64(model):
    """The function from inputs of a network to its logits, computed in float64 from the same weights."""

    def same(layer):
        if not isinstance(layer, keras.Layer):
            return layer
        return type(layer).from_config(layer.get_config() | {"dtype": "float64"})

    copy = keras.models.clone_model(model, clone_function=same)
    copy.set_weights([weight.astype("float64") for weight in model.get_weights()])

    def logits(inputs):
        given = {name: values.astype("float64") for name, values in inputs.items()}
        return next(iter(copy(given, training=False).values()))

    return logits


def main():
    """Measures what the command line says and prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--folder", default="runs/export_formats")
    parser.add_argument("--hf_python", default="")
    parser.add_argument("--float64", action="store_true")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in options.only.split(","):
        flags, formats = CASES[name]
        measuring.train(folder, name, *flags, "--noexport", "--baseline=none")
        rows, sentence = export(folder / name, formats), ""
        if options.hf_python and "hf" in formats:
            row, sentence = read_by_transformers(folder / name, rows, options.hf_python)
            rows = [*rows, row]
        if options.float64 and name in ("fashion", "digits"):
            sentence = beside_float64(folder / name, rows)
        said = evaluators.evaluator_for(loading.load(folder / name).core.head).wording
        print(
            f"\n{name}:\n\n{measuring.table(*format_rows.table(rows, said))}\n{sentence}",
            flush=True,
        )


if __name__ == "__main__":
    main()
