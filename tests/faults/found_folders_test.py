"""What users' reports showed of class folders and splits: classes that vanish, draws by name."""

import csv

import numpy as np
import pytest
from PIL import Image

from tests.faults.making import covers
from tests.splits_test import make, numbered
from tltf.data import sources, splits
from tltf.errors import DataError
from tltf.options import ScanOptions


def fill(folder, count, start=0):
    """Images of noise, of which no two are equal."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        seed = [number, *str(folder).encode()[-8:]]
        pixels = np.random.default_rng(seed).integers(0, 255, (12, 10, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")


def load(folder, **settings):
    return sources.load(f"image_folder(path={folder})", **settings)


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return f"csv(path={path}, text=text, label=label)"


@covers(101)
@pytest.mark.parametrize(("good", "bad"), [(300, 3), (12, 10)])
def test_a_class_of_which_no_file_can_be_read_is_named_and_stops(tmp_path, good, bad):
    """Three of 603 files are below the share of bad rows that is let pass, of a class they are all."""
    for name in ("a", "b"):
        fill(tmp_path / name, good)
    (tmp_path / "c").mkdir()
    for number in range(bad):
        (tmp_path / "c" / f"{number}.jpg").write_bytes(b"\xff\xd8\xff" + bytes(200))
    with pytest.raises(
        DataError, match=f"the class has no row .* c \\({bad} of {bad} rows"
    ) as told:
        load(tmp_path, scan=ScanOptions(max_bad_fraction=0.5))
    assert "--allow_empty_classes" in told.value.fix and "max_bad" not in told.value.fix
    allowed = ScanOptions(max_bad_fraction=0.5, allow_empty_classes=True)
    source = load(tmp_path, scan=allowed)
    assert source.class_names == ("a", "b")
    assert any("left out" in text and "c (" in text for text in source.scan["warnings"])


@covers(101)
@pytest.mark.parametrize("text", ["", "   ", "a\0b"])
def test_a_class_of_a_table_whose_texts_cannot_be_used_is_named_and_stops(tmp_path, text):
    rows = [(f"text {row}", "ab"[row % 2]) for row in range(200)]
    data = write(tmp_path / "a.csv", [*rows, (text, "rare")])
    with pytest.raises(DataError, match=r"the class has no row that can be used: rare \(1 of 1"):
        sources.load(data)
    with pytest.raises(DataError, match=r"no row that can be used: rare"):
        sources.load(write(tmp_path / "b.csv", [*rows, (text, "rare|a")]), target="labels")


@covers(101)
def test_a_class_that_keeps_one_row_is_none_that_vanished(tmp_path):
    for name in ("a", "b"):
        fill(tmp_path / name, 100)
    (tmp_path / "b" / "cut.jpg").write_bytes(b"\xff\xd8\xff" + bytes(200))
    source = load(tmp_path)
    assert source.class_names == ("a", "b") and source.scan["skipped"] == 1


@covers(239)
@pytest.mark.parametrize("split", ["holdout", "kfold(folds=5)", "holdout(test=.5, validation=0)"])
def test_a_split_that_was_asked_for_and_gets_no_row_is_an_error(split):
    unique = make([f"text {row}" for row in range(160)], list(range(160)))
    with pytest.raises(DataError, match=r"asked for \d+ test rows of made, got none") as told:
        splits.split(unique, split, 0)
    assert "holdout(test=0, validation=0)" in told.value.fix
    alike = make(["the same"] * 40 + ["another"] * 40, [0] * 40 + [1] * 40)
    with pytest.raises(DataError, match="got none"):
        splits.split(alike, split, 0)
    one_test = make(["a", "b", "c", "d"], [0, 0, 1, 1], ["train", "test"] * 2)
    warnings = splits.split(one_test, "holdout(validation=.5)", 0)["train"].scan["warnings"]
    assert any("no row is left to validate on" in text for text in warnings)
    all_train = splits.split(unique, "holdout(test=0, validation=0)", 0)
    assert len(all_train["train"]) == 160


@covers(106)
@pytest.mark.parametrize(("classes", "rows"), [(10, 3), (10, 4), (2, 3), (60, 3)])
def test_of_small_classes_the_seed_draws_which_are_tested(classes, rows):
    """Before, they were the first by name, and the same classes also gave the validation rows."""
    tested = []
    for seed in range(12):
        parts = splits.split(numbered(*[rows] * classes), "holdout", seed)
        counts = {role: np.bincount(part.labels, minlength=classes) for role, part in parts.items()}
        total = rows * classes
        assert counts["test"].sum() == round(0.2 * total)
        assert counts["validation"].sum() == round(0.1 * total)
        has_none = np.sum(counts["test"] == 0)
        shared = np.sum((counts["test"] > 0) & (counts["validation"] > 0))
        assert shared == max(0, counts["validation"].sum() - has_none)
        assert counts["train"].min() >= 1
        tested.append(frozenset(np.flatnonzero(counts["test"])))
    assert len(set(tested)) > 1
    if classes == 60:  # any class is as likely as another
        often = np.bincount([name for drawn in tested for name in drawn], minlength=60)
        assert often.max() - often.min() <= 11 and np.corrcoef(often, np.arange(60))[0, 1] < 0.5


def test_folds_draw_validation_rows_of_their_own():
    """Formerly folds 1 to K - 1 had the same, out of fold 0, on which then no model trained."""
    source, seen = numbered(200, 300), []
    for fold in range(5):
        parts = splits.split(source, f"kfold(folds=5, fold={fold})", 0)
        seen.append(set(parts["validation"].ids))
        assert len(seen[-1]) == 40
    shared = [len(seen[i] & seen[j]) for i in range(5) for j in range(i)]
    assert max(shared) <= 12  # 40 of 400 twice: 3 by chance among rows that both may have
    assert len(set.union(*seen)) > 120
