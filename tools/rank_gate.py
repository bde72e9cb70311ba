"""Compares the scores of tltf.rank with what fine-tuning reaches, over the packaged networks of images.

    python tools/rank_gate.py [--folder=runs/rank_gate] [--only=fashion,digits,mnist,emoji] [--networks='a|b']
        [--first=0] [--seeds=1] [--minutes=8] [--pictures=FOLDER]

Each seed draws rows: 500 for training, 100 for validation and 800 for the test (700 of the emoji), the same for every
network. The scores see the training rows alone; tltf.rank standardises their features, `raw` are those that do not.
Fine-tuning is lp_ft for 6 epochs at 64 px with the usual rate, in float32, its best epoch by validation. The gate: the
weighted Kendall tau of Vigna 2015, arXiv:1404.3325, between a score and the test accuracy over the networks is at
least .6, and the score is 100 times cheaper. Scores and accuracies are means over the seeds: a single fine-tuning can be
two points off. `lost` is by how many points the first network of a score is below the best one. Measurements are kept
in FOLDER/rank_gate.jsonl; after --minutes no new one begins, and a later call goes on. The table says how many networks of a data set are there. --pictures draws the two
scores that are accuracies against what fine-tuning reaches.
"""

import argparse
import math
import pathlib
import sys
import time

import drawing
import measuring
import numpy as np
from scipy import stats

TAU, CHEAPER = 0.6, 100.0
"""What the gate asks of a score."""
FEWEST = 3
"""Networks below which an order says nothing; leep and nce are there only for those with their output layer."""
CASES = {
    "fashion": "fashion_mnist(num_train=500, num_validation=100, num_test=800)",
    "digits": "digits(num_train=500, num_validation=100, num_test=800)",
    "mnist": "mnist_5k(num_train=500, num_validation=100, num_test=800)",
    "emoji": "emoji(num_train=500, num_validation=100, num_test=700)",
}
NETWORKS = (
    "efficientnet_lite0",
    "mobilenet_v2_torchvision",
    "dog_mobilenet_v2",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "densenet121_packaged",
    "hed_vgg16",
)
DRAWN = {"probe": ("#1a5fd6", "o", "light head"), "nearest": ("#b35900", "^", "nearest 5")}
"""Score -> its colour, mark and title in the picture."""
"""Page -> its ground and its ink."""
COMMON = {"image_size_px": 64, "precision": "float32", "near_duplicates": False, "baseline": "none"}
FINE_TUNED = {
    "method": "lp_ft",
    "train_epochs": 6,
    "batch_size": 32,
    "explain": "none",
    "export": False,
}


class Bench:
    """Scores and fine-tunes networks on the rows of seeds.

    Args:
        folder: of the notebook.
        until: time.monotonic() after which nothing new begins.
    """

    def __init__(self, folder, until):
        self.until = until
        self.notebook, self._parts = measuring.Notebook(folder / "rank_gate.jsonl"), {}

    def row(self, what, case, network, seed):
        """The measurement of `what`, scores or fit; None where the time is over."""
        key = f"{what} | {case} | {network} | {seed}"
        if key not in self.notebook and time.monotonic() > self.until:
            return None
        measure = {"scores": self._scores, "fit": self._fit}[what]
        return self.notebook.get(key, lambda: self._timed(measure, key, case, network, seed))

    def _timed(self, measure, key, case, network, seed):
        import keras

        keras.backend.clear_session()
        parts = self._rows(case, seed)
        wall, cpu = time.perf_counter(), time.process_time()
        row = measure(case, network, seed, parts)
        row = {"s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, **row}
        print(f"{key}: {row}", file=sys.stderr, flush=True)
        return row

    def _rows(self, case, seed):
        """Role -> rows of a seed."""
        from tltf import make_options
        from tltf.config import checks
        from tltf.data import loader

        if (case, seed) not in self._parts:
            options = make_options(data=CASES[case], backbone=NETWORKS[0], seed=seed, **COMMON)
            recipe = checks.resolve(options, needs_output=False)
            self._parts = {(case, seed): loader.training_parts(options, recipe)}
        return self._parts[case, seed]

    def _scores(self, case, network, seed, parts):
        """The scores of tltf.rank, with the CPU seconds of the features and of each score."""
        from tltf.config import checks
        from tltf.config.options import make, replace
        from tltf.config.rank_options import RankOptions
        from tltf.experiments.ranking import candidates, ranking

        options = make(
            RankOptions, data=CASES[case], backbones=network, seed=seed, cache=False, **COMMON
        )
        recipe = checks.resolve(replace(options, backbone=network), needs_output=False)
        rows, cpu = parts["train"], time.process_time()
        (found,) = candidates.features_of(options, recipe, rows, [network])
        features_s = time.process_time() - cpu
        scores, seconds = {}, {}
        for name, compute in {
            **ranking.scores_of(found, rows, seed),
            **raw_scores(found, rows),
        }.items():
            cpu = time.process_time()
            scores[name] = compute()
            seconds[name] = time.process_time() - cpu
        return {
            "scores": scores,
            "score_cpu_s": seconds,
            "features_cpu_s": features_s,
            "ms_per_example": found.ms_per_example,
        }

    def _fit(self, case, network, seed, parts):
        """The test accuracy of the fine-tuned network, and the CPU seconds of the training alone."""
        from tltf import make_options
        from tltf.data.source import Splits
        from tltf.training import training

        flags = {"data": CASES[case], "backbone": network, "seed": seed, **COMMON, **FINE_TUNED}
        cpu, used = time.process_time(), ("train", "validation")
        learnt = Splits({role: parts[role] for role in used})
        model = training.fit_parts(make_options(**flags), learnt).model
        train_s = time.process_time() - cpu
        answers = model.logits(parts["test"]).argmax(axis=1)
        accuracy = float(np.mean(answers == np.asarray(parts["test"].labels)))
        return {"accuracy": accuracy, "train_cpu_s": train_s}


def raw_scores(found, rows):
    """Name -> what computes a score as its paper does, of features that are not standardised."""
    from tltf.evaluation import transferability

    labels = np.asarray(rows.labels)
    return {
        "log_me, raw": lambda: transferability.log_me(
            found.features, np.eye(len(rows.class_names))[labels]
        ),
        "h_score, raw": lambda: transferability.h_score(found.features, labels),
        "nearest, raw": lambda: transferability.nearest(
            found.features, labels, rows.split_groups()
        ),
    }


def tau_of(scores, accuracies):
    """The weighted Kendall tau of a score; nan for fewer than FEWEST networks."""
    if len(scores) < FEWEST:
        return math.nan
    return float(stats.weightedtau(scores, accuracies).statistic)


def lines_of(name, fits, scored):
    """`[data, score, networks, tau, lost, cheaper, cheaper with features]` of each score.

    Args:
        name: of the data and the seed.
        fits: network -> its row of a fit.
        scored: network -> its row of scores.
    """
    names = dict.fromkeys(score for row in scored.values() for score in row["scores"])
    best = max(row["accuracy"] for row in fits.values())
    for score in names:
        there = [network for network, row in scored.items() if score in row["scores"]]
        values = [scored[network]["scores"][score] for network in there]
        accuracies = [fits[network]["accuracy"] for network in there]
        lost = 100 * (best - accuracies[int(np.argmax(values))])
        trained = sum(fits[network]["train_cpu_s"] for network in there)
        own = sum(scored[network]["score_cpu_s"][score] for network in there)
        with_features = own + sum(scored[network]["features_cpu_s"] for network in there)
        yield (
            [name, score, len(there), tau_of(values, accuracies), lost],
            [
                trained / own,
                trained / with_features,
            ],
        )


def measured(bench, cases, networks, seeds):
    """`(case, seed, fits, scored)` of the networks that are there, network -> row each."""
    for case in cases:
        for seed in seeds:
            rows = {
                what: {network: bench.row(what, case, network, seed) for network in networks}
                for what in ("scores", "fit")
            }
            done = [n for n in networks if rows["scores"][n] and rows["fit"][n]]
            if len(done) >= FEWEST:
                yield case, seed, *({n: rows[what][n] for n in done} for what in ("fit", "scores"))


def mean_over_seeds(found):
    """`found` with one entry per data set: accuracies, scores and CPU seconds are means over its seeds."""
    for case in dict.fromkeys(case for case, *_ in found):
        own = [(fits, scored) for each, _, fits, scored in found if each == case]
        networks = [n for n in own[0][0] if all(n in fits for fits, _ in own)]
        rows = tuple(
            {network: mean_of([each[place][network] for each in own]) for network in networks}
            for place in (0, 1)
        )
        yield case, f"{len(own)} seeds" if len(own) > 1 else "1 seed", *rows


def mean_of(rows):
    """The means of the numbers in several rows, and of those in rows within them; texts are left out."""
    return {
        name: mean_of([row[name] for row in rows])
        if isinstance(value, dict)
        else float(np.mean([row[name] for row in rows]))
        for name, value in rows[0].items()
        if not isinstance(value, str)
    }


def print_tables(found):
    """Prints what fine-tuning reaches on each seed, and the table of the scores over the mean of the seeds."""
    networks = [n for n in NETWORKS if any(n in fits for _, _, fits, _ in found)]
    cells = [
        [
            f"{case}, {seed}",
            *(f"{fits[n]['accuracy']:.3f}" if n in fits else "" for n in networks),
        ]
        for case, seed, fits, _ in found
    ]
    print(measuring.table(["data, seed", *(f"`{name}`" for name in networks)], cells), end="\n\n")
    found = list(mean_over_seeds(found))
    lines = [
        line
        for case, seeds, fits, scored in found
        for line in lines_of(f"{case}, {seeds}", fits, scored)
    ]
    scores = dict.fromkeys(told[1] for told, _ in lines)
    for score in scores if len(found) > 1 else ():
        own = [(told, ratios) for told, ratios in lines if told[1] == score]
        taus, lost = ([told[place] for told, _ in own] for place in (3, 4))
        counts = [told[2] for told, _ in own]
        ratios = np.median([ratios for _, ratios in own], axis=0).tolist()
        lines.append((["mean", score, min(counts), np.mean(taus), np.mean(lost)], ratios))
    table = [
        [
            name,
            f"`{score}`",
            str(count),
            f"{tau:+.2f}",
            f"{lost:.1f}",
            *(f"{r:.0f}" for r in ratios),
        ]
        for (name, score, count, tau, lost), ratios in lines
    ]
    header = ["data", "score", "networks", "weighted tau", "lost, points"]
    print(measuring.table([*header, "cheaper", "cheaper, with features"], table))
    last = lines[-len(scores) :]
    for gate, passes in (
        (f"tau of {TAU} or more", [line[3] >= TAU for line, _ in last]),
        (f"{CHEAPER:.0f} times cheaper", [ratios[0] >= CHEAPER for _, ratios in last]),
        (f"{CHEAPER:.0f} times cheaper with its features", [r[1] >= CHEAPER for _, r in last]),
    ):
        names = [score for score, is_passed in zip(scores, passes, strict=True) if is_passed]
        print(f"\n{gate}: {', '.join(names) or 'none'}")


def draw(found, path, page):
    """Scores against accuracies after fine-tuning, a panel per data set: a mark per network, means over seeds."""
    _, ink = drawing.PAGES[page]
    cases = list(dict.fromkeys(case for case, *_ in found))
    figure, panels = drawing.page_of(page, len(cases), (3.5, 3.7))
    for axes, case in zip(panels, cases, strict=True):
        own = [(fits, scored) for each, _, fits, scored in found if each == case]
        networks = [n for n in NETWORKS if all(n in fits for fits, _ in own)]
        reached = [100 * np.mean([fits[n]["accuracy"] for fits, _ in own]) for n in networks]
        for name, (colour, mark, title) in DRAWN.items():
            values = [
                100 * np.mean([scored[n]["scores"][name] for _, scored in own]) for n in networks
            ]
            axes.plot(values, reached, mark, color=colour, label=title, markersize=6, alpha=0.85)
            if name == "probe":
                for network, *at in zip(networks, values, reached, strict=True):
                    short = network.replace("efficientnet", "effnet").replace("_packaged", "")
                    text = short.replace("_torchvision", " tv").replace("_", " ")
                    given = {"textcoords": "offset points", "xytext": (5, 3), "fontsize": 7}
                    axes.annotate(text, at, color=ink, **given)
        axes.set_title(case, loc="left", fontsize=10, color=ink)
        axes.set_xlabel("score: % of held-out training rows right", color=ink, fontsize=9)
        axes.margins(x=0.28, y=0.1)
    panels[0].set_ylabel("% of test rows right, fine-tuned", color=ink, fontsize=9)
    panels[0].legend(frameon=False, labelcolor=ink, fontsize=8)
    drawing.save(figure, path, page)


def main():
    """Measures what is missing, prints the tables of what is whole and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default="runs/rank_gate")
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--networks", default="|".join(NETWORKS))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--pictures", default="")
    options = parser.parse_args()
    bench = Bench(pathlib.Path(options.folder).resolve(), time.monotonic() + 60 * options.minutes)
    seeds = range(options.first, options.first + options.seeds)
    found = list(measured(bench, options.only.split(","), options.networks.split("|"), seeds))
    if found:
        print_tables(found)
    for page in drawing.PAGES if found and options.pictures else ():
        draw(found, pathlib.Path(options.pictures) / f"ranking_{page}.svg", page)


if __name__ == "__main__":
    main()
