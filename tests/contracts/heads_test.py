import json

import keras
import numpy as np
import pandas
import pytest

from tests import tiny
from tests.contracts.given import parameters
from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.data import label_kinds
from tltf.errors import FlagError
from tltf.evaluation import evaluators
from tltf.graphs.core import replace_head
from tltf.heads.head import Head
from tltf.models import prediction_frame
from tltf.models.prediction import Prediction

NAMES = ("a", "b", "c")
IMAGES = {"image": np.random.default_rng(0).random((5, 8, 8, 3)) * 255}
LABELS = {
    label_kinds.CLASS: np.array([0, 1, 2, 1, 0], np.int32),
    label_kinds.LABELS: np.array([[0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 1, 1]], np.uint8),
    label_kinds.NUMBER: np.array([1.5, 2.0, 8.0, -3.0, 0.0], np.float32),
    label_kinds.NUMBERS: np.array(
        [[1.5, 0, 7], [2.0, 1, 30], [8.0, -1, 5], [-3.0, 2, 0], [0.0, 0.5, -40]], np.float32
    ),
}


def taps(modality):
    if modality == "image":
        return {"stage_1": keras.Input((4, 4, 5)), "stage_2": keras.Input((2, 2, 6))}
    return {"sequence": keras.Input((None, 6)), "mask": keras.Input((None,), dtype="int32")}


def answered(text):
    """`(head, logits, labels, class names)` of a tiny core with a head."""
    core = tiny.core(head=text)
    logits = keras.ops.convert_to_numpy(core.model(IMAGES)[core.head.name])
    names = () if core.head.target == label_kinds.NUMBER else NAMES
    return core.head, logits, LABELS[core.head.target], names


@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize("text", parameters("heads"))
def test_a_head(text, modality):
    head = call_strings.pick(HEADS, text).build()
    points = taps(modality)
    logits, layers = head.attach(points, modality, 3)
    assert len(logits.shape) == 2 and logits.dtype == "float32"
    model = keras.Model(list(points.values()), logits)
    assert {id(v) for v in model.trainable_weights} == {
        id(v) for layer in layers for v in layer.trainable_weights
    }, "the layers that it hands back are its own"
    assert all(layer.name.startswith(head.name) for layer in layers)


@pytest.mark.parametrize("name", HEADS)
def test_its_row_says_whether_it_orders_classes(name):
    """Data are scanned without the head, and so without TensorFlow, where it has no order."""
    own = type(call_strings.pick(HEADS, name).build()).class_order
    assert HEADS[name].orders_classes == (own is not Head.class_order)


@pytest.mark.parametrize("text", parameters("heads"))
def test_its_loss_and_metrics(text):
    head, logits, labels, _ = answered(text)
    kinds = [labels]
    if head.target == label_kinds.CLASS:
        kinds.append(np.eye(3, dtype="float32")[labels])
    for target in kinds:
        assert np.isfinite(float(head.loss()(target, logits)))
        for metric in head.metrics():
            metric.update_state(target, logits)
            assert np.isfinite(float(metric.result()))
    losses = head.losses(logits, labels)
    assert losses.shape == (5,)
    if not head.has_order:  # whose loss sums over thresholds, and is judged as probabilities
        assert losses.mean() == pytest.approx(float(head.loss()(labels, logits)), rel=1e-4)
    assert np.isfinite(head.metric_value(logits, labels))


@pytest.mark.parametrize("text", parameters("heads"))
def test_its_answers(text):
    head, logits, _, names = answered(text)
    stated = keras.ops.convert_to_numpy(head.scores(logits))
    columns, answers = head.columns(names), head.answers(stated, names)
    assert stated.dtype == np.float32 and stated.shape == (5, len(columns))
    served = head.serving_outputs(keras.ops.convert_to_tensor(stated), [n.encode() for n in names])
    np.testing.assert_array_equal(np.reshape(served[head.scores_name], stated.shape), stated)
    for row, answer in enumerate(answers):
        prediction = Prediction("x", **head.read(stated[row], names))
        assert prediction.answer == answer and prediction.scores == stated[row].tolist()
        assert hasattr(prediction, head.name) and getattr(prediction, head.scores_name)
        given = np.ravel(served[head.name].numpy()[row]).tolist()
        texts = (x.decode() if isinstance(x, bytes) else format(x, ".9g") for x in given)
        assert "|".join(texts) == answer


@pytest.mark.parametrize("text", parameters("heads"))
def test_its_cells_of_a_frame(text):
    head, logits, _, names = answered(text)
    stated = keras.ops.convert_to_numpy(head.scores(logits))
    rows = [Prediction("x", **head.read(stated[0], names)), Prediction("x", error="bad")]
    first, second = prediction_frame.make_frame(rows, head, names, ["a", "b"]).to_dict("records")
    begins = ("predicted_", "confidence", "is_sure")
    columns = [name for name in first if name.startswith(begins)]
    assert ("is_sure" in columns) == head.abstains
    assert columns and list(first) == [*columns, *head.columns(names), "error"]
    assert all(pandas.isna(second[name]) for name in columns)
    found = "|".join(str(first[name] or "") for name in columns if name.startswith("predicted_"))
    if head.target in (label_kinds.CLASS, label_kinds.LABELS):
        assert found == rows[0].answer
    else:
        numbers = [float(number) for number in rows[0].answer.split("|")]
        assert [first[name] for name in columns] == pytest.approx(numbers)


@pytest.mark.parametrize("text", parameters("heads"))
def test_only_a_head_of_one_class_of_two_has_a_positive_class(text):
    head = call_strings.pick(HEADS, text).build()
    if head.target == label_kinds.CLASS and not head.abstains:
        assert head.positive_class(("no", "yes")) == "yes"
    with pytest.raises(FlagError, match="a threshold is for one class of two"):
        head.positive_class(NAMES)


@pytest.mark.parametrize("text", parameters("heads"))
def test_its_calibration_comes_back_from_its_call_string_and_leaves_answers(text):
    """Temperatures are fitted on what it states itself, for labels that are drawn at random."""
    core = tiny.core(head=text)
    if not core.head.can_calibrate:
        assert not core.head.temperatures
        return
    head, rng = core.head.without_temperatures(), np.random.default_rng(0)
    width = core.model.output[head.name].shape[-1]
    logits = rng.normal(0, 3, (200, width)).astype("float32")
    if head.has_order:
        logits = -np.sort(-logits, axis=1)
    labels = rng.integers(0, 3, 200)
    if head.target == label_kinds.LABELS:
        labels = rng.integers(0, 2, (200, width)).astype(np.uint8)
    made = head.calibrate(logits, labels, np.arange(200, dtype=np.uint64), is_wanted=True)
    assert made.temperatures and made.without_temperatures().temperatures == ()
    again = replace_head(replace_head(core, head), made)
    assert call_strings.pick(HEADS, again.head_spec, "head").build() == made
    before, after = (np.asarray(one.scores(logits)) for one in (head, made))
    assert not np.allclose(before, after)
    if head.target == label_kinds.CLASS:
        np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))
    else:
        np.testing.assert_array_equal(made.choose_labels(after), head.choose_labels(before))


@pytest.mark.parametrize("text", parameters("heads"))
def test_its_judge(text):
    head, logits, labels, names = answered(text)
    judge = evaluators.evaluator_for(head)
    candidate = judge.candidate(head, keras.ops.convert_to_numpy(head.scores(logits)))
    found = judge.measure(labels, candidate, names)
    json.dumps(found.to_json(), allow_nan=False)
    assert found.num_examples == 5
    details = judge.details(labels, candidate, names)
    assert json.loads(json.dumps(details, allow_nan=False)) == details
    assert not set(details) & set(found.to_json()), "a detail takes the place of no metric"
    row, other = judge.constant(labels, labels, names)
    assert row.test.num_examples == 5
    gain = judge.difference(labels, candidate, other)
    for name in found.intervals:
        expected = found.scores[name] - row.test.scores[name]
        assert gain.gains[name].difference == pytest.approx(expected, abs=1e-9)
    truths, answers = judge.truths(labels, names), judge.answers(candidate, names)
    again = judge.parse(truths, answers, judge.values(candidate), names)
    assert judge.measure(*again, names).scores["loss"] == pytest.approx(
        found.scores["loss"], rel=1e-6
    )
    for mistake in judge.worst(labels, candidate, names, list("vwxyz"), 3):
        assert {"index", "id", "label", "predicted"} <= set(mistake.to_json())


@pytest.mark.parametrize("text", parameters("heads"))
def test_what_is_chosen_comes_back_from_its_call_string(text):
    core = tiny.core(head=text)
    stated = core.head.scores(core.model(IMAGES)[core.head.name])
    tuned = core.head.tune(keras.ops.convert_to_numpy(stated), LABELS[core.head.target])
    again = replace_head(core, tuned)
    assert call_strings.pick(HEADS, again.head_spec, "head").build() == tuned


@pytest.mark.parametrize("text", ["classify", "ordinal"])
def test_classes_have_probabilities(text):
    head, logits, labels, _ = answered(text)
    stated = keras.ops.convert_to_numpy(head.scores(logits))
    np.testing.assert_allclose(stated.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(head.most_probable(logits), stated.argmax(axis=1))
    expected = -np.log(stated[np.arange(5), labels])
    np.testing.assert_allclose(head.losses(logits, labels), expected, rtol=1e-4, atol=1e-6)
