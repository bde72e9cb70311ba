"""Runs the small overlay of each founding recipe and prints one row of metrics for each.

    python tools/recipes.py [--only=R2] [--folder=runs/recipes] [-- more flags of tltf.train]

A row has the test accuracy and macro F1, beside the majority class, logistic regression on the
frozen features and the same network from random weights; the transfer gain with its 95% interval;
and the time. Rows are kept in FOLDER/recipes.jsonl; a second call measures only what is missing
there.
"""

import argparse
import pathlib
import time

import measuring

RECIPES = {
    "R1": ["bert_cased_classify_small"],
    "R2": ["bert_uncased_sentiment_small"],
    "R3": ["resnet18_cifar10_small"],
    "R4": ["cnn_source_to_target_source_small", "cnn_source_to_target_small"],
    "R4 LSTM": ["lstm_source_to_target_source_small", "lstm_source_to_target_small"],
    "R5": ["vgg16_frozen_dense256_small"],
    "R6": ["bert_mean_pool_imdb_small"],
}
OUTPUTS = {
    "cnn_source_to_target_source_small": "runs/cnn_source",
    "lstm_source_to_target_source_small": "runs/lstm_source",
}
HEADER = [
    "recipe",
    "flagfile",
    "accuracy",
    "macro F1",
    "majority",
    "logistic on frozen features",
    "random weights",
    "transfer gain, points",
    "time",
]


def main():
    """Measures the recipes of --only and prints the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="names such as R2,R4, joined with commas")
    parser.add_argument(
        "--folder",
        default=str(measuring.ROOT / "runs" / "recipes"),
        help="folder of the runs and of recipes.jsonl",
    )
    parser.add_argument("flags", nargs="*", help="after --: more flags of tltf.train")
    chosen = parser.parse_args()
    folder = pathlib.Path(chosen.folder).resolve()
    notebook = measuring.Notebook(folder / "recipes.jsonl")
    wanted = [name.strip() for name in chosen.only.split(",") if name.strip()]
    names = [name for name in RECIPES if not wanted or name in wanted or name[:2] in wanted]
    rows = []
    for name in names:
        rows.append(notebook.get(name, lambda name=name: measure(name, folder, chosen.flags)))
        print(measuring.table(HEADER, map(cells, rows)), flush=True)
        print()


def measure(name, folder, flags):
    """The row of one recipe: trains its runs in order and reads the report of the last one."""
    start = time.monotonic()
    for config in RECIPES[name]:
        flagfile = measuring.ROOT / "configs" / f"{config}.flags"
        output = OUTPUTS.get(config, f"runs/{config}")
        report = measuring.train(folder, output, f"--flagfile={flagfile}", "--export=false", *flags)
    others = report["baselines"]
    return {
        "flagfile": config,
        "accuracy": report["test"]["accuracy"],
        "interval": report["test"]["intervals"]["accuracy"],
        "macro_f1": report["test"]["macro_f1"],
        "majority": others["majority"]["test"]["accuracy"],
        "logistic": others["logistic_regression"]["test"]["accuracy"],
        "scratch": others["scratch"]["test"]["accuracy"],
        "gain": others["scratch"]["gain"]["accuracy"],
        "time_s": time.monotonic() - start,
        "train_s": report["time_s"]["train"],
        "num_test": report["test"]["num_examples"],
        "transfer": report.get("transfer", []),
    }


def cells(row):
    """The cells of a row as text, in the order of HEADER."""
    return [
        row["key"],
        f"`{row['flagfile']}`",
        measuring.interval_text(row["accuracy"], row["interval"]),
        f"{row['macro_f1']:.3f}",
        f"{row['majority']:.3f}",
        f"{row['logistic']:.3f}",
        f"{row['scratch']:.3f}",
        gain_text(row["gain"]["difference"], row["gain"]["interval"]),
        f"{row['time_s']:.0f} s",
    ]


def gain_text(gain, interval):
    """A gain in percentage points, such as `+1.2 (+0.3 to +2.1)`; None as interval is left out."""
    text = f"{100 * gain:+.1f}"
    return f"{text} ({100 * interval[0]:+.1f} to {100 * interval[1]:+.1f})" if interval else text


if __name__ == "__main__":
    main()
