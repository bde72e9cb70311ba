"""Raw inputs that show what a model computes, such as for the check of an export."""

import numpy as np

from tltf.data.source import TEST, TRAIN, VALIDATION
from tltf.models import raw_inputs
from tltf.models.transfer_model import TransferModel

NUM_PROBES = 16
_PROBE_TEXTS = (
    "The weather is lovely today.",
    "He drove to the stadium!",
    "",
    "na\u00efve caf\u00e9 \u2014 \u4f60\u597d \U0001f600",
    "a " * 600,
)


def choose_rows(trained: TransferModel, limit: int) -> tuple[str, np.ndarray] | None:
    """`(role, int[n])`: up to `limit` rows of a split, at equal distances; None without data.

    The split is the test split, else another one.
    """
    for role in (TEST, VALIDATION, TRAIN):
        source = trained.splits.get(role)
        if source is not None and len(source):
            return role, np.unique(np.linspace(0, len(source) - 1, limit).astype(int))
    return None


def take_examples(trained: TransferModel, limit: int) -> dict[str, list[bytes]]:
    """Input of `serving_default` -> the raw inputs of `choose_rows`, or those of `make_probes`."""
    found = choose_rows(trained, limit)
    if found is None:
        return make_probes(trained)
    role, rows = found
    source = trained.splits[role]
    names = raw_inputs.input_names(list(source.fields))
    return {
        names[name]: raw_inputs.encode_column(column)
        for name, column in source.take(rows).fields.items()
    }


def make_probes(trained: TransferModel) -> dict[str, list[bytes]]:
    """Input of `serving_default` -> raw inputs that are made up for a core of this modality."""
    fields = list(raw_inputs.input_names(trained.preprocessing.fields).values())
    if trained.core.backbone.modality == "text":
        return {name: [raw_inputs.encode_text(text) for text in _PROBE_TEXTS] for name in fields}
    numbers = np.random.default_rng(0)
    sides = numbers.integers(8, 200, (NUM_PROBES, 2))
    pictures = [
        raw_inputs.encode_png(numbers.integers(0, 256, (*side, 3), np.uint8)) for side in sides
    ]
    return dict.fromkeys(fields, pictures)
