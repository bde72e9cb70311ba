"""Whether explanations are faithful: a table of what was measured on the real inputs of finished runs.

    python tools/explanations.py RUN... --split=test --num_inputs=200
    python tools/explanations.py RUN --split=validation --method='integrated_gradients(baseline=black)'

For each run and explainer it prints the completeness error, the areas under the deletion and the insertion
curve beside those of random orders, of the explanation of another input and, for pictures, of cells from the
middle outwards, with one-sided Wilcoxon tests, and how alike the explanations are, by Spearman's correlation, once the head or the whole
network has random weights (Adebayo et al. 2018, arXiv:1810.03292).
"""

import argparse
import dataclasses
import itertools
import pathlib
import sys
import tempfile
import time

import numpy as np

from tltf.config import call_strings
from tltf.config.catalogs import EXPLAINERS
from tltf.console import command

COLUMNS = (
    "run",
    "explainer",
    "inputs",
    "completeness error, median (worst)",
    "within 1%",
    "steps",
    "deletion: own / random / of another / middle first",
    "p against each",
    "insertion: own / random / of another / middle first",
    "p against each",
    "likeness with a random head / network",
    "CPU s per input",
)

LIKENESS_INPUTS = 50
"""Inputs that are explained again with random weights."""


def main(argv=None):
    """Prints a table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--num_inputs", type=int, default=200)
    parser.add_argument("--method", default="", help="call strings joined with |; empty for all")
    parser.add_argument("--batch_size", type=int, default=32)
    arguments = parser.parse_args(argv)
    command.quiet_tensorflow(debug=False)
    print("| " + " | ".join(COLUMNS) + " |")
    print("| " + " | ".join("---" for _ in COLUMNS) + " |")
    for run in arguments.runs:
        for cells in rows_of_run(run, arguments):
            print("| " + " | ".join(cells) + " |", flush=True)
    return 0


def rows_of_run(run, arguments):
    """The cells of the table for each explainer of a run."""
    from tltf.data import run_data
    from tltf.models import loading

    trained = loading.load(run)
    part = run_data.load_parts(run)[arguments.split]
    order = np.random.default_rng(0).permutation(len(part))[: arguments.num_inputs]
    source = part.take(order)
    rows = explained_rows(trained, source)
    modality = trained.core.backbone.modality
    calls = (
        call_strings.pick_each(EXPLAINERS, arguments.method, "method")
        if arguments.method
        else [
            call_strings.pick(EXPLAINERS, name)
            for name, row in EXPLAINERS.items()
            if row.modality in ("", modality)
        ]
    )
    changed = {name: random_model(trained, run, name) for name in ("head", "network")}
    for call in calls:
        yield cells_of(pathlib.Path(run).name, trained, changed, call, rows, arguments.batch_size)


def explained_rows(trained, source):
    """All rows of a source, each with the output of its answer."""
    from tltf.evaluation.explanations import model_explainer
    from tltf.evaluation.explanations.model_explainer import ExplainedRows

    scores = trained.scores(source, 64)
    ((tensors, *_),) = list(trained.dataset(source, len(source)))
    texts = source.text_columns() if source.modality == "text" else ()
    return ExplainedRows(tensors, model_explainer.chosen_outputs(trained, scores), texts)


def cells_of(name, trained, changed, call, rows, batch_size):
    """The cells of one line."""
    from tltf.evaluation.explanations import faithfulness
    from tltf.evaluation.explanations.model_explainer import ExplainedRows, ModelExplainer

    began = time.process_time()
    found = ModelExplainer(trained, call, batch_size).explain(rows)
    spent = (time.process_time() - began) / len(found)
    measured = faithfulness.measure(trained, rows, found, batch_size)
    others = [
        measured.random,
        faithfulness.measure(trained, rows, of_others(found), batch_size).own,
        *from_the_middle(trained, rows, batch_size),
    ]
    tests = [dataclasses.replace(measured, random=other).p_values() for other in others]
    first = ExplainedRows(
        {key: tensor[:LIKENESS_INPUTS] for key, tensor in rows.tensors.items()},
        rows.chosen[:LIKENESS_INPUTS],
        [column[:LIKENESS_INPUTS] for column in rows.texts],
    )
    likeness = [
        np.mean(
            [
                correlation(own, other)
                for own, other in zip(
                    found,
                    ModelExplainer(model, cheap(call), batch_size).explain(first),
                    strict=False,
                )
            ]
        )
        for model in changed.values()
    ]
    return [
        name,
        f"`{call.name}`" if not call.written else f"`{call.text}`",
        str(len(found)),
        *completeness(found),
        area_text([measured.own, *others], "deletion"),
        p_text(p for p, _ in tests),
        area_text([measured.own, *others], "insertion"),
        p_text(p for _, p in tests),
        " / ".join(f"{value:.2f}" for value in likeness),
        f"{spent:.2f}",
    ]


def cheap(call):
    """The explainer of a random network: its values need not sum up exactly to be compared."""
    return call.change(most_steps=16) if "most_steps" in call.kwargs else call


def completeness(found):
    """Cells of the completeness error, of those within 1%, and of the steps."""
    if found[0].error is None:
        return ["", "", "1"]
    errors = np.array([explanation.error for explanation in found])
    steps = np.array([explanation.steps for explanation in found])
    return [
        f"{np.median(errors):.2%} ({errors.max():.1%})",
        f"{(errors <= 0.01).mean():.0%}",
        f"{int(np.median(steps))} ({steps.min()} to {steps.max()})",
    ]


def area_text(areas, name):
    """Mean areas of one curve."""
    return " / ".join(f"{getattr(area, name).mean():.2f}" for area in areas)


def p_text(values):
    """`1e-30 / 2e-4`."""
    return " / ".join(f"{p:.0e}" for p in values)


def of_others(found):
    """For each explanation the values of another input's, which have the same look in wrong places."""
    moved = [*found[1:], found[0]]
    if found[0].heat is not None:
        return moved
    return [
        dataclasses.replace(own, parts=with_values(own.parts, values_of(other)))
        for own, other in zip(found, moved, strict=True)
    ]


def with_values(parts, values):
    """The parts of a text with other values, which begin again where there are more words."""
    values = itertools.cycle(values)
    return tuple(
        part if part.value is None else dataclasses.replace(part, value=float(next(values)))
        for part in parts
    )


def from_the_middle(trained, rows, batch_size):
    """[Areas] of pictures whose pixels are hidden from the middle outwards; [] for texts."""
    from tltf.evaluation.explanations import faithfulness

    side = trained.core.backbone.image_size_px
    if not side:
        return []
    count = min(faithfulness.CELLS, side)
    cells = np.arange(count) - (count - 1) / 2
    order = np.hypot(cells[:, None], cells[None, :]).ravel().argsort(kind="stable")
    places = np.empty(len(order), np.float32)
    places[order] = np.arange(len(order)) / len(order)
    edges = np.arange(side) * count // side
    one = places[edges[:, None] * count + edges[None, :]]
    return [faithfulness.areas(trained, rows, [one] * len(rows.chosen), batch_size)]


def correlation(own, other):
    """Spearman's correlation of the values of two explanations; 0 where one has the same everywhere."""
    from scipy import stats

    first, second = values_of(own), values_of(other)
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(stats.spearmanr(first, second).statistic)


def values_of(explanation):
    """The values of words, or of the cells of a picture."""
    from tltf.evaluation.explanations.explanation import grid_sums

    if explanation.parts is not None:
        return np.array([part.value for part in explanation.parts if part.value is not None])
    return grid_sums(explanation.heat, 14).ravel()


def random_model(trained, run, what):
    """The model with random weights in its head, or everywhere.

    Args:
        trained: the model of the run, which stays as it is.
        run: its folder.
        what: `head` or `network`.
    """
    from tltf.backbones import builder
    from tltf.models import core_builder

    with tempfile.TemporaryDirectory() as folder:
        assets = pathlib.Path(folder)
        builder.save_assets(trained.core.backbone, assets)
        core = core_builder.rebuild(trained.core.blueprint, assets)
    if what == "head":
        head = {id(v) for layer in core.groups[-1].layers for v in layer.weights}
        own = trained.core.named_weights()
        for name, variable in core.named_weights().items():
            if id(variable) not in head:
                variable.assign(own[name])
    return dataclasses.replace(trained, core=core)


if __name__ == "__main__":
    sys.exit(main())
