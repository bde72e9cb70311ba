"""Runs methods on packaged data over several seeds, and prints a table in which failures are marked.

    python tools/scorecard.py [--only=vader,fashion] [--methods='full|lora|...'] [--seeds=5]
        [--quick] [--known] [--folder=runs/scorecard] [-- more flags of tltf.train]

vader: movie snippets, 2,000 labels, MiniLM at 48 tokens. fashion: Fashion-MNIST, 3,000 images,
EfficientNet-Lite0 at 96 px. Another backbone is named after the data; it has few methods and one
seed. Each run also fits logistic regression on the same frozen features; gains are paired by seed,
intervals are Student's at 95%. Shift is the accuracy of the same model on another domain (texts:
tweets; images: noise, blur and rotation of the test images). Forgetting is the accuracy of a solved
probe on another task (texts: snippets of product reviews; images: digits) on the pretrained network,
less that on the fine-tuned one. --quick leaves out both. Time is that of the fastest seed, which
other work on the machine disturbed least. Measurements are kept in FOLDER/scorecard.jsonl; a second
call measures only what is missing there. --known prints what FOLDER has and measures nothing;
tools/measured is such a folder.

Flags may follow a method. Some methods take another run, which is trained once per seed: `distill`
trains a small network (for texts the same one) on the outputs of `full`, `soup` averages `full` at
three learning rates, and the network of `fashion digits` was fine-tuned on digits before, which
`lwf` must not forget.
"""

import argparse
import json
import math
import pathlib
import re
import shutil
import statistics
import subprocess
import sys

import benching
import measuring
from scorecard_lines import METHODS, OTHER_TASK, PREPARED, WORK

HEADER = [
    "data",
    "method",
    "seeds",
    "accuracy",
    "gain over logistic regression, points",
    "trained",
    "file MB",
    "time s",
    "peak MB",
    "under shift",
    "forgetting, points",
]
PAIRED_HEADER = ["data", "method", "seeds", "accuracy less full, points", "under shift, points"]
STUDENT_T = {
    2: 12.71,
    3: 4.303,
    4: 3.182,
    5: 2.776,
    6: 2.571,
    7: 2.447,
    8: 2.365,
    9: 2.306,
    10: 2.262,
}
"""Number of seeds -> the 97.5% point of Student's t with one degree of freedom less."""


class Scorecard:
    """The measurements of this script; each is made once and then read from a notebook.

    Args:
        chosen: the arguments of the command line.
    """

    def __init__(self, chosen):
        self.folder, self.chosen = pathlib.Path(chosen.folder).resolve(), chosen
        self.notebook = measuring.Notebook(self.folder / "scorecard.jsonl")

    def row(self, task, method, seed):
        """The measurements of one run, or {"failed": why}."""
        key = f"{task} {method} {seed}" + (" quick" if self.chosen.quick else "")
        return self.notebook.get(key, lambda: self._measure(task, method, seed))

    def has(self, task, method, seed):
        """Whether the measurements of a run are in the notebook."""
        return f"{task} {method} {seed}" in self.notebook

    def _measure(self, task, method, seed):
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        call, *flags = method.split(" --")
        flags = [*WORK[task], f"--method={call}", *(f"--{flag}" for flag in flags)]
        try:
            flags = [self._fill_in(flag, seed) for flag in flags]
            row = self._train(
                run, [*flags, f"--seed={seed}", "--baseline=logistic", *self.chosen.flags]
            )
            if not self.chosen.quick:
                row["shift"] = self._shift_accuracy(task, run)
                row["kept"] = self._probe(task, seed, str(run))
                row["known"] = self._probe_pretrained(task, seed)
        except subprocess.CalledProcessError as error:
            return {"failed": str(error)}
        return row

    def _fill_in(self, flag, seed):
        """The flag with the folder of a prepared run in place of each `{name}`."""
        return re.sub(r"\{(\w+)\}", lambda match: self._prepare_run(match[1], seed), flag)

    def _prepare_run(self, name, seed):
        """The folder of a run of PREPARED, which is trained if it is not finished."""
        run = str(self.folder / "prepared" / f"{name}_{seed}")
        measuring.train(self.folder, run, *PREPARED[name], f"--seed={seed}", "--export=false")
        return run

    def _train(self, run, flags):
        command = [sys.executable, "-m", "tltf.train", *flags, "--export=false", f"--output={run}"]
        _, peak_mb = benching.run_process(command)
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
        adapter = run / "adapter.safetensors"
        weights = next((run / "model").glob("v*/core.safetensors"))
        logistic = report.get("baselines", {}).get("logistic_regression")
        return {
            "accuracy": report["test"]["accuracy"],
            "logistic": logistic["test"]["accuracy"] if logistic else None,
            "trained": report["parameters"]["trainable"],
            "total": report["parameters"]["total"],
            "file_mb": (adapter if adapter.exists() else weights).stat().st_size / 1e6,
            "seconds": report["time_s"]["train"],
            "peak_mb": peak_mb,
        }

    def _probe(self, task, seed, backbone):
        """The accuracy of a solved probe on the other task."""
        run = self.folder / "probe"
        shutil.rmtree(run, ignore_errors=True)
        flags = [
            *OTHER_TASK[task.split()[0]],
            f"--backbone={backbone}",
            f"--seed={seed}",
            "--method=linear_probe(solver=lbfgs)",
        ]
        return self._train(run, flags)["accuracy"]

    def _probe_pretrained(self, task, seed):
        """The accuracy of a solved probe on the other task, on the network before fine-tuning."""
        backbone = self._fill_in(WORK[task][2].partition("=")[2], seed)
        key = f"{task} pretrained {seed}"
        return self.notebook.get(key, lambda: {"kept": self._probe(task, seed, backbone)})["kept"]

    def _shift_accuracy(self, task, run):
        """The accuracy of a run on shifted data."""
        return self._evaluate(run, self._shifted_data(task))

    def _shifted_data(self, task):
        """The call string of the shifted data."""
        if task.startswith("vader"):
            return "vader(domain=tweets, num_train=20, num_test=2000)"
        path = self.folder / "shifted.npz"
        if not path.exists():
            script = str(pathlib.Path(__file__).with_name("shifted_images.py"))
            benching.run_process([sys.executable, script, str(path)])
        return f"numpy(path='{path}')"

    def _evaluate(self, run, data):
        """The accuracy of a run on other data."""
        output = self.folder / "evaluated"
        shutil.rmtree(output, ignore_errors=True)
        benching.run_process(
            [
                sys.executable,
                "-m",
                "tltf.evaluate",
                f"--run={run}",
                f"--data={data}",
                f"--output={output}",
            ]
        )
        report = json.loads((output / "report.json").read_text(encoding="utf-8"))
        return report["test"]["accuracy"]


def interval(values, scale=1.0, digits=3):
    """Text such as `0.832 ± 0.010`: the mean with the half-width of Student's 95% interval.

    A single value has no interval.
    """
    values = [scale * value for value in values]
    text = f"{statistics.mean(values):.{digits}f}"
    if len(values) < 2:
        return text
    return f"{text} ± {half_width(values):.{digits}f}"


def half_width(values):
    """The half-width of Student's 95% interval of the mean of two to ten values."""
    return STUDENT_T[len(values)] * statistics.stdev(values) / math.sqrt(len(values))


def line(task, method, rows):
    """The row of the table for a method, from the measurements of its seeds."""
    good = [row for row in rows if "failed" not in row]
    if len(good) < len(rows):
        why = next(row["failed"] for row in rows if "failed" in row)
        return [task, method, f"{len(rows)}", f"FAILED: {why}", *[""] * 7]
    share = good[0]["trained"] / good[0]["total"]
    mean = lambda key: statistics.mean(row[key] for row in good)  # noqa: E731
    gains = [row["accuracy"] - row["logistic"] for row in good]
    forgotten = [row["known"] - row["kept"] for row in good] if "kept" in good[0] else []
    shift = [row["shift"] for row in good] if "shift" in good[0] else []
    return [
        task,
        f"`{method}`",
        str(len(good)),
        interval([row["accuracy"] for row in good]),
        interval(gains, 100, 1),
        f"{good[0]['trained']:,} ({share:.2%})",
        f"{mean('file_mb'):.2f}",
        f"{min(row['seconds'] for row in good):.0f}",
        f"{mean('peak_mb'):,.0f}",
        interval(shift) if shift else "",
        interval(forgotten, 100, 1) if forgotten else "",
    ]


def differences_to_full(measured):
    """The rows of the table of each method's differences to `full`, paired by seed.

    Args:
        measured: (task, method) -> seed -> measurements.
    """
    lines = []
    for (task, method), rows in measured.items():
        full = measured.get((task, "full"), {})
        pairs = [
            (row, full[seed])
            for seed, row in rows.items()
            if seed in full and "failed" not in row and "failed" not in full[seed]
        ]
        if method == "full" or not pairs:
            continue
        gaps = [
            interval([a[key] - b[key] for a, b in pairs], 100, 1) if key in pairs[0][0] else ""
            for key in ("accuracy", "shift")
        ]
        lines.append([task, f"`{method}`", str(len(pairs)), *gaps])
    return lines


def main():
    """Prints each row of the table as soon as it is known, then the differences to `full`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(WORK), help="data sets, joined with commas")
    parser.add_argument("--methods", default="", help="methods, joined with |; all by default")
    parser.add_argument(
        "--seeds",
        type=int,
        default=0,
        choices=range(11),
        help="number of seeds of every method; 0 takes those of METHODS",
    )
    parser.add_argument("--quick", action="store_true", help="leave out shift and forgetting")
    parser.add_argument(
        "--known", action="store_true", help="print what FOLDER has and measure nothing"
    )
    parser.add_argument(
        "--folder",
        default=str(measuring.ROOT / "runs" / "scorecard"),
        help="folder of the runs and of scorecard.jsonl",
    )
    parser.add_argument("flags", nargs="*", help="after --: more flags of tltf.train")
    chosen = parser.parse_args()
    card, measured = Scorecard(chosen), {}
    print(measuring.table(HEADER, []), flush=True)
    for task in chosen.only.split(","):
        for method in chosen.methods.split("|") if chosen.methods else METHODS[task]:
            seeds = range(chosen.seeds or METHODS[task][method])
            if chosen.known:
                seeds = [seed for seed in range(10) if card.has(task, method, seed)]
            if not seeds:
                continue
            measured[task, method] = {seed: card.row(task, method, seed) for seed in seeds}
            cells = line(task, method, list(measured[task, method].values()))
            print("| " + " | ".join(cells) + " |", flush=True)
    print("\n" + measuring.table(PAIRED_HEADER, differences_to_full(measured)))


if __name__ == "__main__":
    main()
