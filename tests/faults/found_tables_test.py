"""What users' reports showed of tables: one reader for training and prediction, and true hints."""

import gzip
import io
import json
import types

import pytest
from PIL import Image

from tests import served
from tests.faults.making import covers
from tltf import predict
from tltf.config import flagfiles
from tltf.config.command_options import TableOptions
from tltf.config.option_groups import ScanOptions
from tltf.config.options import make
from tltf.data import loader
from tltf.errors import DataError, FlagError
from tltf.models import input_format, inputs, saving

ROWS = [("good soup", "food"), ("bad match", "sport"), ("new phone", "tech"), ("old goal", "sport")]


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def load(path, more="text=text, label=label", kind="csv", **settings):
    return loader.load(f"{kind}(path={path}, {more})", **settings)


def read(text, data="csv(path=a.csv, text=text)", modality="text", **flags):
    return inputs.read(str(text), input_format.format_of(TableOptions(**flags), modality, data))


def values(items):
    return [item.value for item in items]


def lines(**more):
    return "\n".join(json.dumps({"label": label, "text": text} | more) for text, label in ROWS)


@covers(201)
@pytest.mark.parametrize("name", ["x.json", "x.txt", "x.jsonl", "x.data", "-"])
@pytest.mark.parametrize(
    "data", ["jsonl(path=a.json, text=text)", "csv(path=a.csv, text=text)", ""]
)
def test_json_lines_are_known_by_their_content(tmp_path, monkeypatch, name, data):
    path = write(tmp_path / "file", lines())
    if name == "-":
        given = types.SimpleNamespace(buffer=io.BytesIO(path.read_bytes()))
        monkeypatch.setattr(inputs.sys, "stdin", given)
        place = "-"
    else:
        place = path.rename(tmp_path / name)
    assert values(read(place, data)) == [text for text, _ in ROWS]


@covers(202)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.txt"])
def test_a_json_array_gets_the_error_that_training_gives(tmp_path, indent, name):
    rows = [{"text": text, "label": label} for text, label in ROWS]
    path = write(tmp_path / name, json.dumps(rows, indent=indent))
    with pytest.raises(DataError, match="is a JSON array, not JSON lines"):
        list(read(path))
    with pytest.raises(DataError, match="is a JSON array, not JSON lines"):
        load(path, kind="jsonl")
    write(path, json.dumps(rows[0], indent=2))
    with pytest.raises(DataError, match="an object over several lines"):
        list(read(path))


@covers(203)
@pytest.mark.parametrize(("mark", "named"), [(";", "';'"), ("\t", "'\\t'"), ("|", "'|'")])
def test_prediction_takes_the_delimiter_of_the_runs_data(tmp_path, mark, named):
    text = "".join(f"{a}{mark}{b}\n" for a, b in [("text", "label"), *ROWS])
    path = write(tmp_path / "new.csv", text)
    data = f"csv(path=old.csv, text=text, delimiter={named})"
    assert values(read(path, data)) == [text for text, _ in ROWS]
    assert values(read(path, "vader", delimiter=mark)) == [text for text, _ in ROWS]
    with pytest.raises(DataError, match="the header has one column") as told:
        list(read(path))
    assert told.value.fix == f"--delimiter={named}"
    commas = write(tmp_path / "commas.csv", "text,label\nwith; mark,food\n")
    assert values(read(commas, data)) == ["with; mark"]


@covers(203, 248)
def test_prediction_takes_the_encoding_of_the_runs_data(tmp_path):
    table = write(tmp_path / "a.csv", "text,label\ncafé,food\n", "cp1252")
    records = tmp_path / "a.jsonl"
    records.write_bytes('{"text": "café"}\n'.encode("cp1252"))
    plain = write(tmp_path / "a.txt", "café\nplain\n", "cp1252")
    data = "csv(path=old.csv, text=text, encoding=cp1252)"
    assert values(read(table, data)) == values(read(records, data)) == ["café"]
    assert values(read(plain, data)) == values(read(plain, encoding="cp1252")) == ["café", "plain"]
    for path in (table, records):
        with pytest.raises(DataError, match="is not utf-8") as told:
            list(read(path))
        assert told.value.fix.startswith("--encoding=")
    bad, good = read(plain)
    assert "is not utf-8" in bad.error and good.value == "plain"


@covers(222)
def test_a_header_is_read_alike_in_training_and_prediction(tmp_path):
    path = write(tmp_path / "a.csv", "id, Review Text ,label\n1,good,a\n2,bad,b\n")
    assert list(load(path, "text='Review Text', label=label").column.values) == ["good", "bad"]
    assert values(read(path, "csv(path=a, text='Review Text')")) == ["good", "bad"]
    assert values(read(path, "vader", column="Review Text")) == ["good", "bad"]


def binaries():
    image = io.BytesIO()
    Image.new("RGB", (4, 4)).save(image, "PNG")
    return {
        "book.xlsx": (b"PK\3\4\x14\0" + bytes(200), "Excel workbook"),
        "old.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(200), "old Excel"),
        "a.csv.gz": (gzip.compress(b"text,label\na,b\n"), "gunzip"),
        "a.parquet": (b"PAR1" + bytes(200), "Parquet"),
        "a.db": (b"SQLite format 3\0" + bytes(100), "SQLite"),
        "a.bin": (bytes(range(4)) * 50 + bytes(200), "NUL bytes"),
    }


@covers(243, 244)
@pytest.mark.parametrize("name", binaries())
def test_what_is_no_text_is_refused_by_its_first_bytes(tmp_path, name):
    content, said = binaries()[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        load(tmp_path / name)
    with pytest.raises(DataError, match=said):
        list(read(tmp_path / name))


@covers(245)
@pytest.mark.parametrize("as_input", [False, True])
def test_a_table_under_another_name_is_read_as_one(tmp_path, monkeypatch, as_input):
    path = write(tmp_path / "new.txt", "label,text\nfood,good soup\nsport,bad match\n")
    if as_input:
        stream = types.SimpleNamespace(buffer=io.BytesIO(path.read_bytes()))
        monkeypatch.setattr(inputs.sys, "stdin", stream)
    assert values(read("-" if as_input else path)) == ["good soup", "bad match"]
    plain = write(tmp_path / "plain.txt", "a text, and more\nanother\n")
    assert values(read(plain)) == ["a text, and more", "another"]


@covers(246, 120)
def test_what_is_no_file_gets_the_fix_that_helps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FlagError, match="a text is not a file name") as told:
        list(read("this soup was really great, the best"))
    assert "--input=-" in told.value.fix
    for name in ("a.png", "b, c.png", "d.png"):
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    found = values(read("*.png", modality="image"))
    assert found == ["a.png", "b, c.png", "d.png"]
    with pytest.raises(FlagError, match="separated at commas") as told:
        list(read("a.png,b, c.png", modality="image"))
    assert "folder" in told.value.fix


@covers(249)
def test_ids_are_the_lines_at_which_rows_begin(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\n"one\ntwo",a\n"three\nfour\nfive",b\nsix,a\n')
    ends = [row.rpartition(":")[2] for row in load(path).ids]
    assert ends == ["2", "4", "7"] == [item.id.rpartition(":")[2] for item in read(path)]


@covers(250, 251)
def test_fields_of_json_lines_are_looked_for_in_all_rows_and_in_fields(tmp_path):
    rows = [{"text": "no label"}, {"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    source = load(path, kind="jsonl", scan=ScanOptions(max_bad_fraction=0.5))
    assert len(source) == 2 and source.scan.skipped_rows[0]["reason"] == "has no label"
    with pytest.raises(FlagError, match="no column 'lable'"):
        load(path, "text=text, label=lable", kind="jsonl")
    rows = [{"data": {"text": text}, "meta": {"label": label}} for text, label in ROWS]
    nested = write(tmp_path / "b.jsonl", "\n".join(map(json.dumps, rows)))
    more = "text=data.text, label=meta.label"
    assert list(load(nested, more, kind="jsonl").column.values) == [text for text, _ in ROWS]
    assert values(read(nested, f"jsonl(path=a, {more})")) == [text for text, _ in ROWS]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    saving.save(served.text_once(), run)
    flagfiles.write(run / "run.flags", make(data="vader"), "made")
    return run


@covers(251, 121)
def test_the_exit_code_says_when_nothing_was_predicted(run, tmp_path, capsys):
    nothing = write(tmp_path / "a.jsonl", '{"data": {"text": "a"}}\n{"other": "b"}\n')
    assert predict.main([f"--run={run}", f"--input={nothing}"]) == 3
    said = capsys.readouterr()
    assert "none of 2 inputs could be predicted" in said.err and said.out.count("\n") == 3
    some = write(tmp_path / "b.jsonl", '{"text": "a"}\n{"other": "b"}\n')
    assert predict.main([f"--run={run}", f"--input={some}"]) == 0
    capsys.readouterr()
    assert predict.main([f"--run={run}", f"--input={some},{tmp_path}/none.csv"]) == 2
    assert capsys.readouterr().out == "", "a wrong name shows before anything is written"


@covers(210, 211)
def test_only_columns_that_are_asked_for_must_have_one_name(tmp_path):
    spam = write(
        tmp_path / "spam.csv", "v1,v2,,,\nham,Go until,,,\nspam,Free entry,,,\n", "latin-1"
    )
    source = load(spam, "text=v2, label=v1, encoding=latin-1")
    assert list(source.column.values) == ["Go until", "Free entry"]
    double = write(tmp_path / "b.csv", "text,score,score,label\na,1,2,x\nb,1,2,y\n")
    assert len(load(double)) == 2
    with pytest.raises(DataError, match="score twice") as told:
        load(double, "text=score, label=label")
    assert told.value.fix


@covers(213, 214)
def test_quotes_that_are_text(tmp_path):
    rows = [f"text {row}\tab{row % 2}\n" for row in range(40)]
    rows[5] = '"starts so\tab1\n'
    path = write(tmp_path / "a.tsv", "text\tlabel\n" + "".join(rows))
    more = "text=text, label=label, delimiter='\\t'"
    with pytest.raises(DataError, match="is not CSV") as told:
        load(path, more)
    assert "quote='none'" in told.value.fix or "quote=none" in told.value.fix
    swallowed = write(tmp_path / "b.tsv", "text\tlabel\n" + "".join(rows[:30]) + 'end"\tab0\n')
    source = load(swallowed, more)
    assert any("look like rows" in text for text in source.scan.warnings)
    assert len(load(swallowed, more + ", quote=none")) == 31
    plain = write(tmp_path / "c.csv", 'text,label\n"a letter\nof two, lines\n and more",x\nb,y\n')
    assert not any("look like" in text for text in load(plain).scan.warnings)


@covers(215, 216)
def test_hints_for_encodings_lose_no_character(tmp_path):
    windows = write(
        tmp_path / "a.csv", "text,label\ndon\u2019t \u201cgo\u201d \u2013 €5,x\nb,y\n", "cp1252"
    )
    with pytest.raises(DataError, match="is not utf-8") as told:
        load(windows)
    assert told.value.fix == "encoding=cp1252"
    texts = load(windows, "text=text, label=label, encoding=cp1252").column.values
    assert texts[0].endswith("€5")
    west = write(tmp_path / "b.csv", "text,label\ncafé,x\nthé,y\n", "latin-1")
    with pytest.raises(DataError) as told:
        load(west)
    assert told.value.fix == "encoding=latin-1"
    mixed = tmp_path / "c.csv"
    body = "".join(f"café {row},x\nthé {row},y\n" for row in range(9)).encode()
    mixed.write_bytes(b"text,label\n" + body + "Zürich,x\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"rows 20") as told:
        load(mixed)
    assert told.value.fix == "the rest is UTF-8: repair row 20"
    wide = write(tmp_path / "d.csv", "text,label\nplain,x\nother,y\nmore é,x\n", "utf-16-le")
    with pytest.raises(DataError) as told:
        load(wide)
    assert "utf-16-le" in told.value.fix or "no column" in str(told.value)


@covers(219)
def test_the_first_line_of_excel_is_no_header(tmp_path):
    path = write(tmp_path / "a.csv", "sep=;\r\ntext;label\r\nsoup, hot;x\r\nmatch;y\r\n")
    source = load(path)
    assert list(source.column.values) == ["soup, hot", "match"]
    assert source.ids[0].endswith(":3") and values(read(path)) == ["soup, hot", "match"]


@covers(220)
def test_a_file_without_a_header_is_told_as_one(tmp_path):
    text = "this soup was really very good,food\nanother match that we have lost,sport\n"
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(FlagError, match="the first row looks like data") as told:
        load(path)
    assert told.value.fix.startswith("columns=[")
    source = load(path, "text=text, label=label, columns=[text, label]")
    assert len(source) == 2 and source.class_names == ("food", "sport")
    assert source.ids[0].endswith(":1")


@covers(223, 224)
def test_blanks_before_quotes_and_delimiters_in_texts(tmp_path):
    rows = "".join(f'{label}, "{text}, and more"\n' for text, label in ROWS * 3)
    path = write(tmp_path / "a.csv", "label, text\n" + rows)
    assert load(path).column.values[0] == "good soup, and more"
    good = "".join(f"text {row},{'ab'[row % 2]}\n" for row in range(20))
    loose = write(tmp_path / "b.csv", "text,label\n" + good + "one, two,a\nthree, four,b\n")
    with pytest.raises(DataError, match="another number of fields") as told:
        load(loose)
    assert "max_bad_fraction" not in told.value.fix and "quote" in told.value.fix


@covers(241)
def test_a_row_that_repeats_the_header_is_no_example(tmp_path):
    part = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)
    source = load(write(tmp_path / "a.csv", part + part.replace("o", "u").replace("textu", "x")))
    assert "label" not in source.class_names and source.scan.excluded == 1
    assert source.scan.excluded_rows[0]["reason"] == "repeats the header"


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(6):
        image = Image.new("RGB", (20, 20), (number * 40, 0, 0))
        image.putpixel((number, 3), (255, 255, 255))
        image.save(tmp_path / "images" / f"{number}.png")
    return tmp_path


@covers(118)
def test_paths_that_are_written_in_another_way_are_explained(pictures):
    turned = "".join(f"images\\{number}.png,{'ab'[number % 2]}\n" for number in range(6))
    path = write(pictures / "a.csv", "image,label\n" + turned)
    with pytest.raises(DataError, match=r"images/0.png is there, with / in place of"):
        load(path, "image=image")
    stems = "".join(f"images/{number},{'ab'[number % 2]}\n" for number in range(6))
    path = write(pictures / "b.csv", "image,label\n" + stems)
    with pytest.raises(DataError, match=r"give suffix=\.png"):
        load(path, "image=image")
    assert len(load(path, "image=image, suffix=.png")) == 6
    blanks = "".join(f"{'ab'[number % 2]}, images/{number}.png\n" for number in range(6))
    path = write(pictures / "c.csv", "label, image\n" + blanks)
    assert len(load(path, "image=image")) == 6


@covers(119)
def test_images_beside_the_folder_of_the_table(pictures):
    (pictures / "tables").mkdir()
    names = [(pictures / "images" / f"{number}.png", "ab"[number % 2]) for number in range(6)]
    path = write(
        pictures / "tables" / "a.csv", "image,label\n" + "".join(f"{a},{b}\n" for a, b in names)
    )
    with pytest.raises(DataError, match="not under the folder of the table") as told:
        load(path, "image=image")
    assert "root=FOLDER" in told.value.fix
    assert len(load(path, f"image=image, root={pictures}")) == 6
    path = write(path, "image,label\n" + "".join(f"{a.name},{b}\n" for a, b in names))
    assert len(load(path, f"image=image, root={pictures}/images")) == 6


LISTS = ['["food", "sport"]', "['food', 'tech']", '["food"]', "[]", "", '["tech", "sport"]']


@covers(207, 208)
def test_lists_in_cells_are_several_labels(tmp_path):
    rows = "".join(
        f'text {at},"{text.replace(chr(34), chr(34) * 2)}"\n' for at, text in enumerate(LISTS)
    )
    source = load(write(tmp_path / "a.csv", "text,label\n" + rows), target="labels")
    assert source.class_names == ("food", "sport", "tech")
    assert source.labels.tolist() == [[1, 1, 0], [1, 0, 1], [1, 0, 0], [0] * 3, [0] * 3, [0, 1, 1]]


@covers(209, 125)
@pytest.mark.parametrize("mark", [",", ";", "#", "/", " "])
def test_other_separators_are_warned_of_and_can_be_given(tmp_path, mark):
    sets = [("round", "dark"), ("round",), ("dark", "thin"), ("thin", "round"), ("dark",)]
    rows = "".join(f'text {at},"{mark.join(names)}"\n' for at, names in enumerate(sets))
    path = write(tmp_path / "a.csv", "text,label\n" + rows)
    said = load(path, target="labels").scan.warnings
    assert any(f"label_separator='{mark}'" in text for text in said), said
    source = load(path, f"text=text, label=label, label_separator='{mark}'", target="labels")
    assert source.class_names == ("dark", "round", "thin") and source.labels.sum() == 8
    assert not any("separator" in text for text in source.scan.warnings)


@covers(252)
def test_several_labels_under_a_head_for_one_class_name_the_other_head(tmp_path):
    rows = [{"text": f"text {at}", "label": ["a", "b"][: at % 2 + 1]} for at in range(6)]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    with pytest.raises(FlagError, match="label is a list, not one class") as told:
        load(path, kind="jsonl")
    assert told.value.fix == "--head=multi_label"
    rows = [{"text": f"text {at}", "label": {"name": "ab"[at % 2]}} for at in range(6)]
    path = write(tmp_path / "b.jsonl", "\n".join(map(json.dumps, rows)))
    with pytest.raises(FlagError, match="label is an object") as told:
        load(path, kind="jsonl")
    assert len(load(path, "text=text, label=label.name", kind="jsonl")) == 6
    bars = "".join(f"text {at},{'a|b' if at % 3 else 'a'}\ntext2 {at},b\n" for at in range(9))
    with pytest.raises(FlagError, match=r"are several labels each, such as 'a\|b'") as told:
        load(write(tmp_path / "c.csv", "text,label\n" + bars))
    assert told.value.fix == "--head=multi_label"


@covers(227)
@pytest.mark.parametrize("missing", ["<NA>", "NaT", "nan", ""])
def test_what_pandas_writes_for_a_missing_label_is_none(tmp_path, missing):
    rows = "".join(f"text {at},{missing if at == 7 else 'ab'[at % 2]}\n" for at in range(200))
    source = load(write(tmp_path / "a.csv", "text,label\n" + rows))
    assert source.class_names == ("a", "b") and source.scan.skipped == 1


@covers(263)
def test_columns_of_true_and_false_in_any_case(tmp_path):
    rows = "one,TRUE,FALSE\ntwo,False,true\nthree,yes,No\nfour,1,0\n"
    path = write(tmp_path / "a.csv", "text,food,sport\n" + rows)
    source = load(path, "text=text, label=food|sport", target="labels")
    assert source.labels.tolist() == [[1, 0], [0, 1], [1, 0], [1, 0]]
