import keras
import numpy as np
import pytest
import tensorflow as tf

from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.errors import FlagError, ModelError
from tltf.heads import losses
from tltf.heads.pooling import pool

RNG = np.random.default_rng(0)


def numpy_log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def head(text="classify"):
    return call_strings.pick(HEADS, text).build()


def pooled(taps, modality, pooling, values):
    """`pooling.pool` applied to arrays: taps are symbolic, values their arrays in order."""
    model = keras.Model(list(taps.values()), pool(taps, modality, pooling))
    return keras.ops.convert_to_numpy(model(list(values), training=False))


def text_taps():
    return {"sequence": keras.Input((None, 4)), "mask": keras.Input((None,), dtype="int32")}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_is_the_papers_equation(smoothing):
    logits = RNG.normal(size=(5, 3)).astype("float32") * 4
    labels = np.array([0, 2, 1, 1, 0])
    target = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
    expected = -(target * numpy_log_softmax(logits)).sum(axis=1).mean()
    loss = head().loss(label_smoothing=smoothing)
    assert float(loss(labels, logits)) == pytest.approx(expected, abs=1e-5)
    assert float(loss(np.eye(3, dtype="float32")[labels], logits)) == pytest.approx(
        expected, abs=1e-5
    )


def test_loss_of_huge_logits_is_finite():
    assert np.isfinite(float(head().loss()(np.array([1]), np.array([[1e4, -1e4]], "float32"))))


def test_loss_with_weights_is_the_mean_over_examples():
    logits, labels = RNG.normal(size=(4, 3)).astype("float32"), np.array([0, 1, 2, 0])
    weights = np.array([1.0, 0.0, 2.0, 0.0], "float32")
    each = -numpy_log_softmax(logits)[np.arange(4), labels]
    got = float(head().loss()(labels, logits, sample_weight=weights))
    assert got == pytest.approx((each * weights).sum() / 4, abs=1e-5)


def test_hits_on_ids_and_on_mixed_targets():
    logits = np.array([[1.0, 2.0], [2.0, 1.0], [0.0, 1.0]], "float32")
    ids = np.array([1, 1, 1])
    assert keras.ops.convert_to_numpy(losses.hits(ids, logits)).tolist() == [1, 0, 1]
    mixed = np.array([[0.3, 0.7], [0.6, 0.4], [0.9, 0.1]], "float32")
    assert keras.ops.convert_to_numpy(losses.hits(mixed, logits)).tolist() == [1, 1, 0]


def test_probabilities_are_the_softmax_in_float32():
    logits = RNG.normal(size=(3, 4)).astype("float16")
    got = keras.ops.convert_to_numpy(head().scores(logits))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, np.exp(numpy_log_softmax(logits.astype("float32"))), atol=1e-6)


@pytest.mark.parametrize("pooling", ["auto", "average", "max", "flatten"])
def test_image_pooling_takes_the_last_stage(pooling):
    values = RNG.normal(size=(2, 3, 5, 4)).astype("float32")
    early = RNG.normal(size=(2, 6, 10, 2)).astype("float32")
    taps = {"stage_1": keras.Input((6, 10, 2)), "stage_2": keras.Input((3, 5, 4))}
    expected = {
        "max": values.max(axis=(1, 2)),
        "flatten": values.reshape(2, -1),
    }.get(pooling, values.mean(axis=(1, 2)))
    got = pooled(taps, "image", pooling, [early, values])
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("pooling", ["auto", "average", "max", "first", "last"])
def test_text_pooling_never_sees_padding(pooling):
    sequence = RNG.normal(size=(3, 5, 4)).astype("float32")
    mask = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], "int32")
    rows = [sequence[i, : mask[i].sum()] for i in range(3)]
    expected = {
        "max": [row.max(axis=0) for row in rows],
        "first": [row[0] for row in rows],
        "last": [row[-1] for row in rows],
    }.get(pooling, [row.mean(axis=0) for row in rows])
    got = pooled(text_taps(), "text", pooling, [sequence, mask])
    np.testing.assert_allclose(got, np.array(expected), atol=1e-5)
    sequence[mask == 0] = 1e3
    np.testing.assert_array_equal(pooled(text_taps(), "text", pooling, [sequence, mask]), got)


@pytest.mark.parametrize("pooling", ["average", "last"])
def test_a_text_of_padding_only_is_zero_not_nan(pooling):
    got = pooled(
        text_taps(), "text", pooling, [np.ones((1, 3, 4), "float32"), np.zeros((1, 3), "int32")]
    )
    np.testing.assert_array_equal(got, np.zeros((1, 4)))


@pytest.mark.parametrize(
    ("modality", "pooling"),
    [("image", "pooled"), ("image", "first"), ("image", "last"), ("text", "flatten")],
)
def test_pooling_that_the_backbone_does_not_have(modality, pooling):
    taps = {"stage_1": keras.Input((2, 2, 4))} if modality == "image" else text_taps()
    with pytest.raises(ModelError, match="pool"):
        pool(taps, modality, pooling)


def test_auto_takes_the_last_state_of_a_network_that_reads_forward():
    taps = {**text_taps(), "last": keras.Input((4,))}
    assert pool(taps, "text", "auto") is taps["last"]
    assert pool(taps, "text", "average") is not taps["last"]


def test_the_backbones_own_pooled_output():
    taps = {**text_taps(), "pooled": keras.Input((4,))}
    assert pool(taps, "text", "pooled") is taps["pooled"]


@pytest.mark.parametrize(
    "text", ["classify(pooling=mean)", "classify(hidden=0)", "classify(dropout=1.0)"]
)
def test_refuses(text):
    with pytest.raises(FlagError):
        head(text)


def test_hidden_layers_and_dropout_in_order():
    taps = {"stage_1": keras.Input((2, 2, 6))}
    logits, layers = head("classify(hidden=[8, 4], dropout=.5)").attach(taps, "image", 3)
    assert logits.shape == (None, 3)
    assert [type(layer).__name__ for layer in layers] == ["Dropout", "Dense"] * 3
    assert [layer.units for layer in layers if hasattr(layer, "units")] == [8, 4, 3]


def test_features_of_several_stages_stand_side_by_side():
    from tests import tiny

    core = tiny.core(head="classify(features=[stage_1, stage_2], pooling=max)")
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    taps = keras.Model(core.backbone.inputs, core.backbone.taps)({"image": images}, training=False)
    rows = [taps[name].numpy().max(axis=(1, 2)) for name in ("stage_1", "stage_2")]
    kernel, bias = (v.numpy() for v in core.groups[-1].layers[-1].weights)
    expected = np.concatenate(rows, axis=1) @ kernel + bias
    found = core.model({"image": images}, training=False)["label"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_unknown_features_name_the_stages():
    from tests import tiny

    with pytest.raises(ModelError, match="choices: stage_1, stage_2"):
        tiny.core(head="classify(features=stage_9)")


def numpy_focal(logits, aims, gamma):
    """-(1 - p_c)^g log p_c weighed by the aims: Lin et al. 2017, arXiv:1708.02002, eq. 4."""
    logs = numpy_log_softmax(logits)
    return -(aims * (1 - np.exp(logs)) ** gamma * logs).sum(axis=1)


def loss_and_slope(name, labels, logits, *settings):
    logits = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = head().loss(name, *settings)(labels, logits)
    return loss.numpy(), tape.gradient(loss, logits).numpy()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_and_its_gradient_are_those_of_the_equation(gamma, smoothing):
    logits = np.random.default_rng(0).normal(0, 3, (6, 4))
    labels = np.array([0, 1, 2, 3, 0, 1])
    aims = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    found, slope = loss_and_slope("focal", labels, logits, smoothing, gamma)
    assert found == pytest.approx(numpy_focal(logits, aims, gamma).mean(), rel=1e-4)
    for row, column in np.ndindex(logits.shape):
        step = np.zeros(logits.shape)
        step[row, column] = 1e-5
        ends = [numpy_focal(logits + way * step, aims, gamma).mean() for way in (1, -1)]
        assert slope[row, column] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=1e-5)
    mixed, _ = loss_and_slope("focal", np.eye(4, dtype="float32")[labels], logits, smoothing, gamma)
    assert mixed == pytest.approx(found, rel=1e-6)


def test_focal_loss_without_its_factor_is_cross_entropy():
    logits, labels = RNG.normal(0, 3, (6, 4)), np.array([0, 1, 2, 3, 0, 1])
    plain, slope = loss_and_slope("cross_entropy", labels, logits)
    loss, same = loss_and_slope("focal", labels, logits, 0.0, 0.0)
    assert loss == plain
    np.testing.assert_array_equal(same, slope)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_corrects_a_confident_mistake_and_leaves_what_is_certain(gamma):
    """At p_t = 0 the factor is 1: the loss is the difference of the logits, its slope 1 and -1."""
    loss, slope = loss_and_slope("focal", np.array([1]), [[30.0, -5.0]], 0.0, gamma)
    assert loss == pytest.approx(35.0)
    np.testing.assert_allclose(slope, [[1.0, -1.0]], rtol=1e-5)
    loss, slope = loss_and_slope("focal", np.array([0]), [[90.0, -90.0]], 0.0, gamma)
    assert loss == 0.0
    np.testing.assert_array_equal(slope, [[0.0, 0.0]])
