"""Advice on made-up pictures and texts: what the page, the JSON and the flagfiles say, and what is refused."""

import json

import numpy as np
import pytest

import tltf
from tests.experiments.advice.made_data import NETWORKS, write_pictures, write_texts
from tltf import advise, train
from tltf.config import checks, flagfiles, options
from tltf.config.advise_options import AdviseOptions
from tltf.config.options import Options, make
from tltf.data import loader
from tltf.evaluation.held_out import Difference
from tltf.evaluation.learning_curve import LearningCurve
from tltf.experiments.advice import advising, automatic, data_facts, plan, trials
from tltf.experiments.advice.advising import Advice
from tltf.experiments.advice.data_facts import DataFacts
from tltf.experiments.advice.trials import Opponent, TriedNetwork
from tltf.experiments.presets import trial_space
from tltf.experiments.ranking.candidates import Candidate
from tltf.runs import folder as runs_folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def advised(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("advised")
    flags = [f"--data={data}", f"--backbones={NETWORKS}", "--image_sizes_px=16"]
    assert advise.main([*flags, f"--output={folder}", "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def saved(advised):
    return json.loads((advised / "advice.json").read_text())


def test_networks_are_tried_on_training_rows_alone_and_the_best_is_first(saved):
    accuracies = [one["accuracy"] for one in saved["networks"]]
    assert accuracies == sorted(accuracies, reverse=True) and accuracies[0] > 0.4
    assert saved["num_looked_at"] == saved["facts"]["num_train"] < 150
    assert saved["networks"][0]["below_best"] is None
    gap = saved["networks"][1]["below_best"]
    assert gap["value"] == pytest.approx(accuracies[0] - accuracies[1], abs=1e-9)


def test_a_network_without_pretraining_is_not_surely_better_than_its_random_weights(saved):
    names = [one["name"] for one in saved["opponents"]]
    assert names == ["random weights", "classical"]
    assert saved["opponents"][0]["gain"]["low"] <= 0
    assert any(
        "From random weights" in text or "from random weights" in text for text in saved["warnings"]
    )
    assert "--baseline=logistic|classical|scratch" in _flags_text(saved)


def _flags_text(saved):
    return "\n".join(flagfiles.texts(saved["plan"][0]["flags"]))


def test_each_flagfile_is_that_of_a_run(advised, saved, data):
    assert len(saved["plan"]) >= 2
    for number, run in enumerate(saved["plan"], 1):
        path = advised / f"plan_{number}.flags"
        chosen, _ = flagfiles.parse(Options, [f"--flagfile={path}"])
        assert chosen.data.data == data and not chosen.output.output
        assert chosen.model.backbone == run["flags"]["backbone"]
        assert chosen.train.method == run["method"] != "auto"
        assert run["expected_s"] > plan.FIXED_S


def test_the_page_has_the_curve_and_the_plan(advised, saved):
    text = (advised / "advice.html").read_text()
    assert "<svg" in text and "plan_1.flags" in text and "dashed where it is extrapolated" in text
    assert saved["curve_text"] in text.replace("&#39;", "'")
    assert [point["num_rows"] for point in saved["curve"]["points"]][-1] < saved["num_looked_at"]


def test_a_run_takes_the_first_network_and_goes_on_with_it(data, tmp_path, monkeypatch):
    names = tuple(NETWORKS.split("|"))
    monkeypatch.setitem(trials.CHEAP_BACKBONES, "image", names)
    run, flags = tmp_path / "run", ["--image_size_px=16", "--train_epochs=1", "--method=full"]
    own = [f"--data={data}", "--backbone=auto", *flags, f"--output={run}", "--noexport"]
    own += ["--explain=none", "--baseline=none", "--quiet"]
    assert train.main(own) == 0
    advice = json.loads((run / "advice" / "advice.json").read_text())
    taken = runs_folder.read_options(run).model.backbone
    assert taken == advice["networks"][0]["candidate"]["backbone"] == advice["network"]["backbone"]
    advice["network"]["backbone"] = other = next(name for name in names if name != taken)
    (run / "advice" / "advice.json").write_text(json.dumps(advice))  # as if it had been first then
    given = make(data=data, backbone="auto", image_size_px=16, train_epochs=1, method="full")
    given = options.replace(given, output=str(run), export=False, explain="none", baseline="none")
    runs_folder.write_status(run, "training")
    kept, recipe = automatic.choose_network(given, checks.resolve(given))
    assert kept.model.backbone == recipe.backbone.text == other


def test_auto_is_refused_where_rows_would_be_looked_at_that_are_judged_later(
    data, tmp_path, capsys
):
    own = [f"--data={data}", "--backbone=auto", f"--output={tmp_path / 'run'}"]
    assert train.main([*own, "--split=kfold(folds=3, fold=-1)"]) == 2
    assert "each of several rounds has others" in " ".join(capsys.readouterr().err.split())
    assert train.main([*own, "--head=regress"]) == 2
    assert "one class a row" in " ".join(capsys.readouterr().err.split())


def test_texts_are_compared_with_their_words(tmp_path):
    data = write_texts(tmp_path)
    network = "small_lstm(units=4, embedding=4)"
    options_ = make(AdviseOptions, data=data, backbones=network, backbone=network, rows=80)
    found = advising.run(options_)
    words = next(one for one in found.opponents if one.name == "classical")
    assert words.accuracy > 0.9
    assert words.gain.value == pytest.approx(found.networks[0].accuracy - words.accuracy)
    assert found.num_looked_at == 80 and found.facts.num_train > 80
    assert dict(found.facts.lines)["texts"].endswith("median 4")


def tried(name, ms=10.0, accuracy=0.8, gap=None):
    candidate = Candidate(name, 96, "last")
    return TriedNetwork(candidate, accuracy, ms, 2.0, 10, 4, "MIT", None, below_best=gap)


FACTS = DataFacts("image", 1000, 100, 200, {"a": 500, "b": 500}, [], [])


def test_a_faster_network_that_is_as_good_is_in_the_plan():
    near, far = Difference(0.004, -0.02, 0.028), Difference(0.1, 0.05, 0.15)
    networks = [tried("a"), tried("b", 4.0, 0.796, near), tried("c", 1.0, 0.7, far)]
    found = plan.make(make(data="digits"), FACTS, networks, [])
    names = [(run.network.candidate.backbone, run.method) for run in found]
    assert names == [("a", "lp_ft"), ("a", "probe"), ("b", "lp_ft"), ("c", "lp_ft")]
    assert "2.5 times as fast" in found[2].why[0] and "baseline" not in found[0].flags


def test_expected_times_are_passes_and_steps_of_the_measured_milliseconds():
    (run, quick) = plan.make(make(data="digits", train_epochs=4), FACTS, [tried("a")], [])
    assert quick.expected_s == pytest.approx(30 + 0.010 * 1300 + 2.0)
    assert run.expected_s == pytest.approx(30 + 0.010 * 1300 + 4 * 0.010 * (3 * 1000 + 100))


@pytest.mark.parametrize(
    ("left_s", "accuracy", "wanted"),
    [
        (400, 0.7, ["a", "b", "c"]),
        (200, 0.7, ["b", "a", "c"]),
        (120, 0.7, ["b", "a", "c"]),
        (120, 0.76, ["c", "a", "b"]),
        (10, 0.7, ["b", "a", "c"]),
    ],
)
def test_a_preset_begins_with_what_there_is_time_for(left_s, accuracy, wanted):
    """4 epochs of `a` take 167 s as expected, of `b` 85 s, of `c` 44 s, whose light head is surely worse."""
    near, far = Difference(0.004, -0.02, 0.028), Difference(0.1, 0.05, 0.15)
    networks = [tried("a"), tried("b", 4.0, 0.796, near), tried("c", 1.0, accuracy, far)]
    given = make(data="digits", train_epochs=4)
    advice = Advice("digits", given, FACTS, 1000, networks, [], LearningCurve(()), [], [], 1.0)
    found = trial_space.put_affordable_first(given, advice, left_s).networks
    assert [one.candidate.backbone for one in found] == wanted


def test_random_weights_that_are_as_good_are_tried_and_measured():
    weak = Opponent("random weights", "a from random weights", 0.79, Difference(0.01, -0.01, 0.03))
    found = plan.make(make(data="digits"), FACTS, [tried("a")], [weak])
    assert [run.method for run in found] == ["lp_ft", "probe", "scratch"]
    assert found[0].flags["baseline"] == "logistic|classical|scratch"
    assert "not surely less" in advising.transfer_warning(weak)
    strong = Opponent("classical", "words", 0.6, Difference(0.2, 0.1, 0.3))
    assert advising.transfer_warning(strong) == ""
    better = Opponent("classical", "words", 0.9, Difference(-0.1, -0.15, -0.05))
    assert "surely more" in advising.transfer_warning(better)


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["the cat was on the mat and it had a hat"] * 3, True),
        (["le chat est sur le tapis avec son chapeau noir"] * 3, False),
        (["кошка сидит на ковре"], False),
        (["123 456"], None),
    ],
)
def test_the_language_is_guessed(texts, wanted):
    assert data_facts.language(texts)[1] is wanted


def test_an_uneven_data_set_is_warned_of(tmp_path):
    rows = [f"row number {n},{'a' if n % 30 else 'b'}" for n in range(300)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]))
    chosen = make(data=f"csv(path={tmp_path}/t.csv, text=text, label=label)", backbone="minilm_l6")
    parts = loader.training_parts(chosen, checks.resolve(chosen, needs_output=False))
    found = data_facts.gather(parts)
    assert sum(found.class_counts.values()) == found.num_train == len(parts.train)
    assert any("29 times the rows" in text for text in found.warnings)
    assert "near" not in dict(found.lines)


def test_near_duplicates_are_counted_across_splits():
    rows = [{"reason": "nearly the same as 3 (both train)"}]
    rows.append({"reason": "nearly the same as 4 (test and train)"})
    assert data_facts.near_text(rows).startswith("2 pairs of rows are nearly the same, 1 of them")


def test_small_pictures_are_tried_small_first():
    chosen = options.make(AdviseOptions, data="digits")
    facts = DataFacts("image", 10, 0, 0, {}, [], [], largest_side_px=28)
    assert trials.sizes_to_try(chosen, facts) == ["96", "auto"]
    large = DataFacts("image", 10, 0, 0, {}, [], [], largest_side_px=640)
    assert trials.sizes_to_try(chosen, large) == ["auto"]
    assert trials.sizes_to_try(options.make(AdviseOptions, image_size_px=64), facts) == ["auto"]


def test_data_in_memory_takes_the_first_network_too(tmp_path, monkeypatch):
    names = tuple(NETWORKS.split("|"))
    monkeypatch.setitem(trials.CHEAP_BACKBONES, "image", names)
    random, labels = np.random.default_rng(0), np.arange(120) % 3
    pictures = (random.uniform(0, 140, (120, 8, 8, 1)) + 35 * labels[:, None, None, None]).astype(
        "u1"
    )
    flags = {"image_size_px": 16, "train_epochs": 1, "method": "full", "quiet": True}
    flags |= {"baseline": "none", "explain": "none"}
    result = tltf.fit((pictures, labels), backbone="auto", output=tmp_path / "run", **flags)
    assert runs_folder.read_options(tmp_path / "run").model.backbone in names
    assert result.report is not None
    assert (tmp_path / "run" / "advice" / "plan_1.flags").exists()
