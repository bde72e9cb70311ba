"""Measures how often tltf.monitor finds real shifts, and how often it rings where there is none.

    python tools/monitoring.py [--folder=runs/monitoring] [--cases=texts,emoji,photos]
                               [--false_alarms=500] [--power=200] [--rows=500]

Each case trains one run, unless FOLDER has it already, and computes scores and features of its test
rows and of shifted rows once. Then looks at ROWS rows, drawn without replacement, are compared with
the run's reference by the code that tltf.monitor runs. Measurements are kept in
FOLDER/monitoring.jsonl; a second call measures only what is missing there. Prints markdown tables.
"""

import argparse
import dataclasses
import pathlib
import sys

import keras
import measuring
import numpy as np
import shifted_images

from tltf.data import loader, run_data
from tltf.data.source import Source, one_field
from tltf.heads import pooling
from tltf.models import loading
from tltf.models.forward import ForwardPass
from tltf.serving.monitoring import look, recording, reference, watch
from tltf.serving.monitoring.alarms.alarm import View
from tltf.serving.monitoring.answers import Answers, read_given
from tltf.serving.monitoring.look import Look, Summary
from tltf.serving.monitoring.reference import Reference

ALPHAS = (0.01, 0.05)
MOST_LIVE = 1500
"""Rows of each kind of live rows, of which looks are drawn."""
MIXED = (0.1, 0.25, 0.5)
"""Shares of shifted rows in looks that hold both."""
CASES = {
    "texts": [
        "--data=vader(domain=movie, num_train=2000, num_validation=1500, num_test=1500)",
        "--backbone=minilm_l6",
        "--text_length=48",
        "--method=linear_probe",
    ],
    "emoji": [
        "--data=emoji(num_train=700, num_validation=450)",
        "--backbone=efficientnet_lite0",
        "--image_size_px=96",
        "--method=linear_probe",
    ],
    "photos": [
        "--data=fashion_mnist(num_train=3000, num_validation=1500, num_test=1500)",
        "--backbone=efficientnet_lite0",
        "--image_size_px=96",
        "--method=linear_probe",
    ],
}
TITLES = {
    "texts": "vader movie, MiniLM",
    "emoji": "emoji of google, EfficientNet-Lite0",
    "photos": "fashion_mnist, EfficientNet-Lite0",
}
TEST_COLUMNS = [look.OUTPUTS, look.ANSWERS, look.FEATURES]
SURGE = "surge(label=negative)"
"""The alarm of configs/opinion_watch.flags that is measured."""
SURGE_ROWS = 200


def shifted_sources(case, test):
    """Name of a shift -> Source of its rows, or a function that weighs test rows by their class."""
    if case == "texts":
        domains = {"amazon": "amazon reviews", "nyt": "nyt editorials", "tweets": "tweets"}
        return {name: loader.load(f"vader(domain={key})") for key, name in domains.items()}
    if case == "emoji":
        source = loader.load("emoji(vendor=twitter, num_train=700, num_validation=450)")
        return {"emoji of twitter": source.take(np.flatnonzero(source.roles == "test"))}
    images = shifted_images.shift(np.asarray(test.column.values))
    return {
        name: dataclasses.replace(test, fields=one_field("array", pixels), hashes=None)
        for name, pixels in images.items()
    }


def answers_of(trained, source: Source):
    """`(Answers, labels)` of at most MOST_LIVE rows of a source, all with features, by one pass."""
    rows = np.random.default_rng(0).permutation(len(source))[:MOST_LIVE]
    source, head, names = source.take(rows), trained.core.head, trained.class_names
    model, backbone = trained.core.model, trained.core.backbone
    logits = model.output[head.name]
    features = pooling.pool(backbone.taps, backbone.modality, "auto")
    both = keras.Model(backbone.inputs, keras.ops.concatenate([logits, features], axis=-1))
    found = ForwardPass(both)(trained.dataset(source, 128))
    scores = keras.ops.convert_to_numpy(head.scores(found[:, : logits.shape[-1]]))
    given = read_given(head.answers(scores, names), head.target, names)
    return Answers(scores, given, found[:, logits.shape[-1] :]), np.asarray(source.labels)


def take(answers, rows):
    """The Answers on some rows."""
    return Answers(answers.scores[rows], answers.given[rows], answers.features[rows])


def mix(usual, shifted, share, rng, num_rows):
    """A draw of rows of which a share is shifted."""
    num = round(share * num_rows)
    parts = [
        take(shifted, rng.choice(len(shifted), num, replace=False)),
        take(usual, rng.choice(len(usual), num_rows - num, replace=False)),
    ]
    return Answers(*(np.concatenate(arrays) for arrays in zip(*map(_arrays, parts), strict=True)))


def _arrays(answers):
    return answers.scores, answers.given, answers.features


def p_values(own, draw, num_looks, seed=0):
    """{test: float[L]} with `look`, the p-value of the whole look, of looks at what `draw(rng)` gives.

    Args:
        own: the Reference; None where `draw` gives one with the rows.
        draw: see above.
        num_looks: L.
        seed: of the draws.
    """
    rng, permutations = np.random.default_rng(seed), look.permutations_for(min(ALPHAS))
    pairs = (draw(rng) if own is None else (own, draw(rng)) for _ in range(num_looks))
    found = [look.look_at(live, with_rows, 1, "", permutations) for with_rows, live in pairs]
    tests = {name: [row.p_values.get(name, 1.0) for row in found] for name in TEST_COLUMNS}
    return tests | {"look": [row.p_value for row in found]}


def rung_rates(values):
    """`looks`, and alpha -> {test or `look`: share of looks below its level}.

    The level of a test is alpha by the number of tests.
    """
    num = len(TEST_COLUMNS)
    return {"looks": len(values["look"])} | {
        str(alpha): {
            name: float(np.mean(np.array(ps) < (alpha if name == "look" else alpha / num)))
            for name, ps in values.items()
        }
        for alpha in ALPHAS
    }


class Case:
    """A run with its live rows, which are computed when they are first needed.

    Args:
        name: a key of CASES.
        folder: of the runs.
    """

    def __init__(self, name, folder):
        self.name, self.run = name, folder / name
        measuring.train(folder, name, *CASES[name], "--export=false", "--baseline=none")
        self.own = reference.read_current(self.run)
        self._rows = None

    @property
    def rows(self):
        """Name -> `(Answers, labels)`, of the test rows under `test`."""
        if self._rows is None:
            trained = loading.load(self.run)
            parts = run_data.load_parts(str(self.run))
            test = parts["test"]
            sources = {
                "validation": parts["validation"],
                "test": test,
                **shifted_sources(self.name, test),
            }
            self._rows = {name: answers_of(trained, part) for name, part in sources.items()}
        return self._rows

    def draw(self, name, num_rows):
        """A function that draws rows of one kind."""

        def drawn(rng):
            answers, _ = self.rows[name]
            return take(answers, rng.choice(len(answers), num_rows, replace=False))

        return drawn

    def draw_both(self, num_rows):
        """A function that draws a Reference and live rows of the validation and test rows together.

        So the reference is another one at each look, of as many rows as there are validation rows.
        """

        def drawn(rng):
            parts = [self.rows[name] for name in ("validation", "test")]
            arrays = zip(*(_arrays(part) for part, _ in parts), strict=True)
            every = Answers(*(np.concatenate(pair) for pair in arrays))
            truths = np.concatenate([labels for _, labels in parts])
            size = min(len(parts[0][0]), len(every) - num_rows)
            rows = rng.permutation(len(every))[: size + num_rows]
            own = take(every, rows[:size])
            own = dataclasses.replace(own, features=own.features[: recording.MOST_FEATURES])
            return Reference(self.own.about, own, truths[rows[:size]]), take(every, rows[size:])

        return drawn

    def draw_mixed(self, name, share, num_rows):
        """A function that draws rows of which a share is of one kind, and the others are test rows."""
        return lambda rng: mix(self.rows["test"][0], self.rows[name][0], share, rng, num_rows)

    def draw_class(self, place, factor, num_rows):
        """A function that draws test rows in which a class is `factor` times as frequent."""

        def drawn(rng):
            answers, labels = self.rows["test"]
            weights = np.where(labels == place, float(factor), 1.0)
            rows = rng.choice(len(answers), num_rows, replace=False, p=weights / weights.sum())
            return take(answers, rows)

        return drawn


def measure_case(case, notebook, chosen):
    """The rows of both tables of a case."""
    size, names = chosen.rows, case.own.about.names
    rows = []

    def rung(what, own, draw, num):
        found = notebook.get(
            f"{case.name} {what} {size}", lambda: rung_rates(p_values(own, draw, num))
        )
        rows.append((what, found["looks"], found))

    def power(what, draw):
        rung(what, case.own, draw, chosen.power)

    rung("no shift: test rows", case.own, case.draw("test", size), chosen.false_alarms)
    rung("no shift, reference drawn anew", None, case.draw_both(size), chosen.false_alarms)
    shifts = {
        "texts": ["amazon reviews", "nyt editorials", "tweets"],
        "emoji": ["emoji of twitter"],
        "photos": ["blur", "noise", "rotation"],
    }[case.name]
    for name in shifts:
        power(name, case.draw(name, size))
    for share in MIXED:
        power(f"{share:.0%} {shifts[0]}", case.draw_mixed(shifts[0], share, size))
    power(f"{names[0]} 3 times as frequent", case.draw_class(0, 3, size))
    return rows


def shift_errors(case, num_looks=200, num_rows=500):
    """Mean absolute errors of class rates under a shift of the first class, of answers and of BBSE."""
    rng, errors = np.random.default_rng(1), []
    answers, labels = case.rows["test"]
    num = len(case.own.about.names)
    for _ in range(num_looks):
        weights = np.where(labels == 0, 3.0, 1.0)
        rows = rng.choice(len(answers), num_rows, replace=False, p=weights / weights.sum())
        part = take(answers, rows)
        found = look.look_at(dataclasses.replace(part, features=None), case.own, 1, "", 1)
        true = np.bincount(labels[rows], minlength=num) / num_rows
        told = np.bincount(part.given, minlength=num) / num_rows
        if found.class_shift is None:
            return {"answers": float(np.abs(told - true).mean()), "estimated": None}
        estimated = np.array(list(found.class_shift.values()))
        errors.append((np.abs(told - true).mean(), np.abs(estimated - true).mean()))
    told, estimated = np.mean(errors, axis=0)
    return {"answers": float(told), "estimated": float(estimated)}


def surge_rates(case, num_streams=500):
    """Rise of negative texts, in points -> share of windows in which the alarm on a surge rings."""
    rng, ((text, alarm),) = np.random.default_rng(2), watch.pick_alarms(SURGE)
    answers, labels = case.rows["test"]
    pools = [np.flatnonzero(labels == place) for place in (0, 1)]
    usual = look.summarize(case.own.answers, case.own.about)
    base = float(np.mean(labels == 0))

    def window(negative, number):
        num = rng.binomial(SURGE_ROWS, negative)
        rows = np.concatenate([rng.choice(pools[0], num), rng.choice(pools[1], SURGE_ROWS - num)])
        rate = float(np.mean(answers.given[rows] == 0))
        summary = Summary({"negative": rate, "positive": 1 - rate}, {})
        return Look(number, SURGE_ROWS, 0, "", summary)

    found = {}
    for rise in (0.0, 0.1, 0.2, 0.3, 0.4):
        rung = 0
        for _ in range(num_streams):
            earlier = [window(base, number) for number in range(1, 11)]
            view = View(window(base + rise, 11), case.own.about, usual, len(case.own), earlier)
            rung += alarm.ring(view, text) is not None
        found[f"{rise:g}"] = rung / num_streams
    return found


def percent(value):
    """A share as text."""
    return f"{100 * value:.1f}%"


def table_of(results, chosen):
    """The markdown table of all cases: how often looks ring."""
    header = ["run", f"rows that are looked at ({chosen.rows})", "looks", "rings at .05"]
    header += ["rings at .01", "outputs", "predicted classes", "features"]
    rows = []
    for case, found in results.items():
        for what, num, rates in found:
            at_5, at_1 = rates["0.05"], rates["0.01"]
            tests = [percent(at_1[name]) for name in TEST_COLUMNS]
            rows.append(
                [TITLES[case], what, num, percent(at_5["look"]), percent(at_1["look"]), *tests]
            )
    return measuring.table(header, rows)


def main(argv=None):
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/monitoring"))
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--false_alarms", type=int, default=500)
    parser.add_argument("--power", type=int, default=200)
    parser.add_argument("--rows", type=int, default=500)
    chosen = parser.parse_args(argv)
    notebook = measuring.Notebook(chosen.folder / "monitoring.jsonl")
    results, shifts, surges = {}, [], {}
    for name in chosen.cases.split(","):
        case = Case(name, chosen.folder)
        results[name] = measure_case(case, notebook, chosen)
        errors = notebook.get(f"{name} class shift", lambda case=case: shift_errors(case))
        told = (
            "not estimated" if errors["estimated"] is None else f"{100 * errors['estimated']:.2f}"
        )
        shifts.append([TITLES[name], f"{100 * errors['answers']:.2f}", told])
        if name == "texts":
            surges = notebook.get("surge", lambda case=case: surge_rates(case))
        print(f"measured {name}", file=sys.stderr, flush=True)
    print(table_of(results, chosen), end="\n\n")
    header = ["run", "predicted rates, error in points", "estimated by BBSE, error in points"]
    print(measuring.table(header, shifts), end="\n\n")
    rises = {key: value for key, value in surges.items() if key != "key"}
    if rises:
        header = [f"`{SURGE}`", *(f"+{100 * float(rise):.0f} points" for rise in rises)]
        print(measuring.table(header, [["rings in", *map(percent, rises.values())]]))


if __name__ == "__main__":
    main()
