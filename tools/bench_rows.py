"""Measures what many rows cost: seconds, CPU seconds and peak memory, of this tltf and of another one.

    python tools/bench_rows.py [--other=FOLDER] [--rows=100000,1000000] [--images=20000] [--rounds=2]
        [--probe_rows=100000] [--folder=runs/bench_rows]

Texts have 6 to 11 words out of 20,000 and two classes, in CSV and in JSON lines; images are JPEG and
PNG files of 48 x 48 pixels in ten folders. They are written once and kept. Every command is a process
of its own, measured by the operating system, so its imports count. With --other, a folder that has
another version of tltf, such as a worktree of the main branch, each command runs with both in turn,
and the table has the median ratios of the pairs. CPU seconds are the fairer column where other
work runs beside. The probe has a random LSTM of 16 units, so that rows, not the network, decide.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import random
import statistics
import sys
import time

import benching
import measuring
import numpy as np
from PIL import Image

WORDS, LETTERS = 20_000, "abcdefghijklmnopqrstuvwxyz"
SIDE_PX, NUM_CLASSES = 48, 10
HEADER = ["work", "rows", "seconds", "CPU seconds", "peak MB", "rows/s"]
PROBE = (
    "--backbone=small_lstm(units=16, embedding=16)",
    "--method=linear_probe(solver=lbfgs)",
    "--text_length=16",
    "--export=false",
    "--overwrite",
)


@dataclasses.dataclass(frozen=True)
class Work:
    """A command that is measured.

    Args:
        name: what it does.
        rows: number of rows of its data.
        command: the module of tltf and its flags.
    """

    name: str
    rows: int
    command: tuple[str, ...]


def write_texts(folder, num):
    """Writes `num` texts as CSV and as JSON lines, unless they are there; returns both paths."""
    table, lines = folder / f"{num}.csv", folder / f"{num}.jsonl"
    if table.exists() and lines.exists():
        return table, lines
    rng = random.Random(0)
    words = ["".join(rng.choices(LETTERS, k=rng.randint(3, 9))) for _ in range(WORDS)]
    folder.mkdir(parents=True, exist_ok=True)
    with open(f"{table}.part", "w") as rows, open(f"{lines}.part", "w") as objects:
        rows.write("text,label\n")
        for _ in range(num):
            text, label = " ".join(rng.choices(words, k=rng.randint(6, 11))), rng.choice(["a", "b"])
            rows.write(f"{text},{label}\n")
            objects.write(json.dumps({"text": text, "label": label}) + "\n")
    for path in (table, lines):
        os.replace(f"{path}.part", path)
    return table, lines


def write_images(folder, num):
    """Writes `num` small pictures, unless they are there; returns their folder."""
    done = folder / f"images_{num}.done"
    root = folder / f"images_{num}"
    if done.exists():
        return root
    rng = np.random.default_rng(0)
    for number in range(num):
        path = (
            root / f"class_{number % NUM_CLASSES}" / f"{number}{'.jpg' if number % 2 else '.png'}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).save(path, quality=85)
    done.touch()
    return root


def works(chosen, folder):
    """The commands that are measured."""
    for num in map(int, chosen.rows.split(",")):
        table, lines = write_texts(folder, num)
        for kind, path in (("csv", table), ("jsonl", lines)):
            data = f"--data={kind}(path='{path}', text=text, label=label)"
            plain = ("tltf.check", data, "--near_duplicates=false")
            yield Work(f"check {kind}", num, plain)
            yield Work(f"check {kind}, near duplicates", num, plain[:2])
    if chosen.images:
        data = f"--data=image_folder(path='{write_images(folder, chosen.images)}')"
        yield Work("check images", chosen.images, ("tltf.check", data, "--near_duplicates=false"))
        yield Work("check images, near duplicates", chosen.images, ("tltf.check", data))
    if chosen.probe_rows:
        table, _ = write_texts(folder, chosen.probe_rows)
        data = f"--data=csv(path='{table}', text=text, label=label)"
        run = folder / "probe"
        yield Work("probe", chosen.probe_rows, ("tltf.train", data, *PROBE, f"--output={run}"))
        predict = ("tltf.predict", f"--run={run}", f"--input={table}", f"--output={run}.csv")
        yield Work("predict", chosen.probe_rows, predict)


def measure(work, root, cache):
    """`seconds`, `cpu_seconds` and `peak_mb` of a command with the tltf below `root`."""
    cache.forget()
    environment = cache.environment() | {"PYTHONPATH": str(root)}
    start, before = time.monotonic(), benching.child_cpu_s()
    command = [sys.executable, "-m", *work.command]
    _, peak_mb = benching.run_process(command, env=environment, cwd=root)
    return {
        "seconds": time.monotonic() - start,
        "cpu_seconds": benching.child_cpu_s() - before,
        "peak_mb": peak_mb,
    }


def line(work, sides):
    """The row of the table for one command; with two sides `ours / other (ratio)`."""
    cells = []
    for field, form in (("seconds", ".1f"), ("cpu_seconds", ".1f"), ("peak_mb", ".0f")):
        cell = " / ".join(
            format(statistics.median(row[field] for row in rows), form) for rows in sides
        )
        if len(sides) > 1:
            pairs = zip(*sides, strict=True)
            ratio = statistics.median(ours[field] / other[field] for ours, other in pairs)
            cell += f" ({ratio:.2f})"
        cells.append(cell)
    rate = work.rows / statistics.median(row["seconds"] for row in sides[0])
    return [work.name, f"{work.rows:,}", *cells, f"{rate:,.0f}"]


def main():
    """Measures all rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--other", default="", help="folder with another version of tltf")
    parser.add_argument("--rows", default="100000,1000000", help="numbers of texts")
    parser.add_argument("--images", type=int, default=20_000, help="number of images; 0 for none")
    parser.add_argument("--probe_rows", type=int, default=100_000, help="texts of the probe; or 0")
    parser.add_argument("--rounds", type=int, default=2, help="number of rounds")
    parser.add_argument("--only", default="", help="measure commands with this in their name only")
    parser.add_argument(
        "--folder", default=str(measuring.ROOT / "runs" / "bench_rows"), help="folder of the files"
    )
    chosen = parser.parse_args()
    folder = pathlib.Path(chosen.folder).resolve()
    roots = [measuring.ROOT, *([pathlib.Path(chosen.other).resolve()] if chosen.other else [])]
    from tltf.files import assets

    cache, lines = benching.Cache(folder / "cache", assets.cache_folder()), []
    for work in [work for work in works(chosen, folder) if chosen.only in work.name]:
        rows = {root: [] for root in roots}
        for number in range(chosen.rounds):
            for root in benching.in_turn(roots, number):
                rows[root].append(measure(work, root, cache))
        lines.append(line(work, [rows[root] for root in roots]))
        print(" | ".join(lines[-1]), file=sys.stderr, flush=True)
    print(f"{benching.processor()}\n\n{measuring.table(HEADER, lines)}")


if __name__ == "__main__":
    main()
