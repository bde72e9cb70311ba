"""The worst mistakes of a report with what the answers rest on."""

import json

import pytest

import tltf
from tltf.config import checks
from tltf.errors import FlagError
from tltf.evaluation.report.report import Report

DIGITS = {
    "data": "digits(num_train=60, num_test=60)",
    "backbone": "small_cnn(filters=[4])",
    "image_size_px": 8,
    "method": "linear_probe(solver=lbfgs)",
    "near_duplicates": False,
    "export": False,
    "quiet": True,
}


def trained(tmp_path, **flags):
    tltf.run(tltf.make_options(**{**DIGITS, **flags}, output=str(tmp_path / "run")))
    report = json.loads((tmp_path / "run/report.json").read_text("utf-8"))
    return report, (tmp_path / "run/report.html").read_text("utf-8")


def test_pictures_stand_beside_their_explanations(tmp_path):
    report, page = trained(tmp_path)
    rows = report["worst_mistakes"]
    assert rows and all(row["explanation"]["explained"] == row["predicted"] for row in rows)
    assert report["explained"].startswith("Colours say where a picture speaks for the answer")
    assert page.count('class="pair-of-pictures"') == len(rows)
    assert 0 < report["time_s"]["explain"] < report["time_s"]["total"]
    assert len(page) < 2e6
    again = Report.from_json(report)
    assert again.worst_mistakes[0].explanation.heat.shape == (3, 3)


def test_none_explains_nothing(tmp_path):
    report, page = trained(tmp_path, explain="none")
    assert "explained" not in report and "explain" not in report["time_s"]
    assert not any("explanation" in row for row in report["worst_mistakes"])
    assert "pair-of-pictures" not in page.partition("</style>")[2]


def test_an_explainer_that_does_not_fit_is_told_and_costs_no_report(tmp_path):
    report, page = trained(tmp_path, explain="grad_cam(layer=stage_7)")
    assert report["explained"].startswith("Not explained: grad_cam takes no layer 'stage_7'")
    assert "Not explained: grad_cam" in page and report["worst_mistakes"]


def test_words_of_texts_are_coloured(tmp_path):
    rows = [
        f"{('good', 'bad')[n % 2]} day {n} at sea,{('yes', 'no')[n % 3 % 2]}" for n in range(60)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    report, page = trained(
        tmp_path,
        data=f"csv(path={tmp_path}/rows.csv, text=text, label=label)",
        backbone="small_lstm(units=8, embedding=8)",
        image_size_px=None,
        method="full",
        train_epochs=1,
    )
    row = report["worst_mistakes"][0]
    assert "".join(word[0] for word in row["explanation"]["words"]) == row["text"]
    assert "within" in report["explained"] and '<span class="for"' in page.partition("</style>")[2]


def test_a_wrong_explainer_is_refused_at_once():
    flags = {"data": "vader", "backbone": "minilm_l6", "output": "x"}
    with pytest.raises(FlagError, match="grad_cam explains images, and minilm_l6 takes texts"):
        checks.resolve(tltf.make_options(**flags, explain="grad_cam"))
    with pytest.raises(FlagError, match="no explain 'gradcam'"):
        checks.resolve(tltf.make_options(**flags, explain="gradcam"))
