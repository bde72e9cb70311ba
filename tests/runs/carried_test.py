import numpy as np
import pytest

from tltf.errors import ModelError
from tltf.runs import carried
from tltf.runs.carried import Carried


def test_what_a_method_left_is_read_by_that_method_alone(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    carried.write(tmp_path, Carried("ncm", ("a", "b", "ü"), {"sums": array}))
    found = carried.read(tmp_path, "ncm")
    assert found.class_names == ("a", "b", "ü")
    assert np.array_equal(found.arrays["sums"], array)
    assert carried.read(tmp_path, "ewc") is None
    assert carried.read(tmp_path / "none", "ncm") is None


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "carried.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError):
        carried.read(tmp_path, "ncm")


def test_columns_follow_their_classes():
    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = carried.by_class(array, ("a", "b"), ("c", "b", "a"), -1.0)
    assert found.tolist() == [[-1.0, 2.0, 1.0], [-1.0, 4.0, 3.0]]
