"""What --input names, read in order, each bad row on its own."""

import io
import os
import types

import pytest

from tltf.errors import DataError, FlagError
from tltf.models import input_format, inputs


def read(text, modality, column="", usual="", **given):
    names = (column,) if column else tuple(filter(None, (usual, *input_format.COLUMNS[modality])))
    return inputs.read(
        text, input_format.InputFormat(modality, {modality: names}, bool(column), usual, **given)
    )


def values(items):
    return [item.value for item in items]


@pytest.fixture
def folder(tmp_path):
    for name in (
        "b/2.PNG",
        "b/1.jpg",
        "a.webp",
        "notes.md",
        ".hidden.png",
        "._a.jpg",
        ".git/x.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_a_folder_gives_its_images_at_every_depth_in_order(folder):
    os.symlink(folder, folder / "b" / "loop")
    given = values(read(str(folder), "image"))
    assert [os.path.relpath(path, folder) for path in given] == ["a.webp", "b/1.jpg", "b/2.PNG"]


def test_several_paths_are_joined_with_commas(folder):
    given = values(read(f"{folder}/a.webp,{folder}/b", "image"))
    assert [os.path.basename(path) for path in given] == ["a.webp", "1.jpg", "2.PNG"]
    (folder / "x,y.png").touch()
    assert values(read(f"{folder}/x,y.png", "image")) == [f"{folder}/x,y.png"]


def test_a_table(tmp_path):
    (tmp_path / "t.csv").write_text('\ufeffid,text\n1,"two\nlines, here"\n2\n3,last\n', "utf-8")
    given = list(read(str(tmp_path / "t.csv"), "text"))
    assert values(given) == ["two\nlines, here", None, "last"]
    assert given[1].error == "has another number of fields than the header's 2"
    assert given[2].id == f"{tmp_path}/t.csv:5"
    assert given[0].id == f"{tmp_path}/t.csv:2", "the line at which the text begins, as in training"
    assert values(read(str(tmp_path / "t.csv"), "text", "id")) == ["1", None, "3"]


def test_paths_in_a_table_start_at_its_folder(tmp_path):
    (tmp_path / "t.tsv").write_text("image\tlabel\nx.png\t1\n/abs/y.png\t2\n")
    given = values(read(str(tmp_path / "t.tsv"), "image"))
    assert given == [f"{tmp_path}/x.png", "/abs/y.png"]


def test_json_lines(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": "a"}\n\n{"text": 3}\nno\n[1]\n{"text": "b"}\n')
    given = list(read(str(tmp_path / "t.jsonl"), "text"))
    assert values(given) == ["a", None, None, None, "b"]
    assert [item.error for item in given[1:4]] == [
        "text is of type int, not a text",
        "is not JSON (Expecting value)",
        "is not a JSON object",
    ]
    assert [item.id.rsplit(":")[-1] for item in given] == ["1", "3", "4", "5", "6"]


def test_lines_of_a_file_and_of_standard_input(tmp_path, monkeypatch):
    (tmp_path / "t.txt").write_bytes("\ufeffa\r\n\nb\u2028c\n\xff".encode("utf-8")[:-2] + b"\xff")
    expected = ["a", None, "b\u2028c", None]
    assert values(read(str(tmp_path / "t.txt"), "text")) == expected
    content = (tmp_path / "t.txt").read_bytes()
    monkeypatch.setattr(inputs.sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(content)))
    given = list(read("-", "text"))
    assert values(given) == expected
    assert given[2].id == "-:3"


def test_a_text_file_lists_paths_for_an_image_model(tmp_path):
    (tmp_path / "list.txt").write_text("x.png\nsub/y.png\n")
    assert values(read(str(tmp_path / "list.txt"), "image")) == [
        f"{tmp_path}/x.png",
        f"{tmp_path}/sub/y.png",
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, r"no file or folder .*none\.csv"),
        ("t.csv", "id,txet\n1,a\n", r"no column text \(columns: txet, id\); fix: --column=txet"),
        ("t.csv", "", "the file is empty"),
    ],
)
def test_wrong_names(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises((FlagError, DataError), match=said):
        list(read(str(tmp_path / name), "text"))


def test_a_folder_for_a_text_model_or_without_images(tmp_path):
    with pytest.raises(FlagError, match="this model takes texts"):
        list(read(str(tmp_path), "text"))
    with pytest.raises(DataError, match="has no images"):
        list(read(str(tmp_path), "image"))


@pytest.mark.parametrize("content", [b"text\n\xff\xfe\n", b'text\n"open\n'])
def test_tables_that_cannot_be_read(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"t\.csv"):
        list(read(str(tmp_path / "t.csv"), "text"))


def test_a_json_line_without_the_field_is_an_error_and_no_other_field_is_read(tmp_path):
    rows = ['{"id": "7"}', '{"text": "a"}', '{"txet": "b"}', '{"sentence": "c"}', '{"text": "d"}']
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    given = list(read(str(tmp_path / "t.jsonl"), "text"))
    assert values(given) == [None, "a", None, None, "d"]
    assert given[0].error == "there is no field text (fields: id)"
    assert given[2].error == "there is no field text (fields: txet)"
    given = list(read(str(tmp_path / "t.jsonl"), "text", "sentence"))
    assert values(given) == [None, None, None, "c", None]
    # What was found once is not exchanged for another name further down.
    given = list(read(str(tmp_path / "t.jsonl"), "text", "", "sentence"))
    assert values(given) == [None, "a", None, None, "d"]


def test_the_runs_own_column_comes_first(tmp_path):
    (tmp_path / "t.csv").write_text("text,review\n1,good\n2,bad\n")
    (tmp_path / "u.csv").write_text("text,label\n1,a\n")
    assert values(read(f"{tmp_path}/t.csv", "text", "", "review")) == ["good", "bad"]
    assert values(read(f"{tmp_path}/t.csv", "text", "text", "review")) == ["1", "2"]
    assert values(read(f"{tmp_path}/u.csv", "text", "", "review")) == ["1"]


@pytest.mark.parametrize(
    ("data", "modality", "expected"),
    [
        ("csv(path=/a.csv, text=review)", "text", "review"),
        ("csv(path=/a.csv, text='two words')", "text", "two words"),
        ("jsonl(path=/a.jsonl, image=photo)", "image", "photo"),
        ("csv(path=/a.csv, text=review)", "image", ""),
        ("vader(domain=movie)", "text", ""),
        ("own.module:source(text=x)", "text", ""),
        ("", "text", ""),
    ],
)
def test_column_of_a_run(data, modality, expected):
    assert input_format.column_of(data, modality) == expected
