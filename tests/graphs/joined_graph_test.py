"""Several models as one graph: what is alike stands once, and answers stay the same."""

import keras
import numpy as np
import pytest

from tests import tiny
from tltf.graphs import functional
from tltf.graphs.joined_graph import JoinedGraph


def copies(count, seed=0):
    """Cores with the same backbone weights and different heads."""
    made = []
    for number in range(count):
        keras.utils.set_random_seed(seed)
        core = tiny.core()
        for variable in core.groups[-1].layers[-1].weights:
            variable.assign(variable + number)
        made.append(core)
    return made


def join(cores, **kinds):
    """`(model, shared of each)` of cores on one new input."""
    image, graph = keras.Input((8, 8, 3), name="image"), JoinedGraph()
    outputs, shared = [], []
    for number, core in enumerate(cores, 1):
        given = [(core.backbone.inputs["image"], image)]
        (tensor,), own = graph.add(f"m{number}_", [core.model.output["label"]], given, **kinds)
        outputs.append(tensor)
        shared.append(own)
    return keras.Model(image, outputs), shared


def predict(core, images):
    return core.model(images, training=False)["label"].numpy()


IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)).astype(np.float32)


def test_the_same_frozen_layers_stand_once_and_answers_stay():
    cores = copies(3)
    wanted = [predict(core, IMAGES) for core in cores]
    weighted = [layer.name for layer in cores[0].model.layers if layer.weights]
    model, shared = join(cores)
    for tensor, rows in zip(model(IMAGES, training=False), wanted, strict=True):
        np.testing.assert_allclose(tensor.numpy(), rows, atol=1e-6)
    body = {name for name in weighted if not name.startswith("label")}
    assert shared[0] == {}
    assert shared[1] == shared[2] == {name: f"m1_{name}" for name in body}
    assert sum(layer.name.startswith("m2_") for layer in model.layers) == 1, "its head"


def test_one_changed_number_parts_what_is_above_it():
    cores = copies(2)
    cores[1].model.get_layer("norm_1").moving_mean.assign([0, 0, 0.1, 0])
    wanted = [predict(core, IMAGES) for core in cores]
    model, shared = join(cores)
    for tensor, rows in zip(model(IMAGES, training=False), wanted, strict=True):
        np.testing.assert_allclose(tensor.numpy(), rows, atol=1e-6)
    assert shared[1] == {"conv_1": "m1_conv_1"}, "conv_2 has equal weights and another input"


def test_what_was_shared_is_joined_again_whatever_the_weights_are():
    _, (_, shared) = join(copies(2))
    image, graph = keras.Input((8, 8, 3), name="image"), JoinedGraph()
    for number, known in ((1, {}), (2, shared)):
        core = copies(1, seed=number)[0]

        def identity(name, operation, prefix=f"m{number}_", known=known):
            return known.get(name, prefix + name) if getattr(operation, "weights", ()) else ""

        given = [(core.backbone.inputs["image"], image)]
        outputs = [core.model.output["label"]]
        _, again = graph.add(f"m{number}_", outputs, given, identity)
    assert again == shared


def test_a_layer_that_is_called_twice_stays_one_layer():
    image = keras.Input((4,), name="image")
    dense = keras.layers.Dense(4, name="dense")
    own = keras.Model(image, dense(dense(image)))
    vectors = np.ones((2, 4), np.float32)
    wanted = own(vectors).numpy()
    new, graph = keras.Input((4,), name="new"), JoinedGraph()
    (tensor,), _ = graph.add("a_", [own.output], [(image, new)])
    model = keras.Model(new, tensor)
    np.testing.assert_allclose(model(vectors).numpy(), wanted, atol=1e-6)
    assert [layer.name for layer in functional.layers([tensor])] == ["a_dense"]


def test_an_input_that_is_not_given_is_an_error():
    core = tiny.core()
    with pytest.raises(Exception, match="is not given"):
        JoinedGraph().add("a_", [core.model.output["label"]], [])
