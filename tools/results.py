"""Measures the accuracy of tltf on the packaged data, and prints it as a markdown table.

    python tools/results.py [--only=mnist_5k,vader,same] [--seeds=3] [--folder=runs/results]
                            [-- more flags of tltf.train]

mnist_5k on EfficientNet-Lite0 and vader on MiniLM: linear probe, full, and logistic regression on
the same features; for images also a probe on the stages that are best on the validation split;
random weights at the learning rate that is best on their validation split, trained to the plateau;
for images a small CNN, for texts plain Keras (tools/plain_keras.py).
`same`: the same seed twice, and one device against two. Measurements are kept in
FOLDER/results.jsonl; a second call measures only what is missing there.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

import measuring

MNIST = ["--data=mnist_5k(num_train=1000)", "--image_size_px=96", "--backbone=efficientnet_lite0"]
VADER = [
    "--data=vader(domain=movie, num_train=2000, num_test=2000)",
    "--text_length=48",
    "--backbone=minilm_l6",
]
TO_PLATEAU = [
    "--method=scratch",
    "--schedule=constant",
    "--warmup_fraction=0",
    "--early_stopping_epochs=4",
    "--train_epochs=60",
    "--keep=best",
]
TAPS = {
    "3 to 6": "stage_3, stage_4, stage_5, stage_6",
    "5 to 7": "stage_5, stage_6, stage_7",
    "1 to 7": "stage_1, stage_2, stage_3, stage_4, stage_5, stage_6, stage_7",
}
TRIED_EPOCHS = 6
SMALL_CNN = [
    "--data=mnist_5k(num_train=1000)",
    "--backbone=small_cnn(filters=[32, 64])",
    "--image_size_px=28",
    "--head=classify(pooling=flatten, hidden=128)",
]
RATES = {
    "mnist_5k": ("1e-3", "3e-3"),
    "small_cnn": ("1e-3", "3e-3"),
    "vader": ("5e-5", "2e-4"),
}
SCRATCH = {"mnist_5k": MNIST, "small_cnn": SMALL_CNN, "vader": VADER}
HEADER = ["data", "what", "test accuracy, mean", "each seed", "training time"]


class Measurements:
    """The measurements of this script; each is made once and then read from a notebook.

    Args:
        folder: folder of the runs and of results.jsonl.
        seeds: number of seeds.
        flags: more flags of every run.
    """

    def __init__(self, folder, seeds, flags):
        self.folder, self.seeds, self.flags = folder, range(seeds), flags
        self.notebook = measuring.Notebook(folder / "results.jsonl")

    def run(self, name, seed, *flags):
        """The accuracies and the training time of one run."""

        def measure():
            report = measuring.train(
                self.folder,
                f"{name}_{seed}",
                *flags,
                f"--seed={seed}",
                "--export=false",
                *self.flags,
            )
            row = {
                "accuracy": report["test"]["accuracy"],
                "train_s": report["time_s"]["train"],
                "validation": report["validation"]["accuracy"],
            }
            logistic = report.get("baselines", {}).get("logistic_regression")
            return row | ({"logistic": logistic["test"]["accuracy"]} if logistic else {})

        return self.notebook.get(f"{name} {seed}", measure)

    def runs(self, name, *flags):
        """The rows of one run per seed."""
        return [self.run(name, seed, *flags) for seed in self.seeds]

    def scratch(self, data):
        """`(rate, rows)` of random weights that are trained to their plateau.

        The rate is the one that is best on the validation split after TRIED_EPOCHS epochs.
        """
        tried = {
            rate: self.run(
                f"{data}_scratch_tried_{rate}",
                0,
                *SCRATCH[data],
                *TO_PLATEAU,
                f"--learning_rate={rate}",
                f"--train_epochs={TRIED_EPOCHS}",
            )["validation"]
            for rate in RATES[data]
        }
        rate = max(tried, key=tried.get)
        flags = [*SCRATCH[data], *TO_PLATEAU, f"--learning_rate={rate}"]
        return rate, [self.run(f"{data}_scratch_{rate}", 0, *flags)]

    def probe_on_stages(self):
        """`(stages, rows)` of the probe on the stages that are best on seed 0's validation split."""

        def probe(taps, seed):
            return self.run(
                f"mnist_5k_probe_{taps.replace(' ', '_')}",
                seed,
                *MNIST,
                "--method=linear_probe",
                f"--head=classify(features=[{TAPS[taps]}])",
            )

        tried = {taps: probe(taps, 0)["validation"] for taps in TAPS}
        taps = max(tried, key=tried.get)
        return taps, [probe(taps, seed) for seed in self.seeds]

    def plain_keras(self):
        """The rows of the reference, plain Keras."""
        script = str(measuring.ROOT / "tools" / "plain_keras.py")

        def measure(seed):
            command = [sys.executable, script, f"--seed={seed}", VADER[0]]
            print("$ " + " ".join(command[1:]), file=sys.stderr, flush=True)
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            return json.loads(done.stdout.splitlines()[-1])

        return [
            self.notebook.get(f"plain_keras {seed}", lambda seed=seed: measure(seed))
            for seed in self.seeds[:1]
        ]


def mnist_rows(measurements):
    """The rows of the table for mnist_5k."""
    probe = measurements.runs(
        "mnist_5k_linear_probe", *MNIST, "--method=linear_probe", "--baseline=logistic"
    )
    data = "mnist_5k, 1,000 images, EfficientNet-Lite0 at 96 px"
    yield line(data, "linear probe", probe)
    yield line(data, "logistic regression, same features", logistic(probe))
    taps, rows = measurements.probe_on_stages()
    yield line(data, f"linear probe on stages {taps}, best on validation", rows)
    solved = measurements.runs(
        "mnist_5k_solved",
        *MNIST,
        "--method=linear_probe(solver=lbfgs)",
        f"--head=classify(features=[{TAPS[taps]}])",
    )
    yield line(data, f"linear probe on stages {taps}, solver=lbfgs", solved)
    yield line(data, "full", measurements.runs("mnist_5k_full", *MNIST, "--method=full"))
    rate, rows = measurements.scratch("mnist_5k")
    yield line(data, f"random weights, to its plateau at {rate}", rows)
    rate, rows = measurements.scratch("small_cnn")
    yield line("mnist_5k, 1,000 images, 28 px", f"small CNN, to its plateau at {rate}", rows)


def vader_rows(measurements):
    """The rows of the table for vader."""
    data = "vader movie, 2,000 texts, MiniLM"
    yield line(data, "full", measurements.runs("vader_full", *VADER, "--method=full"))
    probe = measurements.runs(
        "vader_linear_probe", *VADER, "--method=linear_probe", "--baseline=logistic"
    )
    yield line(data, "linear probe", probe)
    yield line(data, "logistic regression, same features", logistic(probe))
    yield line(data, "plain Keras, Adam 5e-5, 3 epochs", measurements.plain_keras())
    rate, rows = measurements.scratch("vader")
    yield line(data, f"random weights, to its plateau at {rate}", rows)


def same_rows(measurements):
    """The rows of the same seed twice and of one device against two, over 20 epochs of one step.

    They use SGD with small steps. Adam divides by the size of the gradients, so rounding decides
    the steps of weights whose gradient is close to 0; and each large step multiplies a difference in
    the last bit by 3 to 5 (2e-7 at the first step, 2e-2 at the twentieth at a rate of .01).
    """
    flags = [
        "--data=mnist_5k(num_train=64, num_validation=20, num_test=200)",
        *MNIST[1:],
        "--method=full",
        "--batch_size=64",
        "--train_epochs=20",
        "--norm=frozen",
        "--optimizer=sgd",
        "--learning_rate=1e-3",
        "--momentum=0",
        "--global_clipnorm=1",
        "--keep=last",
    ]
    ways = {"a": [], "b": [], "two": ["--strategy=mirrored", "--logical_devices=2"]}
    for name, more in ways.items():
        measurements.run(f"same_steps_{name}", 0, *flags, *more)
    curves = {
        name: losses(measurements.folder / f"same_steps_{name}_0" / "metrics.jsonl")
        for name in ways
    }
    again, devices = (
        max(abs(x - y) for x, y in zip(curves["a"], curves[other], strict=True))
        for other in ("b", "two")
    )
    files = [measurements.folder / f"same_steps_{name}_0" / "predictions.csv" for name in "ab"]
    equal = "equal" if files[0].read_bytes() == files[1].read_bytes() else "different"
    yield [
        "mnist_5k, 64 images, full",
        "same seed twice: largest loss difference, 20 steps",
        f"{again:.1e}",
        f"predictions.csv {equal}",
        "",
    ]
    yield [
        "mnist_5k, 64 images, full",
        "one device against two, clipped: largest loss difference",
        f"{devices:.1e}",
        "20 steps",
        "",
    ]


def losses(path):
    """The training loss of each epoch."""
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [row["loss"] for row in rows if "loss" in row]


def logistic(rows):
    """The accuracies of logistic regression in the rows, as rows."""
    return [{"accuracy": row["logistic"]} for row in rows]


def line(data, what, rows):
    """The cells of one row of the table, from the measurements of all seeds."""
    scores = [row["accuracy"] for row in rows]
    times = [row["train_s"] for row in rows if "train_s" in row]
    time_text = f"{statistics.mean(times):.0f} s" if times else ""
    each = ", ".join(f"{score:.3f}" for score in scores)
    return [data, what, f"{statistics.mean(scores):.3f}", each, time_text]


PARTS = {"mnist_5k": mnist_rows, "vader": vader_rows, "same": same_rows}


def main():
    """Measures the parts of --only, and prints each row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), help="parts, joined with commas")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument(
        "--folder",
        default=str(measuring.ROOT / "runs" / "results"),
        help="folder of the runs and of results.jsonl",
    )
    parser.add_argument("flags", nargs="*", help="after --: more flags of tltf.train")
    chosen = parser.parse_args()
    measurements = Measurements(pathlib.Path(chosen.folder).resolve(), chosen.seeds, chosen.flags)
    print(measuring.table(HEADER, []), flush=True)
    for name in chosen.only.split(","):
        for cells in PARTS[name](measurements):
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
