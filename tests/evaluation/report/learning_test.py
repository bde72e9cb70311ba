"""The kept epoch and penalty are those that training keeps, and are named and marked."""

import numpy as np
import pytest

from tltf.data import label_kinds
from tltf.evaluation.report import learning, writer
from tltf.evaluation.report.report import Report
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.heads.classify import Classify
from tltf.heads.regress import Regress
from tltf.training.callbacks import keep_best


def report(num_validation=500, chosen=("the epoch",), keep="best", target="class"):
    name = "accuracy" if target == "class" else "mean_absolute_error"
    metrics = SplitMetrics({name: 0.5}, num_validation, target)
    return Report(
        test=metrics, validation=metrics, options={"keep": keep}, chosen_on_validation=list(chosen)
    )


def epochs(*accuracies, phase="full", **more):
    return [
        {"phase": phase, "epoch": n, "loss": 1 / n, "val_loss": 1 - value, "val_accuracy": value}
        | more
        for n, value in enumerate(accuracies, 1)
    ]


def penalties(*accuracies):
    rows = epochs(*accuracies, phase="probe")
    return [row | {"penalty": 10.0 ** -row["epoch"]} for row in rows]


@pytest.mark.parametrize(
    ("head", "metric", "target"),
    [(Classify, "accuracy", "class"), (Regress, "mean_absolute_error", label_kinds.NUMBER)],
)
def test_the_kept_epoch_is_the_one_that_the_callback_keeps(head, metric, target):
    rng = np.random.default_rng(0)
    for _ in range(50):
        rows = [
            {
                "phase": "full",
                "epoch": n,
                "val_loss": float(rng.integers(3)),
                f"val_{metric}": float(rng.integers(3)),
            }
            for n in range(1, 7)
        ]
        rows[int(rng.integers(6))]["val_loss"] = None if rng.integers(2) else float("nan")
        callback = keep_best.KeepBest(dict, head=head)
        for row in rows:
            logs = {name: np.nan if value is None else value for name, value in row.items()}
            callback.on_epoch_end(row["epoch"] - 1, logs)
        given = learning.kept(report(target=target), rows)
        assert (given.number if given else 0) == callback.state["epoch"]


@pytest.mark.parametrize(
    ("history", "sentence"),
    [
        (
            epochs(0.5, 0.9, 0.8, 0.9),
            "Kept: epoch 2 of 4, the best on validation; 2 later epochs were no better.",
        ),
        (
            epochs(0.5, 0.9),
            "Kept: epoch 2 of 2, the best on validation; it was the last, so more epochs may be "
            "better still.",
        ),
        (penalties(0.5, 0.9, 0.8), "Kept: penalty 0.01, the best on validation of 3."),
        (
            penalties(0.5, 0.9) + epochs(0.8, 0.9),
            "Kept: the head as it was solved for, with penalty 0.01: none of the 2 epochs after it "
            "was better on validation.",
        ),
        (
            penalties(0.5, 0.9) + epochs(0.95, 0.9),
            "Kept: epoch 1 of 2 of the phase full, the best on validation; 1 later epoch was no "
            "better.",
        ),
    ],
)
def test_the_kept_row_in_words(history, sentence):
    assert list(learning.sentences(report(), history)) == [sentence]


def test_what_a_phase_has_passed_through_is_not_what_was_kept():
    """Such as the solved head and the epochs before the last mask of a pruned run."""
    passed = epochs(0.8, 0.7, phase="prune", is_passed=True)
    rows = [*penalties(0.9, 0.95), *passed, *epochs(0.6, 0.65, 0.62, phase="tune")]
    given = learning.kept(report(), rows)
    assert (given.place, given.phase, given.number, given.num_epochs) == (5, "tune", 2, 3)


def test_a_training_that_ended_as_its_rows_were_learned_is_said_to_have():
    rows = epochs(0.8, 0.9, 0.9)
    rows[-1]["is_learned"] = True
    first, _ = learning.sentences(report(), rows)
    assert first.startswith("The training ended after epoch 3, as its rows were learned")


def test_few_validation_examples_are_said():
    few = list(learning.sentences(report(14), epochs(0.5, 0.9)))
    assert few[1:] == [
        "Only 14 validation examples chose it: other examples might have chosen another one."
    ]
    assert len(list(learning.sentences(report(100), epochs(0.5, 0.9)))) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"keep": "last"},
        {"chosen": []},
        {"chosen": ["the epoch", "the share of the start's weights"]},
        {"chosen": ["the epoch", "the runs of the soup"]},
    ],
)
def test_nothing_is_said_where_no_epoch_was_chosen(changes):
    assert list(learning.sentences(report(**changes), epochs(0.9, 0.5))) == []


def test_penalties_and_epochs_have_plots_and_tables_of_their_own(tmp_path):
    history = penalties(0.5, 0.9, 0.8) + epochs(0.95, 0.9)
    first, second = learning.curves(report(), history)
    assert first.title and second.title
    for svg in first.svgs:
        assert ">penalty<" in svg and ">epoch<" not in svg and ">kept<" in svg
    for svg in second.svgs:
        assert ">epoch<" in svg and ">penalty<" not in svg
        assert ">kept<" in svg and ">solved head<" in svg
    writer.write(report(), tmp_path, history=history)
    markdown = (tmp_path / "report.md").read_text("utf-8")
    for title, num_rows in (("Penalties", 3), ("Epochs", 2)):
        table = markdown.split(f"## {title}\n\n")[1].split("\n\n")[0]
        assert table.count("\n") == num_rows + 1
        assert ("penalty" in table) == (title == "Penalties")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Kept: epoch 1 of 2" in page and "Kept: epoch 1 of 2" in markdown


def test_one_group_has_no_heading_and_one_row_no_curve():
    assert [group.title for group in learning.curves(report(), epochs(0.5, 0.9))] == [""]
    assert [group.title for group in learning.curves(report(), penalties(0.5, 0.9))] == [""]
    assert learning.curves(report(), epochs(0.5)) == []
