import contextlib
import csv
import json
import re
import shutil

import numpy as np
import pytest
import scipy.stats

from tltf import train
from tltf.evaluation import evaluators
from tltf.evaluation.baseline_row import BaselineRow, Gain, PairedDifference
from tltf.evaluation.report.report import Mistake, Report
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.experiments import pooled_report, rounds
from tltf.models.prediction_table import Table
from tltf.runs import layout, removal

FLAGS = [
    "--data=digits",
    "--backbone=small_cnn(filters=[4])",
    "--image_size_px=8",
    "--head=classify(pooling=flatten)",
    "--train_epochs=1",
    "--noexport",
    "--split=kfold(folds=3, fold=-1)",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "folds"
    assert train.main([*FLAGS, f"--output={folder}"]) == 0
    return folder


def test_every_example_is_judged_once(run):
    rows = list(csv.DictReader((run / "predictions.csv").open()))
    assert len(rows) == len({row["id"] for row in rows}) == 1797
    report = json.loads((run / "report.json").read_text())
    hits = np.mean([row["true_label"] == row["predicted_label"] for row in rows])
    assert report["test"]["accuracy"] == pytest.approx(hits)
    assert report["test"]["num_examples"] == 1797
    assert len(report["folds"]) == 3


def test_folds_are_runs_of_their_own(run):
    for number in range(3):
        fold = json.loads((run / "rounds" / str(number + 1) / "report.json").read_text())
        report = json.loads((run / "report.json").read_text())
        assert report["folds"][number]["accuracy"] == fold["test"]["accuracy"]
        assert f"fold={number}" in (run / "rounds" / str(number + 1) / "run.flags").read_text()


def test_the_headline_numbers_are_means_over_folds_with_one_kind_of_interval(run):
    saved = json.loads((run / "report.json").read_text())
    scores = [fold["accuracy"] for fold in saved["folds"]]
    mean = saved["fold_means"]["accuracy"]
    assert mean["mean"] == pytest.approx(np.mean(scores))
    assert mean["deviation"] == pytest.approx(np.std(scores, ddof=1))
    assert "intervals" not in saved["test"], "those of pooled rows are of another kind"
    split, metrics = Report.from_json(saved).main_split()
    assert (split, metrics.scores["accuracy"]) == ("test", mean["mean"])
    assert metrics.intervals["accuracy"] == mean["interval"]
    assert metrics.confusion == saved["test"]["confusion"], "classes are those of all rows"
    page = (run / "report.html").read_text()
    assert "Nadeau &amp; Bengio 2003" in page and "(standard deviation)" in page


def test_the_page_is_about_all_folds_and_leads_to_each(run):
    saved, page = json.loads((run / "report.json").read_text()), (run / "report.html").read_text()
    for number, fold in enumerate(saved["folds"], 1):
        assert fold["folder"] == f"rounds/{number}"
        assert f'<a href="rounds/{number}/report.html" ' in page
        assert (run / fold["folder"] / "report.html").is_file()
    assert saved["data"]["split"] == "kfold(folds=3, fold=-1)"
    assert saved["data"]["splits"]["judged"]["num_examples"] == 1797
    assert sum(saved["data"]["splits"]["judged"]["class_counts"].values()) == 1797
    for chip in ("backbone", "method", "head", "seed", "folds"):
        assert saved["run"][chip] not in ("", None), chip
    assert "<title>3-fold cross-validation of digits" in page
    assert {row["fold"] for row in saved["worst_mistakes"]} <= {1, 2, 3}
    assert len(saved["worst_mistakes"]) == 24 and "data:image/png" in page
    assert saved["facts"]["typed"].startswith("python -m tltf.train --data=digits ")


def test_the_plan_is_printed_once_and_the_last_lines_name_a_model(tmp_path, capsys):
    changed = ["--data=digits(num_train=90, num_test=30)", "--train_epochs=2", "--explain=none"]
    assert train.main([*FLAGS, *changed, f"--output={tmp_path}/run"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("backbone   small_cnn") == 1
    assert printed.out.count("verdict  ") == 1 and printed.out.count("predict  ") == 1
    assert f"tltf.predict --run={tmp_path}/run/rounds/1 " in printed.out
    assert "'--split=holdout(test=0)'" in printed.out.splitlines()[-1]
    saved = json.loads((tmp_path / "run/report.json").read_text())
    assert all(re.fullmatch("epoch [12] of 2", fold["kept"]) for fold in saved["folds"])


def test_folds_of_an_earlier_version_keep_their_names(run, tmp_path, capsys):
    """They counted from 0; an unfinished run goes on with the folders that it has."""
    cut = tmp_path / "cut"
    shutil.copytree(run, cut)
    for number in range(3):
        (cut / "rounds" / str(number + 1)).rename(cut / "rounds" / str(number))
    (cut / "status.json").write_text('{"status": "training"}')
    assert train.main([*FLAGS, f"--output={cut}"]) == 0
    assert "fold 1 of 3" not in capsys.readouterr().out
    saved = json.loads((cut / "report.json").read_text())
    assert [fold["folder"] for fold in saved["folds"]] == ["rounds/0", "rounds/1", "rounds/2"]
    assert sorted(path.name for path in (cut / "rounds").iterdir()) == ["0", "1", "2"]


@pytest.mark.parametrize("path", ["report.json", "rounds/1/report.json"])
def test_the_report_is_read_as_it_was_written(run, path):
    """Key for key and in their order, so the texts are compared."""
    text = (run / path).read_text(encoding="utf-8")
    read = Report.from_json(json.loads(text)).to_json()
    assert json.dumps(read, indent=2, ensure_ascii=False) + "\n" == text


def test_an_interrupted_cross_validation_reads_its_finished_folds(run, tmp_path, capsys):
    (run / "status.json").write_text('{"status": "training"}')
    assert train.main([*FLAGS, f"--output={run}"]) == 0
    assert "fold 1 of 3" not in capsys.readouterr().out


def test_finished_folds_are_of_the_data_of_now(run, tmp_path, capsys, monkeypatch):
    """Other data are refused, named by --resume they pass, and --overwrite trains anew."""
    cut = tmp_path / "cut"
    shutil.copytree(run, cut)
    (cut / "status.json").write_text('{"status": "training"}')
    monkeypatch.setattr(rounds.fingerprint, "fingerprints", lambda parts: {"train split": "1 rows"})
    assert train.main([*FLAGS, f"--output={cut}"]) == 4
    assert re.search(r"train split: 1,\d+ rows \(.* -> 1 rows", capsys.readouterr().err)
    with monkeypatch.context() as patch:
        patch.setattr(rounds, "_round", lambda chosen, recipe, *given: trained.append(given))
        trained = []
        with contextlib.suppress(TypeError):
            train.main([*FLAGS, f"--output={cut}", "--resume=data"])
        assert [bool(finished) for _, _, finished, *_ in trained] == [True] * 3
        trained.clear()
        (cut / "status.json").write_text('{"status": "training"}')
        with contextlib.suppress(TypeError):
            train.main([*FLAGS, f"--output={cut}", "--overwrite"])
        assert [bool(finished) for _, _, finished, *_ in trained] == [False] * 3


def test_a_replaced_run_is_removed_to_its_last_file(run, tmp_path):
    """All that a cross-validation has written, whatever was added to it since."""
    shutil.copytree(run, tmp_path / "run")
    removal.remove(tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").rglob("*")} <= set(layout.OF_A_RUN)


def test_other_workers_train_the_folds_that_the_first_one_names(run, monkeypatch, tmp_path):
    """They write nothing, and do not look at the folder, which the first may be changing."""
    task = {
        "cluster": {"chief": ["a:1"], "worker": ["b:1"]},
        "task": {"type": "worker", "index": 0},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    monkeypatch.setattr(rounds.strategies, "start", lambda options: None)
    monkeypatch.setattr(
        rounds.multi_worker, "broadcast_from_chief", lambda strategy, own: np.array([1, 0, 1, 1])
    )
    seen = []
    monkeypatch.setattr(rounds.one_run, "run", lambda chosen, *others: seen.append(chosen))
    assert train.main([*FLAGS, f"--output={tmp_path}/new"]) == 0
    assert [chosen.output.output for chosen in seen] == [f"{tmp_path}/new/rounds/2"]
    assert not (tmp_path / "new").exists()


def test_gain_of_the_folds_is_a_corrected_t_interval():
    gains = [0.1, 0.2, 0.4]
    scores = SplitMetrics({"accuracy": 1.0, "loss": 1.0, "macro_f1": 1.0})
    rows = [BaselineRow(scores, gain=PairedDifference({"accuracy": Gain(gain)})) for gain in gains]
    mean = pooled_report.mean_baseline(rows, evaluators.wording_for(None))
    low, high = mean.gain.gains["accuracy"].interval
    plain = scipy.stats.ttest_1samp(gains, 0).confidence_interval()
    widened = (plain.high - plain.low) * (1 + 3 / 2) ** 0.5  # Nadeau & Bengio: test / train is 1/2
    assert (low + high) / 2 == pytest.approx((plain.low + plain.high) / 2)
    assert high - low == pytest.approx(widened)


def test_the_picture_of_a_fold_that_is_read_again_comes_from_its_path():
    """report.json holds texts and no pictures; those of a fold that has just ended are at hand."""
    fold = Report(worst_mistakes=[Mistake(0, "a.png", "x", "y", 0.9)])
    text = Report(worst_mistakes=[Mistake(0, "t", "x", "y", 0.8, text="words")])
    fresh = Report(borderline=[Mistake(0, "a.png", "x", "x", 0.5, image=b"pixels")])
    table = Table(
        ["a.png", "t", "a.png"], {"path": ["/d/a.png", "", "other"]}, None, [], np.ones(3)
    )
    found = list(pooled_report._with_folds([fold, text, fresh], table, np.array([1, 2, 3])))
    (first,), (second,) = found[0].mistakes, found[1].mistakes
    assert (first.image, first.fold) == ("/d/a.png", 1)
    assert (second.image, second.text, second.fold) == (None, "words", 2)
    assert (found[2].borderline[0].image, found[2].borderline[0].fold) == (b"pixels", 3)


@pytest.fixture(scope="module")
def draws(tmp_path_factory):
    """A run of three draws of five labels a class."""
    folder = tmp_path_factory.mktemp("runs") / "draws"
    split = "--split=few_shot(labels_a_class=5, draws=3, draw=-1, test=.1)"
    flags = [flag for flag in FLAGS if not flag.startswith("--split")]
    flags += [split, "--method=probe(family=ridge)", "--explain=none"]
    assert train.main([*flags, f"--output={folder}"]) == 0
    return folder


def test_draws_are_judged_on_the_same_rows_and_have_a_mean_with_student_s_interval(draws):
    saved = json.loads((draws / "report.json").read_text())
    scores = [fold["accuracy"] for fold in saved["folds"]]
    assert saved["round_kind"] == "draw" and len(scores) == 3 and len(set(scores)) > 1
    assert all(fold["examples"] == {"train": 50, "test": 180} for fold in saved["folds"])
    low, high = saved["fold_means"]["accuracy"]["interval"]
    expected = scipy.stats.t.interval(0.95, 2, np.mean(scores), scipy.stats.sem(scores))
    np.testing.assert_allclose([low, high], np.clip(expected, 0, 1))
    rows = list(csv.DictReader((draws / "predictions.csv").open()))
    assert len(rows) == 3 * 180 and len({row["id"] for row in rows}) == 180
    hits = np.mean([row["true_label"] == row["predicted_label"] for row in rows])
    assert hits == pytest.approx(np.mean(scores))


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Runs of three seeds: with two light heads on splits of their own, and on a test split of the data."""
    folder = tmp_path_factory.mktemp("seeds")
    flags = [flag for flag in FLAGS if not flag.startswith("--split")] + ["--explain=none"]
    random = np.random.default_rng(0)
    labels = np.arange(120) % 3
    pictures = (
        random.uniform(0, 200, (120, 8, 8, 1)) + 50 * (labels == 1)[:, None, None, None]
    ).astype(np.uint8)
    parts = {
        "x_train": pictures[:90],
        "x_test": pictures[90:],
        "y_train": labels[:90],
        "y_test": labels[90:],
    }
    np.savez(folder / "data.npz", **parts)
    given = f"--data=numpy(path={folder}/data.npz)"
    for name, *own in (
        ("ridge", "--method=probe(family=ridge)"),
        ("means", "--method=probe(family=class_means)"),
        ("given", "--method=probe(family=ridge)", given),
    ):
        assert train.main([*flags, *own, "--seeds=3", "--seed=4", f"--output={folder}/{name}"]) == 0
    return folder


def test_seeds_are_runs_of_their_own_with_a_corrected_interval(seeds):
    saved = json.loads((seeds / "ridge/report.json").read_text())
    scores = [fold["accuracy"] for fold in saved["folds"]]
    assert saved["round_kind"] == "seed" and len(set(scores)) > 1 and saved["run"]["seeds"] == 3
    for number, fold in enumerate(saved["folds"]):
        flags = (seeds / "ridge" / fold["folder"] / "run.flags").read_text()
        assert f"--seed={4 + number}" in flags and "--seeds" not in flags.replace("--seeds=1", "")
    low, high = saved["fold_means"]["accuracy"]["interval"]
    rows = [fold["examples"] for fold in saved["folds"]]
    tests = rows[0]["test"]
    others = rows[0]["train"] + rows[0]["validation"]
    assert tests + others == 1797
    error = np.sqrt(
        (1 / 3 + tests / others) * np.var(scores, ddof=1)
    )  # Nadeau & Bengio 2003, eq. 9
    expected = np.mean(scores) + scipy.stats.t.ppf(0.975, 2) * error * np.array([-1, 1])
    np.testing.assert_allclose([low, high], np.clip(expected, 0, 1), rtol=1e-6)
    page = (seeds / "ridge/report.html").read_text()
    assert "3 seeds of digits" in page and "The seeds" in page and "--seeds=1" in page


def test_seeds_on_a_test_split_of_the_data_tell_of_the_training_alone(seeds):
    saved = json.loads((seeds / "given/report.json").read_text())
    assert saved["round_kind"] == "seed_of_a_split"
    assert all(fold["examples"]["test"] == 30 for fold in saved["folds"])
    page = (seeds / "given/report.html").read_text()
    assert "the same test rows for each seed" in page and "Nadeau" not in page


def test_runs_of_the_same_seeds_are_compared_seed_by_seed(seeds, tmp_path):
    import tltf

    shown = repr(tltf.compare([seeds / "ridge", seeds / "means"], output=str(tmp_path / "c")))
    found = json.loads((tmp_path / "c/comparison.json").read_text())
    scores = [
        [
            fold["accuracy"]
            for fold in json.loads((seeds / name / "report.json").read_text())["folds"]
        ]
        for name in ("means", "ridge")
    ]
    differences = np.subtract(*scores)
    test = found["runs"][1]["rounds"]
    np.testing.assert_allclose(test["differences"], differences)
    ratio = 359 / (1797 - 359)
    t = differences.mean() / np.sqrt((1 / 3 + ratio) * differences.var(ddof=1))
    assert test["t_probability"] == pytest.approx(2 * scipy.stats.t.sf(abs(t), 2), rel=0.01)
    assert test["wilcoxon_probability"] is None, "three rounds can never be told apart by it"
    gain = found["runs"][1]["gain"]["accuracy"]
    assert gain["difference"] == pytest.approx(differences.mean())
    is_clear = gain["interval"][0] > 0 or gain["interval"][1] < 0
    assert is_clear == (test["t_probability"] < 0.05)
    assert "means from ridge over 3 seeds" in " ".join(shown.split())


def test_seeds_and_rounds_of_the_split_exclude_each_other(tmp_path, capsys):
    assert train.main([*FLAGS, "--seeds=2", f"--output={tmp_path}/run"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "trains 2 times" in said and "repeats=2" in said
    split = "--split=few_shot(draw=-1)"
    assert train.main([*FLAGS[:-1], split, "--seeds=2", f"--output={tmp_path}/run"]) == 2
    assert "more draws in --split" in " ".join(capsys.readouterr().err.split())


def test_a_repeated_cross_validation_deals_the_rows_anew(tmp_path):
    split = "--split=kfold(folds=2, fold=-1, repeats=2)"
    few = "--data=digits(num_train=100, num_test=30)"
    given = [few, split, "--method=probe(family=class_means)"]
    assert train.main([*FLAGS[:-1], *given, f"--output={tmp_path}/run"]) == 0
    saved = json.loads((tmp_path / "run/report.json").read_text())
    rows = list(csv.DictReader((tmp_path / "run/predictions.csv").open()))
    ids = [row["id"] for row in rows]
    assert len(saved["folds"]) == 4 and len(ids) == 250 and len(set(ids)) == 125
    assert set(ids[:125]) == set(ids[125:]) and set(ids[:60]) != set(ids[125:185])
    scores = [fold["accuracy"] for fold in saved["folds"]]
    low, high = saved["fold_means"]["accuracy"]["interval"]
    half = scipy.stats.t.ppf(0.975, 3) * np.sqrt((1 / 4 + 1) * np.var(scores, ddof=1))
    expected = np.clip([np.mean(scores) - half, np.mean(scores) + half], 0, 1)
    np.testing.assert_allclose([low, high], expected, rtol=1e-6)
    page = " ".join((tmp_path / "run/report.html").read_text().split())
    assert "Each of 125 examples was judged 2 times" in page


def test_the_page_of_draws_speaks_of_draws(draws):
    page = (draws / "report.html").read_text()
    words = " ".join(re.sub("<[^>]*>", " ", page.partition("<main")[2]).split())
    assert "3 draws of few labels from digits" in page and "The draws" in page
    assert "Mean accuracy of 3 draws" in words and "180 examples were judged" in words
    assert "fold" not in words.replace("few_shot", "").lower()
    text = (draws / "report.md").read_text()
    assert "## The draws" in text and "| draw |" in text
    assert not re.search(r"\bfolds?\b", text), re.search(r".*\bfolds?\b.*", text)
