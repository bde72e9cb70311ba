"""Measures ensembles of runs beside their best member, on several draws of rows, and prints the table.

    python tools/ensembles.py [--folder=runs/ensembles] [--only=fashion,movie] [--draws=5] [--first=0]
        [--minutes=8] [--distill]

A draw takes other training and validation rows; the test rows are the same. All members of a draw are trained on the
same rows by different methods, from the same pretrained network. Selection, stacking and soups see validation rows
only; `oracle` is the member that is best on the test rows, which nobody knows. --distill also trains a network on the
answers of the plain mean. Prints means over draws with Student's 95% intervals of the difference from the member that is best on
validation, with the cost beside that of this member. --first=100 takes other draws, for settings. After so many
--minutes nothing more is begun, and a later call goes on. Measurements are kept in FOLDER/ensembles.jsonl.
"""

import argparse
import csv
import functools
import json
import pathlib
import time

import few_label_runs
import keras
import measuring
import numpy as np

from tltf.config import call_strings
from tltf.config.catalogs import SOURCES
from tltf.config.ensemble_options import EnsembleOptions
from tltf.config.options import make
from tltf.data import loader
from tltf.experiments import one_run
from tltf.experiments.ensembles import answers, candidates, ensemble_run, rules
from tltf.experiments.launch import Launch
from tltf.models import ensembles, raw_inputs
from tltf.models.ensembles import Member
from tltf.runs import folder as run_folder
from tltf.runs import layout

ROWS = {"fashion": (300, 200, 1000), "movie": (400, 200, 1000)}
"""Case -> rows of training, validation and test."""
POOLS = {
    "fashion": "fashion_mnist(num_train=10000, num_test=1000)",
    "movie": "vader(domain=movie, num_train=6000, num_test=1000)",
}
FLAGS = {
    "fashion": {"backbone": "efficientnet_lite0", "image_size_px": 96},
    "movie": {"backbone": "minilm_l6", "text_length": 48},
}
TUNED = {"method": "lp_ft", "train_epochs": 4}
RULES = {
    "best member": {},
    "mean": {"combine": "mean"},
    "greedy": {},
    "greedy by accuracy": {"metric": "score"},
    "greedy of 20 bags": {"bags": 20},
    "stacking": {"combine": "stacking"},
}
"""Name of a model in the table -> flags of tltf.ensemble."""
TITLES = {
    "fashion": "fashion_mnist, 300 images, EfficientNet-Lite0",
    "movie": "vader movie, 400 texts, MiniLM",
}
MEMBERS = {
    "fashion": {
        "probe": {"method": "probe"},
        "solved": {"method": "linear_probe(solver=lbfgs)"},
        "stages": {
            "method": "linear_probe(solver=lbfgs)",
            "head": "classify(features=[stage_3, stage_4, stage_5, stage_6])",
        },
        "lp_ft 0": TUNED,
        "lp_ft 1": {**TUNED, "seed": 1, "learning_rate": 1e-4},
    },
    "movie": {
        "probe": {"method": "probe"},
        "solved": {"method": "linear_probe(solver=lbfgs)"},
        "hidden": {"method": "linear_probe", "head": "classify(hidden=[128], dropout=.3)"},
        "lp_ft 0": TUNED,
        "lp_ft 1": {**TUNED, "seed": 1, "learning_rate": 1e-5},
    },
}


def pool_of(case):
    """`(Source of the pool, Source of the test rows)` of a case."""
    call = call_strings.pick(SOURCES, POOLS[case], "data")
    source = loader.load(call, scan=make().data.scan)
    is_test = source.roles == "test"
    return source.take(np.flatnonzero(~is_test)), source.take(np.flatnonzero(is_test))


def draw_rows(pool, count, draw):
    """int64[count]: rows of a pool with equal contents at most once, in the order of a draw."""
    order = np.random.default_rng(draw).permutation(len(pool))
    _, first = np.unique(pool.content_hashes()[order], return_index=True)
    return order[np.sort(first)][:count]


def write_rows(folder, case, draw):
    """The call string of the data of a draw, which is written into a folder where it is missing."""
    place = folder / f"{case}_{draw}"
    num_train, num_validation, _ = ROWS[case]
    if not (place / "done").exists():
        pool, test = pool_of(case)
        rows = draw_rows(pool, num_train + num_validation, draw)
        parts = {
            "train": pool.take(rows[:num_train]),
            "validation": pool.take(rows[num_train:]),
            "test": test,
        }
        for role, part in parts.items():
            (write_table if case == "movie" else write_pictures)(place / role, part)
        (place / "done").touch()
    if case == "fashion":
        return f"image_folder(path={place})"
    paths = ", ".join(f"{role}={place / role}.csv" for role in ("train", "validation", "test"))
    return f"csv({paths}, text=text)"


def write_table(path, part):
    """Writes a table of texts and labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".csv"), "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        names = [part.class_names[label] for label in part.labels]
        writer.writerows(zip(part.column.values, names, strict=True))


def write_pictures(folder, part):
    """Writes a folder of pictures for each class."""
    for number, (image, label) in enumerate(zip(part.column.values, part.labels, strict=True)):
        place = folder / part.class_names[label].replace("/", " or ")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(raw_inputs.encode_png(image))


def train_run(folder, case, draw, own, output):
    """Trains a run on the rows of a draw with some flags of its own."""
    data = write_rows(folder, case, draw)
    flags = {**FLAGS[case], "data": data, "split": "given", "export": False, **own}
    flags |= {"baseline": "none", "explain": "none", "near_duplicates": False}
    one_run.run(
        make(**flags, output=str(output), overwrite=True, quiet=True),
        launch=Launch(shows_plan=False, shows_result=False),
    )


def train_members(folder, case, draw, ends=np.inf):
    """The run folders of the members of a draw that are there or can be trained in time."""
    found = []
    for name, own in MEMBERS[case].items():
        run = folder / "runs" / f"{case}_{draw}_{name.replace(' ', '_')}"
        if run_folder.read_status(run) != "finished":
            if time.monotonic() > ends:
                return found
            train_run(folder, case, draw, own, run)
        found.append(run)
    return found


def measure(folder, case, draw, runs, distills):
    """What a draw came to: name of a model -> its numbers on the test rows.

    Args:
        folder: of the measurement.
        case: of ROWS.
        draw: number of the draw.
        runs: the run folders of the members.
        distills: whether a network is trained on the answers of the plain mean.
    """
    library = candidates.read([str(run) for run in runs], False, 128)
    head = ensembles.head_call_of([m.core.only.call for m in library.models]).build()
    rows = ensemble_run.validation_rows(library, head)
    labels = np.asarray(library.splits.test.labels)
    scores = np.asarray(library.scores["test"], np.float64)
    best = int(np.argmax(rules.fit_rule(rules.BEST, rows, EnsembleOptions()).shares))
    found = {}
    for name, flags in RULES.items():
        options = make(EnsembleOptions, **flags)
        began = time.process_time()
        fitted = rules.fit_rule(
            options.combine if name != "best member" else rules.BEST, rows, options
        )
        seconds = time.process_time() - began
        logits = fitted.logits(head, scores)
        places = list(range(len(runs)))
        if fitted.shares is not None:
            places = np.flatnonzero(fitted.shares).tolist()
        cost = time_of(library, places) / library.ms_per_example[best]
        found[name] = {
            "accuracy": float((logits.argmax(axis=1) == labels).mean()),
            "loss": float(head.losses(logits, labels).mean()),
            "cost": cost,
            "members": len(places),
            "choose_s": seconds,
        }
    found["oracle"] = {"accuracy": float((scores.argmax(axis=2) == labels).mean(axis=1).max())}
    found["soup"] = of_run(soup(folder, case, draw, [run for run in runs if "lp_ft" in run.name]))
    if distills:
        found["distilled"] = of_run(distil(folder, case, draw, runs))
    return found


def time_of(library, places):
    """Milliseconds an example of some members together."""
    members = []
    for at in places:
        model = library.candidates[at].load()
        members.append(Member(library.candidates[at].name, model.core, model.preprocessing))
    joined = ensembles.join_members(members)
    some = library.splits.test.take(np.arange(answers.TIMED_ROWS))
    batches = answers.dataset(joined, some, 128)
    sums = keras.Model(joined.inputs, keras.ops.sum(keras.ops.stack(joined.answers), axis=0))
    return answers.milliseconds(sums, batches, len(some))


def of_run(run):
    """The numbers of a run on its test rows."""
    found = json.loads((run / layout.REPORT_JSON).read_text(encoding="utf-8"))["test"]
    return {"accuracy": found["accuracy"], "loss": found["loss"], "cost": 1.0, "members": 1}


def soup(folder, case, draw, runs):
    """The run folder of the mean of the weights of some runs, chosen greedily."""
    output = folder / "runs" / f"{case}_{draw}_soup"
    if run_folder.read_status(output) != "finished":
        given = ", ".join(map(str, runs))
        train_run(folder, case, draw, {"method": f"soup(runs=[{given}])"}, output)
    return output


def distil(folder, case, draw, runs):
    """The run folder of a network that learned from the plain mean of some runs."""
    output = folder / "joint" / f"{case}_{draw}"
    if run_folder.read_status(output / layout.DISTILLED) != "finished":
        given = {"runs": ",".join(map(str, runs)), "combine": "mean", "export": False}
        given |= {"distill": "--train_epochs=4 --noexport", "overwrite": True, "quiet": True}
        ensemble_run.run(make(EnsembleOptions, **given, output=str(output)))
    return output / layout.DISTILLED


def table(notebook, draws, cases):
    """The markdown table of what was measured."""
    lines = []
    for case in cases:
        found = [
            notebook.get(f"{case} {draw}", dict) for draw in draws if f"{case} {draw}" in notebook
        ]
        for name in (*RULES, "soup", "distilled", "oracle"):
            rows = [(row[name], row["best member"]) for row in found if name in row]
            if not rows:
                continue
            gains = [own["accuracy"] - best["accuracy"] for own, best in rows]
            losses = [own["loss"] for own, _ in rows if "loss" in own]
            cost = [own["cost"] for own, _ in rows if "cost" in own]
            members = [own["members"] for own, _ in rows if "members" in own]
            lines.append(
                [
                    f"{TITLES[case]}",
                    name,
                    str(len(rows)),
                    f"{np.mean([own['accuracy'] for own, _ in rows]):.3f}",
                    "" if name == "best member" else few_label_runs.points(gains),
                    f"{np.mean(losses):.3f}" if losses else "",
                    f"{np.mean(members):.1f}" if members else "",
                    f"{np.mean(cost):.1f}" if cost else "",
                ]
            )
    header = [
        "data",
        "model",
        "draws",
        "accuracy",
        "- best member, points",
        "loss",
        "members",
        "time",
    ]
    return measuring.table(header, lines)


def main():
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/ensembles")
    parser.add_argument("--only", default=",".join(ROWS))
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=np.inf)
    parser.add_argument("--distill", action="store_true")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder).resolve()
    notebook = measuring.Notebook(folder / "ensembles.jsonl")
    ends = time.monotonic() + 60 * options.minutes
    draws = range(options.first, options.first + options.draws)
    for draw in draws:
        for case in options.only.split(","):
            if f"{case} {draw}" in notebook:
                continue
            runs = train_members(folder, case, draw, ends)
            if len(runs) == len(MEMBERS[case]) and time.monotonic() < ends:
                made = functools.partial(measure, folder, case, draw, runs, options.distill)
                notebook.get(f"{case} {draw}", made)
    print(table(notebook, draws, options.only.split(",")))


if __name__ == "__main__":
    main()
