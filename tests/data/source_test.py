import pytest

from tltf.data import loader
from tltf.data.label_kinds import encode_classes
from tltf.data.source import require_labels
from tltf.errors import DataError, FlagError


def test_class_names_are_sorted_numbers_as_numbers():
    encoded, names = encode_classes(["10", "9", "10"], "made")
    assert names == ("9", "10") and encoded.tolist() == [1, 0, 1]
    assert encode_classes(["b", "a"], "made")[1] == ("a", "b")


def test_one_class_is_enough_to_evaluate_on_only(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nx,good\ny,good\n")
    call = f"csv(path={tmp_path}/a.csv, text=text)"
    with pytest.raises(DataError, match=r"has only one class \(good\)"):
        loader.load(call)
    source = loader.load(call, least_classes=1)
    assert (source.class_names, source.labels.tolist()) == (("good",), [0, 0])


def test_labels_are_required(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nx,good\ny,bad\n")
    require_labels(loader.load(f"csv(path={tmp_path}/a.csv, text=text)"))
    with pytest.raises(FlagError, match=r"--data: csv has no labels.*fix: label=COLUMN"):
        require_labels(loader.load(f"csv(path={tmp_path}/a.csv, text=text, label='')"))
