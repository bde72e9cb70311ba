"""Classifiers without a pretrained network: what they learn, what they cannot, and a run beside one."""

import sys

import numpy as np
import pytest

import tltf
from tltf.errors import FlagError
from tltf.evaluation import classical

WORDS = {0: ["fine", "warm", "great"], 1: ["dull", "waste", "long"]}


def texts_of(labels, start=0):
    return [
        f"row {start + place} is {WORDS[label][place % 3]} , says somebody"
        for place, label in enumerate(labels)
    ]


def test_words_tell_classes_apart_and_labels_by_chance_do_not():
    labels, random = np.arange(60) % 2, np.random.default_rng(0)
    truth = random.integers(0, 2, 40)
    found = classical.of_texts(texts_of(labels), labels, texts_of(truth, 100), 2, 0)
    assert (found.probabilities.argmax(axis=1) == truth).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert "TF-IDF" in found.note and "100.0% right" in found.note
    chance = classical.of_texts(
        texts_of(labels), random.permutation(labels), texts_of(truth, 100), 2, 0
    )
    assert (chance.probabilities.argmax(axis=1) == truth).mean() < 0.8


def test_a_class_without_rows_is_never_said_and_one_class_is_always():
    labels = np.array([0, 2] * 10)
    found = classical.of_texts(texts_of(labels // 2), labels, texts_of([0, 1]), 3, 0)
    assert (found.probabilities[:, 1] == 0).all() and found.probabilities.argmax(
        axis=1
    ).tolist() == [0, 2]
    alone = classical.of_texts(texts_of([0] * 4), np.full(4, 1), texts_of([0]), 3, 0)
    assert alone.probabilities.tolist() == [[0, 1, 0]]


def test_edges_point_where_the_picture_changes_and_colours_are_counted():
    across = np.zeros((64, 64, 3), np.float32)
    across[:, 32:] = 255  # changes from left to right
    down = across.transpose(1, 0, 2)
    found = classical.picture_features([np.stack([across, down])])
    edges = found[:, :-72].reshape(2, 7, 7, 2, 2, 9).sum(axis=(1, 2, 3, 4))
    assert edges[0].argmax() != edges[1].argmax()
    assert edges[0].argmax() == 0 and edges[1].argmax() in (4, 5), "0 and 90 degrees of 9 bins"
    histogram, cells = found[0, -72:-48], found[0, -48:].reshape(4, 4, 3)
    np.testing.assert_allclose(histogram.reshape(3, 8)[:, [0, 7]], np.sqrt(0.5), rtol=1e-6)
    assert histogram.reshape(3, 8)[:, 1:7].sum() == 0
    np.testing.assert_allclose(cells[:, :2], 0, atol=1e-6)
    np.testing.assert_allclose(cells[:, 2:], 1, atol=1e-6)


def test_grey_and_large_pictures_are_taken():
    random = np.random.default_rng(0)
    grey = classical.picture_features([random.uniform(0, 255, (2, 16, 16, 1))])
    large = classical.picture_features([random.uniform(0, 255, (1, 200, 200, 3))])
    assert grey.shape[0] == 2 and grey.shape[1] < large.shape[1] and grey.dtype == np.float32


def test_without_scikit_image_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(FlagError) as raised:
        classical.picture_features([np.zeros((1, 8, 8, 3))])
    assert "[classical]" in raised.value.fix


def test_a_run_stands_beside_it(tmp_path):
    """Digits by a network of random weights: edges are better, and the verdict says so."""
    flags = {
        "backbone": "small_cnn(filters=[2])",
        "image_size_px": 8,
        "method": "linear_probe(solver=lbfgs)",
    }
    made = tltf.make_options(
        data="digits(num_train=200, num_test=100)",
        baseline="classical",
        explain="none",
        export=False,
        output=str(tmp_path / "run"),
        **flags,
    )
    report = tltf.run(made)
    row = report.baselines["classical"]
    assert row.test.score("accuracy") > 0.7 and "oriented gradients" in row.note and row.time_s > 0
    gain = row.gain.gains["accuracy"].difference
    assert gain == pytest.approx(report.test.score("accuracy") - row.test.score("accuracy"))
    page = (tmp_path / "run/report.html").read_text()
    assert "without a pretrained network" in page


def test_it_is_of_one_class_a_row(tmp_path, capsys):
    from tltf import train

    (tmp_path / "rows.csv").write_text(
        "text,label\n" + "".join(f"a day {n},{n}\n" for n in range(40))
    )
    flags = [f"--data=csv(path={tmp_path}/rows.csv, text=text, label=label)", "--head=regress"]
    flags += ["--backbone=small_lstm", "--baseline=classical", f"--output={tmp_path}/run"]
    assert train.main(flags) == 2
    assert "classical is a baseline of one class per row" in " ".join(
        capsys.readouterr().err.split()
    )
