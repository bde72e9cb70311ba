"""What an export tells of itself is true, its hashes find changes, its warm-up has the sizes asked for."""

import json
import shutil

import pytest
import tensorflow as tf

from tests import served
from tltf.data.source import Column, ScanCounts, Source
from tltf.errors import FlagError, ModelError
from tltf.files.hashes import sha256_of_file
from tltf.serving import about
from tltf.serving.about import AboutModel
from tltf.serving.export import bundle


@pytest.fixture
def folder(exports, tmp_path):
    """A copy of the export of texts."""
    return shutil.copytree(exports[1]["reviews"] / "3", tmp_path / "3")


def test_the_manifest_says_what_the_model_is(exports):
    for name, modality in (("photos", "image"), ("reviews", "text")):
        trained, path = exports[0][name], exports[1][name] / "3"
        facts = bundle.read_manifest(path)
        assert facts["class_names"] == list(trained.class_names)
        assert facts["preprocessing"] == trained.preprocessing.to_config()
        assert facts["about"]["modality"] == modality
        assert facts["about"]["head"] == trained.core.head_spec
        assert facts["versions"]["tensorflow"] == tf.__version__
        assert facts["needs"] == ([] if modality == "image" else ["tensorflow_text"])
        files = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
        assert set(facts["files"]) == files - {bundle.MANIFEST}
        assert facts["files"]["saved_model.pb"] == sha256_of_file(path / "saved_model.pb")


def change(folder):
    with open(folder / "saved_model.pb", "ab") as file:
        file.write(b"\0")


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (change, r"saved_model.pb: the file is not the one that was exported"),
        (
            lambda f: (f / "assets" / "class_names.txt").unlink(),
            "class_names.txt: the file is miss",
        ),
        (lambda f: (f / "assets" / "x").write_text(""), "assets/x: the file is not in tltf.json"),
        (lambda f: (f / bundle.MANIFEST).unlink(), "is not an export of tltf"),
        (lambda f: (f / bundle.MANIFEST).write_text("{}"), "has no SHA-256 of the files"),
    ],
)
def test_an_export_that_was_changed_is_refused(folder, harm, what):
    bundle.read_manifest(folder)
    harm(folder)
    with pytest.raises(ModelError, match=what):
        bundle.read_manifest(folder)


def test_the_graph_tells_the_same_as_the_manifest(exports, loaded):
    for name in ("photos", "reviews"):
        version = loaded[name].newest
        facts = bundle.read_manifest(version.folder)
        outputs = version.compute(about.SIGNATURE, {about.INPUT: [b"", b""]})
        first, second = outputs[about.OUTPUT].tolist()
        assert first == second and json.loads(first) == facts["about"]
        told = AboutModel.from_json(first.decode(), "server")
        assert told == bundle.describe(exports[0][name])


def test_what_a_stranger_tells_is_checked(exports):
    facts = bundle.describe(exports[0]["photos"]).to_json()
    for change in ({"format": 9}, {"class_names": [1]}, {"modality": "sound"}, {"head": 3}):
        with pytest.raises(ModelError, match="tells of itself"):
            AboutModel.from_json(json.dumps(facts | change), "server")
    with pytest.raises(ModelError, match="'os:system' of the model is not part of tltf"):
        AboutModel.from_json(json.dumps(facts | {"head": "os:system(command=x)"}), "server")
    for text in ("", "[]", "{}", "\ud800"):
        with pytest.raises(ModelError, match="cannot be read"):
            AboutModel.from_json(text, "server")


def test_the_reading_of_tables_is_told_without_their_place():
    data = "csv(path=/secret/mails.csv, text=body, label=kind, delimiter=';')"
    assert about.reading_of(data, "text") == (
        "in_memory(text=body, delimiter=;, encoding=utf-8, quote='\"')"
    )
    assert about.reading_of("digits", "image") == "in_memory()"


def requests_of(path):
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    for record in tf.data.TFRecordDataset(str(path / bundle.WARMUP)):
        request = logs.PredictionLog.FromString(record.numpy()).predict_log.request
        yield {name: tf.make_ndarray(proto).tolist() for name, proto in request.inputs.items()}


def write(trained, folder, *warmup):
    bundle.write_extras(folder, trained, trained.core, bundle.Warmup(*warmup))


def test_warm_up_requests_are_made_up_unless_real_ones_are_asked_for(tmp_path):
    texts = [f"a secret {number}" for number in range(9)]
    trained = served.text()
    with pytest.raises(FlagError, match="warmup=real takes rows of the run's data"):
        write(trained, tmp_path, "real", (1,))
    trained.splits = {
        "test": Source("s", {"text": Column("text", texts)}, {}, texts, None, ScanCounts())
    }
    write(trained, tmp_path, "made_up", (1, 3, 40))
    made = [r["text"] for r in requests_of(tmp_path)]
    assert [len(texts) for texts in made] == [1, 3, 40] and b"secret" not in b"".join(made[2])
    write(trained, tmp_path, "real", (2, 20))
    real = [r["text"] for r in requests_of(tmp_path)]
    assert [len(texts) for texts in real] == [2, 20]
    assert {t for part in real for t in part} == {text.encode() for text in texts}


def test_an_export_without_warm_up(tmp_path):
    write(served.text_once(), tmp_path, "none")
    assert not (tmp_path / bundle.WARMUP).exists()
    assert json.loads((tmp_path / bundle.MANIFEST).read_text())["warmup"] is None


@pytest.mark.parametrize(
    ("warmup", "what"),
    [
        (("reel",), "warmup takes made_up, real, none"),
        (("real", (0,)), "whole numbers above 0"),
        (("real", (1,) * 1001), "more than 1000"),
    ],
)
def test_wrong_warm_ups(warmup, what):
    with pytest.raises(FlagError, match=what):
        bundle.Warmup(*warmup)
