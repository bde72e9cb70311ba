"""Methods that put parts into a backbone: what they find there, and what they refuse."""

import keras_hub
import pytest

from tests import tiny
from tltf.errors import FlagError
from tltf.graphs.backbone import Group
from tltf.methods import additive
from tltf.methods.context import FitContext

SIZES = {"adapters": ("size", 2), "prefix": ("length", 3), "prompt": ("length", 4)}


@pytest.mark.parametrize("kind", SIZES)
def test_parts_of_another_size_are_not_trained_on_silently(kind):
    argument, size = SIZES[kind]
    make = getattr(additive, kind)
    core = make(**{argument: size}).prepare(tiny.core(tiny.text_backbone()), FitContext())
    again = make(**{argument: size}).prepare(core, FitContext())
    assert again is core
    with pytest.raises(FlagError, match=rf"{argument} {size} .*, not 6; fix: {argument}={size}"):
        make(**{argument: 6}).prepare(core, FitContext())


def deberta():
    """A small DeBERTa, whose attention is a class of its own."""
    made = keras_hub.models.DebertaV3Backbone(
        vocabulary_size=9,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=16,
        bucket_size=4,
    )
    blocks = tuple(layer for layer in made.layers if layer.weights)
    return [Group("block", blocks), Group("head", ())]


class Core:
    """A core of which methods ask its groups only."""

    def __init__(self, groups):
        self.groups = groups


def test_ia3_takes_keys_and_values_of_any_attention():
    core = additive.ia3().prepare(Core(deberta()), FitContext())
    weights = [v.path for layer in core.groups[0].layers for v in layer.weights]
    scaled = [path.split("/")[-2] for path in weights if path.endswith("ia3_scale")]
    assert sorted(scaled) == ["feedforward_output_dense", "key", "value"]


def test_prefix_says_which_attention_it_takes():
    with pytest.raises(
        FlagError, match="takes Keras's MultiHeadAttention, and the backbone has none"
    ):
        additive.prefix().prepare(Core(deberta()), FitContext())


def test_ia3_names_what_is_missing_and_a_method_that_goes():
    with pytest.raises(FlagError, match=r"ia3 .*\(key\|value\).*--method=lora"):
        additive.ia3().prepare(tiny.core(), FitContext())
