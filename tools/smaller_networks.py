"""Crops and prunes real runs, and prints what each loses and what it gains in size and time.

    python tools/smaller_networks.py [--only=fashion,vader] [--folder=runs/smaller_networks]

Each case trains the whole network and smaller ones from the same pretrained weights on the same rows, with
the defaults of their methods; nothing is chosen on the test split. Every run is exported as a
SavedModel and, where that can be converted, for LiteRT and OpenVINO; each answers the whole test split in its own
runtime, and is timed there. `zipped` is the size of model.tflite, or of the SavedModel where there is none, after gzip -9.
Differences of accuracy are paired with the whole network on the same test rows. Where LiteRT is refused because it differs too
much, its times are left out. Runs that FOLDER has already are not made again.
"""

import argparse
import gzip
import pathlib
import subprocess
import sys

import measuring

from tltf.experiments.comparison import comparison, finished_run
from tltf.models import loading
from tltf.runs import layout
from tltf.serving.export import exporting

IMAGES = ["--backbone=efficientnet_lite0", "--image_size_px=96"]
TEXTS = ["--backbone=minilm_l6", "--text_length=48"]
CASES = {
    "fashion": (
        ["--data=fashion_mnist(num_train=1000, num_validation=300, num_test=1000)", *IMAGES],
        (1, 2, 3),
    ),
    "vader": (
        ["--data=vader(domain=movie, num_train=2000, num_validation=500, num_test=1500)", *TEXTS],
        (1, 2),
    ),
}
"""Case -> (flags of tltf.train, numbers of groups that are cropped)."""
SHARES = (0.5, 0.8)
FORMATS = "saved_model|litert|openvino"
COLUMNS = (
    "method",
    "parameters",
    "zeros in kernels",
    "accuracy",
    "difference from the whole network",
    "size",
    "zipped",
    "SavedModel, batch of 1 / 32",
    "LiteRT",
    "OpenVINO",
    "training",
)


def methods(crops):
    """Name of a run -> its --method."""
    found = {"whole": "lp_ft", "probe": "linear_probe(solver=lbfgs)"}
    found |= {f"crop_{number}": f"crop(last_groups={number})" for number in crops}
    return found | {f"prune_{int(100 * share)}": f"prune(share={share})" for share in SHARES}


def cells_of(method, compared, root):
    """The cells of one line."""
    run = compared.run
    rows = {row.name: row for row in exporting.read_table(root)}
    files = next(root / rows[n].place for n in ("litert", "saved_model") if n in rows)
    gain = compared.gain.gains["accuracy"] if compared.gain else None
    parameters = run.report.parameters
    return [
        f"`{method}`",
        f"{parameters.total / 1e6:.2f} M",
        f"{share_of_zeros(run.folder):.0%}",
        f"{compared.metrics.scores['accuracy']:.4f}",
        "" if gain is None else f"{100 * gain.difference:+.2f} points ({interval(gain)})",
        f"{rows['saved_model'].num_bytes / 1e6:.1f} MB",
        f"{zipped(files) / 1e6:.1f} MB",
        *(latency(rows.get(name)) for name in ("saved_model", "litert", "openvino")),
        f"{run.report.time_s['train']:.0f} s",
    ]


def interval(gain):
    """An interval in points."""
    low, high = gain.interval
    return f"{100 * low:+.2f} to {100 * high:+.2f}"


def latency(row):
    """Median times of one call, in ms."""
    if row is None or not row.latency_ms:
        return ""
    return " / ".join(f"{median:.1f}" for median, _ in row.latency_ms.values()) + " ms"


def zipped(folder):
    """Bytes of a folder's files after gzip."""
    files = [path for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file()]
    models = [path for path in files if path.suffix == ".tflite"] or files
    return sum(len(gzip.compress(path.read_bytes(), 9)) for path in models)


def share_of_zeros(run):
    """The share of zeros in the backbone's dense and convolution kernels."""
    from tltf.methods import prune

    return prune.share_of_zeros(prune.pruned_kernels(loading.load(run).core))


def export(run):
    """Exports a run, unless its table is there."""
    if not exporting.read_table(run / layout.EXPORT):
        command = [sys.executable, "-m", "tltf.export", f"--run={run}", f"--format={FORMATS}"]
        print("$ " + " ".join(command[1:]), file=sys.stderr, flush=True)
        done = subprocess.run(command, check=False, stdout=sys.stderr, cwd=measuring.ROOT)
        if done.returncode:  # one that differs too much is refused, and the others with it
            command[-1] = f"--format={FORMATS.replace('litert|', '')}"
            subprocess.run(command, check=True, stdout=sys.stderr, cwd=measuring.ROOT)


def main():
    """Measures what the command line says and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--folder", default="runs/smaller_networks")
    options = parser.parse_args()
    for case in options.only.split(","):
        flags, crops = CASES[case]
        folder = pathlib.Path(options.folder).resolve() / case
        folder.mkdir(parents=True, exist_ok=True)
        chosen = methods(crops)
        for name, method in chosen.items():
            also = ["--noexport", "--baseline=none", "--explain=none"]
            measuring.train(folder, name, *flags, f"--method={method}", *also)
            export(folder / name)
        runs = finished_run.read_runs([str(folder / name) for name in chosen])
        found = comparison.make(runs, 0).runs
        rows = [
            cells_of(method, compared, folder / name / layout.EXPORT)
            for (name, method), compared in zip(chosen.items(), found, strict=True)
        ]
        print(f"\n{case}:\n\n{measuring.table(COLUMNS, rows)}", flush=True)


if __name__ == "__main__":
    main()
