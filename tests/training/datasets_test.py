"""Weights of classes, by hand; rows of a batch that devices share."""

import types

import numpy as np
import pytest

from tltf import make_options
from tltf.config import checks
from tltf.data import class_weights, device_batches, loader
from tltf.training import assembly, datasets, training
from tltf.training.distribution import strategies


def part(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)

    class Part:
        class_names = [str(n) for n in range(len(counts))]

        def __len__(self):
            return len(labels)

    found = Part()
    found.labels = labels
    return found


def test_none():
    assert class_weights.class_weights(part(3, 1), "none") is None


def test_balanced_is_inverse_to_the_count():
    np.testing.assert_allclose(class_weights.class_weights(part(6, 2), "balanced"), [8 / 12, 8 / 4])


def test_effective_numbers():
    """(1 - b) / (1 - b^n) with b = .9 of ten rows, scaled to a mean of 1 over the rows."""
    found = class_weights.class_weights(part(8, 2), "effective")
    raw = np.array([0.1 / (1 - 0.9**8), 0.1 / (1 - 0.9**2)])
    np.testing.assert_allclose(found, raw / ((8 * raw[0] + 2 * raw[1]) / 10))
    assert found @ [8, 2] == pytest.approx(10)
    balanced = class_weights.class_weights(part(8, 2), "balanced")
    assert 1 < found[1] / found[0] < balanced[1] / balanced[0]


def test_every_row_comes_once_however_many_devices_share_a_batch(tmp_path):
    """A solver and new statistics of batch norms count rows; steps alone take filled batches."""
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "a.npz", x=rng.integers(0, 255, (21, 8, 8, 1), np.uint8), y=np.arange(21) % 3
    )
    options = make_options(
        data=f"numpy(path='{tmp_path / 'a.npz'}')",
        backbone="small_cnn(filters=[4])",
        image_size_px=8,
        batch_size=8,
        split="holdout(test=0)",
    )
    parts = {"train": loader.load(options.data.data)}
    recipe = checks.resolve(options, needs_output=False)
    strategy = strategies.start(options.runtime)
    trained, _ = assembly.assemble(options, recipe, parts, strategy)
    shared = types.SimpleNamespace(num_replicas_in_sync=2)
    whole = datasets.build(trained, shared).training
    sizes = lambda dataset: [len(batch[2]["label"]) for batch in dataset]  # noqa: E731
    assert sizes(whole(0, 2)) == [8, 8, 5] * 2
    assert sizes(device_batches.share_batches(whole, 8, 2)(0, 2)) == [8] * 6
    assert device_batches.share_batches(whole, 8, 1) is whole


@pytest.mark.parametrize("views", [0, 2])
def test_a_solver_reads_each_row_once_with_the_weight_that_drawing_would_give(own_cache, views):
    """One draw with replacement leaves rows out; the answer of a convex problem needs none."""
    given = {
        "data": "digits(num_train=60, num_test=20)",
        "backbone": "small_cnn(filters=[2])",
        "method": "linear_probe(solver=lbfgs)",
        "sampling": "balanced",
        "image_size_px": 28,
        "augment": "flip" if views else "",
        "cache_views": views,
        "split": "holdout(validation=0)",
    }
    seen = []

    def keep(dense, training, judged, smoothing, *more, **named):
        seen.append((*training, *more))
        return types.SimpleNamespace(rows=[{"penalty": 1.0}], penalty=1.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tltf.training.solver.solve_head.solve", keep)
        nobody = lambda *given: None  # noqa: E731 (as without validation)
        patch.setattr("tltf.training.judges.Judges.place", nobody)
        training.train(make_options(**given))
    features, labels, weights, groups = seen[0]
    passes = max(1, views)
    counts = np.bincount(labels, minlength=10)
    assert len(labels) == 60 * passes and len(features) == len(labels)
    np.testing.assert_allclose(weights, (len(labels) / (10 * counts))[labels], rtol=1e-5)
    _, first, place, sizes = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    assert len(first) == 60 and (sizes == passes).all(), "the views of a row are one group"
    np.testing.assert_array_equal(labels, labels[first][place], "rows and groups in one order")
    if not views:
        assert len(np.unique(features, axis=0)) == 60


@pytest.mark.parametrize(("augment", "has_mask"), [("", False), ("token_dropout", True)])
def test_the_mask_that_an_augmentation_puts_in_is_among_the_ids_that_are_trained(augment, has_mask):
    """An id that is missing has its gradient dropped."""
    preprocessing = types.SimpleNamespace(mask_id=lambda: 4)
    trained = types.SimpleNamespace(
        run_options=make_options(augment=augment),
        preprocessing=preprocessing,
        recipe=None,
        splits={"train": part(2, 1)},
    )
    builder = datasets._Builder(trained)
    builder.texts = types.SimpleNamespace(
        inputs_of=lambda rows: {"token_ids": np.array([[7, 2, 2], [9, 2, 0]], np.int32)}
    )
    found = builder.used_ids()["token_ids"]
    assert found.dtype == np.int32 and found.tolist() == [0, 2, *([4] if has_mask else []), 7, 9]
