import numpy as np
import pytest

from tltf.data import loader, splits
from tltf.errors import DataError, FlagError

PIXELS = np.random.default_rng(0).integers(0, 255, (20, 6, 5), np.uint8)
LABELS = np.arange(20) % 2


def load(path, more=""):
    return loader.load(f"numpy(path={path}{more})")


def test_x_and_y(tmp_path):
    np.savez(tmp_path / "a.npz", x=PIXELS, y=LABELS)
    source = load(tmp_path / "a.npz")
    assert source.column.values.shape == (20, 6, 5, 1)
    assert (source.column.values[..., 0] == PIXELS).all()
    assert source.class_names == ("0", "1")
    assert source.roles is None


def test_an_array_a_split(tmp_path):
    np.savez(
        tmp_path / "a.npz",
        x_train=PIXELS[:12],
        y_train=LABELS[:12],
        x_test=PIXELS[12:],
        y_test=LABELS[12:],
    )
    parts = splits.split(load(tmp_path / "a.npz"), "holdout(test=.2, validation=.2)", 0)
    assert {role: len(part) for role, part in parts.items()} == {
        "train": 10,
        "validation": 2,
        "test": 8,
    }
    assert (parts["test"].column.values[..., 0] == PIXELS[12:]).all()


def test_texts_and_names(tmp_path):
    np.savez(tmp_path / "a.npz", words=np.array(["a b", "c"]), kind=np.array(["yes", "no"]))
    source = load(tmp_path / "a.npz", ", x=words, y=kind")
    assert source.modality == "text"
    assert source.column.values == ["a b", "c"]
    assert [source.class_names[label] for label in source.labels] == ["yes", "no"]


def test_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}, []], dtype=object), y=LABELS[:2])
    with pytest.raises(DataError, match="pickled"):
        load(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match=r"not a \.npz"):
        load(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"images": PIXELS, "y": LABELS}, FlagError, "no column 'x'.*images"),
        ({"x": PIXELS}, FlagError, "no column 'y'"),
        ({"x": PIXELS / 255, "y": LABELS}, DataError, r"float64\[20, 6, 5\]"),
        ({"x": PIXELS, "y": LABELS[:5]}, DataError, r"20 examples but labels of shape \(5,\)"),
        ({"x": PIXELS, "y": LABELS * 0.5}, FlagError, "float64, not classes"),
    ],
)
def test_faults(tmp_path, arrays, error, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(error, match=message):
        load(tmp_path / "a.npz")
