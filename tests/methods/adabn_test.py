"""Batch-norm statistics of the target."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.contracts.given import with_target
from tests.training.fit_test import feed, fit
from tltf.errors import FlagError
from tltf.methods.adabn import adabn
from tltf.methods.context import FitContext


def test_the_first_norm_has_the_statistics_of_the_target():
    data = with_target(feed())
    core, _, _ = fit(method=adabn(), data=data, dropout=0.0)
    conv, norm = core.model.get_layer("conv_1"), core.model.get_layer("norm_1")
    images = np.concatenate([batch["image"] for batch in data.unlabelled(0, 1)])
    below = np.asarray(conv(tf.constant(images / 127.5 - 1)), float)
    np.testing.assert_allclose(norm.moving_mean, below.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, below.var(axis=(0, 1, 2)), rtol=1e-3)
    assert np.abs(norm.moving_mean.numpy() - statistics_of_source(conv)).max() > 0.01


def statistics_of_source(conv):
    images = np.concatenate([batch[0]["image"] for batch in feed().training(0, 1)])
    return np.asarray(conv(tf.constant(images / 127.5 - 1))).mean(axis=(0, 1, 2))


def test_a_network_without_batch_norms_is_refused():
    keras.utils.set_random_seed(0)
    with pytest.raises(FlagError, match="has none"):
        adabn().prepare(tiny.core(tiny.text_backbone()), FitContext())
