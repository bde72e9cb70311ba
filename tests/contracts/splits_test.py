import numpy as np
import pytest

from tests.contracts.given import parameters
from tltf.data import splits
from tltf.data.source import ROLES, Column, ScanCounts, Source, one_label_field


def made(count=120, roles=None):
    """Texts of three classes; every tenth text is the same as the one before."""
    texts = [f"text {number - (number % 10 == 9)}" for number in range(count)]
    labels = np.array([hash_free(text) % 3 for text in texts], np.int32)
    ids = [f"row {number}" for number in range(count)]
    return Source(
        "made",
        {"text": Column("text", texts)},
        one_label_field(labels, ("a", "b", "c")),
        ids,
        roles,
        ScanCounts(count),
    )


def hash_free(text):
    """A number of the text alone, the same in every process."""
    return sum(map(ord, text))


def given_roles(count=120):
    return np.array(["train", "train", "validation", "test"])[np.arange(count) // 30]


@pytest.mark.parametrize("text", parameters("splits"))
def test_a_split(text):
    roles = given_roles() if text == "given" else None
    source = made(roles=roles)
    parts = splits.split(source, text, seed=3)
    ids = {role: list(part.ids) for role, part in parts.items()}
    assert set(parts) <= set(ROLES) and "train" in parts and "test" in parts
    everything = [row for rows in ids.values() for row in rows]
    is_whole = not text.startswith("few_shot")
    assert len(set(everything)) == len(everything), "no row is in two splits"
    assert not is_whole or sorted(everything) == sorted(source.ids), "each row is in one split"
    again = splits.split(made(roles=roles), text, seed=3)
    assert {role: list(part.ids) for role, part in again.items()} == ids
    if text == "given":
        return
    contents = {role: set(part.column.values) for role, part in parts.items()}
    assert not contents["train"] & contents["test"], "equal texts are in one split"
    for role, part in parts.items():
        if role == "train" and not is_whole:
            assert set(np.bincount(part.labels)) <= {2, 3}
            continue
        shares = np.bincount(part.labels, minlength=3) / len(part)
        np.testing.assert_allclose(shares, np.bincount(source.labels) / len(source), atol=0.12)
    other = splits.split(made(), text, seed=4)
    assert {role: list(part.ids) for role, part in other.items()} != ids


def test_folds_test_every_row_once():
    tested = [
        row
        for fold in range(3)
        for row in splits.split(made(), f"kfold(folds=3, fold={fold})", seed=0)["test"].ids
    ]
    assert sorted(tested) == sorted(made().ids)
