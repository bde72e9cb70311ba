"""Headings say what was trained on what, and pages do not tell the folders of their machine."""

import os

import pytest

from tests.evaluation.report.writer_test import full_report, written
from tltf.config.catalogs import BACKBONES, METHODS
from tltf.data.source import ScanCounts
from tltf.evaluation.report import naming
from tltf.evaluation.report.report import DataSummary, Mistake, Report

RUN = {"data": "csv(path=/a/b/mails.csv, text=t)", "backbone": "minilm_l6", "method": "full"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("csv(path=/a/b/mails.csv, text=text)", "mails"),
        ("csv(train=mails/train.csv, test=mails/test.csv)", "mails"),
        ("image_folder(path=photos/)", "photos"),
        ("image_folder(path=flowers/images)", "flowers"),
        ("csv(path=train.csv)", "train"),
        ("csv(path='mails/*.csv')", "mails"),
        ("tfds(name=mnist)", "mnist"),
        ("digits", "digits"),
        ("my.code:load(path=x)", "my.code:load"),
        ("in_memory(text=text)", "last_try"),
        ("", ""),
    ],
)
def test_data_is_named_by_its_file_or_folder(text, name):
    assert naming.data_name(text, "runs/last_try") == name


def test_a_temporary_folder_is_no_name():
    assert naming.data_name("in_memory(text=text)", "/tmp/tltf-x1b2") == ""


def test_the_title_is_that_of_the_flag_else_of_the_report_else_made():
    assert naming.title(Report(run=RUN)) == "mails: MiniLM-L6, fine-tuned"
    assert naming.title(Report(run=RUN, title="Evaluation")) == "Evaluation"
    assert naming.title(Report(run=RUN, title="x", options={"title": "Mine"})) == "Mine"
    assert naming.title(Report(run={"backbone": "hub:resnet_18", "method": "a.b:c"})) == (
        "resnet_18, a.b:c"
    )
    assert naming.title(Report()) == "Evaluation"


def test_all_backbones_and_methods_have_a_name_in_words():
    names = [row.title for row in (*BACKBONES.values(), *METHODS.values())]
    assert all(names) and len(set(names)) == len(names)
    assert all("_" not in name for name in names)


def test_the_working_folder_and_home_are_left_out_of_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    short = naming.shorten_paths
    assert short(f"csv(path={tmp_path}/a.csv, x={tmp_path})") == "csv(path=a.csv, x=.)"
    assert short("--run=/home/me/runs/1 --data=/home/me") == "--run=~/runs/1 --data=~"
    assert short("/srv/home/me/a, /home/member/b") == "/srv/home/me/a, /home/member/b"
    assert short(f"{tmp_path}x/a") == f"{tmp_path}x/a"


def test_a_page_tells_no_folder_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = f"{tmp_path}/secret"
    report, history = full_report()
    scan = ScanCounts(
        warnings=[f"{folder}/a.csv:1 is odd"], skipped_rows=[{"id": f"{folder}/a.csv:2"}]
    )
    report = Report(
        command=f"python -m tltf.train --flagfile={folder}/run/run.flags",
        options={"output": f"{folder}/run", "data": f"csv(path={folder}/a.csv)"},
        run={"data": f"csv(path={folder}/a.csv)", "method": "full"},
        test=report.test,
        data=DataSummary(scan, f"csv(path={folder}/a.csv)"),
        worst_mistakes=[Mistake(0, f"{folder}/a.csv:7", "x", "y", text=f"see {folder}/b")],
    )
    page, _, markdown = written(tmp_path / "out", report, history)
    for text in (page, markdown):
        assert text.count(os.fspath(tmp_path)) == text.count(f"see {folder}/b") == 1
        assert "a.csv:7" in text and "secret/run/run.flags" in text
    json_text = (tmp_path / "out" / "report.json").read_text()
    assert f"{folder}/run" in json_text, "scripts find the run"
