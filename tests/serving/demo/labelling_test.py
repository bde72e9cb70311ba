"""The page on which a person labels rows: what its session keeps, and the page in a browser."""

import csv
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.serving.demo import browser
from tltf.active_learning import pool_rows, query
from tltf.active_learning.labels_table import LabelsTable
from tltf.active_learning.session import Session
from tltf.config.label_options import LabelOptions
from tltf.data.source import LoadSettings
from tltf.data.sources import in_memory
from tltf.serving.demo import labelling
from tltf.serving.demo.labelling import NONE, Desk

NAMES = ("bad", "good")


def session_of(path, num_rows=7, per_round=3):
    """A session on rows of which the first feature tells the class, without a row that was learned before."""
    texts = [f"film number {number}" for number in range(num_rows)]
    request = in_memory.MemoryRequest(text="text", label="")
    part = in_memory.MemoryPart(None, {"text": texts}, [str(n) for n in range(num_rows)])
    source = in_memory.read(LoadSettings(least_classes=1), [part], request)
    features = np.random.default_rng(0).normal(size=(num_rows, 3)).astype(np.float32)
    features[:, 0] = np.arange(num_rows) % 2 * 2 - 1
    nothing = pool_rows.Learned(np.empty((0, 3), np.float32), np.empty(0, np.int64))
    pool = pool_rows.PoolRows(source, features, NAMES, nothing, "logistic")
    table = LabelsTable(str(path), source, NAMES)
    return Session(pool, table, query.pick("margin"), per_round, None, 0)


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def true_name(shown):
    return NAMES[int(shown.contents[0].rpartition(" ")[2]) % 2]


def test_labels_are_written_at_once_and_the_head_is_fitted_after_a_round(tmp_path):
    desk = Desk(session_of(tmp_path / "labels.csv"))
    shown = desk.show()
    assert shown.stated == {} and "no head" in shown.progress
    for count in range(1, 5):
        shown = desk.label(shown.place, true_name(shown))
        assert len(rows_of(tmp_path / "labels.csv")) == count == sum(shown.counts.values())
    assert "Round 2, row 2 of 3, chosen by `margin`" in shown.progress
    assert shown.stated[true_name(shown)] > 0.5 > min(shown.stated.values())
    for _ in range(3):
        shown = desk.label(shown.place, true_name(shown))
    assert shown.place == NONE and "All is asked: **7** labels" in shown.progress
    right = {
        int(row["text"].rpartition(" ")[2]): row["label"]
        for row in rows_of(tmp_path / "labels.csv")
    }
    assert right == {number: NAMES[number % 2] for number in range(7)}


def test_the_share_that_the_head_before_said_is_that_of_the_last_round(tmp_path):
    session = session_of(tmp_path / "labels.csv")
    desk = Desk(session)
    shown = desk.show()
    for _ in range(3):
        shown = desk.label(shown.place, true_name(shown))
    assert session.agreement(1) is None
    first = session.pool.features[[one.place for one in session.answers], 0]
    assert {NAMES[int(value > 0)] for value in first} == set(NAMES), "both classes have a label"
    wrong = NAMES[1 - NAMES.index(true_name(shown))]
    shown = desk.label(shown.place, wrong)
    for _ in range(2):
        shown = desk.label(shown.place, true_name(shown))
    assert session.agreement(2) == (2, 3)
    assert "said 2 of the last round's 3 labels" in shown.progress


def test_a_second_answer_to_a_row_is_not_given_to_the_next_one(tmp_path):
    desk = Desk(session_of(tmp_path / "labels.csv"))
    first = desk.show().place
    second = desk.label(first, "good")
    late = desk.label(first, "bad")
    assert late.place == second.place and "somebody else" in late.note
    assert [row["label"] for row in rows_of(tmp_path / "labels.csv")] == ["good"]
    late = desk.skip(first)
    assert late.place == second.place and "somebody else" in late.note
    assert desk.skip(second.place).place != second.place
    assert desk.undo().place == second.place and desk.undo().place == first
    assert "nothing to take back" in desk.undo().note


@pytest.mark.large
def test_the_page_in_a_browser_labels_by_buttons_and_keys(tmp_path):
    pytest.importorskip("gradio")
    import tltf

    rows = [f"a {'fine' if n % 3 else 'bad'} day {n},{'yes' if n % 3 else 'no'}" for n in range(60)]
    (tmp_path / "all.csv").write_text("\n".join(["text,label", *rows]))
    pool = [f"a {'fine' if n % 3 else 'bad'} night {n}" for n in range(30)]
    (tmp_path / "pool.csv").write_text("\n".join(["text", *pool]))
    data = f"csv(path={tmp_path}/all.csv, text=text, label=label)"
    given = {"backbone": "small_lstm", "method": "linear_probe", "train_epochs": 1, "quiet": True}
    tltf.fit(data, output=tmp_path / "run", baseline="none", **given)
    command = [sys.executable, "-m", "tltf.label", "--page", f"--run={tmp_path}/run"]
    command += [f"--pool={tmp_path}/pool.csv", f"--output={tmp_path}/labels.csv", "--per_round=2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        (url,) = next(
            found.groups()
            for line in process.stdout
            if (found := re.match(r"page +(http\S+)", line))
        )
        if browser.BROWSER:
            wanted = ["Which class is this", "Round 1, row 1 of 2", r"2 · yes · \d+%", "night"]
            place, folder = tmp_path / "page.png", tmp_path / "browser"
            browser.visit(
                url, place, folder, wanted, "#key-2", then=["row 2 of 2", "The row before is yes"]
            )
            assert [row["label"] for row in rows_of(tmp_path / "labels.csv")] == ["yes"]
            press = "document.dispatchEvent(new KeyboardEvent('keydown', {key: '1'}))"
            then = ["Round 2, row 1 of 2"]
            browser.visit(url, place, folder, ["row 2 of 2"], script=press, then=then)
            assert [row["label"] for row in rows_of(tmp_path / "labels.csv")] == ["yes", "no"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()


def test_without_gradio_the_error_names_the_extra(monkeypatch, tmp_path):
    from tltf.errors import FlagError

    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(FlagError, match="demo"):
        labelling.serve(LabelOptions(run=str(tmp_path)))
