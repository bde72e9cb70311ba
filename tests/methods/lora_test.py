"""Which kernels a low-rank method takes, and what is left when it has ended."""

import types

import keras
import keras_hub
import numpy as np
import pytest

from tests import tiny
from tests.backbones.hub_test import WORDS
from tests.training.fit_test import feed, fit
from tltf.backbones import builder, minilm, network, transformers
from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.config.options import make
from tltf.errors import FlagError
from tltf.graphs import freezing
from tltf.graphs.backbone import Group
from tltf.graphs.core import attach_head
from tltf.graphs.layers import in_place
from tltf.graphs.layers import lora as layers_lora
from tltf.methods import lora
from tltf.methods.context import FitContext
from tltf.models import adapters
from tltf.models.transfer_model import TransferModel
from tltf.training import training


def updated(core):
    return [name for name, _ in in_place.kernels(core.groups[:-1], layers_lora.has_update)]


def prepared(core, **arguments):
    lora.lora(**arguments).prepare(core, FitContext())
    return updated(core)


def test_auto_takes_what_pays():
    """27 x 4 and 36 x 4 at rank 1: 62 and 80 numbers for 108 and 144; at rank 2 too many."""
    both = ["stage_1/conv_1/kernel", "stage_2/conv_2/kernel"]
    assert prepared(tiny.core(), rank=1) == both
    with pytest.raises(FlagError, match=r"no kernel is more than twice .* update of rank 2"):
        prepared(tiny.core(), rank=2)


def test_targets_by_pattern():
    assert prepared(tiny.core(), targets="stage_2/.*") == ["stage_2/conv_2/kernel"]
    with pytest.raises(
        FlagError,
        match=r"targets='stage_9/.\*' matches none of the kernels, e.g. stage_1/conv_1/kernel",
    ):
        prepared(tiny.core(), targets="stage_9/.*")
    with pytest.raises(FlagError, match="not a regular expression"):
        prepared(tiny.core(), targets="(")


def test_auto_takes_queries_and_values_of_transformers(bert_folder):
    core = attach_head(builder.build(bert_folder), call_strings.pick(HEADS, "classify"), 2)
    names = prepared(core)
    assert len(names) == 4
    assert {name.split("/")[-2] for name in names} == {"query", "value"}


def test_auto_takes_the_separable_convolutions_that_xception_is_made_of():
    made = keras_hub.models.XceptionBackbone(
        stackwise_conv_filters=[[64, 64], [128, 128]],
        stackwise_pooling=[False, True],
        image_shape=(32, 32, 3),
    )
    layers_ = tuple(layer for layer in made.layers if layer.weights)
    core = types.SimpleNamespace(groups=[Group("all", layers_), Group("h", ())])
    names = prepared(core, rank=4)
    separable = [x.name for x in layers_ if isinstance(x, keras.layers.SeparableConv2D)]
    assert separable and {f"all/{name}/pointwise_kernel" for name in separable} <= set(names)


@pytest.mark.parametrize(("rslora", "scale"), [(False, 4.0), (True, 8.0)])
def test_scale(rslora, scale):
    core = tiny.core()
    lora.lora(rank=4, alpha=16.0, targets=".*", rslora=rslora).prepare(core, FitContext())
    assert core.groups[0].layers[0].lora_scale == pytest.approx(scale)


def test_the_kept_kernel_is_the_frozen_one_plus_the_update(monkeypatch):
    seen = {}
    merge = layers_lora.merge

    def watch(layer):
        seen[layer.name] = [
            np.asarray(x) for x in (in_place.kernel_of(layer), layer.lora_a, layer.lora_b)
        ]
        merge(layer)

    monkeypatch.setattr(layers_lora, "merge", watch)
    method = lora.lora(rank=2, alpha=3.0, targets=".*")
    core, _, _ = fit(method=method, data=feed(has_validation=True))
    assert set(seen) == {"conv_1", "conv_2"} and updated(core) == []
    for name, (kernel, a, b) in seen.items():
        assert np.abs(b).max() > 0
        found = core.model.get_layer(name).kernel.numpy()
        np.testing.assert_allclose(found, kernel + 1.5 * (a @ b).reshape(kernel.shape), atol=1e-6)


@pytest.mark.parametrize("arguments", [{"rank": 0}, {"alpha": 0.0}, {"alpha": float("nan")}])
def test_numbers_out_of_their_range_are_refused(arguments):
    with pytest.raises(FlagError, match="rank must be at least 1 and alpha above 0"):
        lora.lora(**arguments)


def test_step_zero_is_the_base_exactly():
    keras.utils.set_random_seed(0)
    core = tiny.core()
    images = {"image": np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype("float32")}
    before = np.asarray(core.model(images, training=False)["label"])
    prepared(core, rank=2, targets=".*")
    np.testing.assert_array_equal(core.model(images, training=False)["label"], before)


def minilm_shaped():
    """A Backbone of MiniLM's sizes with random weights; six words are vocabulary enough."""
    words = keras_hub.models.BertTokenizer(vocabulary=WORDS, lowercase=True)
    request = network.Request("minilm_l6", "default", 0, 64, ())
    made = transformers.make("BertBackbone", minilm.CONFIG)
    return network.assemble(transformers.text_network(made, words, request, True), request)


def test_the_adapter_file_of_a_network_like_minilm_has_at_most_half_a_megabyte(tmp_path):
    """6 * 2 * 8 * (384 + 384) numbers of updates, 384 * 2 + 2 of the head, four bytes each."""
    options = make(data="vader(domain=movie)", backbone="minilm_l6", method="lora(rank=8)")
    core = attach_head(minilm_shaped(), call_strings.pick(HEADS, "classify"), 2)
    method = lora.lora(rank=8)
    core = method.prepare(core, FitContext())
    plan = freezing.apply(core.groups, method.phases(core)[0].rules)
    moved = {name: plan.variables[name] for name in plan.moving}
    arrays, base = adapters.extract(core, moved)
    prepared = types.SimpleNamespace(to_config=lambda: {"kind": "text", "length": 64})
    trained = TransferModel(core, prepared, ("negative", "positive"), options)
    about = training._about(trained) | {"base_sha256": base}
    adapters.write(tmp_path / "adapter", adapters.Adapter(arrays, about))
    size, numbers = (tmp_path / "adapter").stat().st_size, 73_728 + 770
    assert 4 * numbers < size < 4 * numbers + 20_000
    assert size <= 500_000
    assert core.model.count_params() > 22_000_000
