"""The state of an unfinished fit: its names on the disk, which runs of before have too, and back."""

import dataclasses

import numpy as np
import pytest

from tltf.errors import ModelError
from tltf.runs import checkpoints
from tltf.runs.checkpoints import Checkpoint
from tltf.training import resume
from tltf.training.fit_state import FitRecord, FitState, Place

ARRAYS = {
    "weights/label/kernel": np.arange(6, dtype="float32").reshape(2, 3),
    "optimizer/0": np.array(7, "int32"),
    "optimizer/1": np.ones(3, "float32"),
    "seeds/0": np.array([1, 2], "uint32"),
    "metrics/0": np.array(0.5, "float32"),
    "start/label/kernel": np.zeros((2, 3), "float32"),
    "difficulty": np.array([0.1, 0.2, 0.3], "float64"),
    "probe": np.array([[0.3, 0.7]], "float32"),
    "best/label/kernel": np.full((2, 3), 9.0, "float32"),
}
STATE = {
    "phase": 1,
    "epoch": 2,
    "steps": 1,
    "epoch_steps": 3,
    "step": 12,
    "history": [{"phase": "full", "epoch": 1, "loss": 0.5}],
    "best": {"quality": 0.75, "loss": 0.5, "epoch": 2, "waited": 0},
    "plateau": {"best": 0.5, "wait": 1.0, "cooldown_counter": 0.0},
    "is_stopped": False,
    "seconds": 1.5,
    "data": "f00d",
}
"""As earlier versions wrote them."""


def saved():
    return FitState.from_checkpoint(Checkpoint(ARRAYS, STATE))


def test_a_checkpoint_on_the_disk_is_read_and_written_name_for_name(tmp_path):
    checkpoints.save(tmp_path, 13, Checkpoint(ARRAYS, STATE))
    state = resume.newest(tmp_path, None, is_writer=True)
    again = state.to_checkpoint()
    assert list(again.state.items()) == list(STATE.items())
    assert list(again.arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert again.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(again.arrays[name], array)


def test_its_fields_have_what_their_names_say():
    state = saved()
    assert (state.phase, state.place, state.epoch_steps) == (1, Place(2, 1), 3)
    assert (state.record.step, state.record.history) == (12, STATE["history"])
    assert list(state.weights) == list(state.record.start) == list(state.best_weights)
    assert [len(x) for x in (state.optimizer, state.seeds, state.metrics)] == [2, 1, 1]
    np.testing.assert_array_equal(state.record.difficulty, ARRAYS["difficulty"])


def test_what_a_fit_without_validation_and_plateau_leaves_out():
    first = FitState(
        phase=0,
        place=Place(1),
        epoch_steps=3,
        record=FitRecord(),
        fingerprint="",
        seconds=0.0,
        is_stopped=False,
        best=None,
        best_weights={},
        plateau={},
        weights={"w": np.ones(1)},
        optimizer=[],
        seeds=[],
        metrics=[],
    )
    checkpoint = first.to_checkpoint()
    assert list(checkpoint.arrays) == ["weights/w"]
    assert FitState.from_checkpoint(checkpoint) == first


def test_an_epoch_goes_on_only_with_the_same_data_and_number_of_steps():
    state = saved()
    assert resume.place_to_go_on(state, "f00d", 3, "auto") == Place(2, 1)
    assert resume.place_to_go_on(state, "f00d", 4, "auto") == Place(2, 0)
    assert resume.place_to_go_on(state, "other", 3, "seed|data") == Place(2, 0)
    unknown = dataclasses.replace(state, epoch_steps=None)
    assert resume.place_to_go_on(unknown, "f00d", 9, "auto") == Place(2, 1)
    with pytest.raises(ModelError, match="data changed"):
        resume.place_to_go_on(state, "other", 3, "auto")
