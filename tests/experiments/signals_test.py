"""SIGTERM in each stage of a run: nothing is half there, and the same command goes on."""

import signal

import keras
import numpy as np
import pytest

from tests import served
from tests.caching.feature_cache_test import all_rows, cut, expected, reading
from tests.faults.kills_test import outcome, train
from tests.tiny import core as tiny_core
from tests.tiny import image_backbone
from tests.training.fit_test import feed, fit, same, weights
from tltf.caching import feature_cache, frozen_outputs
from tltf.config.command_options import CheckOptions
from tltf.config.option_groups import CacheOptions
from tltf.console import command, signals
from tltf.data import loader
from tltf.runs import checkpoints
from tltf.runs.checkpoints import Checkpoint
from tltf.serving.export import saved_model, verify
from tltf.train import main


def signalled(function, number=1):
    """The function with a SIGTERM before its call `number`."""
    calls = []

    def called(*args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            signal.raise_signal(signal.SIGTERM)
        return function(*args, **kwargs)

    return called


def test_while_data_are_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loader, "load", signalled(loader.load))
    flags = ["--data=digits", "--backbone=small_cnn", f"--output={tmp_path / 'run'}"]
    assert main(flags) == 75
    assert "error[75] interrupted" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {".lock", ".lock.owner"}


def test_while_a_step_is_traced(tmp_path, monkeypatch):
    """Noted while Keras builds its function, it is heard after the first step, which is saved."""
    whole, _, _ = fit(tmp_path / "whole")
    with monkeypatch.context() as patch, signals.handle_signals(), pytest.raises(KeyboardInterrupt):
        traced = signalled(keras.Model.make_train_function)
        patch.setattr(keras.Model, "make_train_function", traced)
        fit(tmp_path / "cut")
    assert checkpoints.newest(tmp_path / "cut").state["steps"] == 1
    assert same(weights(whole), weights(fit(tmp_path / "cut")[0]))


def test_while_a_validation_is_read(tmp_path, monkeypatch):
    """The handler notes it, the loop over the batches hears it."""
    data = feed(has_validation=True)
    whole, _, _ = fit(tmp_path / "whole", data=data)
    with monkeypatch.context() as patch, signals.handle_signals(), pytest.raises(KeyboardInterrupt):
        patch.setattr(signals, "stop_when_requested", signalled(signals.stop_when_requested, 2))
        fit(tmp_path / "cut", data=data)
    saved = checkpoints.newest(tmp_path / "cut").state
    assert (saved["epoch"], saved["steps"]) == (1, 3)
    assert same(weights(whole), weights(fit(tmp_path / "cut", data=data)[0]))


def test_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    """It is written to its end."""
    with monkeypatch.context() as patch, signals.handle_signals(), pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints.np, "savez", signalled(np.savez))
        with signals.defer_signals():
            checkpoints.save(tmp_path, 3, Checkpoint({"x": np.ones(2)}, {"epoch": 1}))
    assert checkpoints.newest(tmp_path).state == {"epoch": 1}


def test_while_the_cache_is_filled(tmp_path, monkeypatch):
    core = tiny_core(image_backbone(dropout=0.0))
    parts, given = cut(core), reading(core)
    monkeypatch.setattr(frozen_outputs, "BATCH_SIZE", 16)
    with monkeypatch.context() as patch, signals.handle_signals(), pytest.raises(KeyboardInterrupt):
        patch.setattr(frozen_outputs.Outputs, "_flat", signalled(frozen_outputs.Outputs._flat, 3))
        feature_cache.Cache(CacheOptions(), tmp_path).table(parts.prefix, given)
    found = all_rows(feature_cache.Cache(CacheOptions(), tmp_path).table(parts.prefix, given))
    for name, values in expected(core, parts, given.source).items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4)


def test_while_an_export_is_checked(tmp_path, monkeypatch):
    checked = signalled(verify.check_saved_model)
    with monkeypatch.context() as patch, signals.handle_signals(), pytest.raises(KeyboardInterrupt):
        patch.setattr(verify, "check_saved_model", checked)
        saved_model.export_saved_model(served.image_once(), tmp_path / "export")
    assert not list((tmp_path / "export").iterdir())


def test_any_command_ends_with_75(monkeypatch, capsys):
    def service(options):
        signal.raise_signal(signal.SIGINT)

    assert command.run(CheckOptions, service, [], "") == 75
    assert capsys.readouterr().err.count("\n") == 1


def test_the_watchdog_leaves_time_within_ten_seconds():
    assert 8 <= signals.GRACE_S <= 9.5


STAGES = (
    "the data is read",
    "the cache is filled",
    "a shard is written",
    "a step is traced",
    "between two phases",
    "a step of the second phase",
    "the first validation",
    "the manifest is fsynced",
    "the model is written",
    "evaluation",
    "the export is written",
)


@pytest.mark.large
def test_one_after_the_other_in_a_real_run(tmp_path):
    """Each command is stopped in a stage and goes on from what the one before has left."""
    assert train(tmp_path / "whole").returncode == 0
    for stage in STAGES:
        done = train(tmp_path / "cut", point=f"SIGTERM {stage}")
        assert done.returncode == 75, (stage, done.stderr[-2000:])
        assert "error[75] interrupted" in done.stderr and "Traceback" not in done.stderr
    assert train(tmp_path / "cut").returncode == 0
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "whole")
