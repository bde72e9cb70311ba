"""The disk space that a run needs, compared with what is free before the first step."""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Iterable

import keras
import numpy as np

from tltf.config.options import Options
from tltf.config.train_options import TrainOptions
from tltf.errors import StorageError
from tltf.graphs import freezing
from tltf.graphs.core import Core
from tltf.methods.method import Method
from tltf.runs import checkpoints, layout
from tltf.training.optimizers import optimizer as optimizers_optimizer
from tltf.training.option_value import value_of

MB = 2**20
PARTS = (*layout.NETWORKS, layout.EXPORT)
"""The folders of a run that take space."""


@dataclasses.dataclass(frozen=True)
class Needs:
    """The least number of bytes that a run writes, by what they are for.

    Args:
        checkpoints: bytes of the checkpoints that are kept, two at most: weights, optimizer, best
            weights, and the weights of the start where a method needs them.
        model: bytes of RUN/model.
        export: bytes of RUN/export.
        snapshots: bytes of RUN/snapshots.
    """

    checkpoints: int
    model: int
    export: int
    snapshots: int = 0

    @property
    def total(self) -> int:
        """Bytes of all of them, which are there at once when the export is written."""
        return self.checkpoints + self.model + self.export + self.snapshots


def require(run: pathlib.Path, needs: Needs) -> None:
    """Raises StorageError where the disk of the run folder surely has too little room.

    What already lies in the folder's PARTS, such as checkpoints of a run that goes on, is replaced or
    is part of the needs. The outputs of frozen layers do not count: where they do not fit, none are
    kept.

    Args:
        run: the run folder.
        needs: Needs.
    """
    free = shutil.disk_usage(run).free
    there = sum(_size(pathlib.Path(run) / part) for part in PARTS)
    if needs.total <= free + there:
        return
    kinds = dataclasses.asdict(needs).items()
    parts = ", ".join(f"{_mb(size)} {name}" for name, size in kinds if size)
    what = f"the run needs {_mb(needs.total)} ({parts}), the disk has {_mb(free + there)} for it"
    fix = "free space, or an --output on another disk"
    raise StorageError(what, flag="output", place=run, fix=fix)


def needs_of(
    core: Core, method: Method, options: Options, has_validation: bool, weights_bytes: int
) -> Needs:
    """The Needs of a run, as a lower bound.

    Args:
        core: Core that the method has prepared.
        method: Method.
        options: Options with every `auto` resolved.
        has_validation: whether there is a validation split.
        weights_bytes: bytes of the core's weights at the end of the run; adapters that stay may come
            on top.
    """
    train, phases, moving = options.train, method.phases(core), dict[str, keras.Variable]()
    slots, largest_slots = _num_slots(train), 0
    for phase in phases:
        plan = freezing.plan(core.groups, phase.rules, phase.norm_policy(train.norm))
        moving |= {name: plan.variables[name] for name in plan.moving}
        if phase.solver == "gradient":
            trained = [plan.variables[name] for name in plan.rates]
            largest_slots = max(largest_slots, slots * sum(map(_slot_bytes, trained)))
    num_epochs = sum(phase.num_epochs(value_of(train.train_epochs)) for phase in phases)
    copies = 1 + (has_validation and train.keep == "best") + any(p.keeps_start for p in phases)
    checkpoint = copies * num_bytes(moving.values()) + largest_slots
    return Needs(
        checkpoints=min(num_epochs, checkpoints.KEPT) * checkpoint,
        model=weights_bytes,
        export=weights_bytes if options.output.export else 0,
        snapshots=train.snapshots * num_bytes(moving.values()),
    )


def _num_slots(train: TrainOptions) -> int:
    """The number of arrays of a weight's shape that the optimizer keeps for it."""
    optimizer, weight = (
        optimizers_optimizer.build(train, {}, 0.1),
        keras.Variable(np.zeros((3, 5, 7))),
    )
    optimizer.build([weight])
    return sum(tuple(slot.shape) == (3, 5, 7) for slot in optimizer.variables)


def _slot_bytes(variable: keras.Variable) -> int:
    """The bytes of one slot; 0 for an embedding, whose slot may have some of its rows only."""
    return 0 if variable.name == "embeddings" else num_bytes([variable])


def num_bytes(variables: Iterable[keras.Variable]) -> int:
    """The number of bytes that the values of variables take."""
    return sum(
        np.dtype(v.dtype).itemsize * int(np.prod(v.shape, dtype=np.int64)) for v in variables
    )


def _size(folder: pathlib.Path) -> int:
    """The bytes of all files below a folder."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / MB:,.1f} MB"
