"""What a flag costs: the same training with one value and with another, in pairs of processes.

python tools/bench_flag.py --flag=deterministic --values=on,off --pairs=5 [-- FLAGS]

FLAGS are those of tltf.train, by default a small network on digits. Every other pair runs backwards.
The seconds are those of training alone, as the report of the run gives them; the ratio is of the first
value over the second.
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


def measured(flag, value, flags):
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
        benching.process(command, cwd=measuring.ROOT)
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return {"seconds": report["time_s"]["train"], "accuracy": report["test"]["accuracy"]}


def line(flag, values, pairs):
    """The line of the table; pairs have a row a value."""
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
    """Trains and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flag", default="deterministic")
    parser.add_argument("--values", default="on,off")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("flags", nargs="*", default=DEFAULT, help="behind --: of tltf.train")
    given = parser.parse_args()
    values = given.values.split(",")
    pairs = [
        {
            value: measured(given.flag, value, given.flags)
            for value in benching.in_turn(values, pair)
        }
        for pair in range(given.pairs)
    ]
    print(measuring.table(HEADER, [line(given.flag, values, pairs)]))


if __name__ == "__main__":
    main()
