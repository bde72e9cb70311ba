"""The reference of a run: of validation rows, never of training rows, and made again where it is absent."""

import os

import numpy as np
import pytest
from PIL import Image

import tltf
from tltf.config.command_options import MonitorOptions
from tltf.config.options import make
from tltf.data import run_data
from tltf.data.source import Splits
from tltf.errors import DataError, ModelError
from tltf.models import loading
from tltf.serving.monitoring import live_input, page, recording, reference, watch


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    tltf.run(
        tltf.make_options(
            data="digits(num_train=60, num_validation=50, num_test=80)",
            backbone="small_cnn(filters=[4])",
            method="linear_probe",
            image_size_px=8,
            train_epochs=1,
            near_duplicates=False,
            explain="none",
            export=False,
            output=str(folder),
        )
    )
    return folder


@pytest.fixture
def kept(run):
    """The run, whose reference is put back after the test."""
    path = run / "reference.safetensors"
    content = path.read_bytes()
    yield run
    path.write_bytes(content)


def assert_same(found, own):
    assert found.about == own.about
    np.testing.assert_allclose(found.answers.scores, own.answers.scores, atol=1e-5)
    np.testing.assert_allclose(found.answers.features, own.answers.features, atol=2e-3)
    np.testing.assert_array_equal(found.truths, own.truths)


def test_it_is_of_validation_rows(run):
    found, trained = reference.read(run), loading.load(run)
    part = run_data.load_parts(str(run))["validation"]
    order = np.random.default_rng(recording.SEED).permutation(50)
    np.testing.assert_allclose(found.answers.scores, trained.scores(part)[order], atol=1e-5)
    np.testing.assert_allclose(found.answers.features, trained.features(part)[order], atol=2e-3)
    np.testing.assert_array_equal(found.truths, part.labels[order])
    np.testing.assert_array_equal(found.answers.given, found.answers.scores.argmax(axis=1))
    assert found.about.role == "validation" and found.about.num_rows == 50
    assert found.about.names == trained.class_names


def test_it_is_small(run, monkeypatch):
    monkeypatch.setattr(recording, "MOST_ROWS", 30)
    monkeypatch.setattr(recording, "MOST_FEATURES", 20)
    found = recording._make_again(run)
    assert len(found) == 30 and len(found.answers.features) == 20 and found.about.num_rows == 50
    assert found.answers.features.dtype == np.float16


@pytest.mark.parametrize("is_old", [True, False])
def test_it_is_made_again(kept, is_old):
    """Of a run from before, and of a run that has other weights now."""
    own, path = reference.read(kept), kept / "reference.safetensors"
    if is_old:
        path.unlink()
    else:
        about = {**vars(own.about), "model_sha256": "0" * 64}
        reference.write(
            kept, reference.Reference(type(own.about)(**about), own.answers, own.truths)
        )
    assert reference.read_current(kept) is None
    assert_same(recording.make(kept), own)
    assert_same(reference.read_current(kept), own)


def test_it_is_of_test_rows_where_there_is_no_validation_and_never_of_training_rows(
    kept, monkeypatch, tmp_path
):
    parts = run_data.load_parts(str(kept))
    (kept / "reference.safetensors").unlink()
    monkeypatch.setattr(run_data, "load_parts", lambda run: Splits(train=parts["train"]))
    with pytest.raises(DataError, match="training rows are no reference"):
        recording.make(kept)
    some = Splits(train=parts["train"], validation=parts["train"])
    monkeypatch.setattr(run_data, "load_parts", lambda run: some)
    with pytest.raises(DataError, match="training rows are no reference"):
        recording.make(kept)
    rest = Splits(train=parts["train"], test=parts["test"])
    monkeypatch.setattr(run_data, "load_parts", lambda run: rest)
    flags = {"run": str(kept), "input": str(kept / "predictions.csv"), "output": str(tmp_path)}
    found = watch.run(make(MonitorOptions, **flags))
    assert found.reference.about.role == "test" and "its reference is its test split" in found.text


def test_damaged_references_are_refused(kept):
    path = kept / "reference.safetensors"
    content = path.read_bytes()
    for broken in (b"", content[:-9], content.replace(b'"validation', b'"validatio', 1)):
        path.write_bytes(broken)
        with pytest.raises(ModelError):
            reference.read(kept)
    path.write_bytes(content)
    own = reference.read(kept)
    reference.write(kept, reference.Reference(own.about, own.answers, own.truths[:-1]))
    with pytest.raises(ModelError, match="truths have the shape"):
        reference.read(kept)


def test_new_images_of_a_folder_are_looked_at(run, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_plots", lambda *_: [])
    folder = tmp_path / "images"
    folder.mkdir()

    def write(first, end):
        for number in range(first, end):
            pixels = np.random.default_rng(number).integers(0, 255, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            os.utime(folder / f"{number}.png", (1_770_000_000 + number,) * 2)

    write(0, 25)
    (folder / "broken.png").write_bytes(b"no picture")
    flags = {"run": str(run), "input": str(folder), "output": str(tmp_path / "watch")}
    watched = watch.run(make(MonitorOptions, window=20, **flags))
    found = watched.looks
    assert sum(row.num_rows for row in found) == 25 and sum(row.num_bad for row in found) == 1
    assert "features" in found[0].p_values
    write(25, 28)
    again = live_input.LiveFolder(folder, None, watched.state).records()
    names = [os.path.basename(record.content.decode()) for record in again]
    assert names == ["25.png", "26.png", "27.png"], "in the order in which they were written"


def test_removing_a_run_removes_its_reference(run):
    from tltf.runs import layout

    assert layout.REFERENCE in layout.OF_A_TRAINING and (run / layout.REFERENCE).exists()
