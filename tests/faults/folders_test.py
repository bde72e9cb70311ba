"""Rows 25 to 43 of the matrix: class folders, splits, and what is in two places at once."""

import csv
import json
import unicodedata

import numpy as np
import pytest

from tests import served
from tests.faults.making import (
    Case,
    beside,
    bounded_memory,
    call,
    classes,
    covers,
    encoded,
    judge,
    only,
    picture,
    put,
    require,
    run,
    snapshot,
    table,
)
from tltf.console import signals
from tltf.data import class_checks, label_kinds
from tltf.models import saving

SAME = picture(5)


def pictures(*names):
    """A picture for each path, all different."""
    return {name: picture(100 + number) for number, name in enumerate(names)}


def split_folders(**counts):
    """`train__cat=3` makes three pictures in train/cat."""
    names = [
        f"{where.replace('__', '/')}/{number}.png"
        for where, count in counts.items()
        for number in range(count)
    ]
    return pictures(*names)


def with_empty_class(folder):
    classes(folder)
    (folder / "owl").mkdir()
    return call(folder)


def many(num_files, num_classes):
    """A `make` for a Case: every content another."""
    content = encoded(SAME, "JPEG")

    def make(folder):
        for number in range(num_files):
            name = f"class_{number % num_classes}/{number}.jpg"
            comment = b"\xff\xfe\0\x0a%08d" % number
            put(folder, {name: content[:2] + comment + content[2:]})
        return call(folder)

    return make


def one_text_of_two_labels(folder):
    rows = ["fine,a", *(f"text {number},{'ab'[number % 2]}" for number in range(7)), "fine,b"]
    put(folder, {"t.csv": "\n".join(["text,label", *rows])})
    return f"csv(path={folder}/t.csv, text=text)"


def saved_again(folder):
    """Smooth pictures, each once as PNG and once as JPEG."""
    for number in range(8):
        smooth = picture(number, (4, 4)).resize((64, 64), 3)
        files = {f"{number}.png": smooth, f"{number}.jpg": encoded(smooth, "JPEG", quality=85)}
        put(folder / ("cat", "dog")[number % 2], files)
    return call(folder)


NAMES = [
    ("case", "Cat", "cat"),
    ("a blank", "cat ", "cat"),
    ("Unicode form", unicodedata.normalize("NFC", "kä"), unicodedata.normalize("NFD", "kä")),
]
LEAKED = split_folders(train__cat=5, train__dog=5, test__cat=1, test__dog=1)
LEAKED |= {"train/cat/copy.png": SAME, "test/cat/copy.png": SAME}
OF_TWO_LABELS = {"cat/one.png": SAME, "dog/two.png": SAME}
ONLY_IN_TEST = split_folders(train__cat=4, train__dog=4, test__cat=1, test__dog=1, test__owl=1)


PLAN = ["--backbone=small_cnn", "--dry_run"]


@table(
    Case(
        25,
        "path missing",
        lambda folder: call(folder / "phtoos/train"),
        2,
        said=("phtoos/train", "the nearest that exists: ", "/data)"),
    ),
    Case(
        25,
        "nobody's home",
        lambda folder: call("~nosuchuser/x"),
        2,
        said=("no file or folder ~nosuchuser/x",),
    ),
    *(
        Case(
            25,
            f"nobody's home, {flag}",
            lambda folder, flag=flag: [
                f"--data={call(classes(folder))}",
                *PLAN,
                f"--{flag}=~nosuchuser/x",
            ],
            2,
            command="train",
            said=(f"--{flag}", "~nosuchuser/x"),
        )
        for flag in ("backbone", "backbone_weights")
    ),
    Case(
        26,
        "no images",
        only({"cat/a.md": "x", "dog/b.pdf": "x"}),
        3,
        said=("no images in the folders", "extensions seen: .md, .pdf"),
    ),
    Case(27, "one class", only(pictures("cat/1.png", "cat/2.png")), 3, said=("one class",)),
    Case(
        28,
        "empty class folder",
        with_empty_class,
        3,
        said=(
            "the class folder owl/ has no images",
            "remove it, fill it, or give --allow_empty_classes",
        ),
    ),
    Case(
        28,
        "empty class allowed",
        with_empty_class,
        flags=("--allow_empty_classes",),
        said=("warning    the class folder owl/ has no images",),
    ),
    Case(
        29,
        "class of one",
        beside(pictures("owl/1.png")),
        counts=(9, 0, 0, 0),
        said=("6 train, 1 validation, 2 test", "owl has one training row"),
    ),
    Case(
        31,
        "validation of no row",
        only(pictures("a/1.png", "a/2.png", "b/3.png", "b/4.png")),
        3,
        said=(
            "--split",
            "validation=0.1 of 4 rows is less than one row",
            "validation=0.25 or more",
        ),
    ),
    Case(
        31,
        "test and validation of no row",
        lambda folder: [
            f"--data={call(classes(folder))}",
            "--split=holdout(test=.01, validation=.02)",
        ],
        3,
        said=(
            "test=0.01 of 8 rows is less than one row (1 of 2 faults; others: validation=0.02 of 8 rows is less than one row)",
        ),
    ),
    Case(
        32,
        "class only in test",
        only(ONLY_IN_TEST),
        3,
        said=("1 classes have test or validation rows but no training row: owl",),
    ),
    Case(
        32,
        "unknown classes skipped",
        only(ONLY_IN_TEST),
        flags=("--unknown_classes=skip", "--max_bad_fraction=.5"),
        counts=(10, 1, 0, 0),
        listed={"test/owl/0.png": "its class 'owl' is not in the training split"},
    ),
    Case(
        32,
        "too many unknown",
        only(ONLY_IN_TEST),
        3,
        flags=("--unknown_classes=skip",),
        said=("1 of 11 rows are bad", "1 its class 'owl' is not in the training split"),
    ),
    Case(
        33,
        "class not in test",
        only(split_folders(train__cat=4, train__dog=4, train__owl=4, test__cat=2, test__owl=2)),
        said=("class dog has no test example",),
        counts=(16, 0, 0, 0),
    ),
    *(
        Case(
            34,
            what,
            only(pictures(f"{one}/1.png", f"{two}/2.png")),
            3,
            said=(
                f"differ only in case, blanks or Unicode form: {', '.join(map(repr, sorted((one, two))))}",
                "fix: give them one name, such as",
            ),
        )
        for what, one, two in NAMES
    ),
    Case(
        35,
        "splits as classes",
        only(pictures("train/1.png", "val/2.png")),
        3,
        said=("train/, val/", "splits would be read as classes", "put a folder for each class"),
    ),
    Case(
        35,
        "splits beside classes",
        only(pictures("train/a/1.png", "val/b/2.png", "c/3.png")),
        3,
        said=("train/, val/ hold class folders but stand beside other folders",),
    ),
    Case(
        36,
        "loose files",
        beside(pictures("one.png", "two.jpg")),
        counts=(8, 2, 0, 0),
        listed={"one.png": "outside of the class folders", "two.jpg": "outside"},
    ),
    Case(
        36,
        "loose files in a split",
        only(
            split_folders(train__a=4, train__b=4, test__a=1, test__b=1) | pictures("train/one.png")
        ),
        counts=(10, 1, 0, 0),
        listed={"train/one.png": "outside of the class folders"},
    ),
    Case(
        37,
        "twice in a class",
        beside({"cat/one.png": SAME, "cat/two.png": SAME}),
        counts=(10, 0, 0, 0),
        said=("1 rows repeat the content of others",),
    ),
    Case(
        38,
        "two labels",
        beside(OF_TWO_LABELS),
        3,
        said=("1 rows have the content of another with another label: cat/one.png = dog/two.png",),
    ),
    # Of texts it is a warning, where the matrix wants 3: short ones are often written by several
    # people, who mean different things; one picture under two labels is a slip of the hand.
    Case(
        38,
        "text of two labels",
        one_text_of_two_labels,
        counts=(9, 0, 0, 0),
        said=("warning    1 rows have the content of another with another label:", ":2\n"),
    ),
    Case(
        39,
        "in train and test",
        only(LEAKED),
        counts=(13, 0, 1, 0),
        said=("1 rows excluded: their content is in a later split too",),
        listed={"train/cat/copy.png": "its content is in the test split too"},
    ),
    Case(
        39,
        "in train and test, strict",
        only(LEAKED),
        3,
        flags=("--strict",),
        said=("1 rows have the content of a later split, such as train/cat/copy.png",),
    ),
    Case(
        40,
        "near the same",
        saved_again,
        flags=(),
        counts=(16, 0, 0, 0),
        said=("near       ", "nearly the same as "),
    ),
    Case(
        41,
        "many to one",
        only(split_folders(usual=150, rare=1)),
        said=("usual has 105 times as many rows as rare: judge by macro F1",),
    ),
)
def test_folders(case, tmp_path, capfd):
    judge(case, tmp_path, capfd)


@covers(40)
def test_what_is_near_across_splits_is_listed_first(tmp_path, capfd):
    case = Case(40, "near", saved_again, flags=(), counts=(16, 0, 0, 0))
    judge(case, tmp_path, capfd)
    rows = [json.loads(line) for line in (tmp_path / "out/data_report.jsonl").open()]
    assert len(rows) >= 4 and {row["what"] for row in rows} == {"near"}
    across = ["(both " not in row["reason"] for row in rows]
    assert across == sorted(across, reverse=True) and across[0]
    for row in rows:
        assert row["id"].rpartition(".")[0] in row["reason"], "a picture and itself"


@covers(29, 41)
def test_training_warns_as_the_scan_alone_does(tmp_path, capfd):
    lines = [f"text {n},{'rare' if n == 0 else 'usual'}\n" for n in range(200)]
    put(tmp_path, {"t.csv": "text,label\n" + "".join(lines)})
    data = f"--data=csv(path={tmp_path}/t.csv, text=text)"
    alone = run("check", [data], capfd).out
    done = run("train", [data, "--backbone=small_lstm(units=4)", "--dry_run"], capfd)
    require(done, 0)
    for words in ("usual has 139 times as many rows as rare", "class rare has one training row"):
        assert f"warning    {words}" in alone and f"warning    {words}" in done.out


def test_few_of_many_classes_are_named():
    counts = {"train": np.array([1] * 9), "validation": np.zeros(9, int), "test": np.arange(9)}
    assert class_checks.class_warnings(list("abcdefghi"), counts, label_kinds.KINDS["class"]) == [
        "class a has no test example",
        "9 classes have one training row: a, b, c, d, e and 4 more",
    ]


def report_of(folder):
    rows = [json.loads(line) for line in (folder / "data_report.jsonl").open()]
    return {row["id"].rpartition("/")[2]: row for row in rows}


def of_many_faults(folder):
    """A table a split: one of another encoding, one with a bad quote, one with bad rows."""
    good = "".join(f"text {number},{'ab'[number % 2]}\n" for number in range(8))
    put(
        folder,
        {
            "train.csv": ("text,label\n" + good + "für,a\n").encode("latin-1"),
            "validation.csv": "text,label\n" + good + 'text,a\n"open,b\n',
            "test.csv": "text,label\n"
            + good.replace("text", "tested")
            + "0.5,cat \n0.7,Cat\n0.8,cat\n ,a\nalone\n",
        },
    )
    files = ", ".join(f"{role}={folder}/{role}.csv" for role in ("train", "validation", "test"))
    return f"csv({files}, text=text)"


FAULTS = {
    "train.csv:10": "is not utf-8",
    "validation.csv:11": "quote is not closed",
    "--data": "differ only in case",
    "test.csv:13": "blank",
    "test.csv:14": "number of fields",
}


@covers(34, 46, 48)
@pytest.mark.parametrize("command", ["check", "train"])
def test_all_faults_of_all_files_are_told_at_once(tmp_path, capfd, command):
    flags = [] if command == "check" else ["--backbone=small_lstm"]
    output, data = tmp_path / "out", tmp_path / "data"
    argv = [f"--data={of_many_faults(data)}", *flags, f"--output={output}"]
    done = run(command, argv, capfd)
    require(
        done,
        3,
        [
            "train.csv:10 --data: ",
            "1 of 4 faults; others: ",
            "validation.csv:11: this",
            "differ only in case",
            "2 of 22 rows are bad",
        ],
    )
    rows = [json.loads(line) for line in (output / "data_report.jsonl").open()]
    assert [row["what"] for row in rows] == ["fault"] * 4 + ["skipped"] * 2
    assert all(row["fix"] for row in rows[:4])
    for row, (end, words) in zip([*rows[:3], *rows[4:]], FAULTS.items(), strict=True):
        assert row["id"].endswith(end) and words in row["reason"], row
    put(data, {"train.csv": "text,label\nnew,a\nother,b\n"})
    argv[0] = f"--data=csv(path={data}/train.csv, text=text)"
    more = [] if command == "check" else ["--dry_run"]
    done = run(command, [*argv, "--split=holdout(validation=0, test=0)", *more], capfd)
    require(done, 0)


@covers(1, 31, 32)
def test_a_report_is_written_where_the_scan_or_the_split_fails(tmp_path, capfd):
    data = put(classes(tmp_path / "data"), {"cat/empty.jpg": b"", "cat/page.jpg": "<html>"})
    run_flags = [f"--data={call(data)}", *FLAGS, f"--output={tmp_path}/run"]
    require(run("train", run_flags, capfd), 3, ["2 of 10 rows are bad"])
    rows = report_of(tmp_path / "run")
    assert set(rows) == {"--data", "empty.jpg", "page.jpg"}
    assert rows["--data"]["fix"].endswith("--max_bad_fraction=0.2")
    argv = [f"--data={call(data)}", "--split=holdout(test=.001)", "--max_bad_fraction=.5"]
    require(run("check", [*argv, f"--output={tmp_path}/out"], capfd), 3, ["is less than one row"])
    assert set(report_of(tmp_path / "out")) == {"--split", "empty.jpg", "page.jpg"}
    require(run("train", [*run_flags, "--max_bad_fraction=.5"], capfd), 0)
    assert set(report_of(tmp_path / "run")) == {"empty.jpg", "page.jpg"}


@covers(1)
def test_a_run_that_is_killed_has_its_report(tmp_path, capfd, monkeypatch):
    data = put(classes(tmp_path / "data"), {"cat/empty.jpg": b""})
    monkeypatch.setattr(signals, "is_end_requested", lambda: True)
    argv = [f"--data={call(data)}", *FLAGS, "--max_bad_fraction=.5", f"--output={tmp_path}/run"]
    require(run("train", argv, capfd), 75)
    assert set(report_of(tmp_path / "run")) == {"empty.jpg"}


def scan_once(folder, capfd):
    """Scans a few files, after which all that is imported and traced for any number of them is there."""
    folder.mkdir()
    judge(Case(42, "few", many(8, 2), counts=(8, 0, 0, 0)), folder, capfd)


@covers(42)
def test_many_files_and_classes_take_little_memory(tmp_path, capfd):
    """A small part of a million files; larger numbers are measured among the large tests."""
    scan_once(tmp_path / "few", capfd)
    with bounded_memory(100):
        case = Case(
            42, "many", many(4000, 1000), counts=(4000, 0, 0, 0), said=("classes    1,000",)
        )
        judge(case, tmp_path, capfd)


@pytest.mark.large
@covers(42)
def test_more_files_that_are_all_alike_take_three_kilobytes_each(tmp_path, capfd):
    """With the flags' defaults: 3 GB for a million. What `judge` itself keeps of a file is in it."""
    case = Case(
        42,
        "many alike",
        many(40_000, 10_000),
        counts=(40_000, 0, 0, 0),
        flags=(),
        said=("classes    10,000", "near       "),
    )
    scan_once(tmp_path / "few", capfd)
    with bounded_memory(120):
        judge(case, tmp_path, capfd)


FLAGS = [
    "--backbone=small_cnn(filters=[4], channels=3)",
    "--image_size_px=8",
    "--method=full",
    "--train_epochs=2",
    "--noexport",
    "--explain=none",
]


@covers(30)
def test_a_batch_larger_than_the_data_is_all_of_it(tmp_path, capfd):
    data, folder = classes(tmp_path / "data"), tmp_path / "run"
    before = snapshot(data)
    with pytest.warns(
        UserWarning, match="--batch_size=512 is more than the training split can fill, so 5 is used"
    ):
        argv = [f"--data={call(data)}", *FLAGS, "--batch_size=512", f"--output={folder}"]
        done = run("train", argv, capfd)
    require(done, 0, ["test       "])
    assert "--batch_size=5\n" in (folder / "run.flags").read_text()
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    assert len(rows) == 2 and all(row["loss"] > 0 for row in rows)
    assert snapshot(data) == before


@pytest.fixture(scope="module")
def animals(tmp_path_factory):
    """A saved model of the classes cat, dog and owl."""
    folder = tmp_path_factory.mktemp("run")
    saving.save(served.image_once(), folder)
    return folder


@covers(33, 41)
def test_classes_are_mapped_by_name_where_some_are_absent(animals, tmp_path, capfd):
    """Folders dog and owl are the second and third class, though they are the only two."""
    data = classes(tmp_path / "data", count=3, labels=("dog", "owl"))
    argv = [f"--run={animals}", f"--data={call(data)}", f"--output={tmp_path}/out"]
    require(run("evaluate", argv, capfd), 0)
    rows = list(csv.DictReader((tmp_path / "out/predictions.csv").open()))
    assert [row["true_label"] for row in rows] == ["dog"] * 3 + ["owl"] * 3
    for row in rows:
        chances = {name: float(row[f"probability_{name}"]) for name in ("cat", "dog", "owl")}
        assert row["predicted_label"] == max(chances, key=chances.get)
    report = json.loads((tmp_path / "out/report.json").read_text())["test"]
    assert 0 <= report["macro_f1"] <= 1 and len(report["per_class"]) == 3


@covers(33)
def test_a_class_that_was_not_trained_is_refused(animals, tmp_path, capfd):
    data = classes(tmp_path / "data", count=1, labels=("dog", "oxen"))
    argv = [f"--run={animals}", f"--data={call(data)}", f"--output={tmp_path}/out"]
    require(run("evaluate", argv, capfd), 3, ["class 'oxen' was not trained", "owl"])


@covers(43)
def test_data_that_changed_before_a_run_goes_on_are_refused(tmp_path, capfd, monkeypatch):
    data, folder = classes(tmp_path / "data"), tmp_path / "run"
    argv = [f"--data={call(data)}", *FLAGS, "--batch_size=2", f"--output={folder}"]
    with monkeypatch.context() as patched:
        patched.setattr(signals, "is_end_requested", lambda: True)
        require(run("train", argv, capfd), 75, ["interrupted"])
    kept = snapshot(folder / "checkpoints")
    assert kept, "a checkpoint to go on from"
    for path in data.rglob("*.png"):
        put(data, {path.relative_to(data): picture(int(path.stem) + 50_000)})
    before = snapshot(data)
    require(
        run("train", argv, capfd),
        4,
        [
            "other flags, data or versions (train split: 5 rows (",
            ") -> 5 rows (",
            "--resume='data'",
        ],
    )
    assert snapshot(data) == before and snapshot(folder / "checkpoints") == kept


@covers(40)
def test_training_warns_of_what_is_near_across_splits(tmp_path, capfd):
    data = saved_again(tmp_path / "data")
    argv = [f"--data={data}", *FLAGS, f"--output={tmp_path}/run"]
    done = run("train", argv, capfd)
    require(done, 0)
    assert "pairs of rows in different splits are nearly the same, such as" in done.err
    rows = [json.loads(line) for line in (tmp_path / "run/data_report.jsonl").open()]
    assert {row["what"] for row in rows} == {"near"}
    plain = run("train", [*argv, "--near_duplicates=false", "--overwrite"], capfd)
    require(plain, 0)
    assert "nearly the same" not in plain.err
