"""RUN/snapshots/: the weights at the end of each fall of the learning rate, for an ensemble of one run.

Huang 2017, arXiv:1704.00109.
"""

import pathlib
from collections.abc import Collection, Mapping

import numpy as np
from safetensors.numpy import save as to_bytes

from tltf.files import atomic_files, untrusted
from tltf.runs import layout

_NAME = "epoch_{:04d}.safetensors"


def write(run: pathlib.Path, epoch: int, weights: Mapping[str, np.ndarray]) -> None:
    """Writes the weights of an epoch; the file is whole or absent.

    Args:
        run: the run folder.
        epoch: number of the epoch in its phase; 1 is the first.
        weights: name of a variable that training has changed -> array.

    Raises:
        StorageError: it cannot be written.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in weights.items()}
    with atomic_files.replace_file(run / layout.SNAPSHOTS / _NAME.format(epoch), "wb") as file:
        file.write(to_bytes(arrays))


def epochs_of(run: pathlib.Path) -> list[int]:
    """The epochs whose weights a run has kept, in their order; [] for a run without snapshots."""
    files = (run / layout.SNAPSHOTS).glob(_NAME.replace("{:04d}", "*"))
    found = (path.name.split(".")[0].removeprefix("epoch_") for path in files)
    return sorted(int(number) for number in found if number.isdecimal())


def remove_others(run: pathlib.Path, epochs: Collection[int]) -> None:
    """Removes the files of other epochs than some, which a training with other flags has left."""
    for epoch in set(epochs_of(run)) - set(epochs):
        (run / layout.SNAPSHOTS / _NAME.format(epoch)).unlink()


def read(run: pathlib.Path, epoch: int) -> dict[str, np.ndarray]:
    """Name of a variable -> array of its weights at the end of an epoch.

    Raises:
        ModelError: the file is damaged.
    """
    with untrusted.open_safetensors(run / layout.SNAPSHOTS / _NAME.format(epoch)) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
