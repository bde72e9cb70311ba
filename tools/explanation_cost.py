"""Measures what explaining the worst mistakes costs a run: with --explain=auto and with none, in pairs of processes.

python tools/explanation_cost.py --pairs=3 [--works=texts]

Every other pair runs in the opposite order. Each side runs twice: with an empty feature cache, and again with what
the first run has left there. The ratio is of the processor seconds of whole commands, with explanations over
without; the share is that of the clock of the run itself, from its report. Runs export, as usual.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

import benching
import measuring

WORKS = {
    "images": (
        "--data=mnist_5k",
        "--backbone=efficientnet_lite0",
        "--image_size_px=96",
        "--method=linear_probe(solver=lbfgs)",
    ),
    "texts": (
        "--data=vader(domain=movie)",
        "--backbone=minilm_l6",
        "--method=linear_probe(solver=lbfgs)",
    ),
}
CACHES = ("empty", "warm")
SIDES = ("auto", "none")
HEADER = [
    "run",
    "feature cache",
    "mistakes explained",
    "pairs",
    "processor seconds with / without, ratio (lowest to highest)",
    "processor seconds with / without",
    "share of the run's own time (lowest to highest)",
]


def measure(flags, explain, environment):
    """What one run took, as a dict of numbers.

    Args:
        flags: of the training.
        explain: the value of --explain.
        environment: of the process.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        command = [sys.executable, "-m", "tltf.train", *flags, f"--explain={explain}"]
        before, began = benching.child_cpu_s(), time.monotonic()
        benching.run_process(
            [*command, "--quiet", f"--output={run}"], cwd=measuring.ROOT, env=environment
        )
        spent = {"wall_s": time.monotonic() - began, "cpu_s": benching.child_cpu_s() - before}
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    times, rows = report["time_s"], report["worst_mistakes"]
    found = {
        **spent,
        "share": times.get("explain", 0.0) / times["total"],
        "explained": sum("explanation" in row for row in rows),
        "mistakes": len(rows),
    }
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def line(work, cache, pairs):
    """The row of a table for all pairs, of which each is a dict of side -> measurement."""
    ratio, low, high = benching.spread(
        [pair["auto"]["cpu_s"] / pair["none"]["cpu_s"] for pair in pairs]
    )
    share, least, most = benching.spread([pair["auto"]["share"] for pair in pairs])
    first = pairs[0]["auto"]
    return [
        work,
        cache,
        f"{first['explained']} of {first['mistakes']}",
        str(len(pairs)),
        f"{ratio:.2f} ({low:.2f} to {high:.2f})",
        benching.both(*([pair[side] for pair in pairs] for side in SIDES), "cpu_s", ".0f"),
        f"{share:.1%} ({least:.1%} to {most:.1%})",
    ]


def main():
    """Trains all pairs and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--works", default=",".join(WORKS), help="joined with commas")
    parser.add_argument("--pairs", type=int, default=3, help="number of pairs")
    given = parser.parse_args()
    from tltf.files import assets

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cache = benching.Cache(pathlib.Path(folder) / "cache", assets.cache_folder())
        environment = cache.environment()
        for work in given.works.split(","):
            found = {name: [{} for _ in range(given.pairs)] for name in CACHES}
            for pair in range(given.pairs):
                for side in benching.in_turn(SIDES, pair):
                    cache.forget()
                    for name in CACHES:
                        found[name][pair][side] = measure(WORKS[work], side, environment)
            rows += [line(work, name, found[name]) for name in CACHES]
    print(benching.processor(), file=sys.stderr)
    print(measuring.table(HEADER, rows))


if __name__ == "__main__":
    main()
