"""What users' reports showed of labels, of texts' lengths and of inputs that a program holds."""

import csv
import pathlib

import numpy as np
import pandas
import pytest
from PIL import Image

from tests import served
from tests.faults.making import covers
from tltf.data import class_checks, loader, preprocessing, row_scan
from tltf.data.source import is_blank
from tltf.errors import DataError, FlagError

TEXTS = ["a good film", "the plot is thin", "the cast is great"]


def write(path, labels):
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = [(f"text {at}", label) for at, label in enumerate(labels)]
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def load(path, more="", **settings):
    return loader.load(f"csv(path={path}, text=text, label=label{more})", **settings)


@pytest.fixture(scope="module")
def trained():
    return served.text_once()


HELD = {
    "series": pandas.Series(TEXTS, index=[5, 3, 9]),
    "string series": pandas.Series(TEXTS, dtype="string"),
    "array of str": np.array(TEXTS),
    "array of objects": np.array(TEXTS, object),
    "array of bytes": np.array([text.encode() for text in TEXTS]),
    "tuple": tuple(TEXTS),
    "dict of a list": {"text": TEXTS},
    "list of dicts": [{"text": text, "id": at} for at, text in enumerate(TEXTS)],
    "dict of a series": {"text": pandas.Series(TEXTS)},
}


@covers(205, 206)
@pytest.mark.parametrize("name", HELD)
def test_inputs_are_read_from_what_programs_hold_them_in(trained, name):
    given = trained.predict(HELD[name])
    assert [row.id for row in given] == TEXTS and not any(row.error for row in given)
    assert [row.label for row in given] == [row.label for row in trained.predict(TEXTS)]


@covers(206)
def test_one_input_is_one_prediction(trained):
    (one,) = trained.predict({"text": TEXTS[0]})
    (same,) = trained.predict(np.array(TEXTS[0]))
    assert one.id == same.id == TEXTS[0] and one.label and one.probabilities == same.probabilities


@covers(205, 206)
@pytest.mark.parametrize(
    "given",
    [
        7,
        None,
        {"review": "a"},
        pandas.DataFrame({"x": TEXTS}),
        np.zeros(3),
        {"a", "b"},
        np.array([TEXTS]),
        [{"review": "a"}],
        b"a text",
        pathlib.Path("a.txt"),
        pandas.DataFrame([["a", "b"]], columns=["text", "text"]),
    ],
)
def test_what_holds_no_texts_raises(trained, given):
    with pytest.raises(
        DataError,
        match=r"there is no field text \(|there is no field text$|takes texts|2 columns are named text",
    ):
        trained.predict(given)


@covers(205)
def test_images_are_read_from_arrays_and_frames(tmp_path):
    trained = served.image_once()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), np.uint8)
    batch = trained.predict(pixels)
    assert len(batch) == 2 and len(trained.predict(pixels[0])) == 1
    assert batch[0].probabilities == trained.predict({"image": pixels[0]})[0].probabilities
    with pytest.raises(DataError, match="takes images"):
        trained.predict(7)


@covers(205, 206)
def test_a_frame_gives_a_frame(trained):
    frame = pandas.DataFrame({"text": TEXTS, "other": [1, 2, 3]}, index=[5, 3, 9])
    answers = trained.predict(frame)
    assert list(answers.index) == [5, 3, 9] and not answers["error"].any()
    labels = [row.label for row in trained.predict(TEXTS)]
    assert answers["predicted_label"].tolist() == labels


@covers(206)
def test_a_row_of_a_frame_is_one_input(trained):
    frame = pandas.DataFrame({"label": ["good", "bad"], "text": TEXTS[:2]})
    (one,) = trained.predict(frame.iloc[0])
    assert one.id == TEXTS[0] and one.label and not one.error


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK"])
def test_pictures_of_pillow_are_read_as_their_files(tmp_path, mode):
    trained, path = served.image_once(), tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    (picture.convert("RGB") if mode == "CMYK" else picture).save(path)
    (of_file,) = trained.predict(path)
    (alone,), (listed,) = trained.predict(picture), trained.predict([picture])
    assert not of_file.error
    assert of_file.probabilities == alone.probabilities == listed.probabilities


@covers(255)
@pytest.mark.parametrize("text", ["\u200b", "\x01\x02", " \u2060\ufeff "])
def test_a_text_of_which_nothing_is_shown_is_told_as_blank(trained, tmp_path, text):
    (given,) = trained.predict([text])
    assert given.error and not given.label
    path = tmp_path / "a.jsonl"
    rows = [f'{{"text": "text {row}", "label": "{"ab"[row % 2]}"}}' for row in range(200)]
    escaped = text.encode("unicode_escape").decode().replace("\\x", "\\u00")
    path.write_text("\n".join([*rows, f'{{"text": "{escaped}", "label": "a"}}']))
    scan = loader.load(f"jsonl(path={path}, text=text)").scan
    assert scan.skipped == 1 and "text" in scan.skipped_rows[0]["reason"]


@pytest.mark.parametrize("text", ["\ue000", "\U0001fffd", "\ud800"])
def test_characters_that_no_table_knows_are_no_blanks(text):
    """Of private use, of a newer Unicode than this Python's (a new emoji), half of a pair."""
    assert not is_blank(text)


class Words:
    """A tokenizer's stand-in for lengths: the number of words."""

    length = 128

    def count_tokens(self, texts):
        return np.array([len(text.split()) for text in texts.numpy()])


@covers(204)
@pytest.mark.parametrize("order", ["short first", "long first", "mixed"])
def test_the_length_is_that_of_a_random_sample_of_all_texts(order):
    texts = ["short text"] * 7000 + ["long " * 40] * 1000
    if order == "long first":
        texts.reverse()
    if order == "mixed":
        texts = [texts[at] for at in np.random.default_rng(1).permutation(len(texts))]
    assert preprocessing.fitting_length(Words(), [texts]) == 40
    drawn = preprocessing._sample_rows([texts])[0]
    assert len(drawn) == 5000 and abs(sum(text.startswith("long") for text in drawn) - 625) < 80
    assert preprocessing._sample_rows([texts[:300]]) == [texts[:300]]


@covers(117)
@pytest.mark.parametrize("names", [("0123", "123"), ("1e3", "1000"), ("0.5", "1.0", "1.5")])
def test_names_of_folders_are_names_whatever_number_they_spell(tmp_path, names):
    from tests.faults.found_folders_test import fill

    for name in names:
        fill(tmp_path / name, 4)
    source = loader.load(f"image_folder(path={tmp_path})")
    assert sorted(source.class_names) == sorted(names) and len(source) == 4 * len(names)


@covers(231)
@pytest.mark.parametrize("codes", [("1E3", "1000"), ("0012", "12"), ("01", "1", "1.0")])
def test_codes_pass_where_the_user_says_that_they_are_text(tmp_path, codes):
    path = write(tmp_path / "a.csv", codes * 10)
    with pytest.raises(DataError, match="one number spelled in several ways") as told:
        load(path)
    assert "label_type=text" in told.value.fix
    assert set(load(path, ", label_type=text").class_names) == set(codes)
    with pytest.raises(FlagError, match="label_type is auto or text"):
        load(path, ", label_type=code")


@covers(232)
def test_half_stars_can_be_classes_in_their_order(tmp_path):
    """Decided: not by themselves, which would hide a regression; with label_type=text they are."""
    path = write(tmp_path / "a.csv", ["3.5", "4", "10", "0.5"] * 10)
    with pytest.raises(FlagError, match="numbers with fractions") as told:
        load(path)
    assert "label_type=text" in told.value.fix and "--head=regress" in told.value.fix
    assert load(path, ", label_type=text").class_names == ("0.5", "3.5", "4", "10")


@covers(234)
@pytest.mark.parametrize("other", ["good\u200b", "go\u00adod", "\ufeffgood", "Good"])
def test_class_names_that_look_alike_stop(tmp_path, other):
    path = write(tmp_path / "a.csv", ["good", other, "bad"] * 5)
    with pytest.raises(DataError, match="class names that differ only in case, blanks"):
        load(path)


@covers(234)
@pytest.mark.parametrize("other", ["\uff43at", "c\x01at", "cat\ufe0f"])
def test_class_names_that_are_compatible_are_warned_of(tmp_path, other):
    scan = row_scan.Scan("a")
    class_checks.check_class_names(scan, {"cat", other, "dog"})
    (warned,) = scan.warnings
    assert "look alike" in warned and ascii(other) in warned and not scan.failures


def test_names_that_differ_are_not_warned_of():
    scan = row_scan.Scan("a")
    class_checks.check_class_names(
        scan, {"cat", "cats", "C++", "C#", "na\u00efve", "naive", "1", "10"}
    )
    assert not scan.warnings and not scan.failures


def test_the_names_are_shown_such_that_the_difference_is_seen():
    scan = row_scan.Scan("a")
    class_checks.check_class_names(scan, {"good", "good\u200b"})
    assert "\\u200b" in scan.failures[0].what
