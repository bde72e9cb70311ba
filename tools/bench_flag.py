"""Measures what a flag costs: trains with one of its values and with another, in pairs of processes.

python tools/bench_flag.py --flag=deterministic --values=on,off --pairs=5 [-- FLAGS]

FLAGS are those of tltf.train, by default for a small network on digits. Every other pair runs in the
opposite order. The seconds are those of training alone, from the report of the run; the ratio is
the seconds with the first value over those with the second.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import benching
import measuring

DEFAULT = (
    "--data=digits(num_train=1200, num_test=100)",
    "--backbone=small_cnn(filters=[32, 64])",
    "--method=full",
    "--train_epochs=10",
    "--batch_size=16",
)
HEADER = ["flag", "values", "pairs", "ratio (lowest to highest)", "seconds", "accuracy"]


def measure(flag, value, flags):
    """`{"seconds", "accuracy"}` of one training."""
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        command = [
            sys.executable,
            "-m",
            "tltf.train",
            *flags,
            f"--{flag}={value}",
            "--export=false",
            f"--output={run}",
        ]
        benching.run_process(command, cwd=measuring.ROOT)
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return {"seconds": report["time_s"]["train"], "accuracy": report["test"]["accuracy"]}


def line(flag, values, pairs):
    """The row of the table for all pairs; a pair has one measurement per value."""
    first, second = values
    ratio, low, high = benching.spread(
        [pair[first]["seconds"] / pair[second]["seconds"] for pair in pairs]
    )
    sides = [[pair[value] for pair in pairs] for value in values]
    return [
        f"`--{flag}`",
        f"{first} / {second}",
        str(len(pairs)),
        f"{ratio:.3f} ({low:.3f} to {high:.3f})",
        benching.both(*sides, "seconds", ".3g"),
        benching.both(*sides, "accuracy", ".3f"),
    ]


def main():
    """Trains all pairs and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flag", default="deterministic", help="name of the flag")
    parser.add_argument("--values", default="on,off", help="two values, joined with a comma")
    parser.add_argument("--pairs", type=int, default=5, help="number of pairs")
    parser.add_argument("flags", nargs="*", default=DEFAULT, help="after --: flags of tltf.train")
    given = parser.parse_args()
    values = given.values.split(",")
    pairs = [
        {value: measure(given.flag, value, given.flags) for value in benching.in_turn(values, pair)}
        for pair in range(given.pairs)
    ]
    print(measuring.table(HEADER, [line(given.flag, values, pairs)]))


if __name__ == "__main__":
    main()
