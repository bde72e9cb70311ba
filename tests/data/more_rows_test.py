"""--target_data and --unlabelled_data: which rows are learned from, and on which the model is judged."""

import pytest

from tests.contracts import cases
from tltf.config import checks, options
from tltf.data import loader
from tltf.errors import DataError, FlagError


def table(folder, name, rows, labels=True):
    lines = ["text,label" if labels else "text"]
    lines += [f"{text},{label}" if labels else text for text, label in rows]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    label = "label" if labels else "''"
    return f"csv(path={path}, text=text, label={label})"


def rows_of(word, count=40):
    return [(f"{word} text number {row}", "ab"[row % 2]) for row in range(count)]


def parts_of(**flags):
    given = options.make(**{"backbone": "small_lstm", "method": "linear_probe", **flags})
    return loader.load_parts(given, checks.resolve(given, needs_output=False))


@pytest.fixture
def source(tmp_path):
    return table(tmp_path, "source.csv", rows_of("source"))


def test_the_model_is_judged_on_the_labelled_rows_of_the_target(tmp_path, source):
    target = table(tmp_path, "target.csv", rows_of("target"))
    parts = parts_of(data=source, target_data=target)
    alone = parts_of(data=source)
    assert list(parts) == ["train", "validation", "test", "target"]
    assert list(parts["train"].texts()) == list(alone["train"].texts())
    assert list(parts["validation"].texts()) == list(alone["validation"].texts())
    assert len(parts["test"]) == 8 and len(parts["target"]) == 32
    both = [*parts["test"].texts(), *parts["target"].texts()]
    assert sorted(both) == sorted(text for text, _ in rows_of("target"))
    (note,) = parts.scan.warnings
    assert "8 test rows are those of" in note and "8 test rows of csv are not used" in note
    assert "labels of its other 32 rows are not learned from" in note


def test_classes_are_matched_by_name(tmp_path, source):
    rows = [(text, "b") for text, _ in rows_of("target", 10)]
    parts = parts_of(data=source, target_data=table(tmp_path, "target.csv", rows))
    assert parts["test"].class_names == ("a", "b")
    assert set(parts["test"].labels.tolist()) == {1}


def test_a_class_that_the_source_lacks_is_refused(tmp_path, source):
    rows = [*rows_of("target"), ("another text", "c")]
    with pytest.raises(DataError, match="class 'c' was not trained"):
        parts_of(data=source, target_data=table(tmp_path, "target.csv", rows))


def test_a_target_without_labels_is_learned_from_alone(tmp_path, source):
    target = table(tmp_path, "target.csv", rows_of("target"), labels=False)
    with pytest.warns(UserWarning, match="nothing measures the model on the domain"):
        parts = parts_of(data=source, target_data=target)
    assert len(parts["target"]) == 40 and parts["target"].labels is None
    assert all(text.startswith("source") for text in parts["test"].texts())


def test_rows_of_the_source_that_are_test_rows_of_the_target_are_not_trained_on(tmp_path, source):
    target = table(tmp_path, "target.csv", rows_of("source", 20))
    parts = parts_of(data=source, target_data=target)
    judged = set(parts["test"].texts())
    for role in ("train", "validation", "target"):
        assert not judged & set(parts[role].texts())


def test_labels_of_unlabelled_rows_are_dropped_and_judged_rows_left_out(source):
    parts = parts_of(data=source, unlabelled_data=source)
    assert parts["unlabelled"].labels is None
    assert sorted(parts["unlabelled"].texts()) == sorted(parts["train"].texts())


def test_a_table_without_a_column_of_labels_needs_no_word(tmp_path, source):
    table(tmp_path, "more.csv", rows_of("more"), labels=False)
    parts = parts_of(data=source, unlabelled_data=f"csv(path={tmp_path / 'more.csv'}, text=text)")
    assert len(parts["unlabelled"]) == 40


def test_images_beside_texts_are_refused(source):
    with pytest.raises(DataError, match="has images, and csv has texts"):
        parts_of(data=source, unlabelled_data="digits")


def test_a_method_that_needs_them_says_which_flag_is_missing(source):
    with pytest.raises(FlagError, match="--target_data names them"):
        parts_of(data=source, method="dann")


def test_pictures_without_labels_need_no_folders_of_classes(tmp_path):
    for name, pictures in {"a": range(6), "b": range(6, 12)}.items():
        (tmp_path / "labelled" / name).mkdir(parents=True)
        for number in pictures:
            content = cases.picture(number)
            (tmp_path / "labelled" / name / f"{number}.png").write_bytes(content)
    for folder, numbers in {"loose": range(20, 24), "loose/deep/er": range(24, 26)}.items():
        (tmp_path / folder).mkdir(parents=True)
        for number in numbers:
            (tmp_path / folder / f"{number}.png").write_bytes(cases.picture(number))
    given = options.make(
        data=f"image_folder(path={tmp_path}/labelled)",
        unlabelled_data=f"image_folder(path={tmp_path}/loose)",
        split="holdout(test=.2, validation=0)",
        backbone="small_cnn",
        method="pseudo_label",
    )
    parts = loader.load_parts(given, checks.resolve(given, needs_output=False))
    assert len(parts["unlabelled"]) == 6 and parts["unlabelled"].labels is None
