"""Deletion and insertion, and that random weights give another picture."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tests import served
from tltf.config import call_strings
from tltf.config.catalogs import EXPLAINERS
from tltf.evaluation.explanations import baselines, faithfulness, model_explainer
from tltf.evaluation.explanations.faithfulness import Areas, Faithfulness
from tltf.evaluation.explanations.model_explainer import ExplainedRows, ModelExplainer

COUNT = 16


def smooth_pictures(count, size_px, seed=0):
    """Pictures with large spots, so that there is something to delete."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, 4, 4, 3)).astype(np.float32)
    return tf.image.resize(coarse, (size_px, size_px), "bicubic")


def rows_of(model, tensors, texts=()):
    name = model.core.head.name
    scores = model.core.head.scores(model.core.model(tensors, training=False)[name]).numpy()
    return ExplainedRows(tensors, model_explainer.chosen_outputs(model, scores), texts)


def explained(model, rows, name="integrated_gradients"):
    call = call_strings.pick(EXPLAINERS, name)
    call = call.change(most_steps=16) if "most_steps" in call.kwargs else call
    return ModelExplainer(model, call, 128).explain(rows)


@pytest.fixture(scope="module")
def pictures():
    keras.utils.set_random_seed(5)  # of random networks some hardly heed what is hidden
    model = served.image()
    rows = rows_of(model, {"image": smooth_pictures(COUNT, 16)})
    return model, rows, explained(model, rows)


def test_integrated_gradients_of_pictures_beat_random_orders_and_those_of_other_pictures(pictures):
    model, rows, explanations = pictures
    found = faithfulness.measure(model, rows, explanations, 256)
    assert max(found.p_values()) < 0.01
    assert found.own.deletion.mean() < found.random.deletion.mean()
    assert found.own.insertion.mean() > found.random.insertion.mean()
    assert "deletion" in str(found) and "insertion" in str(found)
    others = faithfulness.measure(model, rows, explanations[1:] + explanations[:1], 256)
    assert others.own.deletion.mean() > found.own.deletion.mean()
    assert others.own.insertion.mean() < found.own.insertion.mean()


def test_words_of_texts_beat_random_orders():
    model = served.text_once()
    texts = [
        f"{first} {second} is {third}"
        for first in ("good", "bad")
        for second in ("film", "plot", "cast")
        for third in ("the end", "great")
    ]
    rows = rows_of(model, model.preprocessing(texts), [texts])
    found = faithfulness.measure(model, rows, explained(model, rows), 256)
    assert max(found.p_values()) < 0.01


def test_the_ends_of_both_curves_are_the_input_and_nothing(pictures):
    """A constant order hides everything at once: the areas are known from the two ends."""
    model, rows, _ = pictures
    side = model.core.backbone.image_size_px
    orders = [np.full((side, side), 0.95, np.float32)] * COUNT
    found = faithfulness.areas(model, rows, orders, 50)
    name = model.core.head.name
    ends = [
        (model.core.model({"image": pixels})[name].numpy() * rows.chosen).sum(1)
        for pixels in (
            rows.tensors["image"],
            baselines.of_images(rows.tensors["image"].numpy(), "blurred"),
        )
    ]
    np.testing.assert_allclose(found.deletion, (10 * ends[0] + ends[1]) / 11, atol=1e-5)
    np.testing.assert_allclose(found.insertion, (10 * ends[1] + ends[0]) / 11, atol=1e-5)


def test_p_values_are_one_sided():
    better, worse = np.arange(1.0, 21.0), np.zeros(20)
    found = Faithfulness(Areas(worse, worse), Areas(better, better))
    assert found.p_values()[0] < 1e-4 and found.p_values()[1] > 0.99
    assert Faithfulness(Areas(worse, worse), Areas(worse, worse)).p_values() == (1.0, 1.0)


@pytest.mark.parametrize("name", ["grad_cam", "integrated_gradients"])
def test_with_other_random_weights_the_picture_changes(name, pictures):
    """The randomisation test of Adebayo et al. 2018, arXiv:1810.03292."""
    model, rows, _ = pictures
    maps = [
        np.stack([found.heat.ravel() for found in explained(one, rows, name)])
        for one in (model, served.image(seed=6), model)
    ]
    alike = [
        np.array([correlation(*pair) for pair in zip(maps[0], other, strict=True)])
        for other in maps[1:]
    ]
    assert alike[0].mean() < 0.5
    assert alike[1].mean() > 0.99


def correlation(first, second):
    """Spearman's correlation; None of two maps of nothing is like another."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float(np.array_equal(first, second))
    return stats.spearmanr(first, second).statistic
