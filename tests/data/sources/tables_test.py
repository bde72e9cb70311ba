import csv
import json

import numpy as np
import pytest
from PIL import Image

from tltf.config.option_groups import ScanOptions
from tltf.data import loader, splits
from tltf.errors import DataError, FlagError


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def load(path, more="text=text, label=label", **settings):
    return loader.load(f"csv(path={path}, {more})", **settings)


def test_csv_reads_what_the_csv_module_wrote(tmp_path):
    texts = ['said "no", twice', "two\nlines", "plain", "comma, here", "emoji 🎉", "a\u2028b"]
    with open(tmp_path / "a.csv", "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label"])
        writer.writerows([[i, text, "NA" if i % 2 else "null"] for i, text in enumerate(texts)])
    source = load(tmp_path / "a.csv")
    assert list(source.column.values) == texts
    assert source.class_names == ("NA", "null")
    assert source.labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert source.ids[2].endswith("a.csv:5")  # the row before spans lines 3 and 4
    assert source.scan.found == source.scan.used == 6


def test_jsonl_gives_the_same_as_csv(tmp_path):
    rows = [("good", "pos"), ("bad", "neg"), ("fine", "pos")]
    write(tmp_path / "a.csv", "text,label\n" + "".join(f"{t},{c}\n" for t, c in rows))
    lines = [json.dumps({"text": t, "label": c}) for t, c in rows]
    write(tmp_path / "a.jsonl", "\n".join(lines) + "\n")
    ours = loader.load(f"jsonl(path={tmp_path}/a.jsonl, text=text)")
    theirs = load(tmp_path / "a.csv")
    assert list(ours.column.values) == list(theirs.column.values)
    assert ours.labels.tolist() == theirs.labels.tolist()


def test_bad_rows_are_skipped_and_counted(tmp_path):
    good = "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(10))
    bad = "ragged\n  ,a\nno label,\nwith nan,nan\nthree,a,b\n"
    path = write(tmp_path / "a.csv", "text,label\n" + good + bad)
    with pytest.raises(DataError, match=r"5 of 15 rows.*max_bad_fraction=0\.34"):
        load(path)
    scan = load(path, scan=ScanOptions(max_bad_fraction=0.34)).scan
    assert (scan.found, scan.used, scan.skipped, scan.excluded) == (15, 10, 5, 0)
    assert [row["id"].rpartition(":")[2] for row in scan.skipped_rows] == [
        "12",
        "13",
        "14",
        "15",
        "16",
    ]


def test_jsonl_skips_bad_lines(tmp_path):
    lines = ['{"text": "a", "label": 1}', '{"text": "b", "label": 2}', "{broken", "[1]"]
    lines += ['{"text": null, "label": 1}', '{"text": 3, "label": 1}', '{"label": 2}']
    path = write(tmp_path / "a.jsonl", "\n".join(lines))
    source = loader.load(f"jsonl(path={path}, text=text)", scan=ScanOptions(max_bad_fraction=1.0))
    assert source.scan.skipped == 5
    assert source.class_names == ("1", "2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("text,label\n", "there are no rows"),
        ("text,text,label\na,b,c\n", "text twice"),
        ("text;label\na;b\n", r"delimiter=';'"),
        ('text,label\nfine,a\n"open,b\nmore,c\n', r"a\.csv:3 .*quote"),
        ("text,label\na,x\nb,x\n", "only one class"),
        ("text,label\na,Cat\nb,cat\n", "differ only in case"),
        ("text,label\na,1\nb,1.0\nc,2\n", "several ways.*1, 1.0"),
    ],
)
def test_csv_faults(tmp_path, text, message):
    with pytest.raises(DataError) as caught:
        load(write(tmp_path / "a.csv", text))
    assert caught.match(message)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("text=txt, label=label", "no column 'txt'.*fix: text=text"),
        ("text=text, label=lable", "no column 'lable'.*fix: label=label"),
        ("label=label", "text=COLUMN or image=COLUMN"),
        ("text=text, encoding=utf9", "no encoding"),
    ],
)
def test_csv_flags(tmp_path, more, message):
    path = write(tmp_path / "a.csv", "text,label\na,x\nb,y\n")
    with pytest.raises(FlagError, match=message):
        load(path, more)


def test_fractions_are_no_classes(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\na,0.5\nb,1.25\n")
    with pytest.raises(FlagError, match="--head=regress"):
        load(path)


def test_other_encoding_is_named_with_its_row(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\nfine,a\nfür,b\n", "latin-1")
    with pytest.raises(DataError, match=r"a\.csv:3 .*byte 19 \(0xfc\).*encoding=latin-1"):
        load(path)
    assert load(path, "text=text, encoding=latin-1").column.values[1] == "für"


def test_missing_path_names_the_nearest_folder(tmp_path):
    write(tmp_path / "train.csv", "text,label\na,x\nb,y\n")
    with pytest.raises(FlagError, match=rf"nearest that exists: {tmp_path}.*train\.csv"):
        load(tmp_path / "trian.csv")


@pytest.mark.parametrize(
    ("missing", "fix"),
    [
        ("a.csv/b/c.csv", "path={folder}/a.csv"),
        ("x" * 300, "see what is in {folder}"),
        ("x" * 300 + "/a.csv", "see what is in {folder}"),
        ("a" * 200 + "/" + "b" * 300, "see what"),
    ],
)
def test_a_path_that_cannot_be_is_one_that_is_missing(tmp_path, missing, fix):
    """Below a file, or with a name that is too long for one."""
    write(tmp_path / "a.csv", "text,label\n")
    with pytest.raises(
        FlagError, match=r"no file or folder .*\(the nearest that exists: "
    ) as raised:
        load(tmp_path / missing)
    assert raised.value.flag == "data" and raised.value.fix.startswith(fix.format(folder=tmp_path))
    assert f"exists: {tmp_path})" in raised.value.what


def test_json_array_is_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", '[{"text": "a"}]')
    with pytest.raises(DataError, match="JSON array"):
        loader.load(f"jsonl(path={path}, text=text)")


def test_given_splits_are_kept_and_leaks_excluded_from_train(tmp_path):
    train = "".join(f"row {i},{'ab'[i % 2]}\n" for i in range(40)) + "shared,a\n"
    write(tmp_path / "train.csv", "text,label\n" + train)
    write(tmp_path / "test.csv", "text,label\nshared,a\nown,b\n")
    call = f"csv(train={tmp_path}/train.csv, test={tmp_path}/test.csv, text=text)"
    source = loader.load(call)
    assert (source.scan.found, source.scan.used, source.scan.excluded) == (43, 42, 1)
    parts = splits.split(source, "holdout", 0)
    assert {role: len(part) for role, part in parts.items()} == {
        "train": 36,
        "validation": 4,
        "test": 2,
    }
    assert "shared" not in parts["train"].column.values
    assert parts["test"].column.values == ["shared", "own"]


def test_csv_of_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), np.uint8)
    (tmp_path / "pictures").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "pictures" / f"{number}.png")
    rows = [f"pictures/{number}.png,{'ab'[number % 2]}\n" for number in range(4)]
    path = write(tmp_path / "a.csv", "file,kind\n" + "".join(rows) + "pictures/none.png,a\n")
    source = load(path, "image=file, label=kind", scan=ScanOptions(max_bad_fraction=0.2))
    assert source.modality == "image"
    assert source.column.kind == "path"
    assert source.scan.skipped_rows[0]["reason"] == "is missing"
    write(path, "file,kind\n../x.png,a\npictures/0.png,b\n")
    with pytest.raises(DataError, match="not under the folder"):
        load(path, "image=file, label=kind")


@pytest.mark.parametrize("reader", ["csv", "jsonl"])
@pytest.mark.parametrize("way", ["../data", "../data/inner/..", "./../data"])
def test_a_table_of_images_is_read_by_any_way_to_it(tmp_path, monkeypatch, reader, way):
    """A path with `..` in it names the same folder as one without."""
    for folder in ("data/inner", "work"):
        (tmp_path / folder).mkdir(parents=True)
    for name, colour in (("a", 10), ("b", 200)):
        pixels = np.random.default_rng(colour).integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / f"{name}.png")
    rows = [{"image": f"{name}.png", "label": name} for name in "ab"]
    write(tmp_path / "data/t.csv", "image,label\na.png,a\ninner/../b.png,b\n")
    write(tmp_path / "data/t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path / "work")
    source = loader.load(f"{reader}(path={way}/t.{reader}, image=image)")
    assert source.column.values == [str(tmp_path / "data" / f"{name}.png") for name in "ab"]


def test_images_outside_of_the_tables_folder_are_one_kind_of_fault(tmp_path):
    rows = [f"../{number}.png,{'ab'[number % 2]}\n" for number in range(9)]
    path = write(tmp_path / "t.csv", "image,label\n" + "".join(rows))
    with pytest.raises(DataError, match=r"folder of the table \(9 times\)") as raised:
        load(path, "image=image")
    assert raised.value.place == f"{path}:2" and raised.value.fix.endswith("not ../0.png")
    assert "more kinds" not in str(raised.value)
