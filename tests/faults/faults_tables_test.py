"""Rows 44 to 69 of the matrix: CSV and JSON lines, their labels, their texts."""

import gzip
import json
import re

import numpy as np
import pytest

from tests import served
from tests.faults.making import (
    LENIENT,
    Case,
    covers,
    judge,
    picture,
    put,
    records,
    require,
    run,
    snapshot,
    table,
)
from tltf.data import loader
from tltf.models import saving

GOOD = [(f"a text of number {number}", "ab"[number % 2]) for number in range(8)]
COLUMNS = "text=text, label=label"
LONGEST = 1 << 20


def table_file(content, more=COLUMNS, name="all.csv"):
    """A `make` for a Case: one file of bytes or text, and the call that reads it."""

    def make(folder):
        put(folder, {name: content})
        kind = "jsonl" if name.endswith(".jsonl") else "csv"
        return f"{kind}(path={folder / name}, {more})"

    return make


def csv(*lines, header="text,label", more=COLUMNS, encoding="utf-8"):
    """Eight good rows and `lines` behind them."""
    rows = [header, *(",".join(row) for row in GOOD), *lines]
    return table_file(("\n".join(rows) + "\n").encode(encoding), more)


def jsonl(*lines):
    """Eight good objects and `lines` behind them."""
    good = [json.dumps({"text": text, "label": label}) for text, label in GOOD]
    return table_file("\n".join([*good, *lines]) + "\n", COLUMNS, "all.jsonl")


def labelled(*labels, **more):
    """A row a label."""
    rows = "".join(f"text {number},{label}\n" for number, label in enumerate(labels))
    return table_file("text,label\n" + rows, **more)


def of_images(*paths):
    """A table of eight pictures, and `paths` behind them."""

    def make(folder):
        names = [f"pictures/{number}.png" for number in range(8)]
        put(folder, {name: picture(number) for number, name in enumerate(names)})
        put(folder.parent, {"outside.png": picture(99)})
        rows = [f"{name},{'ab'[n % 2]}\n" for n, name in enumerate(names)]
        rows += [f"{path.format(folder=folder)},a\n" for path in paths]
        put(folder, {"all.csv": "path,label\n" + "".join(rows)})
        return f"csv(path={folder}/all.csv, image=path, label=label)"

    return make


def jsonl_of_images(path):
    """Eight pictures, and one more path as JSON spells it."""

    def make(folder):
        put(folder, {f"{number}.png": picture(number) for number in range(8)})
        rows = [f'{{"path": "{n}.png", "label": "{"ab"[n % 2]}"}}\n' for n in range(8)]
        put(folder, {"all.jsonl": "".join(rows) + f'{{"path": "{path}", "label": "a"}}\n'})
        return f"jsonl(path={folder}/all.jsonl, image=path)"

    return make


def numbered(*kinds):
    """A TFRecord file whose labels are places in two class names."""

    def make(folder):
        rows = [{"text": b"text %d" % n, "kind": kind} for n, kind in enumerate(kinds)]
        records(folder / "a", rows)
        return f"tfrecord(path={folder}/a, text=text, label=kind, class_names=[cat, dog])"

    return make


def skipped(row, what, make, listed, **more):
    counts = (8, len(listed), 0, 0)
    return Case(row, what, make, counts=counts, listed=listed, **more)


QUOTED = ('"two\nlines",a', '"a, comma",b', '"said ""no""",a')
WITHOUT_END = csv('"open,b', "more,c")
ODD_TEXTS = ("\U0001f600 \u05e9\u05dc\u05d5\u05dd", "\u202eabc\u200b zero width", "e\u0301 o\u0308")
ZIPPED = gzip.compress(b"text,label\n" + b"a,x\nb,y\n" * 500)
REGRESS = (*LENIENT, "--head=regress")
TOO_LONG = "text is longer than 1048576 bytes"


@table(
    Case(
        44,
        "text column",
        csv(more="text=txt, label=label"),
        2,
        said=("all.csv", "no column 'txt'", "columns: text, label", "fix: text=text"),
    ),
    Case(
        44,
        "label column",
        csv(more="text=text, label=lable"),
        2,
        said=("no column 'lable'", "columns: label, text", "fix: label=label"),
    ),
    Case(45, "byte order mark", csv(encoding="utf-8-sig"), counts=(8, 0, 0, 0)),
    Case(
        46,
        "Latin 1",
        csv("für,a", encoding="latin-1"),
        3,
        said=("all.csv:10 ", "byte ", "(0xfc) is not utf-8", "encoding=latin-1"),
    ),
    Case(
        46,
        "no encoding of texts",
        csv(more=f"{COLUMNS}, encoding=undefined"),
        2,
        said=("no encoding 'undefined'",),
    ),
    Case(
        46,
        "UTF 16",
        csv(encoding="utf-16"),
        3,
        said=("all.csv:1 ", "byte 0 ", "is not utf-8", "encoding=utf-16"),
    ),
    Case(
        46,
        "UTF 16 said",
        csv(encoding="utf-16", more=f"{COLUMNS}, encoding=utf-16"),
        counts=(8, 0, 0, 0),
    ),
    Case(47, "quotes", csv(*QUOTED), counts=(11, 0, 0, 0)),
    Case(
        47,
        "CRLF",
        table_file('text,label\r\na,x\r\nb,y\r\n"c\r\nd",x\r\ne,y\r\n', COLUMNS),
        counts=(4, 0, 0, 0),
        flags=(*LENIENT, "--split=holdout(validation=0)"),
    ),
    Case(
        48,
        "quote without end",
        WITHOUT_END,
        3,
        said=("all.csv:10 ", "its quote is not closed"),
        is_program=True,
    ),
    skipped(
        49,
        "ragged",
        csv("alone", "a,b,c"),
        {"all.csv:10": "another number of fields", "all.csv:11": "header's 2"},
    ),
    Case(50, "header twice", csv(header="text,text"), 3, said=("all.csv:1 ", "text twice")),
    Case(51, "empty", table_file(""), 3, said=("the file is empty",)),
    Case(51, "header only", table_file("text,label\n"), 3, said=("there are no rows",)),
    Case(
        52,
        "semicolons",
        table_file("text;label\na;x\nb;y\n"),
        3,
        said=("the header has one column", "delimiter=';'"),
    ),
    Case(52, "tabs", table_file("text\tlabel\na\tx\nb\ty\n"), 3, said=("delimiter='\\t'",)),
    *(
        Case(
            52,
            f"delimiter {mark!r}",
            csv(more=f"{COLUMNS}, delimiter='{mark}'"),
            2,
            said=("--data", f"delimiter={mark!r} is not one character"),
        )
        for mark in ("||", "")
    ),
    skipped(
        53,
        "label missing",
        csv("text,", "text,nan", "text,NaN", "text,  "),
        {f"all.csv:{line}": "has no label" for line in (10, 11, 12, 13)},
    ),
    Case(
        54,
        "NA and null and None",
        labelled(*["NA", "null", "None"] * 4),
        counts=(12, 0, 0, 0),
        said=("classes    3, ", "           NA ", "           None ", "           null "),
    ),
    Case(
        55,
        "numbers mixed",
        labelled("1", "1.0", "01", "2"),
        3,
        said=("one number spelled in several ways", "01, 1, 1.0"),
    ),
    Case(55, "nearly numbers", labelled(*["--1", "2", "-3"] * 4), counts=(12, 0, 0, 0)),
    Case(
        56,
        "fractions",
        labelled("0.5", "1.25", "3", "0.5"),
        2,
        said=("numbers with fractions", "--head=regress"),
    ),
    Case(57, "too large", numbered(0, 1, 1, 2), 3, said=("a:3 ", "label 2 is not one of the 2")),
    Case(57, "below zero", numbered(0, -1, 1), 3, said=("a:1 ", "label -1 is not one of the 2")),
    Case(
        58,
        "infinite in 32 bits",
        labelled(*map(str, range(8)), "1e39"),
        counts=(8, 1, 0, 0),
        flags=REGRESS,
        listed={"all.csv:10": "'1e39' is not a finite number"},
    ),
    Case(
        58,
        "infinite",
        labelled(*map(str, range(8)), "inf", "1e400", "-inf", "nan"),
        counts=(8, 4, 0, 0),
        flags=REGRESS,
        listed={
            "all.csv:10": "'inf' is not a finite number",
            "all.csv:11": "'1e400' is not",
            "all.csv:12": "'-inf' is no",
            "all.csv:13": "has no label",
        },
    ),
    skipped(
        59,
        "malformed",
        jsonl("{broken", '{"text": "a", "label": "b"', "[1]", '"text"'),
        {
            "all.jsonl:9": "is not JSON (",
            "all.jsonl:10": "is not JSON (",
            "all.jsonl:11": "is not a JSON object",
            "all.jsonl:12": "is not a JSON object",
        },
    ),
    skipped(
        59, "nested deep", jsonl('{"text":' + "[" * 200_000), {"all.jsonl:9": "nested too deep"}
    ),
    Case(
        60,
        "array",
        table_file(json.dumps([{"text": "a", "label": "b"}]), name="all.jsonl"),
        3,
        said=("the file is a JSON array", "one object per line"),
    ),
    skipped(
        61,
        "no text",
        jsonl(
            '{"text": null, "label": "a"}',
            '{"text": 3, "label": "a"}',
            '{"text": ["x"], "label": "b"}',
            '{"label": "b"}',
        ),
        {
            "all.jsonl:9": "text is NoneType",
            "all.jsonl:10": "text is int",
            "all.jsonl:11": "text is list",
            "all.jsonl:12": "text is NoneType",
        },
    ),
    skipped(
        62,
        "image missing",
        of_images("pictures/none.png", " "),
        {"all.csv:10": "is missing", "all.csv:11": "path is blank"},
    ),
    skipped(
        62,
        "name of no file",
        jsonl_of_images("\\ud800.png"),
        {"all.jsonl:9": "has a name that no file can have"},
    ),
    Case(
        63,
        "path upwards",
        of_images("../outside.png"),
        3,
        said=(
            "all.csv:10 ",
            "the image is not under the folder of the table",
            "not ../outside.png",
        ),
    ),
    Case(63, "absolute path", of_images("/etc/hostname"), 3, said=("all.csv:10 ", "is not under")),
    Case(63, "URL", of_images("http://localhost/a.png"), 3, said=("all.csv:10 ", "is not under")),
    # What the matrix calls --data_root is the folder of the table: the docstring and the fix say so.
    Case(
        63,
        "absolute path in the folder",
        of_images("{folder}/pictures/../pictures/0.png"),
        counts=(9, 0, 0, 0),
    ),
    # A constant of 1 MiB stands for --max_field_bytes; the reason tells it.
    skipped(64, "field of 10 MB", csv(f"{'x' * 10_000_000},a"), {"all.csv:10": TOO_LONG}),
    Case(
        64,
        "few characters of many bytes",
        csv(f"{'🎉' * 262_145},a", f"{'🎉' * 262_144},a"),
        counts=(9, 1, 0, 0),
        listed={"all.csv:10": TOO_LONG},
    ),
    skipped(64, "NUL", csv("a\0b,a"), {"all.csv:10": "text has a NUL"}),
    skipped(
        64,
        "NUL in JSON",
        jsonl('{"text": "a\\u0000b", "label": "a"}'),
        {"all.jsonl:9": "text has a NUL"},
    ),
    Case(65, "cut gzip", table_file(ZIPPED[:-9], name="all.csv.gz"), 3, said=("all.csv.gz:1 ",)),
    Case(
        65, "cut gzip is called so", table_file(ZIPPED[:-9], name="all.csv.gz"), 3, said=("gzip",)
    ),
    skipped(
        66,
        "blank",
        csv(" ,a", "\t\u00a0 ,b", ",a"),
        {f"all.csv:{line}": "text is blank" for line in (10, 11, 12)},
    ),
    Case(67, "a million characters", csv(f"{'word ' * 200_000},a"), counts=(9, 0, 0, 0)),
    Case(
        68,
        "odd characters",
        jsonl(*(json.dumps({"text": text, "label": "a"}) for text in (*ODD_TEXTS, "lone \ud800"))),
        counts=(12, 0, 0, 0),
    ),
)
def test_tables(case, tmp_path, capfd):
    judge(case, tmp_path, capfd)


@covers(45, 47, 54)
def test_what_is_read_is_what_was_written(tmp_path):
    make = csv(*QUOTED, "x,NA", "y,null", encoding="utf-8-sig")
    source = loader.load(make(tmp_path))
    assert source.column.values[8:] == ["two\nlines", "a, comma", 'said "no"', "x", "y"]
    assert source.class_names == ("NA", "a", "b", "null")


PLAN = [
    "--backbone=small_lstm(units=4, embedding=4, vocabulary=30)",
    "--text_length=64",
    "--dry_run",
    *LENIENT[:1],
]


@covers(67)
def test_what_is_cut_of_long_texts_is_counted(tmp_path, capfd):
    data = csv(*(f"{number} {'word ' * 2000},a" for number in range(8)))(tmp_path)
    done = run("train", [f"--data={data}", *PLAN], capfd)
    require(done, 0)
    (line,) = [line for line in done.out.splitlines() if line.startswith("texts ")]
    assert re.search(
        r"64 tokens: [5-8] of 11 texts are cut, which loses 9\d\.\d% of the tokens", line
    )


GREEK = [chr(0x3B1 + n) * 5 + chr(0x3B2 + n) * 4 for n in range(20)]
"""Words of letters that no text of `served.TEXTS` has, of which its tokenizer was made."""


@covers(69)
def test_texts_of_unknown_words_are_used(tmp_path, capfd):
    tokenizer = served.text_once().preprocessing.tokenizer
    ids = np.concatenate([np.asarray(tokenizer(text)) for text in GREEK])
    assert np.mean(ids == tokenizer.token_to_id("[UNK]")) > 0.5
    case = Case(69, "unknown words", csv(*(f"{word},a" for word in GREEK)), counts=(28, 0, 0, 0))
    judge(case, tmp_path, capfd)


@covers(69)
def test_many_unknown_words_are_warned_of(tmp_path, capfd):
    saving.save(served.text_once(), tmp_path / "run")
    data = csv(*(f"{word} {word[::-1]},a" for word in GREEK))(tmp_path)
    argv = [f"--data={data}", f"--backbone={tmp_path}/run", "--dry_run"]
    with pytest.warns(UserWarning, match="unknown"):
        require(run("train", argv, capfd), 0)


@covers(64, 67)
def test_the_longest_text_that_is_used(tmp_path, capfd):
    texts = ["x" * LONGEST, "y" * (LONGEST + 1)]
    data = csv(*(f"{text},a" for text in texts))(tmp_path)
    before = snapshot(tmp_path)
    done = run("check", [f"--data={data}", *LENIENT], capfd)
    require(done, 0, ["10 found = 9 used + 1 skipped", "all.csv:11: text is longer than"])
    assert snapshot(tmp_path) == before
