"""Distillation and learning without forgetting against numpy, and on real runs."""

import dataclasses
import types

import keras
import numpy as np
import PIL.Image
import pytest
from scipy.special import log_softmax, softmax

from tests import tiny
from tests.caching.feature_cache_test import (
    Counting,
    images,
    images_source,
    train,
)
from tests.methods.features_test import added, batch
from tltf.config.call_strings import pick
from tltf.config.catalogs import HEADS
from tltf.config.options import make
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.errors import FlagError
from tltf.graphs import freezing
from tltf.graphs.backbone import Group
from tltf.methods import distillation
from tltf.methods.context import FitContext
from tltf.models import ensembles
from tltf.models.ensembles import Member
from tltf.training import training

NAMES = ("a", "b", "c")


def numpy_softened(teacher, student, temperature):
    """T^2 sum_c p_c (log p_c - log q_c), the mean over rows."""
    p, q = (log_softmax(x / temperature, axis=-1) for x in (teacher, student))
    return temperature**2 * (np.exp(p) * (p - q)).sum(axis=-1).mean()


def trained(size_px=8, classes=3, text=False, seed=5):
    """Stands in for a loaded run."""
    keras.utils.set_random_seed(seed)
    backbone = tiny.text_backbone() if text else tiny.image_backbone(size_px)
    return types.SimpleNamespace(
        core=tiny.core(backbone, num_classes=classes), class_names=NAMES[:classes]
    )


@pytest.fixture
def runs(monkeypatch):
    """Name of a run -> what is loaded for it."""
    found = {}
    monkeypatch.setattr(distillation, "_load", lambda context, run: found[run]())
    return found


def logits(core, inputs):
    return np.asarray(core.model(inputs, training=False)["label"])


def test_softened_is_the_papers_equation():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(0, 3, (2, 6, 4)).astype("float32")
    for temperature in (1.0, 2.0, 5.0):
        expected = numpy_softened(teacher, student, temperature)
        found = distillation.softened_divergence(teacher, student, temperature)
        assert float(found) == pytest.approx(expected, rel=1e-4)
    assert float(distillation.softened_divergence(teacher, teacher, 2.0)) == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize("is_text", [False, True])
def test_distill_adds_the_distance_to_the_teacher(runs, is_text):
    runs["big"] = lambda: trained(text=is_text)
    inputs = batch(is_text, 8)
    core = tiny.core(tiny.text_backbone() if is_text else None)
    method = distillation.distill("big", temperature=3.0, weight=0.6)
    prepared = method.prepare(core, FitContext())
    expected = numpy_softened(logits(trained(text=is_text).core, inputs), logits(core, inputs), 3.0)
    assert added(prepared, inputs) == pytest.approx(0.6 * expected, rel=1e-3)
    assert method.phases(core)[0].loss_weight == pytest.approx(0.4)
    assert method.finish(prepared, None) is core


def test_a_teacher_of_another_size_sees_the_image_resized(runs):
    runs["big"] = lambda: trained(size_px=16)
    inputs = batch(False, 4)
    core = tiny.core()
    found = added(distillation.distill("big", weight=1.0).prepare(core, FitContext()), inputs)
    larger = keras.layers.Resizing(16, 16)(inputs["image"])
    theirs = logits(trained(size_px=16).core, {"image": larger})
    assert found == pytest.approx(numpy_softened(theirs, logits(core, inputs), 2.0), rel=1e-3)


def test_an_ensemble_of_several_sizes_sees_the_image_in_each(runs):
    """Its logits are the mean of the logarithms of probabilities that numpy takes of its members."""
    sizes, shares = (8, 12, 16), np.array([0.25, 0.25, 0.5])

    def joined():
        members = [
            Member(str(size), trained(size, seed=size).core, ImagePreprocessing(size, 3))
            for size in sizes
        ]
        head = pick(HEADS, "classify", "head")
        core, _ = ensembles.join(members, ensembles.WEIGHTED, head, 3)
        ensembles.set_weights(core, shares)
        return types.SimpleNamespace(core=core, class_names=NAMES)

    runs["big"] = joined
    core, inputs = tiny.core(), batch(False, 4)
    found = added(distillation.distill("big", weight=1.0).prepare(core, FitContext()), inputs)
    seen = [keras.layers.Resizing(size, size)(inputs["image"]) for size in sizes]
    each = [
        softmax(logits(trained(size, seed=size).core, {"image": image}), axis=-1)
        for size, image in zip(sizes, seen, strict=True)
    ]
    theirs = np.log(np.tensordot(shares, each, 1))
    assert found == pytest.approx(numpy_softened(theirs, logits(core, inputs), 2.0), rel=1e-3)


def network(channels, size_px, seed=5):
    """A core of one convolution for images of some channels, which scales them by itself."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((size_px, size_px, channels), name="image")
    layer = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")
    tap = layer(keras.layers.Rescaling(1 / 127.5, -1, name="scaling")(image))
    backbone = dataclasses.replace(
        tiny.image_backbone(size_px),
        inputs={"image": image},
        taps={"stage_1": tap},
        groups=(Group("stage_1", (layer,)),),
        channels=channels,
    )
    return tiny.core(backbone)


@pytest.mark.parametrize(("own", "theirs"), [(1, 3), (3, 1)])
@pytest.mark.parametrize("size_px", [8, 16])
def test_a_teacher_of_other_channels_sees_the_image_converted_before_it_is_resized(
    runs, own, theirs, size_px
):
    big = types.SimpleNamespace(core=network(theirs, size_px), class_names=NAMES)
    runs["big"] = lambda: big
    colours = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    grey = np.stack([np.asarray(PIL.Image.fromarray(one).convert("L")) for one in colours])
    inputs = {1: grey[..., None].astype("float32"), 3: colours.astype("float32")}
    seen = {1: inputs[1], 3: np.repeat(inputs[1], 3, axis=-1)}[theirs]
    if size_px != 8:
        seen = np.asarray(keras.layers.Resizing(size_px, size_px)(seen))
    taught = logits(network(theirs, size_px), {"image": seen})
    core, given = network(own, 8, seed=7), {"image": inputs[own]}
    expected = numpy_softened(taught, logits(core, given), 2.0)
    found = added(distillation.distill("big", weight=1.0).prepare(core, FitContext()), given)
    assert found == pytest.approx(expected, rel=1e-2)


def test_features_are_compared_through_a_layer_that_is_dropped(runs):
    runs["big"] = trained
    core, inputs = tiny.core(), batch(False, 8)
    method = distillation.distill("big", weight=0.0, feature_weight=0.5)
    prepared = method.prepare(core, FitContext())
    names = [group.name for group in prepared.groups]
    assert names == ["stage_1", "stage_2", "hint", "head"]
    assert method.phases(core)[0].rules[1] == ("hint/.*", 1.0)

    def pooled(core):
        maps = keras.Model(core.backbone.inputs, core.backbone.taps)(inputs)["stage_2"]
        return np.asarray(maps).mean(axis=(1, 2))

    kernel, bias = (v.numpy() for v in prepared.groups[2].layers[0].weights)
    difference = pooled(core) @ kernel + bias - pooled(trained().core)
    assert added(prepared, inputs) == pytest.approx(0.25 * (difference**2).mean(), rel=1e-3)


def test_lwf_holds_the_old_heads_answers(runs):
    runs["tiny"] = lambda: trained(classes=2)
    core, inputs = tiny.core(), batch(False, 8)
    method = distillation.lwf(temperature=2.0, weight=0.7)
    prepared = method.prepare(core, FitContext())
    assert [group.name for group in prepared.groups] == ["stage_1", "stage_2", "old_head", "head"]
    old = trained(classes=2).core
    head = old.groups[-1].layers[0]
    maps = keras.Model(core.backbone.inputs, core.backbone.taps)(inputs)["stage_2"]
    now = np.asarray(head(np.asarray(maps).mean(axis=(1, 2))))
    expected = numpy_softened(logits(old, inputs), now, 2.0)
    assert added(prepared, inputs) == pytest.approx(0.7 * expected, rel=1e-3)
    for layer, kept in zip(core.backbone.layers, old.backbone.layers, strict=True):
        for variable, value in zip(layer.weights, kept.weights, strict=True):
            variable.assign(value)
    assert added(prepared, inputs) == pytest.approx(0, abs=1e-5), "nothing has moved yet"


def test_lwf_warms_the_new_head_up_first(runs):
    """Li & Hoiem train it alone before all; a random head spoils what is to be remembered."""
    runs["tiny"] = lambda: trained(classes=2)
    core = tiny.core()
    method = distillation.lwf(warmup_share=0.25, warmup_rate=4.0)
    first, second = method.phases(method.prepare(core, FitContext()))
    assert (first.epochs_share, second.epochs_share, first.rate_factor) == (0.25, 0.75, 4.0)
    moving = freezing.apply(
        method.prepare(tiny.core(), FitContext()).groups, first.rules, "frozen"
    ).moving
    assert tuple(moving) == ("label_logits/kernel", "label_logits/bias")
    for wrong in ({"warmup_share": 0.0}, {"warmup_share": 1.0}, {"warmup_rate": 0.0}):
        with pytest.raises(FlagError, match="warmup_"):
            distillation.lwf(**wrong)


def test_a_shared_head_holds_its_old_classes(runs, tmp_path):
    run = str(tmp_path)
    runs[run] = lambda: trained(classes=2)
    backbone = dataclasses.replace(tiny.image_backbone(), name=run)
    core, inputs = tiny.core(backbone), batch(False, 8)
    method = distillation.lwf(temperature=2.0, weight=0.7, old_head="shared", backbone_rate=0)
    prepared = method.prepare(core, FitContext(("c", "b", "a")))
    now, before = logits(core, inputs)[:, [2, 1]], logits(trained(classes=2).core, inputs)
    expected = numpy_softened(before, now, 2.0)
    assert added(prepared, inputs) == pytest.approx(0.7 * expected, rel=1e-3)
    moving = freezing.apply(prepared.groups, method.phases(prepared)[0].rules, "frozen").moving
    assert tuple(moving) == ("label_logits/kernel", "label_logits/bias")
    with pytest.raises(FlagError, match="has the class 'a', which this run has not"):
        method.prepare(core, FitContext(("b", "c")))
    with pytest.raises(FlagError, match="old_head is apart or shared"):
        distillation.lwf(old_head="none")


def test_the_first_of_a_sequence_has_nothing_to_hold(runs):
    core = tiny.core()
    method = distillation.lwf(old_head="shared")
    assert method.prepare(core, FitContext(NAMES)) is core
    assert method.finish(core, None) is core


def test_the_teacher_runs_once_an_example(runs, own_cache, monkeypatch):
    runs["big"] = trained
    counted = Counting(monkeypatch)
    source = images_source(60)
    method = lambda: distillation.distill("big", weight=0.9)  # noqa: E731
    expected, weights, _ = train(images, source, method(), cache=False)
    assert counted.rows == 0
    found, same, _ = train(images, source, method(), cache_precision="float32")
    assert counted.rows == 60
    for name in ("loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose([r[name] for r in found], [r[name] for r in expected], atol=1e-4)
    for path, value in weights.items():
        np.testing.assert_allclose(same[path], value, atol=1e-3, err_msg=path)


def test_teachers_that_do_not_fit_are_refused(runs):
    runs["two"], runs["text"] = lambda: trained(classes=2), lambda: trained(text=True)
    with pytest.raises(FlagError, match="two has the classes a, b"):
        distillation.distill("two").prepare(tiny.core(), FitContext())
    with pytest.raises(FlagError, match="text takes token_ids, padding_mask, this network image"):
        distillation.distill("text").prepare(tiny.core(), FitContext())
    context = FitContext(class_names=("c", "b", "a"))
    runs["big"] = trained
    with pytest.raises(FlagError, match="big has the classes a, b, c, the data c, b, a"):
        distillation.distill("big").prepare(tiny.core(), context)
    with pytest.raises(FlagError, match="teacher=RUN"):
        distillation.distill()


@pytest.mark.parametrize(
    "arguments", [{"temperature": 0.0}, {"weight": 1.5}, {"weight": -0.1}, {"feature_weight": -1.0}]
)
def test_numbers_out_of_their_range_are_refused(arguments):
    with pytest.raises(FlagError, match="temperature must be above 0"):
        distillation.distill("big", **arguments)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize(
    "method",
    [
        lambda rate: distillation.distill("big", backbone_rate=rate),
        lambda rate: distillation.lwf(backbone_rate=rate),
    ],
)
def test_a_rate_that_would_freeze_the_backbone_is_refused(method, rate):
    with pytest.raises(FlagError, match="backbone_rate must be above 0"):
        method(rate)


def test_a_run_in_the_home_folder_is_found(monkeypatch):
    monkeypatch.setenv("HOME", "/at/home")
    context = FitContext(load_model=lambda run: run)
    assert distillation._load(context, "~/runs/big") == "/at/home/runs/big"


SMALL = {"train_epochs": 1, "batch_size": 20, "split": "holdout(validation=0)", "image_size_px": 28}


def test_on_real_runs(tmp_path, own_cache):
    """A run teaches a smaller network, and is continued on other classes without forgetting."""
    given = {**SMALL, "data": "mnist_5k(num_train=40, num_test=20)"}
    teacher = str(tmp_path / "teacher")
    training.train(
        make(**given, backbone="small_cnn(filters=[4, 8])", method="scratch", output=teacher)
    )
    student = training.train(
        make(**given, backbone="small_cnn(filters=[2])", method=f"distill(teacher='{teacher}')")
    )
    assert len(student.history) == 1 and student.model.core.num_classes == 10
    assert not [name for name in student.model.core.named_weights() if "teacher" in name]
    digits = {**SMALL, "data": "digits(num_train=40, num_test=20)", "learning_rate": 1e-3}
    kept = training.train(make(**digits, backbone=teacher, method="lwf"))
    assert [group.name for group in kept.model.core.groups][-1] == "head"
    assert [row["phase"] for row in kept.history] == ["warm-up", "lwf"]
    with pytest.raises(FlagError, match="lwf takes --backbone=RUN"):
        training.train(make(**digits, backbone="small_cnn", method="lwf"))
