"""What epochs are judged by."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

import tltf
from tltf.errors import FlagError
from tltf.models.forward import ForwardPass
from tltf.training import judges, target_risk

FLAGS = {
    "data": "digits(num_train=60, num_test=20)",
    "backbone": "small_cnn(filters=[4])",
    "image_size_px": 8,
    "method": "full",
    "learning_rate": 0.05,
    "train_epochs": 4,
    "near_duplicates": False,
    "export": False,
}


@pytest.mark.parametrize("seed", range(3))
def test_macro_f1_is_that_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    answers, labels = rng.integers(0, 5, 30), rng.integers(0, 7, 30)
    wanted = metrics.f1_score(labels, answers, average="macro", zero_division=0)
    assert judges.macro_f1(answers, labels) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("metric", "quality"),
    [
        ("macro_f1", lambda row: row["val_macro_f1"]),
        ("loss", lambda row: -row["val_loss"]),
    ],
)
def test_the_best_epoch_is_that_of_the_metric(tmp_path, metric, quality):
    from tltf.training import training

    options = tltf.make_options(**FLAGS, metric=metric, output=str(tmp_path / "run"))
    result = training.train(options)
    best = max(result.history, key=quality)
    part = result.model.splits["validation"]
    scores = result.model.scores(part)
    right = float(np.mean(np.argmax(scores, axis=1) == part.labels))
    if metric == "loss":
        assert right == pytest.approx(best["val_accuracy"])
    else:
        found = judges.macro_f1(np.argmax(scores, axis=1), np.asarray(part.labels))
        assert found == pytest.approx(best["val_macro_f1"])


def test_entropy_and_information_are_those_of_scipy():
    shares = np.random.default_rng(0).dirichlet(np.ones(4), 30)
    each = stats.entropy(shares, axis=1).mean()
    assert judges.mean_entropy(shares) == pytest.approx(each)
    assert judges.information(shares) == pytest.approx(stats.entropy(shares.mean(axis=0)) - each)
    one_answer, all_answers = np.tile(np.eye(4)[0], (8, 1)), np.tile(np.eye(4), (2, 1))
    assert judges.mean_entropy(one_answer) == pytest.approx(0, abs=1e-9)
    assert judges.information(one_answer) == pytest.approx(0, abs=1e-9)
    assert judges.information(all_answers) == pytest.approx(np.log(4))


@pytest.mark.parametrize("metric", ["target_entropy", "target_information"])
def test_the_best_epoch_can_be_that_of_rows_without_labels(tmp_path, metric):
    from tltf.training import training

    given = {"method": "mcc(hidden=8)", "target_data": "digits(num_train=40, num_test=20)"}
    options = tltf.make_options(**{**FLAGS, **given}, metric=metric, output=str(tmp_path / "run"))
    result = training.train(options)
    sign = -1 if metric == "target_entropy" else 1
    values = [row[f"val_{metric}"] for row in result.history if f"val_{metric}" in row]
    shares = result.model.scores(result.model.splits["target"])
    measure = judges.mean_entropy if metric == "target_entropy" else judges.information
    assert measure(shares) == pytest.approx(sign * max(sign * value for value in values), abs=1e-4)


def test_the_best_epoch_can_be_that_of_the_lowest_estimated_loss_on_the_target(tmp_path):
    from tltf.training import training

    given = {"method": "dann(hidden=8)", "target_data": "digits(num_train=40, num_test=20)"}
    options = tltf.make_options(
        **{**FLAGS, **given}, metric="target_risk", output=str(tmp_path / "run")
    )
    result = training.train(options)
    values = [row["val_target_risk"] for row in result.history if "val_target_risk" in row]
    core, splits = result.model.core, result.model.splits
    embedding = target_risk.features_model(core.model, core.outputs[0])
    embed = ForwardPass(embedding)
    source, target = (
        embed(result.model.dataset(splits[role], 32))[: len(splits[role])]
        for role in ("validation", "target")
    )
    losses = core.head.losses(
        result.model.logits(splits["validation"]), splits["validation"].labels
    )
    assert target_risk.estimate(losses, source, target) == pytest.approx(min(values), abs=1e-3)


def test_a_metric_of_the_target_needs_a_method_that_reads_one(tmp_path):
    with pytest.raises(FlagError, match="rows without labels that the method learns from"):
        given = {"metric": "target_information", "output": str(tmp_path / "run")}
        tltf.run(tltf.make_options(**FLAGS, **given))


def test_a_metric_of_classes_needs_classes(tmp_path):
    with pytest.raises(FlagError, match="macro_f1 is of one class per row"):
        given = {"metric": "macro_f1", "head": "regress", "output": str(tmp_path / "run")}
        tltf.run(tltf.make_options(**FLAGS, **given))
