"""The rows of a phase: the easiest ones for a curriculum, or those of a method in its own order."""

import numpy as np

from tltf.config.options import Options
from tltf.data import label_kinds
from tltf.data.ordering import GivenOrder
from tltf.graphs.core import Core
from tltf.methods.method import Method, Phase, RowsToOrder
from tltf.models.forward import ForwardPass
from tltf.training.feed import Feed, JudgedData
from tltf.training.fit_state import FitRecord
from tltf.training.option_value import value_of


def rows_of(
    phase: Phase,
    method: Method,
    feed: Feed,
    core: Core,
    record: FitRecord,
    options: Options,
    num_devices: int,
) -> np.ndarray | GivenOrder | None:
    """The rows that a phase reads; None for all in the usual order.

    Args:
        phase: the phase that begins.
        method: the method, which may order the rows.
        feed: Feed of the fit.
        core: the core, by whose losses the easiest rows are found.
        record: keeps these losses.
        options: Options with every `auto` resolved.
        num_devices: devices that share a batch.
    """
    if phase.easiest < 1.0:
        data = feed.training_in_order()
        if record.difficulty is None:
            record.difficulty = _losses(core, data)
        strata = label_kinds.kind_of(data[1]).strata(data[1])
        return easiest(record.difficulty, strata, phase.easiest)
    if phase.solver != "gradient" or type(method).order is Method.order:
        return None
    size, labels = value_of(options.train.batch_size), feed.training_in_order()[1]
    seed, others = options.runtime.seed, feed.num_unlabelled
    rows = RowsToOrder(labels, size, num_devices, seed, others, record.history)
    return method.order(phase, rows)


def _losses(core: Core, data: JudgedData) -> np.ndarray:
    """float[N]: the loss of the core on each row."""
    dataset, labels = data
    opened = dataset() if callable(dataset) else dataset
    logits = ForwardPass(core.model, core.outputs)(opened)[: len(labels)]
    losses: np.ndarray = core.head.losses(logits, labels)
    return losses


def easiest(difficulty: np.ndarray, strata: np.ndarray, share: float) -> np.ndarray:
    """int64[M] in rising order: the rows of each class that have the smallest difficulty.

    Args:
        difficulty: float[N], e.g. the loss of each row.
        strata: int[N], a class per row, see `LabelKind.strata`.
        share: the share of the rows of each class that is taken, above 0 and at most 1; at least
            one row of each class is taken.
    """
    order = np.argsort(difficulty, kind="stable")
    parts = []
    for stratum in np.unique(strata):
        own = order[strata[order] == stratum]
        parts.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(parts)).astype(np.int64)
