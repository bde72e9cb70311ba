import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tltf.errors import FlagError
from tltf.graphs import freezing, frozen_prefix
from tltf.methods import setfit
from tltf.methods.context import FitContext
from tltf.methods.penalty import TargetsModel


def expected_loss(features, targets):
    losses = []
    for first in range(0, len(features) // 2 * 2, 2):
        u, v = features[first], features[first + 1]
        cosine = u @ v / (np.linalg.norm(u) * np.linalg.norm(v))
        losses.append((cosine - (targets[first] == targets[first + 1])) ** 2)
    return np.mean(losses)


@pytest.mark.parametrize("count", [6, 7])
def test_the_loss_is_the_mean_of_squared_differences_of_cosines(count):
    random = np.random.default_rng(0)
    features, targets = random.normal(size=(count, 5)), random.integers(0, 2, count)
    found = setfit.setfit().penalty(tf.constant(targets), tf.constant(features.astype(np.float32)))
    np.testing.assert_allclose(found, expected_loss(features, targets), rtol=1e-5)


def test_a_step_trains_on_the_pairs_of_its_batch_and_validation_adds_nothing():
    core = tiny.core(tiny.image_backbone(dropout=0.0))
    method = setfit.setfit(last_groups=1)
    prepared = method.prepare(core, FitContext())
    phase = method.phases(prepared)[0]
    freezing.apply(prepared.groups, phase.rules, "frozen")
    parts = frozen_prefix.cut(prepared.model, prepared.groups, TargetsModel)
    model = frozen_prefix.join(prepared.model, parts, TargetsModel)
    model.compile("sgd", loss={"label": core.head.loss()}, loss_weights={"label": 0.0})
    random = np.random.default_rng(1)
    images = random.uniform(0, 255, (8, 8, 8, 3)).astype("float32")
    targets = random.integers(0, 3, 8).astype("int32")
    features = np.mean(
        tf.keras.Model(core.model.input, core.backbone.taps["stage_2"])(images), axis=(1, 2)
    )
    before = core.model.get_layer("label_logits").kernel.numpy()
    metrics = model.train_on_batch({"image": images}, {"label": targets}, return_dict=True)
    np.testing.assert_allclose(metrics["loss"], expected_loss(features, targets), rtol=1e-4)
    assert np.array_equal(before, core.model.get_layer("label_logits").kernel), "no head is trained"
    model({"image": images})
    assert not model.losses


def test_mixed_targets_are_refused():
    with pytest.raises(FlagError, match="mixup"):
        setfit.setfit().penalty(tf.zeros([4, 3]), tf.zeros([4, 5]))


def test_arguments_out_of_range_are_refused():
    for arguments in ({"head": "newton"}, {"last_groups": -1}, {"backbone_rate": 0.0}):
        with pytest.raises(FlagError):
            setfit.setfit(**arguments)
