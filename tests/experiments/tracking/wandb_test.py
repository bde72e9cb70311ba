"""An offline run of Weights & Biases, read back from the file that `wandb sync` would send."""

import dataclasses
import json
import struct
import time

import pytest

from tltf.experiments.tracking import wandb as tracker
from tltf.experiments.tracking.report_numbers import numbers_of

wandb = pytest.importorskip("wandb")

BLOCK, HEADER = 32768, struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No key, no settings of this machine, and no network."""
    for name in ("WANDB_API_KEY", "WANDB_DIR", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def records(folder, patience_s=30.0):
    """The records of a finished run's file, which W&B's own process ends shortly after the run."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        found = list(read(folder))
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        time.sleep(0.1)
    raise TimeoutError(folder)


def read(folder):
    """The records of a run's file as it is, which is a log of LevelDB behind seven bytes."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("run-*.wandb")
    content, place, parts = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while place + HEADER.size <= len(content):
        if BLOCK - place % BLOCK < HEADER.size:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = HEADER.unpack_from(content, place)
        place += HEADER.size
        parts += content[place : place + length]
        place += length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def values_of(items):
    """Name -> value of items, whose names may have several parts."""
    found = {}
    for item in items:
        *outer, last = list(item.nested_key) or [item.key]
        place = found
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = json.loads(item.value_json)
    return found


def sent(folder):
    """`(configuration, history, summary, names of artifacts, exit code)` of an offline run."""
    config, history, summary, artifacts, code = {}, [], {}, {}, None
    for record in records(folder):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "history":
            history.append(values_of(record.history.item))
        elif kind == "summary":
            summary |= values_of(record.summary.update)
        elif kind == "exit":
            code = record.exit.exit_code
        elif kind in ("artifact", "request"):
            artifact = (
                record.artifact if kind == "artifact" else record.request.log_artifact.artifact
            )
            if artifact.name:
                artifacts[artifact.type] = [entry.path for entry in artifact.manifest.contents]
    return config, history, summary, artifacts, code


def offline(folder):
    return sorted(folder.glob("wandb/offline-run-*"))


def test_an_offline_run_has_flags_epochs_report_mistakes_and_files(told_of_images):
    run, epochs, finished = told_of_images
    tracked = tracker.WandbTracker(project="x", model=True)
    place = tracked.start(run)
    assert "offline" in place.text and "wandb sync" in place.text, "there is no key"
    for row in epochs:
        tracked.log_epoch(row)
    tracked.finish(finished)
    (folder,) = offline(run.folder)
    assert place.id in folder.name and str(folder) in place.text
    config, history, summary, artifacts, code = sent(folder)
    assert config["learning_rate"] == 0.001 and config["method"] == run.flags["method"]
    logged = [row for row in history if "loss" in row]
    assert [row["epoch"] for row in logged] == [1, 2]
    assert [row["loss"] for row in logged] == [row.numbers["loss"] for row in epochs]
    assert logged[0]["phase"] == epochs[0].phase
    numbers = numbers_of(finished.report)
    assert {name: summary[name] for name in numbers} == pytest.approx(numbers)
    assert {"report.html", "report.json", "model_card.md"} <= set(artifacts["report"])
    assert "core.json" in artifacts["model"] and code == 0
    (shown,) = [row["mistakes"] for row in history if "mistakes" in row]
    assert len(shown["filenames"]) == len(finished.report.worst_mistakes)
    first = finished.report.worst_mistakes[0]
    assert shown["captions"][0].startswith(f"true {first.label}, predicted {first.predicted} (")
    assert all((folder / "files" / name).is_file() for name in shown["filenames"])


def test_a_run_that_goes_on_has_the_same_id_and_repeats_its_epoch(told_of_images, tmp_path):
    run, epochs, _ = told_of_images
    run = dataclasses.replace(run, folder=tmp_path)
    first = tracker.WandbTracker(mode="offline")
    place = first.start(run)
    first.log_epoch(epochs[0])
    first.finish(None)
    again = tracker.WandbTracker(mode="offline")
    assert again.start(dataclasses.replace(run, id=place.id)).id == place.id
    for row in epochs:
        again.log_epoch(row)
    again.finish(None)
    folders = offline(tmp_path)
    assert len(folders) == 2 and all(place.id in folder.name for folder in folders)
    history = [row for folder in folders for row in sent(folder)[1] if "loss" in row]
    assert [row["epoch"] for row in history] == [1, 1, 2]
    assert history[0]["loss"] == history[1]["loss"]
    assert sent(folders[0])[4] == 1, "it had stopped"


def test_texts_are_rows_without_pictures(told_of_texts, tmp_path):
    run, _, finished = told_of_texts
    tracked = tracker.WandbTracker(mode="offline")
    tracked.start(dataclasses.replace(run, folder=tmp_path, group="cv"))
    tracked.finish(finished)
    (folder,) = offline(tmp_path)
    tables = list(folder.glob("files/media/table/mistakes*.json"))
    if finished.report.worst_mistakes:
        rows = json.loads(tables[0].read_text())["data"]
        assert [row[1] for row in rows] == [m.text for m in finished.report.worst_mistakes]
    assert [r.run.run_group for r in records(folder) if r.WhichOneof("record_type") == "run"]
