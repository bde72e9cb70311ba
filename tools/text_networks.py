"""Measures networks for texts with a tuned light head, and prints what each reaches and costs.

    python tools/text_networks.py [--folder=runs/text_networks] [--seeds=5] [--first_seed=0] [--rounds=5] [--most_s=480]
        [--only=movie,amazon] [--alone_seeds=0] [--alone=smollm2_135m,textgenrnn]

Each network computes the features of the rows once; a domain has POOL rows at most. A seed draws 1,000 training
rows and 1,000 others to test on; the light head of --method=probe is chosen on the training rows, and
the same rows go to the logistic regression on TF-IDF of --baseline=classical. Prints the mean accuracies over seeds with
Student's 95% intervals, the paired difference from MiniLM-L6, and the time from strings to features as a ratio to
MiniLM-L6: rounds are interleaved, each is user and system seconds of 1,000 texts, the median counts. Measurements are
kept in FOLDER/text_networks.jsonl. After --most_s seconds it begins no further one; called again it goes on.

Networks of ALONE, which take minutes for a seed or came later, are measured on the first --alone_seeds seeds of the
first domain only, each for itself on the same rows; their cost is that of these rows, beside that of MiniLM-L6 on them.
"""

import argparse
import functools
import os
import pathlib
import time

import keras
import measuring
import numpy as np
import tensorflow as tf

from tltf.backbones import builder
from tltf.config.checks import AUTO
from tltf.data import pipeline
from tltf.data.source import LoadSettings
from tltf.data.sources import samples
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.evaluation import classical
from tltf.evaluation.report import folds
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows
from tltf.heads.pooling import pool

NETWORKS = ("minilm_l6", "minilm_l3", "minilm_static", "glove")
ALONE = ("smollm2_135m", "textgenrnn")
TITLES = {
    "minilm_l6": "`minilm_l6`",
    "minilm_l3": "`minilm_l3`",
    "minilm_static": "`minilm_static`",
    "glove": "`glove`",
    "smollm2_135m": "`smollm2_135m`",
    "textgenrnn": "`textgenrnn`",
    "tf_idf": "`--baseline=classical`: TF-IDF",
}
DOMAINS = ("movie", "amazon")
POOL, NUM_TRAIN, NUM_TEST = 4000, 1000, 1000
LENGTH, BATCH, NUM_TIMED = 64, 128, 1000
LENGTHS = {"textgenrnn": 240}
"""The number of tokens of networks that read characters."""


def rows_of(domain):
    """`(texts, labels)` of POOL rows of a domain, or of all where there are fewer."""
    source = samples.vader(LoadSettings(), domain=domain)
    texts, labels = list(source.text_columns()[0]), np.asarray(source.labels)
    places = np.random.default_rng(0).permutation(len(texts))[:POOL]
    return [texts[place] for place in places], labels[places]


class Network:
    """A backbone with its preprocessing and pooling, from strings to features."""

    def __init__(self, name):
        length = LENGTHS.get(name, LENGTH)
        backbone = builder.build(name, text_length=length)
        self.prepare = TextPreprocessing(backbone.tokenizer, length, tuple(backbone.inputs))
        model = keras.Model(backbone.inputs, pool(backbone.taps, "text", "auto"))
        cut = pipeline.cut_padding
        call = lambda inputs: model(cut(inputs), training=False)  # noqa: E731
        self._model = tf.function(call, reduce_retracing=True, autograph=False)

    def features(self, texts):
        """float32[N, d]; texts of like length share a batch."""
        order = np.argsort([len(text) for text in texts], kind="stable")
        found = [
            self._model(
                self.prepare.graph_function(
                    tf.constant([texts[place] for place in order[at : at + BATCH]])
                )
            ).numpy()
            for at in range(0, len(texts), BATCH)
        ]
        made = np.empty((len(texts), found[0].shape[1]), np.float32)
        made[order] = np.concatenate(found)
        return made


def accuracies(features, texts, labels, seed):
    """Name -> accuracy on the test rows of a seed."""
    (train, test), found = split_of(len(labels), seed), {}
    for name, values in features.items():
        light = FrozenRows(values[train], np.eye(2)[labels[train]], np.ones(len(train)))
        chosen = choice.choose(families.pick(AUTO), light, seed)
        right = chosen.model.logits(values[test]).argmax(axis=1) == labels[test]
        found |= {name: float(right.mean()), f"{name} head": chosen.candidate.family.name}
    pick = lambda places: [texts[place] for place in places]  # noqa: E731
    words = classical.of_texts(pick(train), labels[train], pick(test), 2, seed)
    right = words.probabilities.argmax(axis=1) == labels[test]
    return found | {"tf_idf": float(right.mean())}


def seconds_of(work):
    """`(wall seconds, user and system seconds)` of a call."""
    began, before = time.perf_counter(), os.times()
    work()
    wall, after = time.perf_counter() - began, os.times()
    return wall, after.user + after.system - before.user - before.system


def time_networks(networks, texts, rounds):
    """Name -> wall and CPU seconds per round for the texts, after one round that builds graphs."""
    found = {name: {"wall": [], "cpu": []} for name in networks}
    for number in range(rounds + 1):
        for name, network in networks.items():
            wall, cpu = seconds_of(lambda one=network: one.features(texts))
            if number:
                found[name]["wall"].append(wall)
                found[name]["cpu"].append(cpu)
    return found


def split_of(count, seed):
    """`(training rows, test rows)` of a seed, int64[NUM_TRAIN] and int64[NUM_TEST]."""
    order = np.random.default_rng(seed).permutation(count)
    return order[:NUM_TRAIN], order[NUM_TRAIN : NUM_TRAIN + NUM_TEST]


def features_of(networks, texts, seeds):
    """Network -> float32[N, d] of the texts that these seeds use; zeros for others."""
    used = np.unique(
        np.concatenate([part for seed in seeds for part in split_of(len(texts), seed)])
    )
    found = {}
    for name, network in networks.items():
        values = network.features([texts[place] for place in used])
        found[name] = np.zeros((len(texts), values.shape[1]), np.float32)
        found[name][used] = values
    return found


def measure_all(notebook, domains, seeds, rounds, most_s):
    """Computes what the notebook lacks, as far as the time allows."""
    end, networks = time.monotonic() + most_s, {}
    lacks = {d: [seed for seed in seeds if f"{d} {seed}" not in notebook] for d in domains}
    if "time" not in notebook or any(lacks.values()):
        networks = {name: Network(name) for name in NETWORKS}
    notebook.get("time", lambda: time_networks(networks, rows_of("movie")[0][:NUM_TIMED], rounds))
    for domain, missing in lacks.items():
        if not missing or time.monotonic() > end:
            continue
        texts, labels = rows_of(domain)
        features = features_of(networks, texts, missing)
        for seed in missing:
            if time.monotonic() < end:
                work = functools.partial(accuracies, features, texts, labels, seed)
                notebook.get(f"{domain} {seed}", work)


def measure_alone(notebook, names, domain, seeds, most_s):
    """Computes what the notebook lacks of networks of ALONE, as far as the time allows."""
    end, (texts, labels) = time.monotonic() + most_s, rows_of(domain)
    for name in names:
        lacks = [seed for seed in seeds if f"{name} {domain} {seed}" not in notebook]
        networks = {one: Network(one) for one in (name, "minilm_l6")} if lacks else {}
        for network in networks.values():
            network.features(texts[-BATCH:])  # builds graphs
        for seed in lacks:
            if time.monotonic() < end:
                work = functools.partial(accuracies_alone, networks, name, texts, labels, seed)
                notebook.get(f"{name} {domain} {seed}", work)


def accuracies_alone(networks, name, texts, labels, seed):
    """The accuracy of a network on the test rows of a seed, and the CPU seconds of both for its rows."""
    features, cpu = {}, {}
    for one, network in networks.items():
        work = lambda n=one, it=network: features.update(features_of({n: it}, texts, [seed]))  # noqa: E731
        cpu[one] = seconds_of(work)[1] * 1000 / (NUM_TRAIN + NUM_TEST)
    return accuracies({name: features[name]}, texts, labels, seed) | {"cpu": cpu}


def with_alone(notebook, domain, seeds):
    """The rows of seeds, with what is measured of the networks of ALONE; `alone` has their CPU seconds."""
    rows = [dict(notebook.get(f"{domain} {seed}", dict), alone={}) for seed in seeds]
    for row, seed in zip(rows, seeds, strict=True):
        for name in ALONE:
            if (key := f"{name} {domain} {seed}") in notebook:
                measured = notebook.get(key, dict)
                row[name], row["alone"][name] = measured[name], measured["cpu"]
    return rows


def cells(name, rows):
    """The mean accuracy with its interval, and the paired difference from MiniLM-L6 in points."""
    rows = [row for row in rows if name in row]
    if not rows:
        return ["not measured", ""]
    values = np.array([row[name] for row in rows])
    differences = 100 * (values - [row["minilm_l6"] for row in rows])
    if len(rows) == 1:
        return [f"{values[0]:.3f} (1 seed)", f"{differences[0]:+.1f} (1 seed)"]
    low, high = folds.mean_interval(list(values), folds.DRAWS)
    both = [measuring.interval_text(values.mean(), (low, high))]
    if name == "minilm_l6":
        return [*both, ""]
    low, high = folds.mean_interval(list(differences), folds.DRAWS)
    return [*both, f"{differences.mean():+.1f} ({low:+.1f} to {high:+.1f})"]


def main():
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/text_networks")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(DOMAINS))
    parser.add_argument("--most_s", type=float, default=480)
    parser.add_argument("--alone_seeds", type=int, default=0)
    parser.add_argument("--alone", default=",".join(ALONE))
    options = parser.parse_args()
    folder = pathlib.Path(options.folder).resolve()
    notebook = measuring.Notebook(folder / "text_networks.jsonl")
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    domains = options.only.split(",")
    measure_all(notebook, domains, seeds, options.rounds, options.most_s)
    names = options.alone.split(",")
    measure_alone(notebook, names, domains[0], seeds[: options.alone_seeds], options.most_s)
    keys = {domain: [f"{domain} {seed}" for seed in seeds] for domain in domains}
    if missing := [key for names in keys.values() for key in names if key not in notebook]:
        print(f"still to be measured: {', '.join(missing)}")
        return
    found = {domain: with_alone(notebook, domain, seeds) for domain in domains}
    times = notebook.get("time", dict)
    costs = {n: cost_of(times[n]["cpu"], times["minilm_l6"]["cpu"]) for n in NETWORKS}
    for name in ALONE:
        rows = [row["alone"][name] for row in found[domains[0]] if name in row["alone"]]
        if rows:
            costs[name] = cost_of(*([row[one] for row in rows] for one in (name, "minilm_l6")))
    print_table(found, costs)


def cost_of(own, others):
    """`[CPU seconds per 1,000 texts, times as fast as MiniLM-L6]` of a network, medians over rounds."""
    ratio = np.median(np.array(others) / own)
    return [f"{np.median(own):.2f}", f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"]


def print_table(found, costs):
    """Prints the table of accuracies and times."""
    lines = []
    for name, title in TITLES.items():
        cost = costs.get(name, ["", ""])
        lines.append([title, *(c for d in found for c in cells(name, found[d])), *cost])
    head = ["network", *(c for d in found for c in (d, "from `minilm_l6`, points"))]
    print(measuring.table([*head, "CPU s per 1,000 texts", "times as fast"], lines))


if __name__ == "__main__":
    main()
