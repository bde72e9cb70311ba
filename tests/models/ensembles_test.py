"""An ensemble as one core: its answers, its inputs, its files, and what cannot be combined."""

import json
import pathlib

import keras
import numpy as np
import pytest
from scipy import special

from tests import served
from tltf.config import call_strings
from tltf.config.catalogs import EXPLAINERS, HEADS
from tltf.data.several_preprocessings import SeveralImages, SeveralTexts
from tltf.errors import FlagError, ModelError
from tltf.evaluation.explanations.model_explainer import ExplainedRows, ModelExplainer
from tltf.graphs import functional
from tltf.models import core_builder, ensembles, loading, saving
from tltf.models.ensembles import Member
from tltf.models.transfer_model import TransferModel
from tltf.runs import model_folder

RANDOM = np.random.default_rng(0)
PICTURES = [RANDOM.integers(0, 256, (20, 24, 3), np.uint8) for _ in range(6)]


def stated(model, inputs):
    return np.array([list(found.probabilities.values()) for found in model.predict(list(inputs))])


def joined(models, rule=ensembles.WEIGHTED, *arrays):
    members = [
        Member(f"run {n}", model.core, model.preprocessing) for n, model in enumerate(models)
    ]
    call = ensembles.head_call_of([model.core.only.call for model in models])
    core, preprocessing = ensembles.join(members, rule, call, len(models[0].class_names))
    if arrays:
        ensembles.set_weights(core, *arrays)
    return TransferModel(core, preprocessing, models[0].class_names)


def reloaded(model, folder):
    saving.save(model, folder)
    return loading.load(folder)


@pytest.mark.parametrize(
    ("make", "inputs", "kind"),
    [
        (lambda: [served.image(), served.image(size_px=24)], PICTURES, SeveralImages),
        (
            lambda: [served.text(), served.text("small_lstm(units=4, embedding=8, vocabulary=40)")],
            served.TEXTS,
            SeveralTexts,
        ),
    ],
    ids=["sizes", "tokenizers"],
)
def test_members_with_other_inputs_keep_their_own_preprocessing(make, inputs, kind, tmp_path):
    models = make()
    wanted = 0.3 * stated(models[0], inputs) + 0.7 * stated(models[1], inputs)
    ensemble = joined(models, ensembles.WEIGHTED, [0.3, 0.7])
    assert isinstance(ensemble.preprocessing, kind)
    assert len(ensemble.core.backbone.inputs) == 2 * len(models[0].core.backbone.inputs)
    np.testing.assert_allclose(stated(ensemble, inputs), wanted, atol=1e-6)
    again = reloaded(ensemble, tmp_path)
    np.testing.assert_array_equal(stated(again, inputs), stated(ensemble, inputs))
    assert again.core.backbone.members == ("run 0", "run 1")


def with_other_head(model, folder, factor):
    """The model with the same backbone and another head."""
    saving.save(model, folder)
    other = loading.load(folder)
    for variable in functional.named_weights(other.core.groups[-1].layers).values():
        variable.assign(variable * factor + 0.1)
    return other


def test_a_backbone_that_members_share_is_stored_and_computed_once(tmp_path):
    first = served.image()
    models = [first, *(with_other_head(first, tmp_path / str(n), n) for n in (2, 3))]
    wanted = np.mean([stated(model, PICTURES) for model in models], axis=0)
    apart = sum(model.core.model.count_params() for model in models)
    ensemble = joined(models)
    heads = 3 * first.core.groups[-1].layers[-1].count_params()
    assert ensemble.core.model.count_params() == apart // 3 + 2 * heads // 3 + 3, "and three shares"
    np.testing.assert_allclose(stated(ensemble, PICTURES), wanted, atol=1e-6)
    again = reloaded(ensemble, tmp_path / "joint")
    assert len(again.core.model.layers) == len(ensemble.core.model.layers)
    np.testing.assert_array_equal(stated(again, PICTURES), stated(ensemble, PICTURES))
    copy = core_builder.float32_copy(again.core)
    inputs = {"image": np.stack(PICTURES)[:, :16, :16].astype(np.float32)}
    np.testing.assert_allclose(
        copy.model(inputs)["label"], again.core.model(inputs)["label"], atol=1e-5
    )


def test_stacked_classes_are_a_regression_on_logarithms():
    models = [served.image(), served.image()]
    kernel, bias = RANDOM.normal(0, 0.3, (6, 3)), RANDOM.normal(0, 1, 3)
    scores = [stated(model, PICTURES) for model in models]
    inputs = ensembles.inputs_of_stacking(scores, are_labels=False)
    wanted = special.softmax(inputs @ kernel + bias, axis=1)
    ensemble = joined(models, ensembles.STACKED, kernel, bias)
    np.testing.assert_allclose(stated(ensemble, PICTURES), wanted, atol=1e-5)


def model_with_head(head, names):
    """A small image model with a head that is not `classify`."""
    model = served.image()
    built = core_builder.attach_head(
        model.core.backbone, call_strings.pick(HEADS, head, "head"), len(names)
    )
    return TransferModel(built, model.preprocessing, tuple(names))


@pytest.mark.parametrize("rule", [ensembles.WEIGHTED, ensembles.STACKED])
def test_labels_are_combined_one_by_one(rule):
    models = [model_with_head("multi_label(temperatures=[2])", "abc") for _ in range(2)]
    scores = [stated(model, PICTURES) for model in models]
    if rule == ensembles.WEIGHTED:
        ensemble, wanted = joined(models, rule, [0.25, 0.75]), 0.25 * scores[0] + 0.75 * scores[1]
    else:
        kernel, bias = RANDOM.normal(0, 1, (2, 3)), RANDOM.normal(0, 1, 3)
        ensemble = joined(models, rule, kernel, bias)
        wanted = special.expit((special.logit(scores) * kernel[:, None]).sum(axis=0) + bias)
    np.testing.assert_allclose(stated(ensemble, PICTURES), wanted, atol=1e-5)
    assert ensemble.core.head.thresholds == (), "they are chosen for the ensemble"


def test_quantiles_have_a_mean():
    heads = ("regress(center=10, scale=2)", "regress(center=0, scale=5)")
    models = [model_with_head(head, ()) for head in heads]
    quantiles = [
        np.array([list(p.quantiles.values()) for p in model.predict(list(PICTURES))])
        for model in models
    ]
    ensemble = joined(models, ensembles.WEIGHTED, [0.4, 0.6])
    found = np.array([list(p.quantiles.values()) for p in ensemble.predict(list(PICTURES))])
    np.testing.assert_allclose(found, 0.4 * quantiles[0] + 0.6 * quantiles[1], rtol=1e-5)
    mean = ensembles.logits_of_mean(ensemble.core.head, found)
    np.testing.assert_allclose(ensemble.scores_of(mean), found, rtol=1e-5)


@pytest.mark.parametrize(
    ("heads", "what"),
    [
        (("classify", "multi_label"), "predict different things"),
        (("ordinal(order=[a, b])", "ordinal(order=[a, b])"), "cannot be combined"),
        (("regress", "regress(quantiles=[.1, .5, .9])"), "different quantiles"),
    ],
)
def test_answers_that_cannot_be_combined_are_refused(heads, what):
    with pytest.raises(FlagError, match=what):
        ensembles.head_call_of([call_strings.pick(HEADS, head, "head") for head in heads])


def test_an_ensemble_gives_no_weights_to_another_network(tmp_path):
    saving.save(joined([served.image(), served.image()]), tmp_path)
    with pytest.raises(ModelError, match=r"is an ensemble.*run 0, run 1"):
        model_folder.read_core(tmp_path)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda part: part.update(assets="../.."), "a member with the files"),
        (lambda part: part.update(core={"backbone": {"members": [dict(part)]}}), "not a network"),
        (lambda part: part["core"]["backbone"].update(text="os:remove"), "is not part of tltf"),
        (None, "architecture"),
    ],
)
def test_what_a_stranger_writes_into_the_members_is_refused(change, what, tmp_path):
    saving.save(joined([served.image(), served.image()]), tmp_path)
    path = tmp_path / "model" / "core.json"
    manifest = json.loads(path.read_text())
    part = manifest["core"]["backbone"]["members"][1]
    if what == "architecture":
        layers = [layer.name for layer in served.image().core.model.layers if layer.weights]
        part["shared"] = {layers[0]: f"member_1_{layers[0]}"}
    else:
        change(part)
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=what):
        loading.load(pathlib.Path(tmp_path))


def test_an_ensemble_is_explained_through_all_its_members():
    """Integrated gradients sum up to the difference of the outputs; Grad-CAM looks at one network only."""
    models = [served.image(), served.image()]
    ensemble = joined(models)
    pictures = RANDOM.uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    tensors = {"image": keras.ops.convert_to_tensor(pictures)}
    chosen = np.eye(3, dtype=np.float32)[[0, 1]]
    call = call_strings.pick(EXPLAINERS, "integrated_gradients(tolerance=.02)")
    found = ModelExplainer(ensemble, call).explain(ExplainedRows(tensors, chosen))
    for explanation in found:
        total = float(np.sum(explanation.heat))
        assert total == pytest.approx(explanation.output - explanation.baseline, abs=0.05)
    with pytest.raises(FlagError, match="looks at the features of one network"):
        ModelExplainer(ensemble, call_strings.pick(EXPLAINERS, "grad_cam"))
    several = joined([served.image(), served.image(size_px=24)])
    with pytest.raises(FlagError, match="where its members take the same inputs"):
        ModelExplainer(several, call)


def test_members_joined_for_their_answers_alone():
    keras.utils.set_random_seed(0)
    models = [served.image(), served.image(size_px=24)]
    wanted = [stated(model, PICTURES) for model in models]
    members = [Member(str(n), model.core, model.preprocessing) for n, model in enumerate(models)]
    found = ensembles.join_members(members)
    tensors = {
        name: np.stack([found.preprocessing.read_array(p)[name] for p in PICTURES])
        for name in found.inputs
    }
    for name, rows in zip("01", wanted, strict=True):
        np.testing.assert_allclose(found.model(tensors)[name], rows, atol=1e-5)
