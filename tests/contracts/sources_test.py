import numpy as np
import pytest

from tests.contracts.given import parameters
from tltf.data import loader, splits
from tltf.data.source import MODALITIES, ROLES


@pytest.mark.parametrize("make", parameters("sources"))
def test_a_source(make, tmp_path):
    text = make(tmp_path)
    first, second = loader.load(text, seed=1), loader.load(text, seed=1)
    check_columns(first)
    assert list(first.ids) == list(second.ids)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.content_hashes(), second.content_hashes())
    check_splits(first)


def check_columns(source):
    count = len(source)
    assert count >= 8 and list(source.fields) == [source.modality]
    assert MODALITIES[source.column.kind] == source.modality
    assert len(source.column.values) == count and len(set(source.ids)) == count
    assert source.labels.dtype == np.int32 and source.labels.shape == (count,)
    assert set(source.labels) == set(range(len(source.class_names))), "each class has an example"
    assert all(isinstance(name, str) for name in source.class_names)
    assert source.roles is None or set(source.roles) <= {*ROLES, ""}
    scan = source.scan
    assert scan.found == scan.used + scan.skipped + scan.excluded
    taken = source.take([2, 0])
    assert list(taken.ids) == [source.ids[2], source.ids[0]]
    assert source.content_hashes().dtype == np.uint64


def check_splits(source):
    parts = splits.split(source, "holdout(test=.25, validation=.25)", seed=0)
    again = splits.split(source, "holdout(test=.25, validation=.25)", seed=0)
    assert list(parts) == [role for role in ROLES if role in parts] and "test" in parts
    assert {role: list(part.ids) for role, part in parts.items()} == {
        role: list(part.ids) for role, part in again.items()
    }
    used = [row for part in parts.values() for row in part.ids]
    assert len(used) == len(set(used)) and set(used) <= set(source.ids)
