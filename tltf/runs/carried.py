"""RUN/carried.safetensors: what a method leaves for the run that goes on from this one.

It is small beside the rows that it stands for, such as the mean of each class, and it is all that
the next run gets to see of them.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from safetensors.numpy import save

from tltf.errors import ModelError
from tltf.files import atomic_files, untrusted
from tltf.runs import layout

CLASSES, METHOD = "class_names", "method"
"""Keys of the file's metadata."""


@dataclasses.dataclass(frozen=True)
class Carried:
    """What is left.

    Args:
        method: name of the method that left it, which alone can read it.
        class_names: the classes of the run, to which the last axis of some arrays belongs.
        arrays: name -> array.
    """

    method: str
    class_names: tuple[str, ...]
    arrays: Mapping[str, np.ndarray]


def write(run: pathlib.Path, carried: Carried) -> None:
    """Writes the file; it is whole or absent.

    Raises:
        StorageError: it cannot be written.
    """
    about = {CLASSES: json.dumps(list(carried.class_names)), METHOD: carried.method}
    arrays = {name: np.ascontiguousarray(array) for name, array in carried.arrays.items()}
    with atomic_files.replace_file(pathlib.Path(run) / layout.CARRIED, "wb") as file:
        file.write(save(arrays, metadata=about))


def read(run: pathlib.Path | str, method: str) -> Carried | None:
    """What a method left in a run folder; None where it, or another method, left nothing.

    Args:
        run: the run folder.
        method: name of the method.

    Raises:
        ModelError: the file is damaged.
    """
    path = pathlib.Path(run) / layout.CARRIED
    if not path.is_file():
        return None
    with untrusted.open_safetensors(path) as file:
        about = file.metadata() or {}
        if about.get(METHOD) != method:
            return None
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    try:
        names = json.loads(about[CLASSES])
    except (KeyError, ValueError) as error:
        raise ModelError("names no classes", place=path) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError("names no classes", place=path)
    return Carried(method, tuple(names), arrays)


def by_class(
    array: np.ndarray, known: Sequence[str], class_names: Sequence[str], fill: float = 0.0
) -> np.ndarray:
    """An array whose last axis is that of some classes, for others, matched by name.

    Args:
        array: [..., K].
        known: the K classes that it has.
        class_names: the C classes that are wanted.
        fill: the value for those that it does not have.

    Returns:
        [..., C].
    """
    places = {name: place for place, name in enumerate(known)}
    found = np.full((*array.shape[:-1], len(class_names)), fill, array.dtype)
    for place, name in enumerate(class_names):
        if name in places:
            found[..., place] = array[..., places[name]]
    return found
