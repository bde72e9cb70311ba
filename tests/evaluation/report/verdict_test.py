"""The verdict says the worst that the comparisons show, in all three forms of a report."""

import dataclasses
import json
import pathlib
import shlex

import pytest

from tltf.config import flagfiles
from tltf.config.options import Options
from tltf.evaluation import baseline_row, evaluators
from tltf.evaluation.baseline_row import BaselineRow, Gain, PairedDifference
from tltf.evaluation.report import markdown, terminal, verdict, writer
from tltf.evaluation.report.report import Report
from tltf.evaluation.report.wording import BAD, GOOD, NEUTRAL, UNCLEAR
from tltf.evaluation.split_metrics import SplitMetrics

SAVED = json.loads(pathlib.Path(__file__).with_name("saved_reports.json").read_text("utf-8"))
KINDS = {"class": 1, "labels": 1, "number": -1, "numbers": -1}
"""Target -> sign of a headline metric that is better."""
OPTIONS = {"output": "runs/a b", "method": "partial", "head": "classify", "loss": "cross_entropy"}


def report(target="class", options=None, **gains):
    """A report with baselines `name=(low, high)`, in which above 0 is better for every kind."""
    judge, sign = evaluators._KINDS[target], KINDS[target]
    said = judge.wording
    names = {"constant": judge.constant_name, "linear": judge.linear_name, "scratch": "scratch"}
    names["light"] = baseline_row.LIGHT_HEAD
    rows = {}
    for name, bounds in gains.items():
        low, high = sorted(sign * bound for bound in bounds)
        gain = Gain((low + high) / 2, [low, high])
        row = BaselineRow(
            SplitMetrics({said.metric: 0.5}), gain=PairedDifference({said.metric: gain})
        )
        rows[names[name]] = row
    metrics = SplitMetrics({said.metric: 0.6}, 95, target, intervals={said.metric: [0.5, 0.7]})
    return Report(test=metrics, baselines=rows, options=OPTIONS | (options or {}))


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize(
    ("gains", "tone", "start"),
    [
        ({"constant": (0.1, 0.2), "linear": (-0.6, -0.4)}, BAD, "Worse than"),
        ({"constant": (-0.2, -0.1), "linear": (-0.6, -0.4)}, BAD, "Worse than"),
        ({"constant": (0.1, 0.2), "linear": (0.1, 0.2), "scratch": (-0.2, -0.1)}, BAD, "Worse"),
        ({"constant": (0.1, 0.2), "linear": (-0.1, 0.2)}, UNCLEAR, "No better than"),
        ({"constant": (0.1, 0.2), "linear": (0.1, 0.2)}, GOOD, "Better than"),
        ({"constant": (-0.1, 0.2)}, BAD, "Learned nothing that 95 test examples can show"),
        ({"constant": (-0.1, 0.2), "linear": (-0.1, 0.2)}, BAD, "Learned nothing"),
        ({"constant": (0.1, 0.2)}, NEUTRAL, "Better than"),
        ({}, NEUTRAL, "Nothing to compare with"),
    ],
)
def test_every_kind_has_the_five_cases(target, gains, tone, start):
    given = verdict.verdict(report(target, **gains))
    assert given.tone == tone
    assert given.text.startswith(start)
    said = evaluators._KINDS[target].wording
    assert ("do not use" in given.text.lower()) == (tone == BAD)
    assert (said.linear_model in given.text) == (
        "linear" in gains and "scratch" not in gains and not given.text.startswith("Learned")
    )


def test_the_words_of_a_model_that_is_worse():
    given = verdict.verdict(report(constant=(-0.1, 0.2), linear=(-0.6, -0.4)))
    assert given.text == (
        "Worse than logistic regression on the same features by 50.0 points (40.0 to 60.0): do not "
        "use this model. It is no better than always answering the most frequent class either."
    )
    assert given.command == (
        "python -m tltf.train '--flagfile=runs/a b/run.flags' '--method=linear_probe(solver=lbfgs)' "
        "--train_epochs=auto --learning_rate=auto --optimizer=auto --schedule=auto --norm=auto --output=NEW"
    )


def test_rows_of_a_target_that_do_harm_are_warned_of():
    gains = {"constant": (0.1, 0.2), "light": (-0.6, -0.4)}
    options = {"target_data": "csv(path=other.csv)", "method": "dann"}
    given = verdict.verdict(report(options=options, **gains))
    assert given.tone == BAD
    assert given.text.startswith(
        "Worse than a tuned light head that learned from the source alone by 50.0 points"
    )
    assert given.text.endswith(
        "The rows of the target did harm, which is called negative transfer."
    )
    assert "--method=probe" in given.command
    plain = verdict.verdict(report(**gains))
    assert "on the same features" in plain.text and "negative transfer" not in plain.text
    better = verdict.verdict(report(options=options, constant=(0.1, 0.2), light=(0.1, 0.2)))
    assert better.tone == GOOD and "the source alone" in better.text


def test_the_words_of_an_error_have_no_points_and_its_own_direction():
    assert verdict.verdict(report("number", linear=(-0.6, -0.4))).text == (
        "Worse than ridge regression on the same features by 0.500 (0.400 to 0.600): do not use "
        "this model."
    )
    assert verdict.verdict(report("number", linear=(0.4, 0.6))).text == (
        "Better than ridge regression on the same features by 0.500 (0.400 to 0.600)."
    )
    assert verdict.verdict(report("number", linear=(-0.1, 0.3))).text.endswith(
        "\N{MINUS SIGN}0.100 (\N{MINUS SIGN}0.300 to +0.100), where below 0 is better."
    )


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({}, "linear_probe(solver=lbfgs)"),
        ({"head": "classify(pooling=flatten)"}, "linear_probe(solver=lbfgs)"),
        ({"head": "classify(hidden=[64])"}, "linear_probe"),
        ({"head": "ordinal(order=[a, b])"}, "linear_probe"),
        ({"loss": "focal"}, "linear_probe"),
    ],
)
def test_the_command_is_one_that_the_parser_takes(options, method):
    command = verdict.verdict(report(options=options, linear=(-0.6, -0.4))).command
    flags = [word for word in shlex.split(command) if word.startswith("--")]
    assert f"--method={method}" in flags
    others = [flag for flag in flags if not flag.startswith("--flagfile")]
    read, _ = flagfiles.parse(Options, ["--data=digits", "--backbone=small_cnn", *others])
    assert read.train.method == method
    assert read.train.learning_rate is None


def test_data_in_memory_are_trained_on_again_from_python():
    given = verdict.verdict(report(options={"data": "in_memory"}, linear=(-0.6, -0.4)))
    assert given.command == "tltf.fit(data, ..., method='linear_probe(solver=lbfgs)')"


def test_heads_of_other_kinds_are_not_solved_for():
    for target in ("labels", "number", "numbers"):
        command = verdict.verdict(report(target, linear=(-0.6, -0.4))).command
        assert "--method=linear_probe " in command


def test_a_probe_that_is_as_good_as_its_own_regression_is_no_warning():
    given = verdict.verdict(report(options={"method": "linear_probe"}, linear=(-0.1, 0.1)))
    assert given.tone == NEUTRAL and given.text.startswith("As good as")
    same = {"method": "linear_probe(solver=lbfgs)"}
    assert verdict.verdict(report(options=same, linear=(-0.6, -0.4))).command == ""


def test_a_constant_answer_without_a_paired_gain_is_compared_by_the_models_interval():
    bare = report(constant=(0.1, 0.2))
    rows = {name: dataclasses.replace(row, gain=None) for name, row in bare.baselines.items()}
    assert verdict.verdict(dataclasses.replace(bare, baselines=rows)).tone == BAD
    better = dataclasses.replace(bare.test, intervals={"accuracy": [0.55, 0.65]})
    given = verdict.verdict(dataclasses.replace(bare, baselines=rows, test=better))
    assert given.tone == NEUTRAL and "by 10.0 points (5.0 to 15.0)" in given.text


def test_a_model_with_a_better_loss_has_learned_something():
    """Where most rows are of one class, accuracy says little."""
    bare = report(constant=(-0.01, 0.02))
    row = bare.baselines["majority"]
    gains = row.gain.gains | {"loss": Gain(-0.2, [-0.3, -0.1])}
    rows = {"majority": dataclasses.replace(row, gain=PairedDifference(gains))}
    given = verdict.verdict(dataclasses.replace(bare, baselines=rows))
    assert given.tone == UNCLEAR and "learned something" in given.text


@pytest.mark.parametrize("kind", SAVED)
def test_saved_reports_have_a_verdict_in_every_form(kind, tmp_path):
    saved = Report.from_json(SAVED[kind])
    given = verdict.verdict(saved)
    writer.write(saved, tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert f'<section class="verdict {given.tone}"' in page
    assert f'class="tile lead {given.tone}"' in page
    assert page.index('class="verdict') < page.index('class="tiles"')
    title, _, first = (tmp_path / "report.md").read_text("utf-8").splitlines()[:3]
    assert title.startswith("# ") and first == f"**{markdown.escape(given.text)}**"
    lines = terminal.verdict_lines(saved)
    assert lines[0].startswith("verdict    ")
    assert " ".join(line[11:] for line in lines if "next: " not in line) == given.text
    assert all(len(line) <= 80 for line in lines if "next: " not in line)


def test_gain_cells_have_the_colour_of_what_they_say(tmp_path):
    writer.write(report(constant=(0.1, 0.2), linear=(-0.6, -0.4), scratch=(-0.1, 0.1)), tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    for tone in (BAD, UNCLEAR, GOOD):
        assert page.count(f'class="n gain {tone}"') == 1


def test_an_evaluation_names_no_flag_that_it_lacks():
    bare = dataclasses.replace(report(constant=(0.1, 0.2)), options=None)
    assert verdict.verdict(bare).text.endswith("Nothing else to compare with.")
    assert "--baseline" in verdict.verdict(report(constant=(0.1, 0.2))).text


def test_a_report_without_metrics_has_none(tmp_path):
    assert verdict.verdict(Report()) is None
    assert terminal.verdict_lines(Report()) == []
    writer.write(Report(), tmp_path)
    assert '<section class="verdict' not in (tmp_path / "report.html").read_text("utf-8")
