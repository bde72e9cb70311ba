import json
import math

import numpy as np
import pytest

from tests import tiny
from tests.training.fit_test import text_inputs
from tltf.errors import DataError, FlagError
from tltf.heads.light.light_model import FrozenRows, Linear
from tltf.heads.light.named_prototypes import NamedPrototypes
from tltf.methods import imagenet_names, label_texts, zero_shot
from tltf.methods.context import FitContext

RANDOM = np.random.default_rng(0)
CONTEXT = FitContext(("a", "b", "c"), text_inputs=text_inputs)


def units(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def rows_of(count=12, num_classes=3, width=8):
    labels = np.arange(count) % num_classes
    return FrozenRows(
        RANDOM.normal(size=(count, width)) + 2, np.eye(num_classes)[labels], np.ones(count)
    )


@pytest.mark.parametrize("is_centered", [False, True])
@pytest.mark.parametrize("weight", [0.0, 2.5, math.inf])
def test_prototypes_are_names_that_move_towards_examples(weight, is_centered):
    rows, names = rows_of(), units(RANDOM.normal(size=(3, 8)))
    (model,) = NamedPrototypes(names, (weight,), is_centered).solve(rows, [weight])
    center = rows.features.mean(axis=0) if is_centered else 0.0
    given = RANDOM.normal(size=(50, 8)) + 2
    cosines = np.empty((50, 3))
    for label in range(3):
        own = units(rows.features[rows.targets[:, label] > 0] - center)
        total = names[label] if math.isinf(weight) else weight * names[label] + own.sum(axis=0)
        cosines[:, label] = units(given - center) @ units(total)
    logits = model.logits(given)
    np.testing.assert_array_equal(logits.argmax(axis=1), cosines.argmax(axis=1))
    lengths = np.linalg.norm(given - center, axis=1, keepdims=True)
    np.testing.assert_allclose(logits, lengths * cosines, rtol=1e-4, atol=1e-4)


def test_a_class_without_examples_keeps_its_name():
    rows, names = rows_of(num_classes=2), units(RANDOM.normal(size=(3, 8)))
    rows = FrozenRows(rows.features, np.pad(rows.targets, [(0, 0), (0, 1)]), rows.weights)
    (model,) = NamedPrototypes(names, (0.0,), False).solve(rows, [0.0])
    np.testing.assert_allclose(model.kernel[:, 2], names[2], rtol=1e-5)


def solved(method, rows, core):
    method.prepare(core, CONTEXT)
    return method.solve(core, rows, 0, None)


def head_of(core):
    dense = core.model.get_layer("label_logits")
    return dense.kernel.numpy(), dense.bias.numpy()


def test_no_label_moves_the_weights_but_by_one_factor():
    core, rows = tiny.core(tiny.text_backbone()), rows_of()
    solved(zero_shot.zero_shot(), rows, core)
    kernel, bias = head_of(core)
    turned = FrozenRows(rows.features, rows.targets[:, [1, 2, 0]], rows.weights)
    solved(zero_shot.zero_shot(), turned, core)
    other, other_bias = head_of(core)
    factor = (kernel * other).sum() / (kernel**2).sum()
    np.testing.assert_allclose(other, factor * kernel, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(other_bias, factor * bias, rtol=1e-4, atol=1e-6)


def test_the_vectors_are_means_of_unit_vectors_of_the_templates():
    core = tiny.core(tiny.text_backbone(dropout=0.0))
    method = zero_shot.zero_shot("about {label}|it is {label}.", center=False)
    method.prepare(core, CONTEXT)
    seen = []

    def spy(texts):
        seen.extend(texts)
        return text_inputs(texts)

    method.context = FitContext(("a", "b", "c"), text_inputs=spy)
    found = method.vectors(core)
    assert seen == ["about a", "it is a.", "about b", "it is b.", "about c", "it is c."]
    tokens = text_inputs(["a", "b", "c"])
    sequence = tiny.keras.Model(core.model.input, core.backbone.taps["sequence"])(tokens)
    pooled = np.asarray(sequence)[:, :3].mean(axis=1)
    np.testing.assert_allclose(found, units(pooled), rtol=1e-4, atol=1e-5)


def test_a_few_labels_choose_the_weight_of_the_names():
    core, rows = tiny.core(tiny.text_backbone()), rows_of(24)
    found = solved(zero_shot.zero_shot(name_weight="auto"), rows, core)
    assert len(found.history) == len(zero_shot.NAME_WEIGHTS)
    assert sum(row["is_chosen"] for row in found.history) == 1


def test_descriptions_come_from_a_file(tmp_path):
    table = tmp_path / "texts.csv"
    table.write_text("label,description\na,good\nb,bad\na,very good\n")
    assert label_texts.described_texts(["b", "a"], str(table)) == [["bad"], ["good", "very good"]]
    tree = tmp_path / "texts.json"
    tree.write_text(json.dumps({"a": "good", "b": ["bad", "poor"]}))
    assert label_texts.described_texts(["a", "b"], str(tree)) == [["good"], ["bad", "poor"]]
    with pytest.raises(DataError, match="no description of c"):
        label_texts.described_texts(["a", "c"], str(table))
    (tmp_path / "other.csv").write_text("name,text\na,b\n")
    for name in ("other.csv", "missing.csv"):
        with pytest.raises(DataError, match="cannot be read"):
            label_texts.described_texts(["a"], str(tmp_path / name))


def test_what_does_not_fit_is_refused():
    method = zero_shot.zero_shot()
    method.prepare(tiny.core(), FitContext(("a", "b", "c")))
    with pytest.raises(FlagError, match=r"efficientnet_lite0, .* with its packaged weights"):
        method.solve(tiny.core(), rows_of(), 0, None)
    with pytest.raises(FlagError, match="name_weight"):
        zero_shot.zero_shot(name_weight=2).solve(tiny.core(), rows_of(), 0, None)
    method.prepare(tiny.core(tiny.text_backbone()), FitContext(("a", "b", "c")))
    with pytest.raises(FlagError, match="one for each row"):
        method.solve(tiny.core(tiny.text_backbone()), rows_of(), 0, None)
    for arguments in ({"template": "no name"}, {"name_weight": -1}, {"name_weight": "most"}):
        with pytest.raises(FlagError):
            zero_shot.zero_shot(**arguments)
    assert label_texts.named_texts(["very_good"], ["{label}!"]) == [["very good!"]]


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_images_are_read_by_the_names_of_what_the_network_sees(monkeypatch):
    core, rows = tiny.core(), rows_of(width=4)
    kernel, bias = RANDOM.normal(size=(4, 1000)), RANDOM.normal(size=1000)
    vectors = {}

    def text_vectors(texts):
        vectors.update(zip(texts, units(RANDOM.normal(size=(len(texts), 5))), strict=True))
        return np.stack([vectors[text] for text in texts])

    monkeypatch.setattr(imagenet_names, "output_layer", lambda core: Linear(kernel, bias))
    monkeypatch.setattr(imagenet_names, "text_vectors", text_vectors)
    method = zero_shot.zero_shot("{label}|a {label}")
    method.prepare(core, FitContext(("a", "b", "c")))
    solved = method.solve(core, rows, 0, None).core
    names = np.stack([vectors[name] for name in imagenet_names.imagenet_names()])
    classes = np.stack([(vectors[n] + vectors[f"a {n}"]) / 2 for n in ("a", "b", "c")])

    def expected(features):
        return softmax(features @ kernel + bias) @ names @ classes.T

    fresh = RANDOM.normal(size=(20, 4))
    found = solved.groups[-1].layers[1](solved.groups[-1].layers[0](fresh)).numpy()
    wanted = expected(fresh)
    factor = (found * wanted).sum() / (wanted**2).sum()
    assert factor > 0
    np.testing.assert_allclose(found, factor * wanted, rtol=1e-3, atol=1e-3 * factor)


def test_the_names_are_in_the_order_of_the_output_layer():
    names = imagenet_names.imagenet_names()
    assert len(names) == 1000 and names[0] == "tench" and names[951] == "lemon"
    assert names[567] == "frying pan" and names[967] == "espresso"
