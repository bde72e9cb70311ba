"""Weights of classes, by hand."""

import numpy as np
import pytest

from tltf import feeding


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
    assert feeding.class_weights(part(3, 1), "none") is None


def test_balanced_is_inverse_to_the_count():
    np.testing.assert_allclose(feeding.class_weights(part(6, 2), "balanced"), [8 / 12, 8 / 4])


def test_effective_numbers():
    """(1 - b) / (1 - b^n) with b = .9 of ten rows, scaled to a mean of 1 over the rows."""
    found = feeding.class_weights(part(8, 2), "effective")
    raw = np.array([0.1 / (1 - 0.9**8), 0.1 / (1 - 0.9**2)])
    np.testing.assert_allclose(found, raw / ((8 * raw[0] + 2 * raw[1]) / 10))
    assert found @ [8, 2] == pytest.approx(10)
    balanced = feeding.class_weights(part(8, 2), "balanced")
    assert 1 < found[1] / found[0] < balanced[1] / balanced[0]
