"""Parameter lists for the contract tests."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.contracts.cases import CASES, LARGE, ON_TEXTS
from tltf.config import call_strings
from tltf.config.catalogs import METHODS


def parameters(catalog):
    """A pytest parameter for each case of a catalog; slow ones marked large."""
    return [
        pytest.param(case, id=case if isinstance(case, str) else name, marks=_marks(name))
        for name, cases in CASES[catalog].items()
        for case in (cases if isinstance(cases, list) else [cases])
    ]


def _marks(name):
    return [pytest.mark.large] if name in LARGE else []


def core_for(method):
    """A tiny untrained core that a case of METHODS can train; one on images has a nested norm."""
    is_text = method in ON_TEXTS
    return tiny.core(tiny.text_backbone() if is_text else tiny.image_backbone(nested=True))


def with_target(feed, count=13, batch_size=8):
    """The Feed with images of another domain, which are darker and have no labels."""
    rng = np.random.default_rng(5)
    shades = 60 * (np.arange(count) % 3)[:, None, None, None]
    images = (rng.uniform(0, 40, (count, 8, 8, 3)) + shades).astype("float32")
    steps = -(-feed.num_train // batch_size)

    def unlabelled(first, number, skip=0, augment="", views=4, steps=steps):
        numbers = [np.random.default_rng([9, e]) for e in range(first, first + number)]
        rows = [rng.integers(0, count, steps * batch_size) for rng in numbers]
        order = np.concatenate(rows)[skip * batch_size :]
        return tf.data.Dataset.from_tensor_slices({"image": images[order]}).batch(batch_size)

    def in_order(prefix):
        assert prefix is None
        return tf.data.Dataset.from_tensor_slices(({"image": images},)).batch(batch_size)

    return dataclasses.replace(feed, unlabelled=unlabelled, unlabelled_in_order=in_order)


def reads_others(text):
    """Whether a case of METHODS reads rows of a target or without labels."""
    return bool(call_strings.pick(METHODS, text).row.reads)
