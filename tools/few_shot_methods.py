"""Measures methods for few labels beside the tuned light head, on the same draws, and prints the table.

    python tools/few_shot_methods.py [--folder=runs/few_shot] [--only=movie,fashion,emoji] [--labels=4,8,16,64]
        [--draws=10] [--first=0] [--methods="setfit;lp_ft"] [--flags="--learning_rate=1e-4"] [--name=NAME]
        [--minutes=8] [--peer=PYTHON]

A draw takes so many rows of each class, as --split=few_shot does. --first=100 takes other draws, for settings, than
those that are reported; --methods takes call strings, joined with ;, and --flags adds flags to them, under a NAME of
their own. After so many --minutes nothing more is begun, and a later call goes on. --peer runs SetFit's own package
(`pip install setfit`) under another interpreter on texts. Prints means over draws with Student's 95% intervals, and
the paired differences from the tuned light head. Measurements are kept in FOLDER/methods.jsonl.
"""

import json
import os
import pathlib
import subprocess
import tempfile

import few_label_runs
import numpy as np

from tltf.files import assets

PEER = "SetFit's package"
ON_TEXTS = ["zero_shot(name_weight=auto)", "fastfit"]
METHODS = [few_label_runs.PROBE, "zero_shot", *ON_TEXTS, "setfit", "prototypes", "lp_ft"]
PEER_SCRIPT = pathlib.Path(__file__).with_name("few_shot_peer.py")


def peer_row(case, rows, python, draw):
    """What few_shot_peer.py prints for one draw."""
    texts = {"train": case.pool.take(rows).texts(), "test": case.test.texts()}
    labels = {"train": np.asarray(case.pool.labels)[rows].tolist(), "test": case.labels.tolist()}
    weights = os.environ.get("MINILM") or str(assets.fetch("minilm_l6"))
    with tempfile.TemporaryDirectory() as folder:
        given = pathlib.Path(folder) / "rows.json"
        given.write_text(
            json.dumps({"texts": {k: list(v) for k, v in texts.items()}, "labels": labels})
        )
        command = [python, str(PEER_SCRIPT), str(given), weights, str(draw)]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Measures what is missing and prints the table."""
    made = few_label_runs.parser(__doc__, "runs/few_shot", "4,8,16,64", METHODS)
    made.add_argument("--peer", default="")
    options = made.parse_args()

    def measure(case, count, draw, method, flags):
        rows = case.draw(count, draw)
        if method == PEER:
            return peer_row(case, rows, options.peer, draw)
        if method == few_label_runs.PROBE:
            return case.light_answers(rows, draw)
        return case.trained_answers(rows, method, flags)

    plain = (few_label_runs.PROBE, PEER)
    found = few_label_runs.Measurements(options, "methods.jsonl", measure, plain)
    methods = [*options.methods.split(";"), *([PEER] if options.peer else [])]
    header = ["data", "labels a class", "method", "draws", "accuracy", "- probe, points", "s"]
    print(
        found.table(
            header,
            lambda case: [m for m in methods if case == "movie" or m not in (*ON_TEXTS, PEER)],
        )
    )


if __name__ == "__main__":
    main()
