"""Notices what has become slower: today's times as ratios, beside those that were kept for this processor.

    python tools/bench.py --quick [--folder=runs/bench_quick] [--keep] [--only=predict,...]
        [--other=FOLDER]

Every figure is a ratio to something that the same machine does in the same minute: commands to the
import of TensorFlow in a process of its own, work inside a process to ten products of matrices. So
figures of machines of a kind can be compared, and neighbours disturb them little. The comparison is
that of processor seconds; wall time is shown beside it.

Without --quick each command is measured five times instead of twice. --keep adds today's figures to
tools/measured/bench.jsonl. A figure is marked that is above all those that are kept for this processor
by more than their spread, and by more than SLACK.

--other compares with another version of tltf, such as a worktree of an earlier commit, in place of what is
kept: each part is measured for both versions, one behind the other.
"""

import argparse
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import bench_cases
import benching
import measuring

KEPT = measuring.ROOT / "tools" / "measured" / "bench.jsonl"
SLACK = 0.10
"""The share by which a figure may be above the largest that is kept."""
IMPORT = [sys.executable, "-c", "import tensorflow"]
RUNS = {
    "image": (
        "--data=fashion_mnist(num_train=300, num_test=100)",
        "--backbone=efficientnet_lite0",
        "--image_size_px=96",
    ),
    "text": (
        "--data=vader(domain=movie, num_train=300, num_test=100)",
        "--backbone=minilm_l6",
        "--text_length=48",
    ),
}
"""Name -> the flags of a run that the cases use."""
FLAGS = ("--method=linear_probe(solver=lbfgs)", "--baseline=none", "--precision=float32")
BARE = """
import sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
with open(sys.argv[2], "rb") as file:
    print(model.signatures["serving_default"](image_bytes=tf.constant([file.read()])))
"""
"""A program that imports TensorFlow, loads an export and calls it: the least that a prediction takes."""
COMPARED = ["figure", "processor time", "other", "times as fast", "by wall time"]
HEADER = ["figure", "processor time", "kept (lowest to highest)", "wall time", ""]


class Bench:
    """The measurements of one call of this script.

    Args:
        folder: the folder of the runs.
        rounds: how often each command is measured.
        root: the folder of the tltf that is measured.
    """

    def __init__(self, folder, rounds, root=measuring.ROOT):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.rounds, self.root = folder, rounds, root
        real = os.environ.get("TLTF_CACHE") or pathlib.Path.home() / ".cache" / "tltf"
        self.environment = benching.Cache(folder / "cache", real).environment() | {
            "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
        }

    def commands(self, named):
        """Name -> `[wall, cpu]` of commands, per import of TensorFlow; they take turns."""
        spent = {name: [] for name in ("", *named)}
        for number in range(self.rounds):
            for name in benching.in_turn(spent, number):
                spent[name].append(self.run(named[name] if name else IMPORT))
        units = spent.pop("")
        return {
            name: [
                min(row[place] for row in rows) / min(unit[place] for unit in units)
                for place in (0, 1)
            ]
            for name, rows in spent.items()
        }

    def run(self, command):
        """`(wall, cpu)`, the seconds that a command took."""
        if callable(command):
            command = command()
        before, start = benching.child_cpu_s(), time.perf_counter()
        done = subprocess.run(
            command, env=self.environment, cwd=self.root, capture_output=True, text=True
        )
        wall, used = time.perf_counter() - start, benching.child_cpu_s() - before
        if done.returncode:
            sys.exit(f"{' '.join(command)} has failed:\n{done.stderr[-2000:]}")
        return wall, used

    def train(self, name, *flags, output=None):
        """The command that trains a run of RUNS; an earlier one is removed when it starts."""
        run = self.folder / (output or name)

        def command():
            shutil.rmtree(run, ignore_errors=True)
            return [
                sys.executable,
                "-m",
                "tltf.train",
                *RUNS[name],
                *FLAGS,
                *flags,
                f"--output={run}",
            ]

        return command

    def prepare(self):
        """Trains the runs that the cases read, which also fills the feature cache."""
        for name in RUNS:
            self.run(self.train(name))

    def probe(self):
        """A run whose features are in the cache, with and without its export."""
        return self.commands(
            {
                "cached probe, with export": self.train("image", output="again"),
                "cached probe, without export": self.train("image", "--noexport", output="again"),
            }
        )

    def predict(self):
        """One picture: `tltf.predict`, and the least program that loads and calls the export."""
        picture = self.folder / "picture.jpg"
        picture.write_bytes(bench_cases.pictures(1)[0])
        (version,) = (self.folder / "image" / "export").iterdir()
        command = [sys.executable, "-m", "tltf.predict", f"--run={self.folder / 'image'}"]
        return self.commands(
            {
                "predict one picture": [*command, f"--input={picture}"],
                "load and call its export": [
                    sys.executable,
                    "-c",
                    BARE,
                    str(version),
                    str(picture),
                ],
            }
        )

    def texts(self):
        """Fine-tuning of a whole network on texts, in float32 and in bfloat16."""
        flags = ("--method=full", "--train_epochs=1", "--noexport")
        return self.commands(
            {
                f"full, 300 texts, {precision}": self.train(
                    "text", *flags, f"--precision={precision}", output="again"
                )
                for precision in ("float32", "mixed_bfloat16")
            }
        )

    def case(self, name):
        """The figures of a case of bench_cases.py."""
        script = pathlib.Path(bench_cases.__file__)
        text, _ = benching.run_process(
            [sys.executable, str(script), name, str(self.folder)],
            env=self.environment,
            cwd=self.root,
        )
        return json.loads(text.splitlines()[-1])

    def figures(self, part):
        """Name -> `[wall, cpu]` of a part."""
        return self.case(part) if part in bench_cases.CASES else getattr(self, part)()


PARTS = ("predict", "probe", "texts", *bench_cases.CASES)


def kept_ratios(processor, path=KEPT):
    """Figure -> the ratios of processor time that are kept for a processor."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = {}
    for row in map(json.loads, lines):
        if row["processor"] == processor:
            found.setdefault(row["figure"], []).append(row["cpu"])
    return found


def line(figure, wall, cpu, kept):
    """The row of the table for a figure, with a mark where it is slower than what is kept."""
    if not kept:
        return [figure, f"{cpu:.2f}", "nothing", f"{wall:.2f}", ""]
    middle, low, high = benching.spread(kept)
    bound = max(high + (high - low), high * (1 + SLACK))
    mark = f"SLOWER: {cpu / middle:.2f} times" if cpu > bound else ""
    return [figure, f"{cpu:.2f}", f"{middle:.2f} ({low:.2f} to {high:.2f})", f"{wall:.2f}", mark]


def compared(figure, ours, other):
    """The row of the table for a figure of this version and of another one, each `[wall, cpu]`."""
    if other is None:
        return [figure, f"{ours[1]:.2f}", "", "", ""]
    cpu, wall = other[1] / ours[1], other[0] / ours[0]
    return [figure, f"{ours[1]:.2f}", f"{other[1]:.2f}", f"{cpu:.2f}", f"{wall:.2f}"]


def compare(parts, bench, other):
    """Measures the parts of two versions, and prints each row as soon as it is known."""
    for each in (bench, other):
        each.prepare()
    print(measuring.table(COMPARED, []), flush=True)
    for number, part in enumerate(parts):
        found = {each: each.figures(part) for each in benching.in_turn((bench, other), number)}
        for figure, ours in found[bench].items():
            cells = compared(figure, ours, found[other].get(figure))
            print("| " + " | ".join(cells) + " |", flush=True)


def watch(parts, bench, processor, keeps):
    """Measures the parts beside what is kept, prints each row, and returns how many are slower."""
    bench.prepare()
    print(measuring.table(HEADER, []), flush=True)
    kept, rows, slower = kept_ratios(processor), [], 0
    for part in parts:
        for figure, (wall, cpu) in bench.figures(part).items():
            cells = line(figure, wall, cpu, kept.get(figure))
            slower += bool(cells[-1])
            print("| " + " | ".join(cells) + " |", flush=True)
            rows.append({"processor": processor, "figure": figure, "cpu": cpu, "wall": wall})
    if keeps:
        day = datetime.date.today().isoformat()
        with KEPT.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({**row, "day": day}) + "\n" for row in rows)
    return slower


def main():
    """Measures what the command line asks for; exit code 1 if a figure is slower."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two rounds, under 6 minutes")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, joined with commas")
    parser.add_argument("--keep", action="store_true", help=f"adds the figures to {KEPT.name}")
    parser.add_argument("--other", default="", help="folder with another version of tltf")
    parser.add_argument("--folder", default=str(measuring.ROOT / "runs" / "bench_quick"))
    given = parser.parse_args()
    parts = given.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(unknown)} (choices: {', '.join(PARTS)})")
    folder, rounds, begun = (
        pathlib.Path(given.folder).resolve(),
        2 if given.quick else 5,
        time.time(),
    )
    bench, processor, slower = Bench(folder, rounds), benching.processor(), 0
    print(f"{processor}\n", flush=True)
    if given.other:
        root = pathlib.Path(given.other).resolve()
        compare(parts, bench, Bench(folder / "other", rounds, root))
    else:
        slower = watch(parts, bench, processor, given.keep)
        print(f"\n{slower} figures are slower", end="")
    print(f"\nit took {time.time() - begun:.0f} s")
    return slower > 0


if __name__ == "__main__":
    sys.exit(main())
