"""Only new rows of a log are read, also where it is rotated, truncated or still being written."""

import pytest

from tltf.errors import FlagError
from tltf.serving.monitoring import growing_file
from tltf.serving.monitoring.growing_file import BEGINNING


def rows_of(path, position=BEGINNING, **ways):
    """`(texts, position behind them, note)` of what was not read before."""
    unread = growing_file.find_unread(path, position)
    records = [
        record
        for file, offset in unread.parts
        for record in growing_file.read_records(file, offset, **ways)
    ]
    texts = [record.content.decode().rstrip("\n") for record in records]
    if records:
        position = growing_file.position_at(records[-1].path, records[-1].end)
    return texts, position, unread.note


def append(path, text):
    with path.open("a", newline="") as file:
        file.write(text)


def test_only_new_rows_are_read(tmp_path):
    log = tmp_path / "log.txt"
    append(log, "one\ntwo\n")
    texts, position, note = rows_of(log)
    assert texts == ["one", "two"] and not note
    assert rows_of(log, position)[0] == []
    append(log, "three\n\nfour\n")
    assert rows_of(log, position)[0] == ["three", "four"]


def test_a_row_that_is_being_written_is_left(tmp_path):
    log = tmp_path / "log.txt"
    append(log, "one\ntw")
    texts, position, _ = rows_of(log)
    assert texts == ["one"]
    append(log, "o\n")
    assert rows_of(log, position)[0] == ["two"]
    append(log, "last")
    assert rows_of(log, position, takes_last=True)[0] == ["two", "last"]


def test_rows_with_line_breaks_in_quotes_are_whole(tmp_path):
    log = tmp_path / "log.csv"
    append(log, 'id,text\n1,"a\nb"\n2,"c ""d""\n')
    texts, position, _ = rows_of(log, quote=b'"', has_header=True)
    assert texts == ['1,"a\nb"'], "the quote of the second row is open"
    append(log, 'e"\n3,f\n')
    assert rows_of(log, position, quote=b'"', has_header=True)[0] == ['2,"c ""d""\ne"', "3,f"]


def test_every_row_has_the_header_of_its_file(tmp_path):
    log = tmp_path / "log.csv"
    append(log, "id,text\n1,a\n")
    (record,) = growing_file.read_records(log, 0, has_header=True)
    assert record.header == b"id,text\n" and record.content == b"1,a\n"
    append(log, "2,b\n")
    (record,) = growing_file.read_records(log, record.end, has_header=True)
    assert record.header == b"id,text\n" and record.content == b"2,b\n"


@pytest.mark.parametrize("new_name", ["log.txt.1", "log-20260101.txt"])
def test_the_rest_of_a_rotated_log_is_read_first(tmp_path, new_name):
    log = tmp_path / "log.txt"
    append(log, "one\n")
    _, position, _ = rows_of(log)
    append(log, "two\n")
    log.rename(tmp_path / new_name)
    append(log, "three\n")
    texts, position, note = rows_of(log, position)
    assert texts == ["two", "three"] and new_name in note
    append(log, "four\n")
    texts, _, note = rows_of(log, position)
    assert texts == ["four"] and not note


def test_a_window_may_end_in_the_rotated_file(tmp_path):
    log = tmp_path / "log.txt"
    append(log, "one\ntwo\nthree\n")
    log.rename(tmp_path / "log.txt.1")
    append(log, "four\n")
    position = growing_file.position_at(tmp_path / "log.txt.1", 8)
    assert rows_of(log, position)[0] == ["three", "four"]


@pytest.mark.parametrize("new", ["new\n", "new rows, more than there were\nand one more\n"])
def test_a_truncated_log_is_noticed(tmp_path, new):
    log = tmp_path / "log.txt"
    append(log, "one\ntwo\nthree\n")
    _, position, _ = rows_of(log)
    log.write_text(new)
    texts, _, note = rows_of(log, position)
    assert texts == new.splitlines() and "truncated" in note


def test_a_log_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(FlagError, match="cannot be read"):
        rows_of(tmp_path / "none.txt")


def test_a_quote_without_end_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(growing_file, "MOST_RECORD_BYTES", 100)
    log = tmp_path / "log.csv"
    append(log, 'id\n"' + "a\n" * 80)
    with pytest.raises(FlagError, match="not closed"):
        rows_of(log, quote=b'"', has_header=True)
