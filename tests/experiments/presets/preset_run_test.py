"""Presets on made-up pictures: one run folder, whose report says what was tried, and a budget that is kept to."""

import dataclasses
import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

import tltf
from tests.experiments.advice.made_data import NETWORKS, write_pictures
from tltf import predict, train
from tltf.config import checks
from tltf.config.options import make
from tltf.config.preset_options import PresetOptions, TrainCommandOptions
from tltf.errors import FlagError, ModelError
from tltf.evaluation.held_out import Difference
from tltf.evaluation.learning_curve import LearningCurve
from tltf.evaluation.report.report import run_report
from tltf.evaluation.report.tried_block import TriedBlock, TriedRow, sections
from tltf.experiments import from_python
from tltf.experiments.advice import plan
from tltf.experiments.advice.advising import Advice
from tltf.experiments.advice.data_facts import DataFacts
from tltf.experiments.advice.trials import TriedNetwork
from tltf.experiments.launch import Launch
from tltf.experiments.presets import budget, ensemble_trial, preset_plan, preset_run
from tltf.experiments.ranking.candidates import Candidate
from tltf.experiments.search import searching, study, train_trial
from tltf.experiments.search.trial import COMPLETE, UNFINISHED, Outcome
from tltf.runs import folder as runs_folder

NETWORK = NETWORKS.split("|")[1]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"), 240)


class InThisProcess:
    """Runs a trial here, without the seconds of a process of its own."""

    def __call__(self, options, watch):
        train_trial.train(options, checks.resolve(options))
        return Outcome(COMPLETE, study.read_score(pathlib.Path(options.output.output)))


def flags(data, run, **more):
    given = {
        "data": data,
        "backbone": NETWORK,
        "image_size_px": "16",
        "output": run,
        "baseline": "none",
        "explain": "none",
        "train_epochs": "1",
    } | more
    return [f"--{name}={value}" for name, value in given.items()] + ["--noexport", "--quiet"]


@pytest.fixture(scope="module")
def quick(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("quick") / "run"
    assert train.main(flags(data, run, preset="quick")) == 0
    return run


def test_quick_is_a_run_of_the_advised_network_with_a_light_head(quick):
    chosen = runs_folder.read_options(quick)
    assert chosen.train.method.startswith("probe") and chosen.model.backbone == NETWORK
    assert (quick / "advice" / "advice.html").exists()
    tried = run_report(quick).tried
    assert tried.preset == "quick" and tried.budget_s == 600 and tried.seconds < 600
    assert [row.is_chosen for row in tried.rows] == [False, True]
    assert "What was tried, and why this model" in (quick / "report.html").read_text()
    assert "What was tried, and why this model" in (quick / "report.md").read_text()


FROM_PYTHON = {
    "backbone": NETWORK,
    "image_size_px": 16,
    "baseline": "none",
    "explain": "none",
    "train_epochs": 1,
    "quiet": True,
}


def test_a_preset_from_python_is_that_of_the_command(data, tmp_path, monkeypatch):
    assert not hasattr(from_python, "preset_run"), "it is imported where it is used"
    result = tltf.fit(data, preset="quick", output=tmp_path / "quick", **FROM_PYTHON)
    assert run_report(result.folder).tried.preset == "quick"
    assert result.model.predict([np.full((8, 8, 3), 40, np.uint8)])[0].label in ("0", "1", "2")
    monkeypatch.setattr(searching, "ChildRunner", InThisProcess)
    monkeypatch.setattr(budget, "MOST_TRIALS", 2)
    more = tltf.fit(data, budget_minutes=5, output=tmp_path / "good", **FROM_PYTHON)
    tried = run_report(more.folder).tried
    assert (tried.preset, tried.budget_s) == ("good", 300)
    assert sum(row.judged == "validation" for row in tried.rows) == 2


def test_from_python_quick_takes_data_in_memory_and_what_needs_processes_does_not(tmp_path):
    random, y = np.random.default_rng(0), np.arange(90) % 3
    x = random.integers(0, 60, (90, 8, 8, 1), np.uint8) + 60 * y[:, None, None, None].astype(
        "uint8"
    )
    result = tltf.fit((x, y), preset="quick", output=tmp_path / "run", **FROM_PYTHON)
    assert run_report(result.folder).tried.preset == "quick"
    assert runs_folder.read_options(result.folder).train.method.startswith("probe")
    with pytest.raises(FlagError, match="cannot read data of this program"):
        tltf.fit((x, y), budget_minutes=30, **FROM_PYTHON)
    with pytest.raises(FlagError, match="call no callbacks"):
        tltf.fit((x, y), preset="quick", callbacks=[keras.callbacks.Callback()], **FROM_PYTHON)


def test_its_run_predicts(quick, tmp_path):
    picture = np.full((8, 8, 3), 40, np.uint8)
    assert tltf.load(quick).predict([picture])[0].label in ("0", "1", "2")
    assert predict.main([f"--run={quick}", f"--input={tmp_path}"]) != 0  # an empty folder


@pytest.fixture(scope="module")
def searched(data, tmp_path_factory):
    """A run of the preset best, whose trials ran in this process, and whether its ensemble was surely better."""
    run, patch = tmp_path_factory.mktemp("best") / "run", pytest.MonkeyPatch()
    patch.setattr(searching, "ChildRunner", InThisProcess)
    patch.setattr(budget, "MOST_TRIALS", 3)
    try:
        assert train.main(flags(data, run, preset="best")) == 0
    finally:
        patch.undo()
    return run


def test_the_best_trial_on_validation_is_the_run(searched):
    tried = run_report(searched).tried
    trials = [row for row in tried.rows if row.judged == "validation" and not row.note]
    repeated = [row for row in tried.rows if row.note == "the same training as an earlier one"]
    assert all(row.what.startswith("method=probe") for row in repeated)
    assert all(row.score == trials[0].score and not row.is_chosen for row in repeated)
    assert len(trials) == 3 and trials[0].what.startswith("method=probe")
    (chosen,) = (row for row in trials if row.is_chosen)
    assert chosen.score == max(row.score for row in trials)
    values = dict(pair.split("=", 1) for pair in chosen.what.split(", "))
    own = runs_folder.read_options(searched)
    assert own.train.method.partition("(")[0] == values["method"].partition("(")[0]
    assert own.train.learning_rate == pytest.approx(float(values["learning_rate"]), rel=0.01)


def test_its_test_rows_were_not_looked_at_and_its_weights_are_those_of_the_trial(searched):
    report = json.loads((searched / "report.json").read_text())
    number = next(
        row
        for row in run_report(searched).tried.rows
        if row.judged == "validation" and row.is_chosen
    ).score
    assert report["validation"]["accuracy"] == pytest.approx(number, abs=1e-6)
    trials = list((searched / "search" / "trials").iterdir())
    assert sum((trial / "score.json").exists() for trial in trials) == 3
    for trial in trials:
        assert not (trial / "predictions.csv").exists() and not (trial / "report.json").exists()
        assert not (trial / "model").exists()
    assert runs_folder.read_status(searched) == "finished"


def test_an_ensemble_is_judged_on_folds_of_validation_rows(searched):
    tried = run_report(searched).tried
    (row,) = (row for row in tried.rows if row.what.startswith("ensemble"))
    assert row.judged == "folds of validation" and 0 <= row.score <= 1
    assert any("An ensemble of 3 trials" in text for text in tried.why)


def test_an_ensemble_that_is_surely_better_becomes_the_run(data, tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "ChildRunner", InThisProcess)
    monkeypatch.setattr(budget, "MOST_TRIALS", 2)
    sure = Difference(0.05, 0.01, 0.09)
    monkeypatch.setattr(ensemble_trial.held_out, "compare", lambda right, other: sure)
    run = tmp_path / "run"
    assert train.main(flags(data, run, preset="best")) == 0
    report = run_report(run)
    assert report.ensemble is not None and report.tried.rows[-1].is_chosen
    assert sum(row.is_chosen for row in report.tried.rows) == 1
    assert tltf.load(run).predict([np.full((8, 8, 3), 40, np.uint8)])[0].label in ("0", "1", "2")


def test_without_a_complete_trial_it_is_the_light_head(data, tmp_path, monkeypatch):
    class TooSlow:
        def __call__(self, options, watch):
            return Outcome(UNFINISHED)

    monkeypatch.setattr(searching, "ChildRunner", TooSlow)
    monkeypatch.setattr(budget, "MOST_TRIALS", 1)
    monkeypatch.setattr(searching, "_run_trials", lambda *_: None)
    run = tmp_path / "run"
    assert train.main(flags(data, run, budget_minutes=5)) == 0
    assert runs_folder.read_options(run).train.method.startswith("probe")
    assert "No trial has ended" in run_report(run).tried.why[0]


class Interrupted(InThisProcess):
    """Runs one trial, and is interrupted in the next."""

    def __init__(self):
        self.num_begun = 0

    def __call__(self, options, watch):
        self.num_begun += 1
        if self.num_begun > 1:
            raise KeyboardInterrupt
        return super().__call__(options, watch)


def refuse(what):
    def called(*_, **__):
        pytest.fail(f"{what} again")

    return called


def test_an_interrupted_preset_goes_on_with_its_advice_and_its_trials(data, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "MOST_TRIALS", 2)
    run, runner = tmp_path / "run", Interrupted()
    monkeypatch.setattr(searching, "ChildRunner", lambda: runner)
    assert train.main(flags(data, run, budget_minutes=5)) == 75
    monkeypatch.setattr(preset_run.advising, "run", refuse("the advice is asked for"))

    # stopped once more, after the choice and before the network is in the run
    monkeypatch.setattr(searching, "ChildRunner", InThisProcess)
    with monkeypatch.context() as patch:
        patch.setattr(preset_run, "take_trial", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert train.main(flags(data, run, budget_minutes=5)) == 75
    monkeypatch.setattr(searching, "run", refuse("trials are run"))
    assert train.main(flags(data, run, budget_minutes=60, title="Cows")) == 0
    tried = run_report(run).tried
    trials = [row for row in tried.rows if row.judged == "validation"]
    assert len(trials) == 2 and sum(row.is_chosen for row in trials) == 1
    assert tried.seconds >= sum(row.seconds for row in tried.rows if row not in tried.rows[1:2])
    assert (run / "search" / "trials" / "000" / "score.json").exists()


def test_an_interrupted_preset_does_not_go_on_with_other_flags(quick, data, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(quick / "advice", run / "advice")
    assert train.main(flags(data, run, preset="quick", train_epochs="2")) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "begun with other flags (--train_epochs=1, --train_epochs=2)" in said


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_damaged_plan_is_told(tmp_path, text):
    (tmp_path / "advice").mkdir()
    (tmp_path / "advice" / "preset_plan.json").write_text(text)
    with pytest.raises(ModelError, match="cannot be read"):
        preset_plan.read_plan(tmp_path, "good", make(data="digits"))


@pytest.mark.parametrize(("left_s", "first"), [(10_000, "good"), (500, "fast")])
def test_trials_begin_with_the_best_network_that_there_is_time_for(left_s, first):
    def network(name, accuracy, ms, gap):
        candidate = Candidate(name, 64, "last")
        return TriedNetwork(candidate, accuracy, ms, 2.0, 10, 4, "MIT", None, below_best=gap)

    alike, worse = Difference(0.01, -0.02, 0.04), Difference(0.3, 0.2, 0.4)
    networks = [
        network("good", 0.9, 60.0, None),
        network("fast", 0.89, 2.0, alike),
        network("bad", 0.6, 0.1, worse),
    ]
    facts = DataFacts("image", 1000, 100, 200, {"a": 500, "b": 500}, [], [])
    given = make(data="digits")
    planned = plan.make(given, facts, networks, [])
    curve = LearningCurve(())
    advice = Advice("digits", given, facts, 1000, networks, [], curve, planned, [], 1.0)
    found = preset_plan.make("good", given, advice, left_s)
    assert found.network["backbone"] == first
    assert "bad" not in found.space.text
    tried = [(values["method"], values.get("backbone", first)) for values in found.space.first]
    assert tried == [("probe", first), ("lp_ft", first), ("full", "fast")]
    assert ("good" in found.space.text) == (first == "good"), "what takes too long is not tried"
    told = (
        "There was no time to fine-tune good, 64 px, the first network of the advice, twice; fast, 64 px is nearly as good "
        "and faster."
    )
    assert found.why == ([told] if first == "fast" else [])
    assert (
        preset_plan.PresetPlan.from_json(json.loads(json.dumps(dataclasses.asdict(found)))) == found
    )


def test_a_budget_alone_is_good_and_presets_have_their_minutes():
    assert PresetOptions(budget_minutes=5.0).name == "good"
    assert PresetOptions("best").budget_s == 3600 and PresetOptions("quick").budget_s == 600
    assert PresetOptions().name == "none" and PresetOptions().budget_s == 0


def test_what_was_left_out_is_said(data, tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "ChildRunner", InThisProcess)
    monkeypatch.setattr(budget, "HOPELESS", 0.0)
    assert train.main(flags(data, tmp_path / "run", preset="best")) == 0
    tried = run_report(tmp_path / "run").tried
    assert any(text.startswith("lp_ft was not tried:") for text in tried.why)
    assert any("one trial alone has ended" in text for text in tried.why)
    assert not any(row.what.startswith("ensemble") for row in tried.rows)


def test_no_other_trial_is_begun_where_it_is_hopeless():
    assert budget.num_trials(300, 40, 5000) == 1
    assert budget.num_trials(300, 40, 900) == budget.MOST_TRIALS


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"preset": "quick", "budget_minutes": "0.2"}, "two minutes at least"),
        ({"preset": "quick", "dry_run": "true"}, "before it can say"),
        ({"preset": "good", "split": "kfold(folds=3, fold=-1)"}, "each of several rounds"),
        ({"preset": "good", "split": "holdout(validation=0)"}, "leaves no validation rows"),
    ],
)
def test_what_does_not_fit_is_refused(data, tmp_path, capsys, more, says):
    assert train.main(flags(data, tmp_path / "run", **more)) == 2
    assert says in " ".join(capsys.readouterr().err.split())


def test_a_finished_run_is_not_replaced(quick, data):
    chosen = make(TrainCommandOptions, data=data, output=str(quick), preset="quick")
    with pytest.raises(FlagError, match="finished run"):
        preset_run.run(chosen, checks.resolve(chosen), Launch())


def test_the_block_goes_through_json():
    block = TriedBlock("good", 60, 30, [TriedRow("a", 1.0, 0.5, "validation")], ["why"], ["odd"])
    assert TriedBlock.from_json(json.loads(json.dumps(block.to_json()))) == block
    (section,) = sections(block)
    assert section.table.rows[0].cells[:3] == ["a", "50.0%", "validation"]
