"""Raw inputs as a server gets them: encoded images or UTF-8 strings, as bytes."""

import numpy as np

from tltf.data.source import TEST, TRAIN, VALIDATION

NUM_PROBES = 16
_PROBE_TEXTS = (
    "The weather is lovely today.",
    "He drove to the stadium!",
    "",
    "na\u00efve caf\u00e9 \u2014 \u4f60\u597d \U0001f600",
    "a " * 600,
)


def of_run(trained, limit):
    """Up to `limit` raw inputs of the test split, else of another one, else made-up ones.

    Args:
        trained: Trained.
        limit: most inputs, taken at equal distances.

    Returns:
        list of bytes.
    """
    for role in (TEST, VALIDATION, TRAIN):
        source = trained.splits.get(role)
        if source is not None and len(source):
            chosen = np.unique(np.linspace(0, len(source) - 1, limit).astype(int))
            return of_column(source.take(chosen).column)
    return probes(trained)


def of_column(column):
    """The list of bytes of a Column; decoded images become PNG, which loses nothing."""
    if column.kind == "text":
        return [encoded(text) for text in column.values]
    if column.kind == "path":
        return [_read(path) for path in column.values]
    if column.kind == "array":
        return [png(array) for array in column.values]
    return list(column.values)


def probes(trained):
    """Made-up raw inputs that a core of this modality takes."""
    if trained.core.backbone.modality == "text":
        return [encoded(text) for text in _PROBE_TEXTS]
    numbers = np.random.default_rng(0)
    sides = numbers.integers(8, 200, (NUM_PROBES, 2))
    return [png(numbers.integers(0, 256, (*side, 3), np.uint8)) for side in sides]


def encoded(text):
    """UTF-8 of a str; what UTF-8 cannot hold (lone surrogates) becomes a question mark."""
    return text.encode("utf-8", "replace")


def png(image):
    """PNG bytes of uint8[H, W] or uint8[H, W, C], C of 1, 3 or 4."""
    import tensorflow as tf

    image = image if image.ndim == 3 else image[..., None]
    return tf.io.encode_png(image).numpy()


def _read(path):
    with open(path, "rb") as file:
        return file.read()
