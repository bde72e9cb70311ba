"""Tables that are read in blocks have the same rows and faults as those that are read row by row."""

import csv
import dataclasses
import io
import json
import random

import pytest

from tltf.config.option_groups import ScanOptions
from tltf.data import loader
from tltf.data.sources import block_reader, table_blocks
from tltf.errors import TltfError

WORDS = ["fine", "Film", "çok güzel", "早く", "a\u2028b", "it's", "№ 5", "x" * 40, "\u200b", "  "]
ALL_PASS = ScanOptions(max_bad_fraction=1.0, allow_empty_classes=True)


def read(path, text, kind="csv", more="text=text, label=label", target="class", scan=ALL_PASS):
    """All that a user sees of a table: its rows and counts, or its error with its faults."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        source = loader.load(f"{kind}(path='{path}', {more})", target=target, scan=scan)
    except TltfError as error:
        counts = error.scan and dataclasses.asdict(error.scan)
        return str(error), error.what, str(error.place), error.fix, counts
    labels = source.labels
    return (
        list(source.ids),
        [list(column) for column in source.text_columns()],
        None if labels is None else (labels.tolist(), labels.dtype, source.class_names),
        source.content_hashes().tolist(),
        dataclasses.asdict(source.scan),
    )


@pytest.fixture(params=[80, 1 << 22], ids=["small blocks", "one block"])
def both_ways(request, tmp_path, monkeypatch):
    """Reads a table in blocks and row by row; also gives the number of rows that Arrow added."""

    def compare(text, **how):
        added = []
        with monkeypatch.context() as patch:
            patch.setattr(table_blocks, "BLOCK_BYTES", request.param)
            extend = block_reader.PackedRows.extend
            patch.setattr(
                block_reader.PackedRows,
                "extend",
                lambda self, *given: added.append(len(given[1])) or extend(self, *given),
            )
            ours = read(tmp_path / "table", text, **how)
        with monkeypatch.context() as patch:
            patch.setattr(block_reader, "csv_contents", lambda text, dialect: None)
            patch.setattr(block_reader, "jsonl_contents", lambda text: None)
            assert ours == read(tmp_path / "table", text, **how)
        return sum(added)

    return compare


def written(rows, **dialect):
    file = io.StringIO(newline="")
    csv.writer(file, **dialect).writerows(rows)
    return file.getvalue()


def random_rows(seed, count=60):
    rng = random.Random(seed)
    rows = [["text", "id", "label"]]
    for number in range(count):
        text = " ".join(rng.choices(WORDS, k=rng.randint(0, 4)))
        text += rng.choice(["", ' "so"', ", and", "\nnew", "\r\nold", "\n1,2,3\n1,2,3\n1,2,3\n"])
        row = [text, str(number), rng.choice(["pos", "neg", " neg ", "", "nan"])]
        kinds = [row, row, row, row[:2], [*row, "more"], rows[0], [" text", "id ", "label"], []]
        rows.append(rng.choice(kinds))
    return rows


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_csv_is_read_alike(both_ways, seed, end):
    text = written(random_rows(seed), lineterminator=end, quoting=seed % 2)
    assert both_ways(text if seed % 3 else text.rstrip()) > 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "text,label\n",
        "text,label",
        "text,label\n\n\n",
        "\ntext,label\na,b\nc,d\n",
        "text,label\nonly one\nand\n",
        "text;label\nfine;a\n",
        "sep=;\ntext;label\nfine;a\nbad;b\n",
        "text,label,label\nfine,a,b\n",
        "text,other,other,label\nfine,1,2,b\nbad,1,2,a\n",
        "wrong,label\nfine,a\nbad,b\n",
        "wrong,label\nonly\nfine,a\nbad,b\n",
        ',text,label\n0,fine,a\n1,bad,b\n"",x,a\n',
        'text,label\n"open,a\nbad,b\n',
        'text,label\nfine,a\n"closed" early,b\n',
        'text,label\nfi"ne,a\nbad,b\n',
        'text,label\n"a ""word"" ",a\n"""",b\n"""x""",a\n"",b\n',
        'text, label\n"fine", "a"\n"bad", "b"\n',
        "text,label\rfine,a\rbad,b\r",
        "text,label\nfi\0ne,a\nbad,b\n",
        "\ufefftext,label\nfine,a\nbad,b\n",
        "text,label\n \t,a\n\u200b\u2060,b\nfine,a\ngood,b\n",
        "text,label\nfine,[1]\nbad,a|b\nx,007\ny,7\n",
        f"text,label\nbad,b\n{'x' * (1 << 20)}y,a\nfine,a\n",
    ],
)
def test_odd_csv_files_are_read_alike(both_ways, text):
    both_ways(text)


@pytest.mark.parametrize(
    "how",
    [
        {"more": "text=text, label=label", "target": "labels"},
        {"more": "text=text, label=label, label_separator=';'", "target": "labels"},
        {"more": "text='text|label', label=id", "target": "number"},
        {"more": "text=text, label=id", "target": "number"},
        {"more": "text=text, label='id|label'", "target": "labels"},
        {"more": "text=text, label=''"},
        {"more": "text=text, label=id, columns=[text, id, label]"},
        {"more": "text=text, label=label, quote=none"},
        {"more": "text=text, label=label", "scan": ScanOptions()},
    ],
)
def test_arguments_of_csv_are_read_alike(both_ways, how):
    rows = [["text", "id", "label"]]
    for number in range(40):
        label = ["a;b", "a|b", "[a, 'b']", "", "a", "1"][number % 6]
        rows.append([f"text {number}", str(number % 7), label])
    both_ways(written(rows), **how)


def test_latin_1_and_tabs_are_read_in_blocks(both_ways):
    rows = [["text", "label"], *([f"caf\u00e9 {n}", "ab"[n % 2]] for n in range(20))]
    assert both_ways(written(rows, delimiter="\t"), more="text=text, delimiter='\\t'") >= 18


def json_lines(seed):
    rng = random.Random(seed)
    for number in range(60):
        record = {"text": rng.choice(WORDS) + f" {number}", "label": rng.choice(["a", "b"])}
        whole = json.dumps(record, ensure_ascii=bool(seed % 2))
        yield rng.choice(
            [whole] * 12
            + [
                json.dumps(record | {"text": None}),
                json.dumps(record | {"text": 3, "label": 1}),
                json.dumps(record | {"label": None}),
                json.dumps(record | {"label": rng.choice([1, 1.5, True, ["a"], {"a": 1}])}),
                json.dumps({"label": "a"}),
                json.dumps(record | {"text": "\ud83d"}),
                json.dumps(record | {"text": "a\0b"}),
                json.dumps(record | {"more": [[1, {"x": float("nan")}]]}),
                json.dumps(record | {"text": "long " * 2000}),
                whole[:-1],
                whole + whole,
                f"{whole} {whole}",
                f"[{whole}]",
                whole[:-1] + ', "label": "a"}',
                whole[:-1] + ', "v": 1,}',
                whole[:-1] + ', "v": Inf}',
                whole[:-1] + f', "v": {"9" * 4500}}}',
                whole[:-1] + f', "v": {"[" * 1200}{"]" * 1200}}}',
                f"  {whole}\t",
                "",
                "   ",
                "null",
            ]
        )


@pytest.mark.parametrize("seed", range(20))
def test_any_json_lines_are_read_alike(both_ways, seed):
    both_ways("\n".join(json_lines(seed)), kind="jsonl")


@pytest.mark.parametrize(
    "text",
    [
        '{"text": "fine", "label": 1}\n{"text": "bad", "label": -0}\n{"text": "so", "label": 12}\n',
        '{"text": "fine", "label": "a"}\r\n\n{"text": "bad", "label": "b"}\r\n',
        '{\n"text": "fine", "label": 1}\n',
        '[{"text": "fine", "label": 1}]\n',
        '{"text": "fine", "label": 1}\r{"text": "bad", "label": 2}\n',
        '{"text": "a", "label": 1} {"text": "b", "label":\n2}\n{"text": "c", "label": 3}\n',
        '{"label": 1}\n{"label": 2}\n',
        '{"label": 1}\n{"text": "late", "label": 2}\n{"text": "later", "label": 1}\n',
        "",
    ],
)
@pytest.mark.parametrize("target", ["class", "labels", "number"])
def test_odd_json_lines_are_read_alike(both_ways, text, target):
    both_ways(text, kind="jsonl", target=target)


def test_plain_files_are_read_by_arrow(both_ways):
    rows = [["text", "label"], *([f"text {n}", "ab"[n % 2]] for n in range(50))]
    assert both_ways(written(rows)) >= 48
    lines = (json.dumps({"text": text, "label": label}) for text, label in rows[1:])
    assert both_ways("\n".join(lines), kind="jsonl") >= 48
