"""Measures what labels of another domain are worth beside a few of one's own, and prints the table.

    python tools/supervised_transfer.py [--folder=runs/domains] [--only="PAIR|PAIR"] [--labels=8,32] [--seeds=0,1,2,3,4]

`target only` is the tuned light head on a few labelled rows of each class of the target, `source only` the one on
the source, `pooled` the one on the rows of both together (--data=with_replay(...)), and `two stages` a logistic head
of the source that goes on with the few rows of the target (--head_weights=RUN --method=linear_probe). All stand on the
same frozen features of the same splits and are judged on the same test rows of the target. Prints mean accuracies
over seeds with Student's 95% intervals, and paired differences from `target only` in points: below 0 the source does
harm. Measurements are kept in FOLDER/transfer.jsonl.
"""

import argparse
import dataclasses
import pathlib
import time

import domain_adaptation
import domain_rows
import measuring
import numpy as np

from tltf.data import splits
from tltf.data.source import TARGET, TEST, TRAIN

PAIRS = ["movie > amazon", "amazon > movie", "mnist > digits", "google > symbola"]
TARGET_ONLY, SOURCE_ONLY, POOLED, STAGES = KINDS = (
    "target only",
    "source only",
    "pooled",
    "two stages",
)


def few_rows(case, count):
    """int64[M]: the rows of the target that are learned from, `count` of each class."""
    rows = dataclasses.replace(case.parts[TARGET], roles=None)
    given = {"labels_a_class": count, "draws": 1000, "draw": case.seed, "test": 0.0}
    return np.flatnonzero(splits.few_shot(rows, 0, **given) == TRAIN)


def measure(case, count, kind):
    """The accuracy on the test rows of the target, and the seconds that it took."""
    began, rows = time.perf_counter(), few_rows(case, count)
    few = case.features[TARGET][rows], case.labels(TARGET)[rows]
    source = case.features[TRAIN], case.labels(TRAIN)
    if kind == STAGES:
        core, _ = case.fit("probe(family=logistic)")
        core, _ = case.of_few(rows).fit("linear_probe", core=core)
        answers = case.answers(core)
    else:
        both = tuple(map(np.concatenate, zip(source, few, strict=True)))
        given = {TARGET_ONLY: few, SOURCE_ONLY: source, POOLED: both}[kind]
        model = domain_adaptation.light_model(*given, len(case.class_names), case.seed)
        answers = model.logits(case.features[TEST]).argmax(axis=1)
    return {"accuracy": case.accuracy(answers), "s": time.perf_counter() - began}


def main():
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/domains")
    parser.add_argument("--only", default="|".join(PAIRS))
    parser.add_argument("--labels", default="8,32")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder).resolve()
    notebook, table = measuring.Notebook(folder / "transfer.jsonl"), []
    for pair in options.only.split("|"):
        counts = [int(count) for count in options.labels.split(",")]
        found = {(count, kind): [] for count in counts for kind in KINDS}
        for seed in map(int, options.seeds.split(",")):
            keys = {given: f"{pair} {given[0]} {seed} {given[1]}" for given in found}
            case = None
            for (count, kind), key in keys.items():
                if key not in notebook and case is None:
                    case = domain_rows.Case(folder / "features", pair, seed)
                given = case, count, kind
                found[count, kind].append(notebook.get(key, lambda g=given: measure(*g)))
        for (count, kind), rows in found.items():
            cells = domain_adaptation.cells_of(rows, found[count, TARGET_ONLY])
            table.append([pair, str(count), kind, *cells])
    header = ["pair", "labels a class", "trained on", "accuracy on the target"]
    print(measuring.table([*header, "- target only, points", "s"], table))


if __name__ == "__main__":
    main()
