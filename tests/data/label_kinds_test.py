"""Labels of every kind, as every source reads them and every split parts them."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tltf.config.option_groups import ScanOptions
from tltf.data import label_kinds, loader, splits
from tltf.errors import DataError, FlagError

TEXTS = ["one", "two", "three", "four"]
TAGS = [["cat", "dog"], [], ["dog"], ["owl", "cat"]]
EXPECTED = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 1]], np.uint8)
NUMBERS = [1.5, -2.0, 1e3, 0.0]


def tags_of(text, **settings):
    source = loader.load(text, target="labels", **settings)
    assert source.class_names == ("cat", "dog", "owl")
    np.testing.assert_array_equal(source.labels, EXPECTED)
    return source


def test_joined_names_in_a_column(tmp_path):
    rows = "".join(f"{text},{'|'.join(tags)}\n" for text, tags in zip(TEXTS, TAGS, strict=True))
    (tmp_path / "t.csv").write_text("text,tags\n" + rows.replace("cat|dog", " cat | dog "))
    source = tags_of(f"csv(path={tmp_path}/t.csv, text=text, label=tags)")
    assert label_kinds.kind_of(source.labels).name == "labels"


def test_a_column_of_0_and_1_for_each(tmp_path):
    lines = [f"{text},{','.join(map(str, row))}" for text, row in zip(TEXTS, EXPECTED, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["text,cat,dog,owl", *lines]))
    tags_of(f"csv(path={tmp_path}/t.csv, text=text, label=cat|dog|owl)")
    (tmp_path / "t.csv").write_text("\n".join(["text,cat,dog,owl", *lines, "five,1,2,0"]))
    source = tags_of(
        f"csv(path={tmp_path}/t.csv, text=text, label=cat|dog|owl)",
        scan=ScanOptions(max_bad_fraction=1),
    )
    assert "dog is '2', neither 0 nor 1" in source.scan.skipped_rows[0]["reason"]
    with pytest.raises(FlagError, match="no column 'bat'"):
        loader.load(f"csv(path={tmp_path}/t.csv, text=text, label=bat|dog)", target="labels")


def test_lists_in_json_lines(tmp_path):
    rows = [json.dumps({"text": t, "tags": tags}) for t, tags in zip(TEXTS, TAGS, strict=True)]
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    tags_of(f"jsonl(path={tmp_path}/t.jsonl, text=text, label=tags)")


def test_arrays(tmp_path):
    names = np.array(["cat", "dog", "owl"])
    np.savez(tmp_path / "t.npz", x=np.array(TEXTS), y=EXPECTED, y_names=names)
    tags_of(f"numpy(path={tmp_path}/t.npz)")
    np.savez(tmp_path / "t.npz", x=np.array(TEXTS), y=EXPECTED)
    assert loader.load(f"numpy(path={tmp_path}/t.npz)", target="labels").class_names == tuple("012")
    np.savez(tmp_path / "t.npz", x=np.array(TEXTS), y=EXPECTED * 2, y_names=names)
    with pytest.raises(DataError, match="are not 0 and 1"):
        loader.load(f"numpy(path={tmp_path}/t.npz)", target="labels")


def test_records(tmp_path):
    def feature(values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode() for v in values]))

    with tf.io.TFRecordWriter(str(tmp_path / "t.tfrecord")) as writer:
        for text, tags in zip(TEXTS, TAGS, strict=True):
            features = {"text": feature([text]), "tags": feature(tags)}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    tags_of(f"tfrecord(path={tmp_path}/t.tfrecord, text=text, label=tags)")


def test_numbers(tmp_path):
    rows = "".join(f"{text},{value}\n" for text, value in zip(TEXTS, NUMBERS, strict=True))
    (tmp_path / "t.csv").write_text("text,y\n" + rows + "five,many\nsix,inf\n")
    call = f"csv(path={tmp_path}/t.csv, text=text, label=y)"
    source = loader.load(call, target="number", scan=ScanOptions(max_bad_fraction=0.5))
    np.testing.assert_array_equal(source.labels, np.array(NUMBERS, np.float32))
    assert source.class_names == () and source.scan.skipped == 2
    with pytest.raises(DataError, match="label 'many' is not a finite number"):
        loader.load(call, target="number")
    np.savez(tmp_path / "t.npz", x=np.array(TEXTS), y=np.array(NUMBERS))
    found = loader.load(f"numpy(path={tmp_path}/t.npz)", target="number")
    np.testing.assert_array_equal(found.labels, source.labels)
    with pytest.raises(FlagError, match="--head=regress"):
        loader.load(f"numpy(path={tmp_path}/t.npz)")


@pytest.mark.parametrize(
    ("target", "first", "second", "other"),
    [
        ("labels", "a|b", "b | a|b", "a"),
        ("number", "1", "1.0", "2"),
        ("number", "0", "-0.0", "1e-9"),
    ],
)
def test_one_content_has_one_label_however_it_is_spelled(tmp_path, target, first, second, other):
    def warned(*labels):
        rows = [f"text {row % 4},{label}\n" for row, label in enumerate(labels)]
        (tmp_path / "t.csv").write_text("text,y\n" + "".join([*rows, f"alone,{other}\n"]))
        source = loader.load(f"csv(path={tmp_path}/t.csv, text=text, label=y)", target=target)
        return [text for text in source.scan.warnings if "another label" in text]

    assert not warned(*[first] * 4, *[second] * 4)
    (text,) = warned(*[first] * 4, *[second] * 3, other)
    assert text.startswith("1 rows have the content of another with another label: ")


def test_an_underscore_makes_a_name_of_digits(tmp_path):
    (tmp_path / "t.csv").write_text("text,y\none,1_0\ntwo,10\nthree,1_5\n")
    call = f"csv(path={tmp_path}/t.csv, text=text, label=y)"
    assert loader.load(call).class_names == ("10", "1_0", "1_5")
    with pytest.raises(DataError, match="label '1_0' is not a finite number"):
        loader.load(call, target="number")


def test_fractions_as_classes_name_the_head_for_numbers(tmp_path):
    (tmp_path / "t.csv").write_text("text,y\none,1.5\ntwo,2.5\nthree,3\n")
    with pytest.raises(FlagError, match="--head=regress predicts numbers"):
        loader.load(f"csv(path={tmp_path}/t.csv, text=text, label=y)")


def test_nothing_labelled_is_an_error(tmp_path):
    (tmp_path / "t.csv").write_text("text,tags\none,\ntwo,\n")
    with pytest.raises(DataError, match="no row with a label"):
        loader.load(f"csv(path={tmp_path}/t.csv, text=text, label=tags)", target="labels")


def test_strata_are_the_rarest_label_of_a_row():
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]], np.uint8)
    assert label_kinds.kind_of(labels).strata(labels).tolist() == [1, 0, 2, 3, 1]
    assert label_kinds.OneClass().strata(np.array([2, 0])).tolist() == [2, 0]
    assert label_kinds.Number().strata(np.array([2.0, 0.5], np.float32)).tolist() == [0, 0]


def test_splits_keep_rare_labels_in_proportion_and_in_training(tmp_path):
    rng, rows = np.random.default_rng(0), []
    for number in range(400):
        tags = [
            name for name, share in (("a", 0.5), ("b", 0.2), ("c", 0.05)) if rng.random() < share
        ]
        rows.append(f"text {number},{'|'.join(tags)}")
    rows.append("the only one,once")
    (tmp_path / "t.csv").write_text("\n".join(["text,tags", *rows]))
    source = loader.load(f"csv(path={tmp_path}/t.csv, text=text, label=tags)", target="labels")
    parts = splits.split(source, "holdout(test=.25, validation=.25)", 0)
    place = source.class_names.index("c")
    counts = {role: int(part.labels[:, place].sum()) for role, part in parts.items()}
    whole = source.labels[:, place].sum()
    assert counts["test"] == pytest.approx(whole / 4, abs=1.5)
    assert counts["train"] == pytest.approx(whole / 2, abs=2.5)
    once = source.class_names.index("once")
    assert parts["train"].labels[:, once].sum() == 1
    warnings = parts["train"].scan.warnings
    assert any("once has no test example" in text for text in warnings)


def of_tags(tmp_path, train, test):
    """A Source of one text per row, its labels joined with |."""
    for role, tags in (("train", train), ("test", test)):
        rows = [f"{role} {number},{text}" for number, text in enumerate(tags)]
        (tmp_path / f"{role}.csv").write_text("\n".join(["text,label", *rows]))
    call = f"csv(train={tmp_path}/train.csv, test={tmp_path}/test.csv, text=text)"
    return loader.load(call, target="labels")


def test_rows_with_a_label_that_is_not_trained_are_refused_or_skipped(tmp_path):
    source = of_tags(tmp_path, ["b|c", "b", "", "c"] * 9, ["b", "a|c", "", "c|d", "c"])
    split = "holdout(validation=0)"
    with pytest.raises(
        DataError, match=r"2 classes have test or validation rows.*: a, d; fix.*unknown_classes"
    ):
        splits.split(source, split, 0)
    scan = ScanOptions(unknown_classes="skip", max_bad_fraction=0.5)
    parts = splits.split(source, split, 0, scan)
    assert parts["test"].class_names == parts["train"].class_names == ("b", "c")
    assert parts["test"].column.values == ["test 0", "test 2", "test 4"]
    np.testing.assert_array_equal(parts["test"].labels, [[1, 0], [0, 0], [0, 1]])
    np.testing.assert_array_equal(parts["train"].labels, source.labels[:36, 1:3])
    found = parts["train"].scan
    assert (found.found, found.used, found.skipped) == (41, 39, 2)
    assert [row["reason"] for row in found.skipped_rows] == [
        "its label 'a' is not in the training split",
        "its label 'd' is not in the training split",
    ]
    with pytest.raises(DataError, match="2 of 41 rows are bad"):
        splits.split(source, split, 0, ScanOptions(unknown_classes="skip"))


def test_no_label_is_known_where_no_training_row_has_one(tmp_path):
    source = of_tags(tmp_path, [""] * 9, ["a", "b"])
    scan = ScanOptions(unknown_classes="skip", max_bad_fraction=1.0)
    with pytest.raises(
        DataError, match="2 classes have test or validation rows but no training row"
    ):
        splits.split(source, "holdout(validation=0)", 0, scan)


def test_labels_are_matched_by_name():
    source = loader.load("digits(num_train=40, num_test=20)", target="labels")
    names = tuple(reversed(source.class_names))
    other = source.reorder_classes((*names, "new"))
    np.testing.assert_array_equal(other.labels[:, :10], source.labels[:, ::-1])
    assert other.labels[:, 10].sum() == 0


def test_names_that_would_fall_apart_are_refused(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": "one", "tags": ["a|b", "c"]}')
    with pytest.raises(DataError, match=r"'a\|b' has a '\|' in it"):
        loader.load(f"jsonl(path={tmp_path}/t.jsonl, text=text, label=tags)", target="labels")


def test_pickled_names_are_refused(tmp_path):
    names = np.array(["cat", "dog", "owl"], object)
    np.savez(tmp_path / "t.npz", x=np.array(TEXTS), y=EXPECTED, y_names=names)
    with pytest.raises(DataError, match="pickled"):
        loader.load(f"numpy(path={tmp_path}/t.npz)", target="labels")


def test_without_labels_no_column_is_asked_for(tmp_path):
    (tmp_path / "t.csv").write_text("text\none\ntwo\n")
    call = f"csv(path={tmp_path}/t.csv, text=text, label='')"
    assert loader.load(call, target="labels").labels is None
