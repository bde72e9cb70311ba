"""The ordinal head against numpy, and runs whose classes have an order."""

import json

import keras
import numpy as np
import pytest

import tltf
from tests import tiny
from tltf import train
from tltf.data.source import Column, ScanCounts, Source, one_label_field
from tltf.errors import FlagError
from tltf.evaluation import classification
from tltf.heads import ordinal

RNG = np.random.default_rng(0)
LOGITS = np.sort(RNG.normal(0, 2, (6, 3)).astype("float32"), axis=1)[:, ::-1].copy()
LABELS = np.array([0, 1, 2, 3, 2, 0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(float)))


def test_loss_is_the_papers_equation():
    """-sum_k log s_k [y > k] + log(1 - s_k) [y <= k]: Cao et al. 2020, eq. 4 with weights of 1."""
    above = LABELS[:, None] > np.arange(3)
    chances = sigmoid(LOGITS)
    expected = -np.where(above, np.log(chances), np.log(1 - chances)).sum(axis=1).mean()
    loss = ordinal.ordinal().loss()
    assert float(loss(LABELS, LOGITS)) == pytest.approx(expected, rel=1e-5)
    one_hot = np.eye(4, dtype="float32")[LABELS]
    assert float(loss(one_hot, LOGITS)) == pytest.approx(expected, rel=1e-5)
    mixed = 0.3 * one_hot + 0.7 * one_hot[::-1]
    other = float(loss(one_hot[::-1].copy(), LOGITS))
    assert float(loss(mixed, LOGITS)) == pytest.approx(0.3 * expected + 0.7 * other, rel=1e-5)
    assert np.isfinite(float(loss(LABELS, 1e4 * LOGITS)))


def test_probabilities_are_differences_of_neighbours():
    head = ordinal.ordinal()
    above = np.concatenate([np.ones((6, 1)), sigmoid(LOGITS), np.zeros((6, 1))], axis=1)
    expected = above[:, :-1] - above[:, 1:]
    found = np.asarray(head.scores(LOGITS))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(
        head.losses(LOGITS, LABELS), -np.log(expected[np.arange(6), LABELS]), rtol=1e-4
    )
    reversed_order = np.asarray(head.scores(LOGITS[:, ::-1].copy()))
    assert (reversed_order >= 0).all()
    np.testing.assert_allclose(reversed_order.sum(axis=1), 1, rtol=1e-6)


def test_classes_are_equally_likely_at_the_start():
    core = tiny.core(head="ordinal", num_classes=5)
    core.model.get_layer("label_score").kernel.assign(np.zeros((4, 1)))
    images = {"image": RNG.uniform(0, 255, (3, 8, 8, 3)).astype("float32")}
    outputs = core.model(images, training=False)["label"]
    assert outputs.shape == (3, 4)
    np.testing.assert_allclose(core.head.scores(outputs), 0.2, rtol=1e-5)


def source(*names):
    labels = np.arange(2 * len(names), dtype=np.int32) % len(names)
    texts = [f"text {n}" for n in range(len(labels))]
    return Source(
        "made",
        {"text": Column("text", texts)},
        one_label_field(labels, names),
        texts,
        None,
        ScanCounts(),
    )


def test_the_order_of_the_classes():
    named = source("bad", "good", "middling")
    with pytest.raises(FlagError, match="takes the order of the classes"):
        ordinal.ordinal().class_order(named)
    order = ("bad", "middling", "good")
    assert ordinal.ordinal(order=order).class_order(named) == order
    with pytest.raises(
        FlagError, match="order names bad, good, but the classes are bad, good, middling"
    ):
        ordinal.ordinal(order=("bad", "good")).class_order(named)
    assert ordinal.ordinal().class_order(source("-1", "0", "10")) == ("-1", "0", "10")
    changed = named.reorder_classes(order)
    names = [changed.class_names[label] for label in changed.labels]
    assert names == [named.class_names[label] for label in named.labels]
    assert changed.labels.tolist() == [0, 2, 1, 0, 2, 1]


def test_other_losses_are_refused():
    for arguments in ({"name": "focal"}, {"label_smoothing": 0.1}):
        with pytest.raises(FlagError, match="cross_entropy without smoothing"):
            ordinal.ordinal().loss(**arguments)


def test_rank_metrics():
    labels = np.array([0, 1, 2, 2])
    answers = np.eye(3)[[0, 2, 2, 0]]
    found = classification.rank_metrics(labels, answers)
    assert found["mean_rank_error"] == pytest.approx(3 / 4)
    observed = (0 + 1 + 0 + 4) / 4
    expected = np.mean([(a - b) ** 2 for a in labels for b in [0, 2, 2, 0]])
    assert found["quadratic_kappa"] == pytest.approx(1 - observed / expected)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Grey pictures that are dark, dim or bright, by names whose alphabet is another order."""
    folder = tmp_path_factory.mktemp("ordinal")
    rng = np.random.default_rng(0)
    names = np.array(["dark", "dim", "bright"])
    labels = np.arange(240) % 3
    pixels = rng.integers(0, 60, (240, 8, 8, 1)) + 80 * labels[:, None, None, None]
    np.savez(folder / "all.npz", x=pixels.astype("uint8"), y=names[labels])
    argv = [
        f"--data=numpy(path={folder}/all.npz)",
        "--backbone=small_cnn(filters=[4], channels=1)",
        "--image_size_px=8",
        "--head=ordinal(order=[dark, dim, bright])",
        "--method=scratch",
        "--train_epochs=40",
        "--learning_rate=.05",
        f"--output={folder / 'run'}",
        "--baseline=logistic",
    ]
    assert train.main(argv) == 0
    return folder / "run"


@pytest.mark.large
def test_a_run_learns_evaluates_exports_and_loads(run):
    report = json.loads((run / "report.json").read_text())
    assert report["test"]["accuracy"] > 0.9
    assert report["test"]["mean_rank_error"] < 0.1 < 0.8 < report["test"]["quadratic_kappa"]
    assert report["test"]["class_names"] == ["dark", "dim", "bright"]
    assert "quadratic kappa" in (run / "report.html").read_text().lower()
    assert (run / "export" / "1" / "saved_model.pb").exists()
    trained = tltf.load(str(run))
    dark, bright = (np.full((8, 8, 1), value, np.uint8) for value in (20, 190))
    assert [p.label for p in trained.predict([dark, bright])] == ["dark", "bright"]
    scores = trained.core.model.predict(
        {"image": np.stack([dark, bright]).astype("float32")}, verbose=0
    )["label"]
    assert (np.diff(scores, axis=0) > 0).all(), "one score orders all thresholds"
    assert isinstance(trained.core.groups[-1].layers[-1], ordinal.Thresholds)


@pytest.mark.large
def test_methods_that_need_a_logit_a_class_say_so(run, tmp_path):
    keras.backend.clear_session()
    argv = [
        "--data=mnist_5k(num_train=40, num_test=20)",
        "--backbone=small_cnn",
        "--image_size_px=28",
        "--train_epochs=1",
        f"--output={tmp_path / 'run'}",
    ]
    assert train.main([*argv, "--head=ordinal", "--method=linear_probe(solver=lbfgs)"]) == 2
    assert train.main([*argv, "--head=ordinal", "--loss=focal", "--method=full"]) == 2
