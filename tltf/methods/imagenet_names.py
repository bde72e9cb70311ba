"""ConSE: what a network of ImageNet's classes sees in an image, read by the names of the user's classes."""

from collections.abc import Sequence

import keras
import numpy as np
import safetensors.numpy

from tltf.backbones import builder, inverted_bottlenecks
from tltf.console import lazy_imports
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import FlagError
from tltf.graphs.core import Core, attach_head
from tltf.heads import pooling
from tltf.heads.light.light_model import Linear
from tltf.heads.light.named_prototypes import unit_rows

keras_hub = lazy_imports.Module("keras_hub")

NUM_CLASSES = 1000
WORDS = "minilm_l6"
"""The network whose vectors of names are compared."""
MOST_TOKENS = 32
"""Tokens that a name or a description is cut to."""
_LAYERS = ("stem_conv", "top_conv")
"""Layers whose kernels must be the packaged ones: the output layer was trained on these."""


def attach(core: Core, output: Linear, names: np.ndarray, vectors: np.ndarray) -> Core:
    """The core whose head is that of Norouzi et al. 2014, arXiv:1312.5650, eq. 2 and 4, with T = 1000.

    The logit of a class is f(x) . v, v the vector of its name and f(x) = sum_t p_t(x) s_t, p_t the
    probability of ImageNet's class t by the network's own output layer and s_t the vector of its name. The order of
    the classes is that of the cosines, as |f(x)| is the same for all. It is a hidden layer of 1000 units with a
    softmax below a linear layer. Departs: all T = 1000 classes count, where the paper takes the 10 most probable, and
    the vectors are those of a network of sentences.

    Args:
        core: the core.
        output: what gives ImageNet's logits, of T classes.
        names: float[T, d], unit vectors of the names of these.
        vectors: float[C, d], unit vectors of the names of the classes.
    """
    call = core.only.call.change(hidden=(len(names),), activation="softmax")
    core = attach_head(core.backbone, call, core.num_classes)
    hidden, logits = (
        core.model.get_layer(f"{core.head.name}_{part}") for part in ("hidden_1", "logits")
    )
    hidden.kernel.assign(output.kernel)
    hidden.bias.assign(output.bias)
    logits.kernel.assign((names @ vectors.T).astype(np.float32))
    return core


def output_layer(core: Core) -> Linear:
    """ImageNet's output layer above the pooled features of a core.

    Raises:
        FlagError: the core's network is not one whose output layer is known.
    """
    head = core.head
    is_pooled = head.pooling in ("auto", "average") and not (head.features or head.hidden)
    name = core.backbone.blueprint.get("text", "").partition("(")[0]
    if name in inverted_bottlenecks.DESIGNS and core.backbone.pretrained and is_pooled:
        found = safetensors.numpy.load_file(inverted_bottlenecks.packaged_weights(name))
        if all(_is_same(core, layer, found) for layer in _LAYERS):
            return Linear(found["predictions/kernel"], found["predictions/bias"])
    raise FlagError(
        "names say what an image shows only where the network still has ImageNet's output layer: "
        f"{', '.join(inverted_bottlenecks.DESIGNS)}, with its packaged weights and averaged features",
        flag="method",
        fix="--backbone=efficientnet_lite0, or --method=prototypes, which takes a few labels",
    )


def _is_same(core: Core, layer: str, found: dict[str, np.ndarray]) -> bool:
    """Whether a layer has the packaged kernel."""
    own = [one for one in core.model.layers if one.name.rpartition("/")[2] == layer]
    kernel = found[f"{layer}/kernel"]
    return len(own) == 1 and np.array_equal(own[0].kernel.numpy(), kernel)


def imagenet_names() -> list[str]:
    """ImageNet's 1000 class names in the order of its output layer, as KerasHub has them."""
    return [
        keras_hub.utils.imagenet_id_to_name(number).replace("_", " ")
        for number in range(NUM_CLASSES)
    ]


def text_vectors(texts: Sequence[str]) -> np.ndarray:
    """float64[n, d]: the unit vectors that WORDS gives for texts."""
    backbone = builder.build(WORDS, text_length=MOST_TOKENS)
    features = keras.Model(backbone.inputs, pooling.pool(backbone.taps, "text", "auto"))
    to_inputs = TextPreprocessing(backbone.tokenizer, MOST_TOKENS, tuple(backbone.inputs))
    found: np.ndarray = features.predict(to_inputs.graph_function(list(texts)), verbose=0)
    return unit_rows(found)
