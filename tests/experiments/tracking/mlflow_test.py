"""A run in an MLflow store of SQLite, and its model in a process that has no tltf but the model's own."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tltf.experiments.tracking import mlflow as tracker
from tltf.experiments.tracking.report_numbers import numbers_of
from tltf.models import raw_inputs

mlflow = pytest.importorskip("mlflow")
pd = pytest.importorskip("pandas")

PREDICT = """
import json, sys
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
frame = pandas.read_pickle(sys.argv[3])
answers = model.predict(frame)
import tltf
print(json.dumps([tltf.__file__, answers.to_dict("list")]))
"""


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return "sqlite:///runs.db"


def client(tmp_path):
    return mlflow.MlflowClient(f"sqlite:///{tmp_path}/runs.db")


def in_a_clean_process(tmp_path, model_id, frame):
    """`(path of tltf, answers)` of the logged model; the process starts where tltf is not."""
    frame.to_pickle(tmp_path / "inputs.pickle")
    uri = f"sqlite:///{tmp_path}/runs.db"
    code = [sys.executable, "-c", PREDICT, uri, f"models:/{model_id}", "inputs.pickle"]
    done = subprocess.run(
        code, capture_output=True, text=True, check=False, cwd=tmp_path, env=bare()
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def bare():
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true", "TF_CPP_MIN_LOG_LEVEL": "3"}


def test_a_run_has_parameters_epochs_report_files_and_a_model(told_of_images, store, tmp_path):
    run, epochs, finished = told_of_images
    before = mlflow.get_tracking_uri()
    tracked = tracker.MlflowTracker(store, "digits")
    place = tracked.start(run)
    for row in epochs:
        tracked.log_epoch(row)
    tracked.finish(finished)
    assert mlflow.get_tracking_uri() == before and mlflow.active_run() is None
    assert place.text == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/runs.db"
    kept = client(tmp_path).get_run(place.id)
    assert kept.info.status == "FINISHED" and kept.info.run_name == "run"
    assert kept.data.params["learning_rate"] == "0.001"
    assert set(kept.data.params) == set(run.flags)
    history = client(tmp_path).get_metric_history(place.id, "val_loss")
    stated = [(row.number, row.numbers["val_loss"]) for row in epochs]
    assert [(entry.step, entry.value) for entry in history] == stated
    numbers = {name: kept.data.metrics[name] for name in numbers_of(finished.report)}
    assert numbers == pytest.approx(numbers_of(finished.report))
    names = {item.path for item in client(tmp_path).list_artifacts(place.id)}
    assert {"report.html", "report.json", "model_card.md", "mistakes.md"} <= names
    assert {path.name for path in tmp_path.iterdir()} == {"runs.db", "mlartifacts"}
    (model,) = client(tmp_path).search_logged_models([kept.info.experiment_id])
    part = finished.model.splits["test"].take(np.arange(6))
    frame = pd.DataFrame({"image": raw_inputs.encode_column(part.column)})
    place_of_tltf, answers = in_a_clean_process(tmp_path, model.model_id, frame)
    assert pathlib.Path(place_of_tltf).is_relative_to(tmp_path), "its own copy of the code"
    stated = finished.model.predict(list(part.column.values))
    assert answers["predicted_label"] == [row.label for row in stated]
    assert answers["error"] == [""] * 6
    columns = [
        answers[name] for name in finished.model.core.head.columns(finished.model.class_names)
    ]
    np.testing.assert_allclose(np.transpose(columns), [row.scores for row in stated], atol=1e-5)


def test_a_model_of_texts_takes_a_column_of_texts(told_of_texts, store, tmp_path):
    run, _, finished = told_of_texts
    tracked = tracker.MlflowTracker(store)
    place = tracked.start(run)
    tracked.finish(finished)
    kept = client(tmp_path).get_run(place.id)
    (model,) = client(tmp_path).search_logged_models([kept.info.experiment_id])
    texts = ["a fine day", "awful", "no"]
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    answers = loaded.predict(pd.DataFrame({"text": texts}))
    assert list(answers.predicted_label) == [row.label for row in finished.model.predict(texts)]
    assert loaded.metadata.signature.inputs.input_names() == ["text"]


def test_a_run_goes_on_under_its_id_and_folds_have_a_parent(told_of_images, store, tmp_path):
    run, epochs, _ = told_of_images
    first = tracker.MlflowTracker(store, model=False)
    whole = first.start(run)
    fold = dataclasses.replace(run, name="cv, fold 1", group="cv", group_id=whole.id)
    stopped = tracker.MlflowTracker(store, model=False)
    place = stopped.start(fold)
    stopped.log_epoch(epochs[0])
    stopped.finish(None)
    assert client(tmp_path).get_run(place.id).info.status == "KILLED"
    again = tracker.MlflowTracker(store, model=False)
    assert again.start(dataclasses.replace(fold, id=place.id)).id == place.id
    assert client(tmp_path).get_run(place.id).info.status == "RUNNING"
    for row in epochs:
        again.log_epoch(row)
    history = client(tmp_path).get_metric_history(place.id, "loss")
    assert [entry.step for entry in history] == [1, 1, 2]
    assert history[0].value == history[1].value
    assert client(tmp_path).get_run(place.id).data.tags["mlflow.parentRunId"] == whole.id


def test_a_run_that_is_gone_is_begun_anew(told_of_images, store, tmp_path):
    run, _, _ = told_of_images
    again = tracker.MlflowTracker(store, model=False)
    place = again.start(dataclasses.replace(run, id="0" * 32))
    assert place.id != "0" * 32 and client(tmp_path).get_run(place.id).info.status == "RUNNING"


def test_a_server_that_is_not_there_is_an_error_in_seconds(told_of_images, monkeypatch):
    run, _, _ = told_of_images
    for name in tracker.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Exception, match=r"Connection|refused|Max retries"):
        tracker.MlflowTracker("http://127.0.0.1:9").start(run)
