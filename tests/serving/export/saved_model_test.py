"""The export answers as the model does, names what it refuses, and appears whole."""

import ast
import io
import json
import os
import pathlib
import resource
import subprocess
import sys
import types

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests import served
from tltf.data.source import Column, ScanCounts, Source
from tltf.errors import FlagError, ModelError, StorageError
from tltf.models import core_builder, example_inputs, raw_inputs
from tltf.serving.export import clean_process, saved_model, verify

NAMES = ("cat", "dög", "two\nlines")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return exported(served.image(names=NAMES), tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return exported(served.text_once(), tmp_path_factory.mktemp("text"))


def exported(trained, folder):
    path = saved_model.export_saved_model(trained, folder, None, True)
    return trained, path, tf.saved_model.load(str(path)).signatures


def picture(kind="PNG", size=(23, 11), **options):
    """Bytes of a picture with a different colour at each place."""
    numbers = np.random.default_rng(size[0]).integers(0, 256, (*size[::-1], 3), np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(numbers).save(file, kind, **options)
    return file.getvalue()


def turned(orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return picture("JPEG", exif=exif)


def rows(trained, inputs):
    return np.array([list(p.probabilities.values()) for p in trained.predict(inputs)], np.float32)


def test_signatures_have_the_promised_names_and_types(image, text):
    for (trained, _, signatures), name in ((image, "image_bytes"), (text, "text")):
        default, tensors = signatures["serving_default"], signatures["tensors"]
        (spec,) = default.structured_input_signature[1].values()
        assert spec == tf.TensorSpec([None], tf.string, name)
        assert tensors.structured_input_signature[1].keys() == trained.core.backbone.inputs.keys()
        for signature in (default, tensors):
            outputs = signature.structured_outputs
            assert outputs.keys() == {"label", "probabilities"}
            assert outputs["label"].dtype == tf.string
            assert outputs["probabilities"].dtype == tf.float32
            assert outputs["probabilities"].shape.as_list() == [None, trained.core.num_classes]


def test_images_of_all_kinds_get_the_answers_of_the_model(image):
    trained, _, signatures = image
    batch = [picture(), picture("JPEG"), picture("GIF"), picture("BMP"), turned(6), turned(3)]
    given = signatures["serving_default"](image_bytes=tf.constant(batch))
    expected = rows(trained, batch)
    np.testing.assert_allclose(given["probabilities"], expected, atol=verify.LARGEST_DIFFERENCE)
    assert np.abs(expected[4] - expected[5]).max() > 1e-4  # the turn is seen at all
    assert given["label"].numpy().tolist() == [NAMES[i].encode() for i in expected.argmax(1)]


def test_texts_get_the_answers_of_the_model(text):
    trained, _, signatures = text
    texts = [*served.TEXTS, "caf\u00e9 \U0001f600 \u202eabc\u200b", "word " * 500]
    given = signatures["serving_default"](text=tf.constant(texts))
    np.testing.assert_allclose(given["probabilities"], rows(trained, texts), atol=1e-6)


def test_one_input_and_a_batch_get_the_same_answer(image):
    signature = image[2]["serving_default"]
    batch = [picture(size=(size, 9)) for size in (5, 40, 90)]
    together = signature(image_bytes=tf.constant(batch))["probabilities"]
    for row, item in zip(together, batch, strict=True):
        alone = signature(image_bytes=tf.constant([item]))["probabilities"]
        np.testing.assert_allclose(alone[0], row, atol=1e-6)


def test_tensors_get_the_answers_of_their_raw_inputs(image, text):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    given = image[2]["tensors"](image=tf.constant(pixels, tf.float32))
    np.testing.assert_allclose(
        given["probabilities"], rows(image[0], list(pixels)), atol=verify.LARGEST_DIFFERENCE
    )
    tensors = text[0].preprocessing(tf.constant(served.TEXTS))
    given = text[2]["tensors"](**tensors)
    expected = rows(text[0], list(served.TEXTS))
    np.testing.assert_allclose(given["probabilities"], expected, atol=verify.LARGEST_DIFFERENCE)


@pytest.mark.parametrize("bad", [b"", b"no image", picture("JPEG")[:100], b"\x89PNG\r\n\x1a\n"])
def test_a_corrupt_image_is_named_by_its_position(image, bad):
    batch = [picture(), picture("JPEG"), bad, picture()]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image \[?2\]? of the batch"):
        image[2]["serving_default"](image_bytes=tf.constant(batch))


def test_an_empty_batch_gets_an_empty_answer(image, text):
    for (_, _, signatures), name in ((image, "image_bytes"), (text, "text")):
        given = signatures["serving_default"](**{name: tf.constant([], tf.string)})
        assert given["label"].shape == (0,)
        assert given["probabilities"].shape[0] == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(image, value):
    pixels = np.zeros((2, 16, 16, 3), np.float32)
    pixels[1, 2, 3, 0] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match="input image has numbers"):
        image[2]["tensors"](image=tf.constant(pixels))


def test_the_folder_is_what_tf_serving_wants(image):
    path = image[1]
    assert path.name == "1"
    assert os.listdir(path.parent) == ["1"]
    assert (path / "saved_model.pb").is_file()
    names = (path / "assets" / "class_names.txt").read_text(encoding="utf-8")
    assert names == "cat\ndög\ntwo\\nlines\n"
    facts = json.loads((path / "assets.extra" / "tltf.json").read_text(encoding="utf-8"))
    assert facts["class_names"] == list(NAMES)


def test_warm_up_requests_can_be_answered(image, text):
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    for _, path, signatures in (image, text):
        file = str(path / "assets.extra" / "tf_serving_warmup_requests")
        for record in tf.data.TFRecordDataset(file):
            request = logs.PredictionLog.FromString(record.numpy()).predict_log.request
            given = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
            assert len(signatures[request.model_spec.signature_name](**given)["label"]) > 0


def test_an_existing_version_is_refused_and_the_next_is_free(tmp_path):
    trained = served.image_once()
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    with pytest.raises(FlagError, match="version 7 exists; fix: --version=8"):
        saved_model.export_saved_model(trained, tmp_path, 7, False)
    assert saved_model.export_saved_model(trained, tmp_path, None, False).name == "8"
    assert not list((tmp_path / "7").iterdir())


def test_an_export_that_answers_otherwise_is_not_published(tmp_path, monkeypatch):
    real = saved_model.Servable.answer

    def wrong(self, tensors):
        given = real(self, tensors)
        return given | {"probabilities": given["probabilities"] + 1e-3}

    monkeypatch.setattr(saved_model.Servable, "answer", wrong)
    with pytest.raises(ModelError, match=r"differs from the model by 0\.001"):
        saved_model.export_saved_model(served.image_once(), tmp_path, None, True)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_in_the_check_is_no_fault_of_the_model(tmp_path, monkeypatch):
    start, limit = subprocess.Popen, (resource.RLIMIT_FSIZE, (100, 100))

    def limited(*given, **options):
        return start(*given, preexec_fn=lambda: resource.setrlimit(*limit), **options)

    monkeypatch.setattr(verify, "_started", {})
    monkeypatch.setattr(verify.subprocess, "Popen", limited)
    with pytest.raises(StorageError, match=r"File too large.*TMPDIR"):
        exported(served.image_once(), tmp_path)
    assert os.listdir(tmp_path) == []


def test_wrong_labels_are_told(image):
    trained, path, signatures = image
    raw = example_inputs.make_probes(trained)
    given = signatures["serving_default"](image_bytes=tf.constant(raw["image_bytes"]))
    probabilities = given["probabilities"].numpy()
    data, ends = clean_process.pack([b"mole"] * len(raw["image_bytes"]))
    answers = {"raw/probabilities": probabilities, "tensors/probabilities": probabilities}
    answers |= {"data/raw/label": data, "ends/raw/label": ends}
    check = types.SimpleNamespace(
        trained=trained, raw=raw, folder=path, outputs=lambda: dict(answers)
    )
    with pytest.raises(ModelError, match="input 0 has the label b'mole' in place of"):
        verify.check_saved_model(check, trained.core.model, None)


def test_an_export_that_is_abandoned_leaves_nothing(tmp_path):
    export = saved_model.SavedModelExport(served.image_once(), tmp_path, None, True)
    check = export._check
    export.abandon()
    assert os.listdir(tmp_path) == []
    assert check._process.poll() is not None and not os.path.exists(check._scratch.name)


def test_the_answers_that_were_judged_are_what_an_export_must_give(tmp_path, capsys, monkeypatch):
    trained = served.image(names=NAMES)
    pictures = [picture(size=(9, 5)), picture(size=(7, 12))]
    scores, seen = rows(trained, pictures), []
    column = Column("bytes", pictures)
    trained.splits = {"test": Source("s", {"image": column}, {}, ["a", "b"], None, ScanCounts())}
    trained.judged = {"test": scores}
    real = verify.check_saved_model

    def check(check, *given):
        outputs = check.outputs()
        seen.append(types.SimpleNamespace(**vars(check), outputs=lambda: dict(outputs)))
        return real(seen[-1], *given)

    monkeypatch.setattr(verify, "check_saved_model", check)
    saved_model.export_saved_model(trained, tmp_path, 1, True)
    assert "difference from the answers that were judged" in capsys.readouterr().err
    real(seen[0], trained.core.model, scores[::-1])
    assert "difference from the model" in capsys.readouterr().err, "as after rounded features"


def test_a_check_that_cannot_begin_leaves_no_process(tmp_path, monkeypatch):
    def send(*_):
        raise OSError("the disk is full")

    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-c", "input()"], text=True, **pipes)
    monkeypatch.setattr(verify, "_started", {"image": process})
    monkeypatch.setattr(verify.Check, "_send", send)
    with pytest.raises(StorageError, match="the disk is full"):
        saved_model.export_saved_model(served.image_once(), tmp_path, 1, True)
    assert process.poll() is not None
    assert os.listdir(tmp_path) == []


def test_a_process_that_ended_before_its_check_is_replaced(monkeypatch):
    monkeypatch.setattr(verify, "_started", {})
    ended = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    ended.communicate()
    verify._started["image"] = ended
    monkeypatch.setattr(verify, "_new_process", lambda modality: f"a new one for an {modality}")
    verify.start_process("image")
    assert verify._started == {"image": "a new one for an image"}


def test_the_check_needs_tensorflow_alone():
    tree = ast.parse(pathlib.Path(clean_process.__file__).read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    imported = {alias.name for node in nodes for alias in node.names}
    typing = {"Any", "Sequence"}
    assert imported - typing == {"importlib", "itertools", "json", "sys", "numpy", "tensorflow"}


def test_packed_bytes_come_back():
    items = [b"", b"\x00\x00", b"a\x00", "\u4f60".encode(), b""]
    assert clean_process.unpack(*clean_process.pack(items)) == items
    assert clean_process.unpack(*clean_process.pack([])) == []


def test_a_core_of_half_precision_is_exported_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        trained = served.image()
    finally:
        keras.config.set_dtype_policy("float32")
    path = saved_model.export_saved_model(trained, tmp_path, None, False)
    model = tf.saved_model.load(str(path))
    given = model.signatures["serving_default"](image_bytes=tf.constant([picture()]))
    fresh = core_builder.float32_copy(trained.core).model
    pixels = trained.preprocessing(tf.constant(picture()))[None]
    expected = keras.ops.softmax(fresh({"image": pixels})["label"])
    np.testing.assert_allclose(given["probabilities"], expected, atol=verify.LARGEST_DIFFERENCE)
    assert {layer.compute_dtype for layer in fresh.layers} == {"float32"}


def test_inputs_of_the_check_come_from_the_test_split(tmp_path):
    texts = [f"text {number}" for number in range(10)]
    source = Source("s", {"text": Column("text", texts)}, {}, texts, None, ScanCounts())
    trained = served.text()
    assert example_inputs.take_examples(trained, 4) == example_inputs.make_probes(trained)
    trained.splits = {"train": source.take([0]), "test": source}
    four = [b"text 0", b"text 3", b"text 6", b"text 9"]
    assert example_inputs.take_examples(trained, 4) == {"text": four}
    assert len(example_inputs.take_examples(trained, 400)["text"]) == 10


def test_pictures_of_arrays_lose_nothing():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 1), np.uint8)
    for given, raw in zip(pixels, raw_inputs.encode_column(Column("array", pixels)), strict=True):
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(io.BytesIO(raw))), given[..., 0])


@pytest.mark.large
@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: served.image("efficientnet_lite0", 96), [picture("JPEG"), turned(8)]),
        (lambda: served.text("minilm_l6"), ["The weather is lovely today.", "na\u00efve"]),
    ],
)
def test_large_cores(make, inputs, tmp_path, capsys):
    trained = make()
    path = saved_model.export_saved_model(trained, pathlib.Path(tmp_path), None, True)
    assert "largest difference" in capsys.readouterr().err
    default = tf.saved_model.load(str(path)).signatures["serving_default"]
    (name,) = default.structured_input_signature[1]
    given = default(**{name: tf.constant(inputs)})["probabilities"]
    np.testing.assert_allclose(given, rows(trained, inputs), atol=verify.LARGEST_DIFFERENCE)
