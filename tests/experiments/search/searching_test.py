"""Searches whose trials are a formula: what is chosen, interrupted, shared, given up and kept."""

import json
import math
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.experiments.search import curve
from tltf.config import flagfiles
from tltf.config.options import Options, make
from tltf.errors import FlagError, ModelError
from tltf.experiments.search import best, page, searching, study
from tltf.experiments.search.trial import (
    COMPLETE,
    FAILED,
    PRUNED,
    UNFINISHED,
    Outcome,
    Score,
    best_of,
)

ROOT = pathlib.Path(__file__).resolve().parents[3]


def search(folder, runner=None, **flags):
    return searching.run(curve.options(folder, **flags), runner or curve.runner(), finishes=False)


def tried(found):
    return [(row.values, row.score and row.score.value) for row in found.rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nothing stops."""
    return search(tmp_path_factory.mktemp("whole"), trials=8)


def test_the_best_on_validation_is_kept(whole):
    assert len(whole.rows) == 8 and {row.status for row in whole.rows} == {COMPLETE}
    for row in whole.rows:
        one = make(data="digits", **row.values)
        assert row.score.value == curve.quality(one)
        assert 1e-5 <= row.values["learning_rate"] <= 1e-1
        assert [step for step, _ in row.curve] == [1, 2, 3, 4]
    assert whole.best.score.value == max(row.score.value for row in whole.rows)
    assert set(whole.importances) == {"learning_rate", "method"}
    assert sum(whole.importances.values()) == pytest.approx(1)


@pytest.mark.parametrize("sampler", ["random", "cma_es"])
def test_another_sampler_and_another_seed_try_other_values(tmp_path, whole, sampler):
    first = search(tmp_path / "a", sampler=sampler, trials=4)
    assert tried(first) == tried(search(tmp_path / "b", sampler=sampler, trials=4))
    assert tried(first) != tried(search(tmp_path / "c", sampler=sampler, trials=4, seed=1))
    assert len({row.values["learning_rate"] for row in first.rows}) == 4


def distance(values):
    """From the best rate and the best momentum, each as a share of its range."""
    rate, momentum = math.log10(values["learning_rate"]), values["momentum"]
    return math.hypot((rate + 3) / 4, momentum - 0.7)


def of_two_numbers(one, watch):
    """As the curve, but the quality also falls with the distance from a momentum, and the method does not matter."""
    own = {"learning_rate": one.train.learning_rate, "momentum": one.train.momentum}
    value = 1 - distance(own) ** 2
    return Outcome(COMPLETE, Score(value, 1 - value, "accuracy", num_rows=50))


TWO_NUMBERS = "learning_rate: log(1e-5, 1e-1); momentum: uniform(0, .99)"


def test_cma_es_learns_though_it_is_made_anew_for_each_trial(tmp_path):
    last = {}
    for sampler in ("random", "cma_es"):
        last[sampler] = []
        for seed in range(3):
            folder = tmp_path / f"{sampler}{seed}"
            flags = {"space": TWO_NUMBERS, "sampler": sampler, "trials": 30, "seed": seed}
            found = search(folder, of_two_numbers, **flags)
            distances = [distance(row.values) for row in found.rows]
            assert len(distances) == 30
            last[sampler].append(np.mean(distances[-10:]))
    assert all(np.less(last["cma_es"], last["random"]))
    assert np.mean(last["cma_es"]) < 0.6 * np.mean(last["random"])


def test_a_flag_that_changes_nothing_has_no_importance(tmp_path):
    space = (
        "learning_rate: log(1e-5, 1e-1); label_smoothing: uniform(0, .5); batch_size: [8, 16, 32]"
    )

    def of_the_rate(one, watch):
        value = 1 - (math.log10(one.train.learning_rate) + 3) ** 2 / 10
        return Outcome(COMPLETE, Score(value, 1 - value, "accuracy", num_rows=50))

    found = search(tmp_path, of_the_rate, space=space, sampler="random", trials=40)
    assert found.importances["learning_rate"] > 0.9
    assert found.importances["label_smoothing"] < 0.1 and found.importances["batch_size"] < 0.1


def test_a_trial_that_differs_in_what_its_method_ignores_is_not_trained(tmp_path):
    space = "learning_rate: [1e-5, 1e-2]; train_epochs: [3, 6]; method: [probe, full, 'linear_probe(solver=lbfgs)']"
    trained = []

    def runner(one, watch):
        trained.append((one.train.method, one.train.learning_rate))
        return curve.runner(1)(one, watch)

    found = search(tmp_path, runner, space=space, sampler="grid", trials=12)
    methods = [method for method, _ in trained]
    assert methods.count("full") == 4 and len(trained) == 6
    assert methods.count("probe") == methods.count("linear_probe(solver=lbfgs)") == 1
    repeated = [row for row in found.rows if row.same_as is not None]
    assert len(found.rows) == 12 and len(repeated) == 6
    for row in repeated:
        first = found.rows[row.same_as]
        assert row.number > first.number and row.score == first.score and first.same_as is None
        assert row.values["method"] == first.values["method"] != "full"
    assert len(best_of(found.rows, 12)) == 6 and not any(
        row in repeated for row in best_of(found.rows, 12)
    )
    assert "6 trials would have trained what an earlier one had" in " ".join(page.notes(found))
    shown = [row.cells[-1] for row in page.table(found).rows]
    assert sum(text.startswith("the same training as trial ") for text in shown) == 6
    assert json.loads(page.write(found).with_name("search.json").read_text())["trials"]
    assert len(trained) == 6


def test_trials_without_a_training_do_not_count_and_have_an_end(tmp_path):
    space = "learning_rate: log(1e-5, 1e-1); method: [probe, full]"
    found = search(tmp_path / "two", space=space, sampler="random", trials=6)
    assert sum(row.is_trained for row in found.rows) == 6 and 6 < len(found.rows) <= 12
    light = search(tmp_path / "one", space="learning_rate: log(1e-5, 1e-1)", method="probe")
    assert sum(row.is_trained for row in light.rows) == 1 and len(light.rows) == 12


def test_a_grid_is_every_combination_once(tmp_path):
    space = "learning_rate: [1e-4, 1e-3, 1e-2]; method: [full, lp_ft]"
    found = search(tmp_path, space=space, sampler="grid", trials=50)
    pairs = [(row.values["learning_rate"], row.values["method"]) for row in found.rows]
    assert len(pairs) == 6 and len(set(pairs)) == 6
    assert found.best.values == {"learning_rate": 1e-3, "method": "full"}
    with pytest.raises(FlagError, match="grid takes lists, and learning_rate is log"):
        search(tmp_path / "other", sampler="grid")


def test_an_interrupted_search_goes_on_with_the_trial_in_which_it_was(tmp_path, whole):
    count = []

    def interrupt(one):
        count.append(one.output.output)
        if len(count) in (6, 14):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path, curve.runner(heard=interrupt), trials=8)
    assert count[5] == count[6], "the second search begins with the trial of the first"
    found = search(tmp_path, trials=8)
    assert tried(found) == tried(whole)
    assert [row.number for row in found.rows] == list(range(8))


def test_halving_gives_up_what_is_worse_than_others_at_the_same_step(tmp_path):
    space = "learning_rate: log(1e-5, 1e-1); method: [lora(rank=4), lora(rank=8)]"
    found = search(tmp_path, pruner="auto", trials=12, sampler="random", space=space)
    given_up = [row for row in found.rows if row.status == PRUNED]
    assert given_up and found.best and found.best.status == COMPLETE
    firsts = {row.number: dict(row.curve)[1] for row in found.rows}
    for row in given_up:
        before = [value for number, value in firsts.items() if number < row.number]
        assert firsts[row.number] < max(before), "a trial that leads is never given up"
    assert all(row.score is None for row in given_up)
    several = searching.plan_of(curve.options(tmp_path, pruner="auto"))
    assert (found.plan.pruner, several.pruner) == ("halving", "none")


def test_rounds_are_compared_in_pairs(tmp_path):
    flags = {"split": "kfold(folds=8, fold=-1)", "pruner": "auto", "sampler": "random"}

    def rounds(one, watch):
        for fold in range(1, 9):
            if watch.report(fold, curve.quality(one) + 0.001 * (fold % 3)):
                return Outcome(PRUNED)
        return curve.runner(1)(one, searching.Watch(lambda *_: False, watch.is_over))

    found = search(tmp_path, rounds, trials=6, **flags)
    assert found.plan.pruner == "wilcoxon"
    given_up = [row for row in found.rows if row.status == PRUNED]
    assert given_up and all(4 <= len(row.curve) < 8 for row in given_up)
    for flags, said in [
        ({"pruner": "wilcoxon"}, "wilcoxon compares"),
        ({"pruner": "halving", "seeds": 3}, "halving compares"),
    ]:
        with pytest.raises(FlagError, match=said):
            search(tmp_path / "other", **flags)


def test_a_search_ends_when_its_time_is_spent_and_goes_on_with_more(tmp_path):
    slow = curve.runner(steps=100, pause_s=0.02)
    found = search(tmp_path, slow, trials=3, budget_minutes=0.01)
    assert found.is_time_spent and len(found.rows) == 1
    assert found.rows[0].status == UNFINISHED and found.rows[0].seconds >= 0.5
    steps = len(found.rows[0].curve)
    again = search(tmp_path, trials=3, budget_minutes=0.01)
    assert again.is_time_spent and len(again.rows[0].curve) == steps, "the minutes were spent"
    more = search(tmp_path, trials=3, budget_minutes=5)
    assert not more.is_time_spent and [row.status for row in more.rows] == [COMPLETE] * 3
    assert more.rows[0].values == found.rows[0].values


def test_time_in_which_several_trials_ran_counts_once():
    assert study.covered([(0, 10), (5, 12), (20, 21), (6, 7)]) == 13
    assert study.covered([]) == 0


def test_a_trial_that_fails_is_no_lost_search(tmp_path):
    def failing(one, watch):
        if one.train.method == "full":
            return Outcome(FAILED, reason="it was killed (signal 9)")
        return curve.runner()(one, watch)

    found = search(tmp_path, failing, sampler="random", trials=6)
    failed = [row for row in found.rows if row.status == FAILED]
    assert failed and all(row.reason == "it was killed (signal 9)" for row in failed)
    assert found.best.values["method"] == "lora(rank=4)" and len(found.rows) == 6
    with pytest.raises(ModelError, match="the first 3 trials failed: no luck"):
        search(tmp_path / "all", lambda one, watch: Outcome(FAILED, reason="no luck"), trials=9)
    with pytest.raises(ModelError, match="the first trial failed: no rows"):
        faulty = Outcome(FAILED, reason="no rows", is_of_data=True)
        search(tmp_path / "data", lambda one, watch: faulty, trials=9)


def program(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.experiments.search.curve", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def test_two_processes_share_the_trials_of_a_folder(tmp_path):
    folder = tmp_path / "search"
    both = [program(folder, 4, 0, 0.02) for _ in range(2)]
    for process in both:
        assert process.wait(60) == 0, process.stderr.read()
        process.stderr.close()
    lines = (folder / "told.txt").read_text().splitlines()
    of_trial = {line.split()[1]: set() for line in lines}
    for line in lines:
        of_trial[line.split()[1]].add(line.split()[0])
    assert len(of_trial) == 4 and len(lines) == 4 * curve.STEPS
    assert all(len(processes) == 1 for processes in of_trial.values()), "each is run once"
    found = search(folder, trials=4)
    assert [row.status for row in found.rows] == [COMPLETE] * 4 and found.importances == {}


def kill_and_go_on(folder, num_trials, kills):
    for step in kills:
        process = program(folder, num_trials, step)
        assert process.wait(60) == -signal.SIGKILL, process.stderr.read()
        process.stderr.close()
    return search(folder, trials=num_trials)


def test_a_search_that_is_killed_loses_no_trial(tmp_path, whole):
    found = kill_and_go_on(tmp_path / "search", 8, (3, 5))
    assert tried(found) == tried(whole)


@pytest.mark.large
def test_twenty_kills_lose_no_trial(tmp_path):
    undisturbed = search(tmp_path / "whole", trials=30)
    found = kill_and_go_on(tmp_path / "search", 30, [1 + number % 7 for number in range(20)])
    assert tried(found) == tried(undisturbed)
    assert [row.number for row in found.rows] == list(range(30))


def test_another_search_or_other_files_in_the_folder_are_refused(tmp_path):
    search(tmp_path / "search", trials=2)
    with pytest.raises(FlagError, match="batch_size: auto -> 8") as caught:
        search(tmp_path / "search", trials=2, batch_size=8)
    assert caught.value.flag == "batch_size"
    assert len(search(tmp_path / "search", trials=3).rows) == 3, "more trials are the same search"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(FlagError, match="is not empty and holds no search"):
        search(tmp_path / "mine")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"split": "few_shot"}, "leaves no validation rows"),
        ({"split": "holdout(validation=0)"}, "leaves no validation rows"),
        ({"metric": "target_entropy"}, "trials are compared on validation rows"),
        ({"overwrite": True}, "goes on where it was"),
        ({"space": "rate: log(1, 2)"}, "no flag 'rate'"),
    ],
)
def test_what_cannot_be_searched_is_said_at_once(tmp_path, flags, said):
    with pytest.raises(FlagError, match=said):
        search(tmp_path / "search", **flags)
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(("package", "sampler"), [("optuna", "tpe"), ("cmaes", "cma_es")])
def test_without_the_packages_the_extra_is_named(tmp_path, monkeypatch, package, sampler):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FlagError, match=f"needs the package '{package}'") as caught:
        search(tmp_path / "search", sampler=sampler)
    assert "extra search" in caught.value.fix


def test_best_flags_are_those_of_the_best_trial_with_paths_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("text,label\n")
    chosen = curve.options(
        "search", data="csv(path=rows.csv, text=text, label=label)", batch_size=8
    )
    chosen = searching.replace(chosen, backbone="minilm_l6")
    found = searching.run(chosen, curve.runner(), finishes=False)
    run = searching.replace(found.options, **found.best.values)
    best.write_flags(found.folder / "best.flags", run, found.best)
    text = (found.folder / "best.flags").read_text()
    assert f"path={tmp_path}/rows.csv" in text and "output" not in text.split("\n", 2)[2]
    read, _ = flagfiles.parse(Options, [f"--flagfile={found.folder}/best.flags"])
    assert read.train.learning_rate == found.best.values["learning_rate"]
    assert read.train.method == found.best.values["method"] and read.train.batch_size == 8


def test_the_page_has_its_pictures_and_its_trials(whole, tmp_path):
    path = page.write(whole)
    text = path.read_text()
    assert text.count("<svg") == 3 and "Which flags matter" in text
    assert f"Trial {whole.best.number} is the best" in text and "best.flags" in text
    saved = json.loads((whole.folder / "search.json").read_text())
    assert [one["score"]["value"] for one in saved["trials"]] == [
        row.score.value for row in whole.rows
    ]
    assert saved["best"] == whole.best.number
    said = page.terminal_text(whole, path)
    assert "8 trials by TPE: 8 complete" in said and "it flatters" in " ".join(said.split())
    assert "learning_rate" in page.plan_text(whole.plan)


def test_a_page_of_failures_and_of_nothing_is_written(tmp_path):
    found = search(tmp_path, lambda one, watch: Outcome(UNFINISHED), trials=1, budget_minutes=1e-6)
    assert "No trial is complete" in page.write(found).read_text()
    assert found.best is None
