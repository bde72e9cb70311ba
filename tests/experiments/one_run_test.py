"""What a run of texts that are cut says, on the terminal and in its report."""

import json
import re

import pytest

import tltf
from tltf.errors import FlagError

DIGITS = {
    "data": "digits(num_train=60, num_test=40)",
    "backbone": "small_cnn(filters=[4])",
    "image_size_px": 8,
    "train_epochs": 1,
    "near_duplicates": False,
    "explain": "none",
    "export": False,
}


def test_a_run_says_what_it_found_and_what_to_do(tmp_path, capsys):
    words = " ".join(f"word{n}" for n in range(20))
    rows = [f"{('good', 'bad')[n % 2]} day {n} {words},{('yes', 'no')[n % 2]}" for n in range(48)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    tltf.run(
        tltf.make_options(
            data=f"csv(path={tmp_path}/rows.csv, text=text, label=label)",
            backbone="small_lstm",
            method="full",
            train_epochs=2,
            text_length=8,
            near_duplicates=False,
            export=False,
            output=str(tmp_path / "run"),
        )
    )
    printed = capsys.readouterr()
    assert printed.out.startswith("verdict    ")
    assert "\ntrained    Kept: epoch " in printed.out
    assert "\n  2/2  " in printed.err and "* is the best on validation so far" in printed.err
    saved = json.loads((tmp_path / "run/report.json").read_text("utf-8"))
    (warning,) = [text for text in saved["data"]["warnings"] if "tokens are cut off" in text]
    for name in ("report.html", "report.md"):
        text = (tmp_path / "run" / name).read_text("utf-8")
        assert "tokens are cut off" in text, warning
        assert "--text_length=16 --output=NEW" in re.sub("</?span>", "", text)


@pytest.mark.parametrize("cache", [True, False])
def test_the_probe_of_lp_ft_is_the_linear_baseline(tmp_path, capsys, cache, own_cache):
    flags = {**DIGITS, "method": "lp_ft", "baseline": "logistic", "cache": cache}
    report = tltf.run(tltf.make_options(**flags, output=str(tmp_path / "run")))
    printed = capsys.readouterr()
    row = report.baselines["logistic_regression"]
    assert row.chosen["is_probe"] and "probe" in row.note
    flags |= {"method": "linear_probe(solver=lbfgs)", "baseline": "none"}
    alone = tltf.run(tltf.make_options(**flags, output=str(tmp_path / "alone")))
    assert row.test.score("accuracy") == alone.test.score("accuracy")
    assert row.test.score("loss") == pytest.approx(alone.test.score("loss"), rel=1e-5)
    found = row.gain.gains["accuracy"].difference
    assert found == pytest.approx(report.test.score("accuracy") - row.test.score("accuracy"))
    assert "\nprobe      Probe " in printed.out and "after fine-tuning" in printed.out
    assert "\nprobe      solved, penalty " in printed.err


def test_a_tuned_light_head_is_a_baseline_and_a_method_with_the_same_answers(tmp_path, capsys):
    flags = {**DIGITS, "method": "linear_probe", "baseline": "probe"}
    report = tltf.run(tltf.make_options(**flags, output=str(tmp_path / "run")))
    row = report.baselines["light_head"]
    assert row.chosen["num_tried"] > 20 and "light heads" in row.note
    assert "tuned light head on frozen features" in (tmp_path / "run/report.md").read_text("utf-8")
    flags |= {"method": "probe", "baseline": "none", "export": True}
    own = tltf.run(tltf.make_options(**flags, output=str(tmp_path / "own")))
    assert re.search(
        r"probe +\w+.* of \d+ held-out rows, best of \d+ tried", capsys.readouterr().err
    )
    assert own.test.score("accuracy") == row.test.score("accuracy")
    assert own.test.score("loss") == pytest.approx(row.test.score("loss"), rel=1e-4)
    rows = [json.loads(line) for line in (tmp_path / "own/metrics.jsonl").read_text().splitlines()]
    assert sum(row["is_chosen"] for row in rows) == 1 and len(rows) == row.chosen["num_tried"]


def test_a_light_head_is_no_baseline_of_numbers(tmp_path):
    (tmp_path / "rows.csv").write_text(
        "text,label\n" + "".join(f"day {n},{n}\n" for n in range(60))
    )
    with pytest.raises(FlagError, match="one class per row"):
        tltf.run(
            tltf.make_options(
                data=f"csv(path={tmp_path}/rows.csv, text=text, label=label)",
                backbone="small_lstm",
                head="regress",
                method="scratch",
                baseline="probe",
                train_epochs=1,
                near_duplicates=False,
                export=False,
                output=str(tmp_path / "run"),
            )
        )


def test_a_baseline_of_random_weights_is_one_line_and_indented_epochs(tmp_path, capsys):
    flags = {**DIGITS, "method": "full", "baseline": "scratch"}
    tltf.run(tltf.make_options(**flags, output=str(tmp_path / "run")))
    printed = capsys.readouterr().err
    _, after = printed.split("\nbaseline   the same network from random weights")
    assert "\n  scratch: 1 epoch of 60 examples" in after
    assert "backbone" not in after and "method" not in after


def test_a_quiet_run_prints_its_last_lines_only(tmp_path, capsys):
    flags = {**DIGITS, "method": "full", "quiet": True}
    tltf.run(tltf.make_options(**flags, output=str(tmp_path / "run")))
    printed = capsys.readouterr()
    assert printed.err == "" and printed.out.startswith("verdict")
    assert "--quiet" not in (tmp_path / "run/run.flags").read_text("utf-8")
