"""Compares training in bfloat16 with training in float32: time, and accuracy over seeds.

    python tools/bench_precision.py [--only=vader_full,...] [--seeds=5] [--folder=runs/precision]

Both sides of a pair have the same data, seed and steps, and take turns. Both are judged in float32, as
they are served. The difference of the accuracies is paired by seed; its interval is Student's, 95%. The
last column says whether the lower end of the interval is above half a point lost, which is what
--precision=auto demands of a kind of network before it takes bfloat16.

Measurements are kept in FOLDER/precision.jsonl; a second call measures only what is missing there.
"""

import argparse
import functools
import json
import os
import pathlib
import shutil
import statistics
import sys

import benching
import measuring
from scipy import stats

TEXTS = ("--backbone=minilm_l6", "--text_length=48")
IMAGES = ("--backbone=efficientnet_lite0", "--image_size_px=96")
PROBE = "--method=linear_probe(solver=lbfgs)"
CASES = {
    "amazon_probe": ("--data=vader(domain=amazon, num_train=1000, num_test=1500)", PROBE, *TEXTS),
    "vader_full": (
        "--data=vader(domain=movie, num_train=2000, num_test=2000)",
        "--method=full",
        "--train_epochs=3",
        *TEXTS,
    ),
    "fashion_probe": ("--data=fashion_mnist(num_train=1000, num_test=2000)", PROBE, *IMAGES),
    "tweets_lp_ft": (
        "--data=vader(domain=tweets, num_train=1000, num_test=2000)",
        "--method=lp_ft",
        "--train_epochs=2",
        *TEXTS,
    ),
}
"""Case -> the flags of tltf.train."""
SIDES = ("float32", "mixed_bfloat16")
MOST_LOST = 0.005
"""The loss of accuracy that is allowed, as a share."""
HEADER = [
    "case",
    "seeds",
    "training, times as fast (lowest to highest)",
    "CPU time of the process",
    "accuracy float32 / bfloat16",
    "paired difference in points (95% interval)",
    "above half a point lost",
]


def measure(folder, precision, flags, seed):
    """`{"seconds", "cpu_s", "accuracy"}` of one run: its training, its process and its test split."""
    run, cache = folder / "run", benching.Cache(folder / "cache", real_cache())
    shutil.rmtree(run, ignore_errors=True)
    cache.forget()
    command = [sys.executable, "-m", "tltf.train", *flags, f"--seed={seed}", "--noexport"]
    command += [f"--precision={precision}", "--baseline=none", f"--output={run}"]
    before = benching.child_cpu_s()
    benching.run_process(command, cwd=measuring.ROOT, env=cache.environment())
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    shutil.rmtree(run)
    return {
        "seconds": report["time_s"]["train"],
        "cpu_s": benching.child_cpu_s() - before,
        "accuracy": report["test"]["accuracy"],
    }


def real_cache():
    """The folder of the user's assets."""
    return os.environ.get("TLTF_CACHE") or pathlib.Path.home() / ".cache" / "tltf"


def line(case, pairs):
    """The row of the table for the pairs of a case, each a dict from side to measurement."""
    first, second = ([pair[side] for pair in pairs] for side in SIDES)
    points = [100 * (b["accuracy"] - a["accuracy"]) for a, b in zip(first, second, strict=True)]
    middle = statistics.mean(points)
    half = float("inf")
    if len(points) > 1:
        error = statistics.stdev(points) / len(points) ** 0.5
        half = error * stats.t.ppf(0.975, len(points) - 1)
    return [
        case,
        str(len(pairs)),
        ratio_text(first, second, "seconds"),
        ratio_text(first, second, "cpu_s"),
        "{:.4f} / {:.4f}".format(
            *(statistics.mean(row["accuracy"] for row in rows) for rows in (first, second))
        ),
        f"{middle:+.2f} ({middle - half:+.2f} to {middle + half:+.2f})",
        "yes" if middle - half > -100 * MOST_LOST else "no",
    ]


def ratio_text(first, second, field):
    """`1.40 (1.35 to 1.46)`: the ratio of a field in all pairs, the first side per the second."""
    ratios = [a[field] / b[field] for a, b in zip(first, second, strict=True)]
    return "{:.2f} ({:.2f} to {:.2f})".format(*benching.spread(ratios))


def main():
    """Trains all pairs; prints the processor, and each row as soon as it is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(CASES), help="cases, joined with commas")
    parser.add_argument("--seeds", type=int, default=5, help="number of pairs of each case")
    parser.add_argument(
        "--folder",
        default=str(measuring.ROOT / "runs" / "precision"),
        help="folder of the notebook",
    )
    given = parser.parse_args()
    folder = pathlib.Path(given.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    notebook = measuring.Notebook(folder / "precision.jsonl")
    print(f"{benching.processor()}\n\n{measuring.table(HEADER, [])}", flush=True)
    for case in given.only.split(","):
        pairs = [
            {
                side: notebook.get(
                    f"{case} {side} {seed}",
                    functools.partial(measure, folder, side, CASES[case], seed),
                )
                for side in benching.in_turn(SIDES, seed)
            }
            for seed in range(given.seeds)
        ]
        print("| " + " | ".join(line(case, pairs)) + " |", flush=True)


if __name__ == "__main__":
    main()
