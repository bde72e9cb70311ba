"""The head of several labels: its numbers against scikit-learn and plain numpy, and whole runs."""

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.errors import FlagError
from tltf.heads import thresholds
from tltf.heads.multi_label import share_right

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(40, 3)).astype("float32") * 2
LABELS = (RNG.random((40, 3)) < 0.4).astype(np.uint8)
LABELS[0] = 0


def head(text="multi_label"):
    return call_strings.pick(HEADS, text).build()


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype(float)))


@pytest.mark.parametrize(
    ("name", "smoothing", "gamma"),
    [
        ("cross_entropy", 0.0, 0.0),
        ("cross_entropy", 0.2, 0.0),
        ("focal", 0.0, 2.0),
        ("focal", 0.1, 1.5),
    ],
)
def test_loss_is_the_equation(name, smoothing, gamma):
    aims = LABELS * (1 - smoothing) + smoothing / 2
    p = sigmoid(LOGITS)
    each = -(aims * np.log(p) + (1 - aims) * np.log(1 - p))
    if gamma:
        each *= (1 - (aims * p + (1 - aims) * (1 - p))) ** gamma
    loss = head().loss(name, smoothing, gamma)
    assert float(loss(LABELS.astype("float32"), LOGITS)) == pytest.approx(each.mean(), rel=1e-4)
    if name == "cross_entropy" and not smoothing:
        np.testing.assert_allclose(head().losses(LOGITS, LABELS), each.mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_corrects_mistakes_and_leaves_what_is_certain(gamma):
    """d/dz of -(1 - p)^g log p is -1 at p = 0, and 0 at p = 1 even where the root's slope is not."""
    loss, logits = head().loss("focal", 0.0, gamma), tf.constant([[90.0, -90.0, -30.0, 30.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(np.array([[1, 0, 1, 0]], "float32"), logits)
    np.testing.assert_allclose(value, 15.0)
    np.testing.assert_allclose(tape.gradient(value, logits), [[0, 0, -0.25, 0.25]])


def test_huge_logits_have_finite_losses():
    given = head().losses(np.array([[1e4, -1e4]], np.float32), np.array([[0, 1]], np.uint8))
    np.testing.assert_allclose(given, [1e4])


def test_metrics_of_training_and_of_validation():
    right = keras.ops.convert_to_numpy(share_right(LABELS, LOGITS))
    np.testing.assert_allclose(right, ((LOGITS > 0) == LABELS).mean(axis=1), rtol=1e-6)
    expected = metrics.average_precision_score(LABELS, LOGITS, average="macro")
    assert head().metric_value(LOGITS, LABELS) == pytest.approx(expected)
    gone = LABELS * np.array([1, 1, 0], np.uint8)
    expected = metrics.average_precision_score(LABELS[:, :2], LOGITS[:, :2], average="macro")
    assert head().metric_value(LOGITS, gone) == pytest.approx(expected), "labels that do not occur"
    assert head().metric_value(LOGITS, 0 * LABELS) == 0.0, "no label occurs"


def test_without_any_label_in_validation_the_loss_decides():
    from tltf.training.callbacks.keep_best import KeepBest

    best, nothing = KeepBest(lambda: {"w": 1}, head=head()), 0 * LABELS
    for epoch, factor in enumerate((1.0, -1.0, 2.0)):
        logits = factor * np.abs(LOGITS)
        losses = head().losses(logits, nothing)
        measured = head().metric_value(logits, nothing)
        best.on_epoch_end(epoch, {"val_loss": losses.mean(), "val_average_precision": measured})
    assert best.state["epoch"] == 2, "the one that gives the least chance to labels"


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_have_the_best_f1_of_all(seed):
    rng = np.random.default_rng(seed)
    stated = rng.random((60, 2)).round(2)
    labels = (rng.random((60, 2)) < stated).astype(np.uint8)
    for place, edge in enumerate(thresholds.best_thresholds(stated, labels)):
        scores = [
            metrics.f1_score(labels[:, place], stated[:, place] >= other, zero_division=0)
            for other in np.linspace(0, 1, 501)
        ]
        reached = metrics.f1_score(labels[:, place], stated[:, place] >= edge)
        assert reached == pytest.approx(max(scores), abs=1e-12)


def test_rare_labels_take_the_threshold_of_all_labels_together():
    stated = np.array([[0.9, 0.2]] * 6 + [[0.3, 0.8]] * 2 + [[0.1, 0.1]] * 8)
    labels = np.array([[1, 0]] * 6 + [[0, 1]] * 2 + [[0, 0]] * 8, np.uint8)
    first, second = thresholds.best_thresholds(stated, labels)
    assert 0.3 < first < 0.9 and first == pytest.approx(0.6)
    assert second == thresholds._best(stated.ravel(), labels.ravel())
    assert thresholds.best_thresholds(stated, 0 * labels).tolist() == [0.5, 0.5]


def test_the_baseline_learns_each_label_and_leaves_constant_ones():
    from tltf.evaluation import linear_baselines

    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 5)).astype("float32")
    labels = np.stack([features[:, 0] > 0, features[:, 1] > 1, np.ones(300)], 1).astype(np.uint8)
    train, validation = (features[:200], labels[:200]), (features[200:], labels[200:])
    stated, judged, chosen = linear_baselines.one_vs_rest(train, validation, features[200:], seed=0)
    np.testing.assert_array_equal(stated, judged[0])
    for place in range(2):
        assert metrics.average_precision_score(labels[200:, place], stated[:, place]) > 0.95
    assert (stated[:, 2] == 1).all() and chosen["c"] in linear_baselines.GRID


def test_answers_follow_the_thresholds():
    given = head("multi_label(thresholds=[.5, .9, .1])")
    stated = np.array([[0.5, 0.8, 0.1], [0.4, 0.95, 0.05], [0.0, 0.0, 0.0]], np.float32)
    assert given.answers(stated, ["cat", "dog", "owl"]) == ["cat|owl", "dog", ""]
    assert given.read(stated[0], ["cat", "dog", "owl"])["labels"] == ("cat", "owl")
    served = given.serving_outputs(keras.ops.convert_to_tensor(stated), [b"cat", b"dog", b"owl"])
    assert served["labels"].numpy().tolist() == [b"cat|owl", b"dog", b""]
    assert served["is_given"].numpy().tolist() == given.choose_labels(stated).tolist()
    assert given.tune(stated, stated > 0.5) is given, "given ones stay"
    with pytest.raises(FlagError, match="3 thresholds for 2 labels"):
        given.answers(stated[:, :2], ["cat", "dog"])
    with pytest.raises(FlagError, match="thresholds must be from 0 to 1"):
        head("multi_label(thresholds=[1.5])")


@pytest.fixture(name="tags", scope="module")
def _tags(tmp_path_factory):
    """Texts with labels that their words decide, one column of joined names."""
    rng, rows = np.random.default_rng(0), []
    words = {"cheap": "price", "slow": "speed", "kind": "staff"}
    for number in range(240):
        picked = [word for word in words if rng.random() < 0.4]
        text = " ".join([*picked, "shop", f"number{number}"])
        rows.append({"text": text, "tags": "|".join(words[word] for word in picked)})
    folder = tmp_path_factory.mktemp("tags")
    with open(folder / "rows.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "tags"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def flags(folder, run, *more):
    return [
        f"--data=csv(path={folder}/rows.csv, text=text, label=tags)",
        f"--output={folder}/{run}",
        "--backbone=small_lstm",
        "--head=multi_label",
        "--train_epochs=12",
        "--learning_rate=.01",
        "--method=full",
        *more,
    ]


def test_a_run_from_texts_to_an_export_that_is_verified(tags, capsys):
    from tltf import predict, train

    assert train.main(flags(tags, "run", "--baseline=logistic")) == 0
    said = capsys.readouterr().out
    assert "micro F1" in said and "each label by its frequency" in said
    report = json.loads((tags / "run/report.json").read_text())
    test = report["test"]
    assert test["micro_f1"] > 0.8 > report["baselines"]["frequencies"]["test"]["micro_f1"]
    assert test["class_names"] == ["price", "speed", "staff"]
    with open(tags / "run/predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    truth, given = (
        np.array([[n in row[key].split("|") for n in test["class_names"]] for row in rows])
        for key in ("true_labels", "predicted_labels")
    )
    assert metrics.f1_score(truth, given, average="micro") == pytest.approx(test["micro_f1"])
    stated = np.array(
        [[float(row[f"probability_{n}"]) for n in test["class_names"]] for row in rows]
    )
    core = json.loads((tags / "run/model/core.json").read_text())["core"]["head"]
    edges = call_strings.pick(HEADS, core).build().thresholds_for(3)
    np.testing.assert_array_equal(given, stated.astype(np.float32) >= edges)
    (tags / "new.csv").write_text("text\ncheap slow shop number3\n")
    assert predict.main([f"--run={tags}/run", f"--input={tags}/new.csv", "--format=jsonl"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert set(row) == {"id", "text", "predicted_labels", "probabilities", "error"}
    assert row["predicted_labels"] == ["price", "speed"]
    page = (tags / "run/report.html").read_text()
    assert "Labels, weakest first" in page and "micro F1" in page


@pytest.mark.large
def test_evaluating_again_and_folds(tags):
    from tltf import evaluate, train

    data = f"--data=csv(path={tags}/rows.csv, text=text, label=tags)"
    assert train.main(flags(tags, "judged", "--export=false", "--explain=none")) == 0
    assert evaluate.main([f"--run={tags}/judged", data, f"--output={tags}/again"]) == 0
    again = json.loads((tags / "again/report.json").read_text())
    assert again["test"]["num_examples"] == 240 and again["test"]["micro_f1"] > 0.8
    shares = again["baselines"]["frequencies"]["test"]
    assert 0 < shares["loss"] < 1
    folds = flags(tags, "folds", "--split=kfold(folds=2, fold=-1)", "--export=false")
    folds += ["--explain=none"]
    assert train.main(folds) == 0
    report = json.loads((tags / "folds/report.json").read_text())
    assert len(report["folds"]) == 2 and report["test"]["num_examples"] == 240


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--method=linear_probe(solver=lbfgs)", "solver=gradient in --method"),
        ("--class_weights=balanced", "--class_weights=none"),
        ("--head=multi_label(thresholds=[.5, .5])", "2 thresholds for 3 labels"),
        ("--head=regress", "is not a finite number"),
    ],
)
def test_what_does_not_go_together_is_said(tags, flag, said, capsys):
    from tltf import train

    assert train.main([*flags(tags, "refused"), flag, "--overwrite"]) in (2, 3, 4)
    assert said in capsys.readouterr().err
