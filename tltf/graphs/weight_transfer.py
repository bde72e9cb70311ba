"""Weights copied from one network into another by name and shape, with a table of what was done."""

import keras
import numpy as np

COPIED, SKIPPED, RENEWED = "copied", "skipped", "re-initialised"

TransferRow = tuple[str, tuple[int, ...], str]
"""A weight's name, its shape, and what was done with it: COPIED, SKIPPED or RENEWED."""


def copy_by_name(
    variables: dict[str, keras.Variable],
    arrays: dict[str, np.ndarray],
    never: tuple[str, ...] = (),
) -> tuple[TransferRow, ...]:
    """Copies each array into the variable of the same name and shape.

    Args:
        variables: the weights of the target network, by name.
        arrays: the weights of the source network, by name.
        never: names of variables that keep their random values.

    Returns:
        A row for each weight: `copied`, `re-initialised` (the source has nothing of that name and
        shape) or `skipped` (only the source has it).
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


def table(rows: tuple[TransferRow, ...]) -> str:
    """The rows as aligned lines, and a last line that counts them."""
    names = max((len(row[0]) for row in rows), default=0)
    shapes = max((len(str(row[1])) for row in rows), default=0)
    lines = [f"{name:<{names}}  {shape!s:<{shapes}}  {what}" for name, shape, what in rows]
    counts = {what: sum(row[2] == what for row in rows) for what in (COPIED, SKIPPED, RENEWED)}
    return "\n".join([*lines, ", ".join(f"{count} {what}" for what, count in counts.items())])
