import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tests import tiny
from tests.training.fit_test import FLAGS, Log, feed
from tltf.config.options import make
from tltf.errors import FlagError
from tltf.methods import ewc
from tltf.methods.context import FitContext
from tltf.runs.carried import Carried
from tltf.training import fit as training_fit

NAMES = ("a", "b", "c")
KERNEL, BIAS = "label_logits/kernel", "label_logits/bias"


def fit(method, before=None, core=None, **flags):
    """`(Method, core)` after a training on tiny images."""
    keras.utils.set_random_seed(1)
    core = core or tiny.core()
    options = make(**{**FLAGS, **flags})
    made = training_fit.Fit(core, method, feed(), options, tf.distribute.get_strategy(), Log())
    made.prepare(FitContext(NAMES, carried=before))
    return made, made()


def test_the_fisher_diagonal_of_a_softmax_layer_is_that_of_its_closed_form():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(12, 4)).astype("f"), random.integers(0, 3, 12)
    inputs = keras.Input((4,), name="x")
    dense = keras.layers.Dense(3, name="dense")
    model = keras.Model({"x": inputs}, {"label": dense(inputs)})
    dense.bias.assign(random.normal(size=3))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rows = tf.data.Dataset.from_tensor_slices(({"x": x}, {"label": y}, {"label": y})).batch(1)
    kernel, bias = ewc.fisher_diagonal(
        lambda inputs, targets: loss(targets["label"], model(inputs)["label"]),
        rows,
        [dense.kernel, dense.bias],
    )
    errors = special.softmax(x @ dense.kernel.numpy() + dense.bias.numpy(), axis=1) - np.eye(3)[y]
    assert kernel == pytest.approx((x**2).T @ errors**2 / 12, rel=1e-4)
    assert bias == pytest.approx((errors**2).mean(axis=0), rel=1e-4)


def test_the_penalty_is_that_of_the_equation():
    random = np.random.default_rng(0)
    fisher, center, weights = random.random((3, 2, 5)).astype("f")
    penalty = ewc.Elastic(7.0, fisher, center)(keras.Variable(weights))
    assert float(penalty) == pytest.approx(3.5 * (fisher * (weights - center) ** 2).sum(), rel=1e-5)


def test_one_center_stands_for_the_penalties_of_all_runs():
    random = np.random.default_rng(0)
    fishers, centers = random.random((2, 3, 6)).astype("f")
    fishers[:, 0] = 0
    total, center = None, None
    for fisher, own in zip(fishers, centers, strict=True):
        total, center = ewc.add(total, center, fisher, own)

    def apart(weights):
        return (fishers * (weights - centers) ** 2).sum()

    def together(weights):
        return (total * (weights - center) ** 2).sum()

    first, second = random.random((2, 6))
    assert together(first) - together(second) == pytest.approx(apart(first) - apart(second))
    assert center[0] == centers[-1, 0], "where nothing is held, the newest weights stand"


def test_a_run_leaves_the_fisher_information_of_what_it_trained():
    made, core = fit(ewc.ewc(last_groups=1, fisher_rows=20))
    left = made.method.carried
    names = {name.partition("/")[2] for name in left.arrays}
    assert {KERNEL, BIAS} < names and any(name.startswith("conv_2") for name in names)
    assert not any(name.startswith("conv_1") for name in names)
    assert all("moving" not in name for name in names)
    assert all((left.arrays[f"fisher/{name}"] >= 0).all() for name in names)
    assert np.array_equal(left.arrays[f"center/{KERNEL}"], core.named_weights()[KERNEL].numpy())
    assert left.arrays[f"fisher/{KERNEL}"].max() > 0
    assert all(variable.regularizer is None for variable in core.named_weights().values())


def test_old_classes_are_held_and_new_ones_are_free():
    _, core = fit(ewc.ewc())
    start = core.named_weights()[KERNEL].numpy()
    arrays = {
        f"fisher/{KERNEL}": np.ones((4, 2), "f"),
        f"center/{KERNEL}": start[:, :2],
        f"fisher/{BIAS}": np.ones(2, "f"),
        f"center/{BIAS}": core.named_weights()[BIAS].numpy()[:2],
    }
    before = Carried("ewc", ("a", "b"), arrays)
    moved = {}
    for strength in (0.0, 1e6):
        core.named_weights()[KERNEL].assign(start)
        core.named_weights()[BIAS].assign(np.append(arrays[f"center/{BIAS}"], 0.0))
        _, after = fit(ewc.ewc(strength=strength), before, core, learning_rate=0.001)
        moved[strength] = np.abs(after.named_weights()[KERNEL].numpy() - start).max(axis=0)
    assert moved[1e6][:2].max() < 0.3 * moved[0.0][:2].max()
    assert moved[1e6][2] == pytest.approx(moved[0.0][2], rel=0.5)


def test_weights_of_another_network_are_refused():
    wrong = Carried("ewc", NAMES, {f"fisher/{KERNEL}": np.ones((9, 3), "f")})
    with pytest.raises(FlagError, match=r"label_logits/kernel \(9, 3\)"):
        fit(ewc.ewc(), wrong)
    for arguments in ({"strength": -1}, {"last_groups": -1}, {"fisher_rows": 0}):
        with pytest.raises(FlagError, match="at least"):
            ewc.ewc(**arguments)
    with pytest.raises(FlagError, match="2 groups"):
        ewc.ewc(last_groups=3).phases(tiny.core())
