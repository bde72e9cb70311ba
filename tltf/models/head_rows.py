"""Starts a head from that of an earlier run, whose classes keep their weights by name."""

import pathlib
from collections.abc import Sequence

import numpy as np

from tltf.errors import ModelError, shown_names
from tltf.files import untrusted
from tltf.graphs import functional
from tltf.graphs.core import Core
from tltf.runs import model_folder


def copy_head(core: Core, class_names: Sequence[str], run: str) -> list[str]:
    """Copies the weights of a run's head into the head of a core.

    The output layer has a column for each class or label: those that the run knows too are copied by
    name, the others keep their random values. All other weights are copied where name and shape agree.

    Args:
        core: whose head is changed.
        class_names: of the core, in the order of its outputs.
        run: the folder of the run, or its `model` folder.

    Returns:
        The classes that the run knows.

    Raises:
        ModelError: there is no model, it is damaged, or its head has other layers.
    """
    stored, place = model_folder.open_folder(run), pathlib.Path(run)
    known, layers = stored.manifest["class_names"], core.groups[-1].layers
    shared = [name for name in class_names if name in known]
    if class_names and not shared:
        what = f"knows none of these classes (it knows: {shown_names(tuple(known))})"
        raise ModelError(what, flag="head_weights", place=place)
    with untrusted.open_safetensors(stored.weights) as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    variables = functional.named_weights(layers)
    outputs, values = functional.named_weights(layers[-1:]), dict[str, np.ndarray]()
    for name, variable in variables.items():
        array, value = arrays.get(name), np.array(variable)
        if array is not None and name in outputs and list(class_names) != list(known):
            array = _by_name(value, array, class_names, known)
        if array is None or array.shape != value.shape:
            what = f"its head has no {name} that fits this one"
            fix = "--head as in that run, or no --head_weights"
            raise ModelError(what, flag="head_weights", place=place, fix=fix)
        values[name] = array
    for name, variable in variables.items():
        variable.assign(values[name])
    return shared


def _by_name(
    value: np.ndarray, array: np.ndarray, class_names: Sequence[str], known: Sequence[str]
) -> np.ndarray | None:
    """`value` with the columns of known classes from `array`; None where it has no column per class."""
    has_columns = array.shape[-1] == len(known) and value.shape[-1] == len(class_names)
    if not has_columns or array.shape[:-1] != value.shape[:-1]:
        return None
    places = {name: place for place, name in enumerate(known)}
    found = value.copy()
    for place, name in enumerate(class_names):
        if name in places:
            found[..., place] = array[..., places[name]]
    return found
