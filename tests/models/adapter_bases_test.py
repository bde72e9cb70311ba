"""A base in memory with adapters of its own making: what is refused leaves it as it was."""

import dataclasses

import keras
import numpy as np
import pytest

from tests import tiny
from tltf.backbones import builder, kept_layers
from tltf.config import call_strings
from tltf.config.catalogs import METHODS
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.errors import ModelError
from tltf.graphs import functional
from tltf.graphs.layers import lora
from tltf.methods.context import FitContext
from tltf.models import adapters

IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)).astype("float32")
LORA = "lora(rank=1, targets='.*conv_1/kernel')"


def backbone(*_, **__):
    """The same tiny backbone each time."""
    keras.utils.set_random_seed(0)
    return tiny.image_backbone()


@pytest.fixture(autouse=True)
def bases(monkeypatch):
    monkeypatch.setattr(builder, "build", backbone)


def file(folder, method=LORA, name="a.safetensors", seed=1, **about):
    """`(path, logits)` of an adapter with random numbers in all that the method trains."""
    core = tiny.core(backbone())
    built = call_strings.pick(METHODS, method).build()
    core = built.prepare(core, FitContext())
    wanted = ("lora", "label", "adapter", "bias")
    moved = {n: v for n, v in core.named_weights().items() if any(part in n for part in wanted)}
    random = np.random.default_rng(seed)
    for variable in moved.values():
        variable.assign(random.normal(0, 0.5, variable.shape))
    arrays = {key: variable.numpy() for key, variable in moved.items()}
    config = ImagePreprocessing(8, 3).to_config()
    facts = {
        "backbone": "small_cnn",
        "backbone_weights": "default",
        "head": "classify",
        "method": method,
        "modality": "image",
        "class_names": ["x", "y", "z"],
        "preprocessing": config,
        "flags": {},
        "base_sha256": adapters._digest(core.named_weights(), moved),
    }
    adapters.write(folder / name, adapters.Adapter(arrays, facts | about))
    return folder / name, logits(core)


def logits(core):
    return np.asarray(core.model({"image": IMAGES}, training=False)["label"])


def variables(base):
    layers = [layer for group in base.backbone.groups for layer in group.layers]
    return {name: v.numpy() for name, v in functional.named_weights(layers).items()}


def base_with(path):
    base = adapters.Base(path)
    base.add("a", path)
    return base, base.use("a").core


BAD = {
    "lora(rank=1, targets='nowhere')": "matches none of the kernels",
    "adapters(size=1, targets='nowhere')": "'nowhere' matches none of the kernels",
    "lora(rank=0)": "rank must be at least 1",
    "prompt(length=2)": "has no blocks of a transformer",
    "lora(rank=1, targets='.*conv_2/kernel')": "conv_1/lora_a is",
}


@pytest.mark.parametrize("method", BAD)
def test_a_refused_file_is_named_and_leaves_the_adapter_in_use(tmp_path, method):
    path, expected = file(tmp_path)
    base, core = base_with(path)
    np.testing.assert_allclose(logits(core), expected, rtol=1e-5, atol=1e-5)
    bad = tmp_path / "bad.safetensors"
    adapter = adapters.read(path)
    adapters.write(bad, dataclasses.replace(adapter, about=adapter.about | {"method": method}))
    with pytest.raises(ModelError, match=BAD[method]) as caught:
        base.add("bad", bad)
    assert caught.value.place == str(bad) and not caught.value.flag
    assert base.in_use == "a"
    np.testing.assert_array_equal(logits(core), logits(base.use("a").core))
    np.testing.assert_allclose(logits(core), expected, rtol=1e-5, atol=1e-5)


def test_a_preprocessing_that_does_not_fit_is_refused_when_the_file_is_added(tmp_path):
    path, _ = file(tmp_path)
    other, _ = file(
        tmp_path, name="b.safetensors", preprocessing=ImagePreprocessing(9, 3).to_config()
    )
    base, _ = base_with(path)
    with pytest.raises(ModelError, match=r"preprocessing .* does not fit") as caught:
        base.add("b", other)
    assert caught.value.place == str(other) and base.in_use == "a"


@pytest.mark.parametrize(
    ("method", "number"),
    [
        ("lora(rank=2, targets='.*/kernel')", 4),
        ("lora(rank=2, targets='.*/kernel')", 6),
        ("adapters(size=2, targets='.*/kernel')", 4),
        ("adapters(size=2, targets='.*/kernel')", 8),
    ],
)
def test_a_preparation_that_breaks_off_leaves_no_part_in_the_base(
    tmp_path, monkeypatch, method, number
):
    """The head asks for two variables, then each layer for two or four."""
    path, expected = file(tmp_path)
    broken, _ = file(tmp_path, method, name="b.safetensors")
    base, _ = base_with(path)
    base._release()
    start = variables(base)
    base.use("a")
    add_weight, asked = keras.layers.Layer.add_weight, []

    def failing(layer, *args, **options):
        asked.append(options.get("name"))
        if len(asked) == number:
            raise MemoryError
        return add_weight(layer, *args, **options)

    monkeypatch.setattr(keras.layers.Layer, "add_weight", failing)
    with pytest.raises(MemoryError):
        base.add("b", broken)
    monkeypatch.undo()
    assert base.in_use == "a"
    base._release()
    after = variables(base)
    assert start.keys() == after.keys()
    for key, value in start.items():
        np.testing.assert_array_equal(after[key], value, err_msg=key)
    np.testing.assert_allclose(logits(base.use("a").core), expected, rtol=1e-5, atol=1e-5)
    layers = [layer for group in base.backbone.groups for layer in group.layers]
    assert [lora.has_update(layer) for layer in layers] == [True, False, False, False]
    assert not any(kept_layers._has_part(layer) for layer in layers)
