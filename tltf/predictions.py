"""The table of predictions: one row an example, one column of probability a class."""

import csv

import numpy as np

from tltf import storage
from tltf.errors import ShapeError


def header(column, class_names):
    """Names of the columns; `column` is `path` or `text`."""
    return ["id", column, "label", "predicted", *(f"probability_{n}" for n in class_names)]


def write_predictions(path, ids, labels, probabilities, class_names, column, contents):
    """Writes `predictions.csv`; the file is whole or absent.

    Args:
        path: of the file.
        ids: N strings.
        labels: int[N] in 0..C-1, or None for unlabelled examples (the column stays empty).
        probabilities: float[N, C], written with 9 significant digits, which restore float32.
        class_names: C names.
        column: `text` or `path`.
        contents: N strings for that column.

    Raises:
        ShapeError: the lengths differ.
        StorageError: the file cannot be written.
    """
    probabilities = np.asarray(probabilities)
    sizes = {"ids": len(ids), column: len(contents), "probabilities": len(probabilities)}
    if labels is not None:
        sizes["labels"] = len(labels)
    if len(set(sizes.values())) > 1 or probabilities.shape[1:] != (len(class_names),):
        counts = ", ".join(f"{count} {name}" for name, count in sizes.items())
        raise ShapeError(
            f"{counts} do not make one table with {len(class_names)} classes "
            f"(probabilities have the shape {probabilities.shape})"
        )
    with storage.replacing(path, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header(column, class_names))
        predicted = probabilities.argmax(axis=1)
        for row, values in enumerate(probabilities.tolist()):
            label = "" if labels is None else class_names[labels[row]]
            stated = [format(value, ".9g") for value in values]
            writer.writerow([ids[row], contents[row], label, class_names[predicted[row]], *stated])
