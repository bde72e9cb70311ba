"""Measures one network with several heads beside a network per task, and prints what each reaches.

    python tools/several_tasks.py [--folder=runs/several_tasks] [--only='texts, frozen|texts, lp_ft'] [--first=0]
        [--seeds=5] [--minutes=8]

Each seed draws the splits anew; the joint network and the networks of single tasks train on the same rows, in one
process, with the same method, epochs and rates. The score of a task is 100 times the accuracy of classes, or 100 R^2 of
numbers, on test rows. `mean` is over the tasks; a network per task has as many times the parameters as there are
tasks. The gate: the mean of the joint network is at most half a point below that of single ones. Measurements are kept
in FOLDER/several_tasks.jsonl; after --minutes no new one begins. --first counts the seeds from another one, so
that settings are chosen on seeds which are not reported.
"""

import argparse
import csv
import dataclasses
import pathlib
import sys
import time

import measuring
import numpy as np

from tltf.evaluation.report import folds

GATE = -0.5
"""The largest loss of the mean over tasks that is allowed, in points."""
DOMAINS, ROWS_PER_DOMAIN = ("movie", "amazon", "nyt", "tweets"), 250
VENDORS = ("google", "twitter")
COMMON = {
    "split": "holdout(test=.3, validation=.1)",
    "baseline": "none",
    "explain": "none",
    "export": False,
    "near_duplicates": False,
    "batch_size": 32,
}
TEXTS = {"backbone": "minilm_l6", "text_length": 32}
PICTURES = {"backbone": "efficientnet_lite0", "image_size_px": 64}
FROZEN = {"method": "linear_probe(solver=lbfgs)"}
FULL, SOLVED = {"method": "full"}, {"method": "lp_ft"}
SHORT = {"train_epochs": 4}


@dataclasses.dataclass(frozen=True)
class Case:
    """A joint network.

    Args:
        data: `texts`, `emoji` or `sets`.
        flags: of the joint network and of the single ones.
        weights: the part of --head that weighs the losses; empty for the default.
        single: the flags of single networks where they are others: `full` was the stronger opponent on
            the seeds from 100 on.
    """

    data: str
    flags: dict
    weights: str = ""
    single: dict | None = None


CASES = {
    "texts, frozen": Case("texts", TEXTS | FROZEN),
    "texts, lp_ft": Case("texts", TEXTS | SOLVED | SHORT, single=TEXTS | FULL | SHORT),
    "texts, lp_ft, by gradient norm": Case(
        "texts", TEXTS | SOLVED | SHORT, "gradnorm", TEXTS | FULL | SHORT
    ),
    "texts, lp_ft, by uncertainty": Case(
        "texts", TEXTS | SOLVED | SHORT, "uncertainty", TEXTS | FULL | SHORT
    ),
    "texts, random heads": Case("texts", TEXTS | FULL | SHORT | {"learning_rate": 5e-5}),
    "texts, lp_ft beside lp_ft": Case("texts", TEXTS | SOLVED | SHORT),
    "emoji, frozen": Case("emoji", PICTURES | FROZEN),
    "three data sets, frozen": Case("sets", PICTURES | FROZEN),
    "three data sets, lp_ft": Case("sets", PICTURES | SOLVED | {"train_epochs": 3}),
    "emoji, lp_ft": Case("emoji", PICTURES | {"method": "lp_ft", "train_epochs": 3}),
}
TASKS = {
    "texts": {"rating": "regress", "domain": "classify"},
    "emoji": {"category": "classify", "vendor": "classify"},
    "sets": {"digits": "classify", "fashion": "classify", "emoji": "classify"},
}
SETS = {
    "digits": "digits",
    "fashion": "fashion_mnist(num_train=1200, num_test=600)",
    "emoji": "emoji(vendor=google)",
}
"""Task -> its data set, of a network for several data sets."""


def source_of(data, folder):
    """`(Source with a label field per task, text of --data)`."""
    from tltf.config import checks
    from tltf.data import loader

    if data != "emoji":
        texts = f"csv(path={texts_of_vader(folder)}, text=text)" if data == "texts" else ""
        text = texts or "; ".join(f"{task}: {own}" for task, own in SETS.items())
        recipe = checks.resolve_data(text, "holdout", heads_text(data))
        return loader.load_labelled(recipe.source, recipe.head), text
    return emoji_of_vendors(), "emoji"


def heads_text(data, weights=""):
    """The text of --head."""
    parts = [f"{task}: {head}" for task, head in TASKS[data].items()]
    return "; ".join([*parts, *([f"weights: {weights}"] if weights else [])])


def texts_of_vader(folder):
    """A CSV file of texts with their rating and the domain that they come from."""
    from tltf.data import loader

    path = folder / "texts.csv"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for domain in DOMAINS:
        source = loader.load(f"vader(domain={domain})", target="number")
        chosen = np.random.default_rng(0).permutation(len(source))[:ROWS_PER_DOMAIN]
        texts, ratings = source.texts(), np.asarray(source.labels)
        rows += [[texts[row], f"{ratings[row]:.4g}", domain] for row in chosen.tolist()]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "rating", "domain"])
        writer.writerows(rows)
    return path


def emoji_of_vendors():
    """The pictures of both vendors, with their category and who drew them; a glyph is in one split."""
    from tltf.data import joined_rows, loader
    from tltf.data.label_kinds import Labels

    parts = [loader.load(f"emoji(vendor={vendor})") for vendor in VENDORS]
    names = [str(name) for name in parts[0].class_names]
    both = joined_rows.join(
        [joined_rows.with_roles(part.reorder_classes(names), "") for part in parts], "emoji"
    )
    glyphs = [str(name).rpartition("/")[2] for part in parts for name in part.ids]
    _, groups = np.unique(glyphs, return_inverse=True)
    vendors = np.repeat(np.arange(len(parts)), [len(part) for part in parts]).astype(np.int32)
    (category,) = both.label_fields.values()
    return dataclasses.replace(
        both,
        label_fields={"category": category, "vendor": Labels(vendors, VENDORS)},
        ids=[f"{VENDORS[vendor]}/{glyph}" for vendor, glyph in zip(vendors, glyphs, strict=True)],
        roles=None,
        groups=groups.astype(np.uint64),
    )


class Bench:
    """Trains networks on the splits of seeds.

    Args:
        folder: of the data and the notebook.
        until: time.monotonic() after which nothing new begins.
    """

    def __init__(self, folder, until):
        self.folder, self.until = folder, until
        self.notebook, self._sources = measuring.Notebook(folder / "several_tasks.jsonl"), {}

    def scores(self, data, tasks, flags, weights, seed):
        """The row of a network: task -> score, and its parameters; None where the time is over."""
        shown = ", ".join(f"{name}={value}" for name, value in flags.items())
        key = f"{data} | {'+'.join(tasks)} | {weights} | {shown} | {seed}"
        if key not in self.notebook and time.monotonic() > self.until:
            return None
        return self.notebook.get(key, lambda: self._train(data, tasks, flags, weights, seed))

    def _parts(self, data, seed):
        from tltf.data import splits

        if data not in self._sources:
            self._sources[data] = source_of(data, self.folder)
        source, text = self._sources[data]
        return splits.split(source, COMMON["split"], seed), text

    def _train(self, data, tasks, flags, weights, seed):
        import keras

        from tltf import make_options
        from tltf.data.source import Splits
        from tltf.training import training

        keras.backend.clear_session()
        parts, text = self._parts(data, seed)
        head = heads_text(data, weights)
        if len(tasks) == 1:
            parts = Splits({role: part.of_task(tasks[0]) for role, part in parts.items()})
            head = TASKS[data][tasks[0]]
            text = SETS[tasks[0]] if data == "sets" else text
        began = time.monotonic()
        options = make_options(data=text, head=head, seed=seed, **COMMON, **flags)
        model = training.fit_parts(options, parts).model
        logits, test = model.logits(parts["test"]), parts["test"]
        if len(tasks) == 1:
            (labels,) = test.label_fields.values()
            found = {tasks[0]: score_of(model.core.head, logits, labels)}
        else:
            found = {
                task: score_of(model.core.heads[task].head, own, test.label_fields[task])
                for task, own in model.core.head.parts(logits).items()
            }
        seconds = time.monotonic() - began
        print(f"{data} {head} {seed}: {found}, {seconds:.0f} s", file=sys.stderr, flush=True)
        return {"scores": found, "parameters": model.core.model.count_params(), "s": seconds}


def score_of(head, logits, given):
    """100 times the accuracy, or R^2 of the median, of the rows that have a label."""
    is_known = np.ones(len(logits), bool) if given.is_known is None else given.is_known
    logits, labels = logits[is_known], np.asarray(given.values)[is_known]
    if head.target != "number":
        return 100.0 * float(np.mean(logits.argmax(axis=1) == labels))
    stated = np.sort(logits, axis=1)[:, head.median] * head.unit + head.center
    left = np.square(stated - labels).sum() / np.square(labels - labels.mean()).sum()
    return 100.0 * float(1.0 - left)


def rows_of(bench, case, seeds):
    """`(joint row, task -> single row)` of the seeds that are whole."""
    tasks, found = list(TASKS[case.data]), []
    for seed in seeds:
        joint = bench.scores(case.data, tasks, case.flags, case.weights, seed)
        flags = case.single or case.flags
        single = {task: bench.scores(case.data, [task], flags, "", seed) for task in tasks}
        if joint and all(single.values()):
            found.append((joint, single))
    return found


def cells_of(name, tasks, rows):
    """The cells of the table of the measurements of a case."""
    joints = [[joint["scores"][task] for task in tasks] for joint, _ in rows]
    singles = [[single[task]["scores"][task] for task in tasks] for _, single in rows]
    gains = np.mean(joints, axis=1) - np.mean(singles, axis=1)
    low, high = folds.mean_interval(gains.tolist(), folds.DRAWS) or [gains[0]] * 2
    joint, single = rows[0]
    total = sum(own["parameters"] for own in single.values())
    return [
        name,
        " / ".join(tasks),
        str(len(rows)),
        " / ".join(f"{value:.1f}" for value in np.mean(joints, axis=0)),
        " / ".join(f"{value:.1f}" for value in np.mean(singles, axis=0)),
        f"{gains.mean():+.1f} ({low:+.1f} to {high:+.1f})",
        f"{joint['parameters'] / total:.2f}",
        "yes" if gains.mean() >= GATE else "no",
    ]


def main():
    """Measures what is missing and prints the table of the seeds that are whole."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/several_tasks")
    parser.add_argument("--only", default="|".join(CASES), help="cases, separated by |")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=1e6)
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    bench, table = Bench(pathlib.Path(options.folder).resolve(), until), []
    for name in options.only.split("|"):
        seeds = range(options.first, options.first + options.seeds)
        rows = rows_of(bench, CASES[name], seeds)
        if rows:
            table.append(cells_of(name, list(TASKS[CASES[name].data]), rows))
    header = ["data, method", "tasks", "seeds", "joint", "a network per task", "difference"]
    print(measuring.table([*header, "share of the parameters", "within half a point"], table))


if __name__ == "__main__":
    main()
