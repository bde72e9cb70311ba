"""What TensorBoard reads of a run: its own readers are asked."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from tltf.experiments.tracking import projector
from tltf.experiments.tracking import tensorboard as tracker
from tltf.experiments.tracking.report_numbers import numbers_of
from tltf.experiments.tracking.tracker import EpochRow

pytest.importorskip("tensorboard")


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), {"tensors": 0, "images": 0, "scalars": 0})
    found.Reload()
    return found


def scalar(found, name):
    """`[(step, value)]` of a scalar."""
    from tensorboard.util import tensor_util

    return [(e.step, float(tensor_util.make_ndarray(e.tensor_proto))) for e in found.Tensors(name)]


def text(found, name):
    from tensorboard.util import tensor_util

    (event,) = found.Tensors(name)
    return tensor_util.make_ndarray(event.tensor_proto).item().decode()


def test_curves_report_flags_and_pictures_of_mistakes(told_of_images, tmp_path):
    run, epochs, finished = told_of_images
    tracked = tracker.TensorBoardTracker()
    place = tracked.start(dataclasses.replace(run, folder=tmp_path))
    assert place.text == f"tensorboard --logdir={tmp_path / 'tensorboard'}"
    for row in epochs:
        tracked.log_epoch(row)
    tracked.finish(finished)
    found = read(tmp_path / "tensorboard")
    for name in ("loss", "val_loss", "val_accuracy", "learning_rate"):
        assert [step for step, _ in scalar(found, name)] == [1, 2]
        stated = [row.numbers[name] for row in epochs]
        assert [value for _, value in scalar(found, name)] == pytest.approx(stated)
    for name, value in numbers_of(finished.report).items():
        assert scalar(found, name)[0][1] == pytest.approx(value), name
    report = (finished.folder / "report.md").read_text()
    assert text(found, "report") == report
    tags = [tag for tag in found.Tags()["tensors"] if tag.startswith("mistakes/")]
    assert len(tags) == len(finished.report.worst_mistakes)
    first = finished.report.worst_mistakes[0]
    assert f"true {first.label}, predicted {first.predicted}" in tags[0]
    content = found.Tensors(tags[0])[0].tensor_proto.string_val[2]
    assert content.startswith(b"\x89PNG")
    flags = found.SummaryMetadata("_hparams_/session_start_info")
    assert b"learning_rate" in flags.plugin_data.content


def test_the_projector_has_the_features_labels_and_pictures_of_the_test_split(told_of_images):
    from tensorboard.plugins.projector import projector_plugin

    _, _, finished = told_of_images
    folder, model = finished.folder / "tensorboard", finished.model
    points = projector.points_of(model)
    projector.write(points, folder)
    features = projector_plugin._read_tensor_tsv_file(str(folder / "features.tsv"))
    np.testing.assert_allclose(features, model.features(model.splits["test"]), rtol=1e-4, atol=1e-6)
    rows = list(csv.DictReader((folder / "labels.tsv").open(), delimiter="\t"))
    predicted = list(csv.DictReader((finished.folder / "predictions.csv").open()))
    for row, line in zip(rows, predicted, strict=True):
        answers = row["id"], row["label"], row["predicted"]
        assert answers == (line["id"], line["true_label"], line["predicted_label"])
        assert (row["is_right"] == "yes") == (row["label"] == row["predicted"])
    config = (folder / "projector_config.pbtxt").read_text()
    assert 'tensor_path: "features.tsv"' in config and 'metadata_path: "labels.tsv"' in config
    assert Image.open(folder / "pictures.png").size == (6 * 32, 6 * 32), "30 pictures"


def test_the_projector_draws_some_of_many_rows(told_of_images):
    _, _, finished = told_of_images
    points = projector.points_of(finished.model, most=7)
    ids = list(finished.model.splits["test"].ids)
    places = [ids.index(name) for name in points.columns["id"]]
    assert places == sorted(places) and len(set(places)) == 7
    every = projector.points_of(finished.model)
    np.testing.assert_allclose(points.features, every.features[places], atol=1e-6)
    assert points.columns["predicted"] == [every.columns["predicted"][place] for place in places]


def test_texts_are_a_table_of_mistakes_and_columns_of_points(told_of_texts, tmp_path):
    run, _, finished = told_of_texts
    tracked = tracker.TensorBoardTracker()
    tracked.start(dataclasses.replace(run, folder=tmp_path))
    tracked.finish(finished)
    found, mistakes = read(tmp_path / "tensorboard"), finished.report.worst_mistakes
    assert ("mistakes" in found.Tags()["tensors"]) == bool(mistakes)
    for mistake in mistakes:
        assert mistake.text in text(found, "mistakes")
    points = projector.points_of(finished.model)
    assert points.columns["text"] == list(finished.model.splits["test"].texts())
    assert points.images == ()


def test_a_run_that_goes_on_writes_beside_what_is_there(told_of_images, tmp_path):
    run, _, _ = told_of_images
    rows = [EpochRow(number, "full", {"loss": 1 / number}) for number in (1, 2, 3)]
    for known, part in (("", rows[:2]), ("tensorboard", rows[1:])):
        tracked = tracker.TensorBoardTracker()
        place = tracked.start(dataclasses.replace(run, folder=tmp_path, id=known))
        for row in part:
            tracked.log_epoch(row)
        tracked.finish(None)
        assert place.id == "tensorboard"
    values = scalar(read(tmp_path / "tensorboard"), "loss")
    assert dict(values) == pytest.approx({1: 1, 2: 0.5, 3: 1 / 3})
