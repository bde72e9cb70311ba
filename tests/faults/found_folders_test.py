"""What users' reports showed of class folders and splits: classes that vanish, draws by name."""

import csv
import importlib
import json
import os
import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

from tests.data.splits_test import make, numbered
from tests.faults.making import covers
from tltf import evaluate, train
from tltf.config.option_groups import ScanOptions
from tltf.data import loader, splits
from tltf.errors import DataError, FlagError
from tltf.models import input_format, inputs


def fill(folder, count, start=0):
    """Images of noise, of which no two are equal."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        seed = [number, *str(folder).encode()[-8:]]
        pixels = np.random.default_rng(seed).integers(0, 255, (12, 10, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")


def load(folder, **settings):
    return loader.load(f"image_folder(path={folder})", **settings)


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
    assert any("left out" in text and "c (" in text for text in source.scan.warnings)


@covers(101)
@pytest.mark.parametrize("text", ["", "   ", "a\0b"])
def test_a_class_of_a_table_whose_texts_cannot_be_used_is_named_and_stops(tmp_path, text):
    rows = [(f"text {row}", "ab"[row % 2]) for row in range(200)]
    data = write(tmp_path / "a.csv", [*rows, (text, "rare")])
    with pytest.raises(DataError, match=r"the class has no row that can be used: rare \(1 of 1"):
        loader.load(data)
    with pytest.raises(DataError, match=r"no row that can be used: rare"):
        loader.load(write(tmp_path / "b.csv", [*rows, (text, "rare|a")]), target="labels")


@covers(101)
def test_a_class_that_keeps_one_row_is_none_that_vanished(tmp_path):
    for name in ("a", "b"):
        fill(tmp_path / name, 100)
    (tmp_path / "b" / "cut.jpg").write_bytes(b"\xff\xd8\xff" + bytes(200))
    source = load(tmp_path)
    assert source.class_names == ("a", "b") and source.scan.skipped == 1


@covers(239)
@pytest.mark.parametrize("split", ["holdout", "kfold(folds=5)", "holdout(test=.5, validation=0)"])
def test_a_split_that_was_asked_for_and_gets_no_row_is_an_error(split):
    unique = make([f"text {row}" for row in range(160)], list(range(160)))
    with pytest.raises(
        DataError, match=r"\d+ test rows of made were asked for and there is none"
    ) as told:
        splits.split(unique, split, 0)
    assert "holdout(test=0, validation=0)" in told.value.fix
    alike = make(["the same"] * 40 + ["another"] * 40, [0] * 40 + [1] * 40)
    with pytest.raises(DataError, match="asked for and there is none"):
        splits.split(alike, split, 0)
    one_test = make(["a", "b", "c", "d"], [0, 0, 1, 1], ["train", "test"] * 2)
    warnings = splits.split(one_test, "holdout(validation=.5)", 0)["train"].scan.warnings
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


LAYOUTS = {
    "training_set": (["training_set", "test_set"], ("train", "test")),
    "seg_train": (["seg_train/seg_train", "seg_test/seg_test"], ("train", "test")),
    "capital": (["Training", "Testing"], ("train", "test")),
    "years": (["train2017", "val2017"], ("train", "validation")),
    "shared word": (["cars_train", "cars_test"], ("train", "test")),
    "camel": (["TrainImages", "ValidImages"], ("train", "validation")),
    "dev": (["TRAIN", "dev"], ("train", "validation")),
}


@covers(103)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_split_folders_of_usual_names_are_splits(tmp_path, layout):
    folders, roles = LAYOUTS[layout]
    for start, folder in enumerate(folders):
        for name in ("cats", "dogs"):
            fill(tmp_path / folder / name, 4, 10 * start)
    source = load(tmp_path)
    assert source.class_names == ("cats", "dogs")
    for folder, role in zip(folders, roles, strict=True):
        rows = [place for place, row in enumerate(source.ids) if row.startswith(folder)]
        assert len(rows) == 8 and set(source.roles[rows].tolist()) == {role}


@covers(103, 124)
def test_pictures_without_classes_beside_splits_are_left_out_or_refused(tmp_path):
    for start, folder in enumerate(("seg_train", "seg_test")):
        for name in ("cats", "dogs"):
            fill(tmp_path / "a" / folder / folder / name, 4, 10 * start)
    fill(tmp_path / "a" / "seg_pred" / "seg_pred", 3, 50)
    source = load(tmp_path / "a")
    assert len(source) == 16 and "seg_pred/ is left out" in source.scan.warnings[0]
    for name in ("cats", "dogs"):
        fill(tmp_path / "b" / "train" / name, 4)
    fill(tmp_path / "b" / "test", 3, 50)
    with pytest.raises(DataError, match="splits would be read as classes") as told:
        load(tmp_path / "b")
    assert f"path={tmp_path}/b/train " in told.value.fix
    assert f"--input={tmp_path}/b/test" in told.value.fix


@covers(103)
@pytest.mark.parametrize(
    "names",
    [("train", "plane"), ("test1", "test2"), ("train station", "test tube"), ("valid", "invalid")],
)
def test_classes_that_are_named_like_splits_stay_classes(tmp_path, names):
    for name in names:
        fill(tmp_path / name, 4)
    assert load(tmp_path).class_names == tuple(sorted(names)) and load(tmp_path).roles is None


@covers(103)
def test_folders_of_splits_without_classes_are_refused(tmp_path):
    for start, name in enumerate(("training_set", "test_set")):
        fill(tmp_path / name, 4, 10 * start)
    with pytest.raises(DataError, match="splits would be read as classes"):
        load(tmp_path)


@covers(124)
def test_a_folder_in_a_folder_and_an_archive_get_the_fix_that_helps(tmp_path):
    for name in ("cat", "dog"):
        fill(tmp_path / "photos" / "photos" / name, 4)
    with pytest.raises(DataError, match="holds one folder, photos/, with 2 folders") as told:
        load(tmp_path / "photos")
    assert told.value.fix == f"path={tmp_path}/photos/photos"
    (tmp_path / "photos.zip").write_bytes(b"PK\3\4")
    with pytest.raises(FlagError, match=r"photos\.zip is a file") as told:
        load(tmp_path / "photos.zip")
    assert told.value.fix.startswith("unpack it")


@covers(110)
def test_links_out_of_the_folder_are_named_and_followed_when_asked_for(tmp_path):
    """As of a cache with blobs beside snapshots, and of class folders elsewhere; a loop ends."""
    for name in ("cat", "dog"):
        fill(tmp_path / "blobs" / name, 6)
        (tmp_path / "data" / name).mkdir(parents=True)
        for path in sorted((tmp_path / "blobs" / name).iterdir()):
            (tmp_path / "data" / name / path.name).symlink_to(path)
    with pytest.raises(DataError, match="is a link that leaves the data folder") as told:
        load(tmp_path / "data")
    assert told.value.fix.startswith("give --follow_links")
    follows = ScanOptions(follow_links=True)
    assert len(load(tmp_path / "data", scan=follows)) == 12
    (tmp_path / "linked").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "linked" / name).mkdir()
        (tmp_path / "linked" / name / "all").symlink_to(tmp_path / "blobs" / name)
    (tmp_path / "blobs" / "dog" / "loop").symlink_to(tmp_path / "blobs" / "dog")
    source = load(tmp_path / "linked", scan=follows)
    assert len(source) == 12 and np.bincount(source.labels).tolist() == [6, 6]


OTHERS = {
    "0.xml": b"<?xml version='1.0'?><annotation/>",
    "logo.svg": b"<?xml version='1.0'?><svg/>",
    "notes.html": b"<!DOCTYPE html><html></html>",
    "sheet.pdf": b"%PDF-1.4",
    "labels.txt": b"x",
}


@covers(113, 114, 122)
def test_training_and_prediction_take_the_same_files(tmp_path):
    """By an image's name or content; what is neither is not a row, and is counted."""
    for name in ("cat", "dog"):
        fill(tmp_path / name, 5)
        os.rename(tmp_path / name / "000.png", tmp_path / name / "no_extension")
        os.rename(tmp_path / name / "001.png", tmp_path / name / "1.jpg_large")
        for other, content in OTHERS.items():
            (tmp_path / name / other).write_bytes(content)
        (tmp_path / name / "@eaDir").mkdir()
        fill(tmp_path / name / "@eaDir", 2, 70)
    source = load(tmp_path)
    assert len(source) == source.scan.found == 10 and source.scan.ignored == 12
    with pytest.warns(UserWarning, match="12 files or folders in .* are left out"):
        items = list(inputs.read(str(tmp_path), input_format.InputFormat("image", {"image": ()})))
    assert sorted(item.value for item in items) == sorted(source.column.values)
    (tmp_path / "cat" / "page.jpg").write_bytes(OTHERS["notes.html"])
    with pytest.raises(DataError, match="is HTML"):
        load(tmp_path)


@covers(115)
@pytest.mark.parametrize("trained", ["NFC", "NFD"])
def test_class_names_of_another_unicode_form_are_the_same(trained):
    names = [unicodedata.normalize(trained, name) for name in ("café", "thé")]
    other = "NFD" if trained == "NFC" else "NFC"
    given = [unicodedata.normalize(other, name) for name in ("thé",)]
    source = make(["a", "b"], [0, 0])
    source = source.with_labels(source.labels, given)
    assert source.reorder_classes(names).labels.tolist() == [1, 1]
    assert len(source.keep_classes(names, "was not trained")) == 2


@covers(116)
@pytest.mark.parametrize("output", ["run", "cat/run", "../data/deep/run", "link/run"])
@pytest.mark.parametrize("command", ["train", "check"])
def test_an_output_in_the_data_folder_is_refused_before_it_is_made(
    tmp_path, capsys, command, output
):
    for name in ("cat", "dog"):
        fill(tmp_path / "data" / name, 4)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    at = tmp_path / "link/run" if output == "link/run" else tmp_path / "data" / output
    before = sorted(tmp_path.rglob("*"))
    argv = [f"--data=image_folder(path={tmp_path}/data)", f"--output={at}"]
    argv += ["--backbone=small_cnn(filters=[8])"] if command == "train" else []
    assert importlib.import_module(f"tltf.{command}").main(argv) == 2
    said = capsys.readouterr().err
    assert "lies in the data folder" in said and "fix: --output=runs/run" in said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A run on train/ and val/, as some data sets have them."""
    folder = tmp_path_factory.mktemp("judged")
    for start, split in ((0, "train"), (50, "val")):
        for name in ("cat", "dog"):
            fill(folder / "data" / split / name, 8 if split == "train" else 3, start)
    argv = [
        f"--data=image_folder(path={folder}/data)",
        f"--output={folder}/run",
        "--export=false",
        "--backbone=small_cnn(filters=[8])",
        "--image_size_px=16",
        "--method=scratch",
        "--train_epochs=2",
        "--explain=none",
        "--split=holdout(test=0)",
    ]
    assert train.main(argv) == 0
    return folder


def evaluated(folder, capsys, data, *flags):
    """`(exit code, report, what was said)`."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    capsys.readouterr()
    code = evaluate.main([f"--run={folder}/run", f"--data={data}", f"--output={out}", *flags])
    said = capsys.readouterr()
    report = json.loads((out / "report.json").read_text()) if code == 0 else None
    return code, report, said.out + said.err


@covers(102)
def test_evaluation_takes_validation_where_there_is_no_test_and_never_training_rows(judged, capsys):
    data = f"image_folder(path={judged}/data)"
    code, report, said = evaluated(judged, capsys, data)
    assert code == 0 and report["test"]["num_examples"] == 6
    assert report["run"]["rows"] == "the validation split" and "no test split" in said
    assert "if these rows were the run's own, the epoch was chosen on them" in said
    assert not any("was trained on" in text for text in report["data"]["warnings"])
    code, report, said = evaluated(judged, capsys, data, "--rows=train")
    assert code == 0 and report["test"]["num_examples"] == 16
    assert "was trained on 16 of 16 examples" in said
    assert "was trained on 16 of 16 examples" in report["data"]["warnings"][0]


@covers(102)
def test_evaluation_counts_rows_that_were_trained_on_by_their_content(judged, capsys):
    """Copies under other names, beside new ones, in data without splits."""
    for name in ("cat", "dog"):
        fill(judged / "mixed" / name, 3, 90)
        content = (judged / "data" / "train" / name / "001.png").read_bytes()
        (judged / "mixed" / name / "other_name.png").write_bytes(content)
    data = f"image_folder(path={judged}/mixed)"
    code, report, said = evaluated(judged, capsys, data)
    assert code == 0 and report["test"]["num_examples"] == 8
    assert "was trained on 2 of 8 examples" in said
    only_train = f"image_folder(path={judged}/train_only)"
    shutil.copytree(judged / "data" / "train", judged / "train_only" / "train", dirs_exist_ok=True)
    code, _, said = evaluated(judged, capsys, only_train)
    assert code == 2 and "--rows=train" in said
    os.rename(judged / "run" / "trained_rows.bin", judged / "kept")
    _, report, said = evaluated(judged, capsys, data)
    assert "so whether these rows are new is not known" in said
    os.rename(judged / "kept", judged / "run" / "trained_rows.bin")


@covers(102)
def test_evaluation_of_the_runs_own_data_without_splits_says_how_many_it_knows(tmp_path, capsys):
    for name in ("cat", "dog"):
        fill(tmp_path / "data" / name, 10)
    data = f"image_folder(path={tmp_path}/data)"
    argv = [
        f"--data={data}",
        f"--output={tmp_path}/run",
        "--export=false",
        "--backbone=small_cnn(filters=[8])",
        "--image_size_px=16",
        "--method=scratch",
        "--train_epochs=1",
        "--explain=none",
    ]
    assert train.main(argv) == 0
    assert "2 classes (cat, dog)" in capsys.readouterr().err
    code, _, said = evaluated(tmp_path, capsys, data)
    assert code == 0 and "was trained on 14 of 20 examples" in said
