"""Finished runs beside each other: the same rows, paired differences, and where they disagree."""

import csv
import json

import numpy as np
import pytest

import tltf
from tltf import compare
from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.data import digests, label_kinds
from tltf.evaluation import evaluators
from tltf.evaluation.report.report import Parameters, Report
from tltf.experiments.comparison import common_rows
from tltf.models import prediction_table
from tltf.models.prediction_table import DIGEST, Table

NAMES = ("bad", "good")


def table(texts, truths, values, names=NAMES, with_digests=True):
    answers = [names[place] for place in np.argmax(values, axis=1)]
    contents = {"text": list(texts)}
    if with_digests:
        found = digests.digests_of("text", list(texts))
        contents[DIGEST] = [f"{digest:016x}" for digest in found.tolist()]
    ids = [f"rows.csv:{number + 2}" for number in range(len(texts))]
    return Table(ids, contents, list(truths), answers, np.asarray(values, float))


def write_run(folder, answers, names=NAMES, head="classify", history=(), **options):
    """A run folder as training leaves it, with these answers on its test split."""
    folder.mkdir(parents=True)
    built = call_strings.pick(HEADS, head, "head").build()
    judge = evaluators.evaluator_for(built)
    labels, candidate = judge.parse(answers.truths, answers.answers, answers.values, names)
    report = Report(
        options={"head": head, "seed": 0, **options},
        run={"data": "csv(path='rows.csv')", "backbone": "minilm_l6", "method": "full"},
        test=judge.measure(labels, candidate, names),
        time_s={"total": 61.0, "train": 50.0},
        parameters=Parameters(2_000_000, 1_000),
    )
    (folder / "report.json").write_text(json.dumps(report.to_json()))
    prediction_table.write(folder / "predictions.csv", answers, built.columns(names), built.name)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))
    return folder


def stated(rights, truths, names=NAMES, sure=0.9):
    """Probabilities that are right where `rights` says so."""
    values = np.full((len(truths), len(names)), (1 - sure) / (len(names) - 1))
    for row, (is_right, truth) in enumerate(zip(rights, truths, strict=True)):
        place = names.index(truth)
        values[row, place if is_right else (place + 1) % len(names)] = sure
    return values


def epochs(*losses):
    return [
        {"phase": "train", "epoch": number, "loss": loss, "val_loss": loss, "val_accuracy": 0.5}
        for number, loss in enumerate(losses, 1)
    ]


@pytest.fixture
def pair(tmp_path):
    """Two runs on the same 200 texts in another order: 160 and 180 right, 10 by the first alone."""
    rng = np.random.default_rng(0)
    texts = [f"text {number}" for number in range(200)]
    truths = [NAMES[place] for place in rng.integers(0, 2, 200)]
    first = np.arange(200) < 160
    second = (np.arange(200) >= 10) & (np.arange(200) < 190)
    order = rng.permutation(200)
    one = write_run(
        tmp_path / "one", table(texts, truths, stated(first, truths)), history=epochs(3, 2, 1)
    )
    shuffled = [texts[row] for row in order], [truths[row] for row in order]
    other = write_run(
        tmp_path / "other",
        table(*shuffled, stated(second[order], shuffled[1], sure=0.8)),
        history=epochs(2, 1),
        seed=1,
    )
    return one, other


def run_command(*arguments, capsys):
    code = compare.main([str(argument) for argument in arguments])
    return code, capsys.readouterr()


def test_differences_are_those_of_the_same_rows(pair, capsys, tmp_path):
    code, printed = run_command(*pair, f"--output={tmp_path / 'page'}", capsys=capsys)
    assert code == 0, printed.err
    found = json.loads((tmp_path / "page/comparison.json").read_text())
    one, other = found["runs"]
    assert found["num_common_examples"] == 200
    assert one["metrics"]["accuracy"] == pytest.approx(0.8) and "gain" not in one
    gain = other["gain"]
    assert gain["accuracy"]["difference"] == pytest.approx(0.1)
    low, high = gain["accuracy"]["interval"]
    error = np.sqrt((40 / 200 - 0.1**2) / 200)  # of a mean of -1, 0 and 1: McNemar's
    assert [low, high] == pytest.approx([0.1 - 1.96 * error, 0.1 + 1.96 * error], abs=0.015)
    assert found["flags"] == {"seed": ["0", "1"]}
    text = printed.out
    assert "All runs were judged on the same 200 rows." in text.replace("\n" + " " * 11, " ")
    assert "+10.0 points" in text and "--seed: one 0; other 1" in text
    assert "1 min 1 s" in text and str(tmp_path / "page/comparison.html") in text


def test_rows_on_which_they_disagree_are_counted_and_shown(pair, capsys, tmp_path):
    run_command(*pair, f"--output={tmp_path / 'page'}", "--examples=3", capsys=capsys)
    found = json.loads((tmp_path / "page/comparison.json").read_text())["disagreements"]
    assert [(part["better"], part["other"], part["count"]) for part in found] == [
        ("other", "one", 30),
        ("one", "other", 10),
    ]
    texts = {row["text"] for row in found[1]["rows"]}
    assert len(texts) == 3 and texts <= {f"text {number}" for number in range(10)}
    for row in found[1]["rows"]:
        better, worse = row["answers"]
        assert better["text"] == row["label"] != worse["text"]
        assert (better["run"], better["detail"], worse["detail"]) == ("one", "90.0%", "80.0%")
    page = (tmp_path / "page/comparison.html").read_text("utf-8")
    assert page.count('<figure class="mistake">') == 6 and "Learning curves" in page
    assert (
        "var(--series-1)" in page
        and "var(--series-2)" in page
        and "http" not in page.replace("http://www.w3.org", "")
    )


def test_of_rows_that_differ_the_common_ones_are_compared(tmp_path):
    texts = [f"text {number}" for number in range(40)]
    truths = [NAMES[number % 2] for number in range(40)]
    values = stated([True] * 40, truths)
    write_run(tmp_path / "a", table(texts[:30], truths[:30], values[:30]))
    changed = ["good" if truth == "bad" else truth for truth in truths[10:12]]
    other = table(texts[10:], [*changed, *truths[12:]], values[10:])
    write_run(tmp_path / "b", other)
    found = tltf.compare([tmp_path / "a", tmp_path / "b"]).comparison
    assert found.num_common == 19  # of 20, one has another label
    told = " ".join(found.notes)
    assert "Compared on the 19 rows" in told and "(a 30, b 30)" in told
    assert "1 row left out" in told
    assert (tmp_path / "a/comparisons/1/comparison.html").exists()


def test_runs_without_a_common_row_stand_beside_each_other_unpaired(tmp_path):
    for name in "ab":
        texts, truths = [f"{name} {number}" for number in range(20)], [*NAMES] * 10
        write_run(tmp_path / name, table(texts, truths, stated([True] * 20, truths)))
    found = tltf.compare([tmp_path / "a", tmp_path / "b"]).comparison
    assert found.num_common == 0 and found.runs[1].gain is None and not found.disagreements
    assert "No row was judged by all runs" in found.notes[0]


def test_a_class_that_one_run_does_not_know_has_no_probability(tmp_path):
    texts, truths = [f"text {number}" for number in range(30)], ["bad", "fair", "good"] * 10
    three = ("bad", "fair", "good")
    write_run(
        tmp_path / "a", table(texts, truths, stated([True] * 30, truths, three), three), three
    )
    ordered = ("good", "fair", "bad", "poor")
    values = stated([True] * 30, truths, ordered)
    write_run(tmp_path / "b", table(texts, truths, values, ordered), ordered)
    found = tltf.compare([tmp_path / "a", tmp_path / "b"]).comparison
    assert [row.metrics.score("accuracy") for row in found.runs] == [1, 1]
    assert "do not know the same classes" in " ".join(found.notes)


def test_contents_that_stand_several_times_are_matched_as_often_as_all_have_them():
    values = np.full((4, 2), 0.5)
    one = table(["a", "a", "b", "c"], ["bad"] * 4, values)
    other = table(["c", "a", "a", "a"], ["bad"] * 4, values)
    assert [found.tolist() for found in common_rows.match([one, other])] == [[0, 1, 3], [1, 2, 0]]


def test_tables_without_digests_are_matched_by_their_texts():
    one = table(["a", "b"], ["bad"] * 2, np.full((2, 2), 0.5), with_digests=False)
    other = table(["b", "a"], ["bad"] * 2, np.full((2, 2), 0.5))
    assert [found.tolist() for found in common_rows.match([one, other])] == [[0, 1], [1, 0]]


def test_errors_of_rows_are_those_of_each_kind_of_labels():
    classes = evaluators.evaluator_for(call_strings.pick(HEADS, "classify", "head").build())
    found = classes.row_errors(np.array([0, 1]), np.array([[0.7, 0.3], [0.6, 0.4]]))
    assert found.tolist() == [0, 0.6]
    number = evaluators.evaluator_for(call_strings.pick(HEADS, "regress", "head").build())
    quantiles = np.array([[0, 1, 5.0], [2, 2, 2.0]])
    assert number.row_errors(np.array([3.0, 2.0]), quantiles).tolist() == [2, 0]
    labels = evaluators.evaluator_for(call_strings.pick(HEADS, "multi_label", "head").build())
    truths, candidate = labels.parse(["a|b", ""], ["a", "b"], np.eye(2), ("a", "b"))
    assert labels.row_errors(truths, candidate).tolist() == [1, 1]
    assert label_kinds.KINDS.keys() == {"class", "labels", "number", "numbers", "tasks"}


def test_it_shows_itself_in_a_notebook(pair, tmp_path):
    shown = tltf.compare(pair, output=tmp_path / "page", examples=2)
    assert shown._repr_html_().startswith("<iframe srcdoc=") and "Flags that differ" in (
        shown.path.read_text("utf-8")
    )
    assert "other" in repr(shown) and callable(compare)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda one, other: (one,), 2, "takes two different run folders or more"),
        (lambda one, other: (one, one), 2, "takes two different run folders or more"),
        (lambda one, other: (one, other / "no"), 2, "there is no such folder"),
        (lambda one, other: (one, other.parent), 2, "holds no finished run"),
        (lambda one, other: (one, _without(other, "predictions.csv")), 2, "judged on no test rows"),
        (
            lambda one, other: (one, _broken(other, "report.json", "{")),
            4,
            "is not a report of tltf",
        ),
        (lambda one, other: (one, _broken(other, "predictions.csv", "x\n")), 4, "not a table of"),
        (lambda one, other: (one, _with_code(other)), 4, "its code would be run"),
    ],
)
def test_what_cannot_be_compared_is_an_error(pair, change, code, said, capsys):
    found, printed = run_command(*change(*pair), capsys=capsys)
    assert (
        (found, printed.out) == (code, "") and said in printed.err and printed.err.count("\n") == 1
    )


def _without(folder, name):
    (folder / name).unlink()
    return folder


def _broken(folder, name, text):
    (folder / name).write_text(text)
    return folder


def _with_code(folder):
    report = json.loads((folder / "report.json").read_text())
    report["options"]["head"] = "os.path:join"
    return _broken(folder, "report.json", json.dumps(report))


def test_runs_of_different_kinds_are_refused(pair, tmp_path, capsys):
    numbers = Table(["1"], {"text": ["text 1"]}, ["2.5"], ["2"], np.array([[1, 2, 3.0]]))
    other = write_run(tmp_path / "number", numbers, (), "regress")
    code, printed = run_command(pair[0], other, capsys=capsys)
    assert (
        code == 2 and "predict different things (one: one class, number: a number)" in printed.err
    )


def test_real_runs_on_pictures_show_the_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("TLTF_CACHE", str(tmp_path / "cache"))
    data = "digits(num_train=60, num_validation=20, num_test=40)"
    for name, rate in (("a", 0.01), ("b", 0.001)):
        tltf.fit(
            data,
            backbone="small_cnn(filters=[4, 4])",
            output=tmp_path / f"run_{name}",
            image_size_px=12,
            train_epochs=3,
            learning_rate=rate,
            baseline="none",
            explain="none",
            quiet=True,
        )
    with open(tmp_path / "run_a/predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row[DIGEST] for row in rows}) > 30
    found = tltf.compare([tmp_path / "run_a", tmp_path / "run_b"])
    assert found.comparison.num_common == 40
    counts = [part.count for part in found.comparison.disagreements]
    gain = found.comparison.runs[1].gain
    assert counts == [gain.only_a_right, gain.only_b_right]
    page = found.path.read_text("utf-8")
    assert page.count("data:image/") == min(12, counts[0]) + min(12, counts[1]) > 0
