"""Every input gets its row, in order; a bad one says why and harms no other."""

import io
import os

import numpy as np
import pandas
import PIL.Image
import pytest

from tests import served
from tltf.errors import FlagError
from tltf.models import predictor

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def encoded(pixels=PIXELS, kind="PNG"):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def test_probabilities_are_those_of_the_core():
    trained = served.image_once()
    (given,) = trained.predict(PIXELS)
    model, preprocessing = trained.core.model, trained.preprocessing
    logits = np.asarray(model({"image": preprocessing.resize(PIXELS)[None]})["label"])[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    assert list(given.probabilities) == list(trained.class_names)
    np.testing.assert_allclose(list(given.probabilities.values()), expected, atol=1e-6)
    assert given.label == trained.class_names[int(expected.argmax())]


def test_the_second_of_two_classes_is_answered_from_the_threshold_on():
    trained = served.text_once()
    texts = [f"{text} {n}" for n in range(4) for text in served.TEXTS]
    given = trained.predict(texts)
    edge = sorted(row.probabilities["good"] for row in given)[7]
    answers = trained.predict(texts, threshold=edge)
    assert [row.label for row in answers] == [
        "good" if row.probabilities["good"] >= edge else "bad" for row in given
    ]
    assert len({row.label for row in answers}) == 2
    assert [row.probabilities for row in answers] == [row.probabilities for row in given]
    frame = trained.predict(pandas.DataFrame({"text": texts}), threshold=edge)
    assert frame["predicted_label"].tolist() == [row.label for row in answers]
    assert frame["confidence"].tolist() == [row.probabilities[row.label] for row in answers]


@pytest.mark.parametrize(
    "made, threshold, said",
    [
        (
            served.image_once,
            0.5,
            "a threshold is for one class of two; this model predicts 3 classes",
        ),
        (served.text_once, 1.5, r"takes a number from 0 to 1 \(received 1.5\)"),
    ],
)
def test_a_threshold_that_says_nothing_is_an_error(made, threshold, said):
    with pytest.raises(FlagError, match=said):
        made().predict(["a good film"], threshold=threshold)


def test_a_path_its_bytes_and_its_pixels_get_the_same_answer(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded())
    trained = served.image_once()
    given = trained.predict([tmp_path / "a.png", str(tmp_path / "a.png"), encoded(), PIXELS])
    assert len({tuple(row.probabilities.values()) for row in given}) == 1
    assert [row.id for row in given] == [str(tmp_path / "a.png")] * 2 + ["", ""]


def test_grey_and_transparent_arrays_are_images_too():
    grey, alpha = PIXELS[..., 0], np.dstack([PIXELS, PIXELS[..., :1]])
    given = served.image_once().predict([grey, grey[..., None], alpha])
    assert [row.error for row in given] == ["", "", ""]
    assert given[0].probabilities == given[1].probabilities


def test_bad_images_get_an_error_and_the_others_their_answer(tmp_path):
    files = {
        "good.png": encoded(),
        "empty.png": b"",
        "half.jpg": encoded(kind="JPEG")[:300],
        "page.jpg": b"<!DOCTYPE html><html></html>",
        "wrong_name.jpg": encoded(kind="BMP"),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe.png")
    names = [*files, "pipe.png", "missing.png"]
    given = served.image_once().predict([tmp_path / name for name in names])
    errors = {name: row.error for name, row in zip(names, given, strict=True)}
    assert errors == {
        "good.png": "",
        "empty.png": "is empty",
        "half.jpg": "is a damaged JPEG file",
        "page.jpg": "is HTML, which TensorFlow does not decode",
        "wrong_name.jpg": "",
        "pipe.png": "is not a file",
        "missing.png": "No such file or directory",
    }
    assert given[0].probabilities == given[4].probabilities
    assert given[1].label == "" and given[1].probabilities == {}


def test_a_bomb_is_refused_by_its_header():
    content = bytearray(encoded())
    content[16:24] = (30_000).to_bytes(4, "big") * 2
    (given,) = served.image_once().predict([bytes(content)])
    assert given.error == "has 30000 x 30000 pixels, more than 89478485: make it smaller"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (np.zeros((4, 4, 3), np.float32), r"uint8\[H, W, C\], not float32"),
        (np.zeros((4, 4, 2), np.uint8), "1, 3 or 4 channels, not 2"),
        (np.zeros((0, 4, 3), np.uint8), "uint8"),
        (7, "received int"),
    ],
)
def test_things_that_are_no_images(item, said):
    import re

    (given,) = served.image_once().predict([item])
    assert re.search(said, given.error)


def test_texts_keep_their_order_over_batches():
    trained = served.text_once()
    texts = [f"a film {number}" for number in range(7)] + ["", "\ud800 x", 3]
    given = trained.predict(texts, batch_size=3)
    assert [row.id for row in given] == [*texts[:-1], ""]
    assert [row.error for row in given[7:]] == [
        "the text is empty",
        "",
        "takes texts (received int)",
    ]
    alone = [trained.predict(text)[0] for text in texts[:7]]
    for one, many in zip(alone, given, strict=False):
        np.testing.assert_allclose(
            list(one.probabilities.values()), list(many.probabilities.values()), atol=1e-6
        )


@pytest.mark.parametrize("kind,ahead", [("text", 4 * predictor.TEXT_BATCHES), ("image", 4)])
def test_a_stream_is_read_a_bounded_number_ahead(kind, ahead):
    read = []
    trained = served.text_once() if kind == "text" else served.image_once()
    item = "a text" if kind == "text" else PIXELS
    items = (read.append(number) or item for number in range(50))
    stream = predictor.Predictor(trained, 4).stream(items)
    next(stream)
    assert len(read) == ahead
    assert len(list(stream)) == 49


def test_long_texts_beside_short_ones_get_what_they_get_alone():
    trained = served.text_once()
    texts = ["good " * (1 + number * 5 % 9) + f"{number}" for number in range(30)]
    many = predictor.predict(trained, texts, batch_size=2)
    assert [row.id for row in many] == texts
    for text, row in zip(texts[:8], many, strict=False):
        (alone,) = trained.predict(text)
        np.testing.assert_allclose(
            list(row.probabilities.values()), list(alone.probabilities.values()), atol=1e-6
        )


def test_an_output_that_is_not_finite_is_an_error():
    trained = served.image()
    bias = trained.core.model.get_layer("label_logits").bias
    bias.assign(np.full(3, np.nan, np.float32))
    (given,) = trained.predict(PIXELS)
    assert given.error == "the model's output is not finite"


def test_nothing_gives_nothing():
    assert served.image_once().predict([]) == []


def test_many_calls_trace_the_model_a_few_times_and_follow_a_new_core():
    trained = served.text()
    sizes = [trained.predict(["good film " * size] * size)[0].probabilities for size in range(1, 9)]
    kept = vars(trained)[predictor.KEPT]
    assert kept._step.experimental_get_tracing_count() <= 4 and len(sizes) == 8
    trained.predict("one", batch_size=7)
    assert vars(trained)[predictor.KEPT] is kept and kept.batch_size == 7
    trained.core = served.text().core
    trained.predict("one")
    assert vars(trained)[predictor.KEPT] is not kept


@pytest.mark.parametrize("make", [served.image, served.text], ids=["image", "text"])
def test_a_few_inputs_need_no_graph_and_get_the_answers_of_one(make):
    trained = make()
    modality = trained.core.backbone.modality
    texts = [f"good film {number}" for number in range(3)]
    inputs = (
        texts
        if modality == "text"
        else list(np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), np.uint8))
    )
    few, compiled = predictor.Predictor(trained), predictor.Predictor(trained)
    quick = list(few.stream(inputs))
    assert few._step.experimental_get_tracing_count() == 0
    graph = list(compiled.stream([*inputs, *inputs]))[:3]
    assert compiled._step.experimental_get_tracing_count() > 0
    for one, other in zip(quick, graph, strict=True):
        assert one.label == other.label
        values = list(one.probabilities.values())
        np.testing.assert_allclose(values, list(other.probabilities.values()), atol=1e-5)
    for _ in range(predictor.FEW_CALLS):
        list(few.stream(inputs))
    assert few._step.experimental_get_tracing_count() > 0
