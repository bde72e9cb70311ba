"""Weights taken from one network into another by name and shape, with a table of what was done."""

from typing import Any

import numpy as np

COPIED, SKIPPED, RENEWED = "copied", "skipped", "re-initialised"


def copy_by_name(
    variables: dict[str, Any], arrays: dict[str, np.ndarray], never: tuple[str, ...] = ()
) -> tuple[tuple[str, tuple, str], ...]:
    """Copies each array into the variable of the same name and shape.

    Args:
        variables: name -> keras.Variable of the target network.
        arrays: name -> array of the source network.
        never: names that keep their random values.

    Returns:
        tuple of rows (name, shape, what): `copied`, `re-initialised` (nothing of that name
        and shape in the source) or `skipped` (in the source only).
    """
    rows = []
    for name, variable in variables.items():
        array = arrays.get(name)
        shape = tuple(variable.shape)
        is_same = array is not None and tuple(array.shape) == shape and name not in never
        if is_same:
            variable.assign(array)
        rows.append((name, shape, COPIED if is_same else RENEWED))
    left = [name for name in arrays if name not in variables]
    return (*rows, *((name, tuple(arrays[name].shape), SKIPPED) for name in left))


def table(rows: tuple[tuple[str, tuple, str], ...]) -> str:
    """The rows as aligned lines, with a last line that counts them."""
    names = max((len(row[0]) for row in rows), default=0)
    shapes = max((len(str(row[1])) for row in rows), default=0)
    lines = [f"{name:<{names}}  {shape!s:<{shapes}}  {what}" for name, shape, what in rows]
    counts = {what: sum(row[2] == what for row in rows) for what in (COPIED, SKIPPED, RENEWED)}
    return "\n".join([*lines, ", ".join(f"{count} {what}" for what, count in counts.items())])
