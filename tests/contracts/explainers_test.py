"""Every explainer explains every head, and says what its output speaks for."""

import numpy as np
import pytest
import tensorflow as tf

from tests import served, tiny
from tests.contracts.cases import CASES
from tests.contracts.given import parameters
from tltf.config import call_strings
from tltf.config.catalogs import EXPLAINERS, HEADS
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.errors import FlagError
from tltf.evaluation.explanations import model_explainer
from tltf.evaluation.explanations.model_explainer import ExplainedRows, ModelExplainer
from tltf.models.served_model import ServedModel

NAMES = ("a", "b", "c")
OF_ONE_MODALITY = {"black": "image", "pad": "text"}
"""Baselines that only one of both has."""


@pytest.mark.parametrize("text", parameters("explainers"))
@pytest.mark.parametrize("make", [served.image_once, served.text_once])
def test_an_explainer(text, make):
    model, call = make(), call_strings.pick(EXPLAINERS, text)
    modality = model.core.backbone.modality
    wanted = OF_ONE_MODALITY.get(call.kwargs.get("baseline"), call.row.modality) or modality
    if wanted != modality:
        with pytest.raises(FlagError):
            ModelExplainer(model, call)
        return
    rows = rows_for(model)
    found = ModelExplainer(model, call, 2).explain(rows)
    assert len(found) == len(rows.chosen)
    for explanation in found:
        assert explanation.method == str(call) and explanation.explained in model.class_names
        if modality == "image":
            assert np.isfinite(explanation.heat).all() and explanation.heat.ndim == 2
        else:
            assert explanation.heat is None and explanation.strongest(1)
        if not explanation.is_signed:
            assert explanation.heat.min() >= 0
        if explanation.error is not None:
            is_exact = explanation.error <= call.kwargs["tolerance"]
            assert is_exact or explanation.steps == call.kwargs["most_steps"]
            assert explanation.error < 0.1


def rows_for(model):
    if model.core.backbone.modality == "image":
        pixels = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)
        return rows_of(model, {"image": tf.constant(pixels)})
    return rows_of(model, model.preprocessing(list(served.TEXTS)), [list(served.TEXTS)])


def rows_of(model, tensors, texts=()):
    logits = model.core.model(tensors, training=False)[model.core.head.name]
    chosen = model_explainer.chosen_outputs(model, model.core.head.scores(logits).numpy())
    return ExplainedRows(tensors, chosen, texts)


@pytest.mark.parametrize("head", [text for texts in CASES["heads"].values() for text in texts])
@pytest.mark.parametrize("name", EXPLAINERS)
def test_every_head_is_explained(head, name):
    backbone = tiny.image_backbone()
    call = call_strings.pick(HEADS, head)
    model = ServedModel(tiny.core(backbone, head), ImagePreprocessing(8), NAMES)
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)).astype(np.float32)
    rows = rows_of(model, {"image": tf.constant(pixels)})
    logits = model.core.model(rows.tensors, training=False)[model.core.head.name]
    evidence = model.core.head.evidence(logits).numpy()
    assert evidence.shape == rows.chosen.shape and rows.chosen.any(axis=1).all()
    assert len(model.core.head.evidence_names(NAMES)) == evidence.shape[1]
    for row, found in enumerate(
        ModelExplainer(model, call_strings.pick(EXPLAINERS, name)).explain(rows)
    ):
        assert found.output == pytest.approx((evidence[row] * rows.chosen[row]).sum(), abs=1e-4)
        assert found.explained and np.isfinite(found.heat).all()
    assert call.name in HEADS


def test_a_label_can_be_chosen():
    model = served.image_once()
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]])
    np.testing.assert_array_equal(
        model_explainer.chosen_outputs(model, scores), [[0, 1, 0], [1, 0, 0]]
    )
    np.testing.assert_array_equal(
        model_explainer.chosen_outputs(model, scores, "owl"), [[0, 0, 1]] * 2
    )
    with pytest.raises(FlagError, match=r"no class 'ow' \(choices: owl"):
        model_explainer.chosen_outputs(model, scores, "ow")
