"""The calibration error against sums done by hand."""

import numpy as np
import pytest

from tltf.evaluation import reliability


def test_error_is_the_weighted_gap_of_the_bins():
    # Two bins: (0, .5] holds .4 (wrong) and .5 (right): gap |.5 - .45| = .05, weight 2/5.
    # (.5, 1] holds .6 (wrong), .9 (right), 1 (right): gap |2/3 - 2.5/3| = 1/6, weight 3/5.
    confidence, is_correct = [0.4, 0.5, 0.6, 0.9, 1.0], [False, True, False, True, True]
    error = reliability.expected_calibration_error(confidence, is_correct, num_bins=2)
    assert error == pytest.approx(0.05 * 2 / 5 + (1 / 6) * 3 / 5)


def test_bins_are_closed_above_and_zero_is_in_the_first():
    edges = [0.0, 0.1, 0.25, 0.2500001, 0.5, 0.75, 1.0]
    assert reliability.bin_indices(edges, 4).tolist() == [0, 0, 0, 1, 1, 2, 3]


def test_rows_add_up_and_empty_bins_have_no_accuracy():
    rows = reliability.reliability_bins([0.4, 0.9, 0.8], [True, False, True], num_bins=4)
    assert [row.count for row in rows] == [0, 1, 0, 2]
    assert rows[0].accuracy is None
    assert rows[0].confidence is None
    assert rows[3] == reliability.ReliabilityBin(0.75, 1.0, 2, pytest.approx(0.85), 0.5)


def test_a_frequency_that_is_stated_truly_has_no_error():
    is_correct = np.arange(1000) < 700
    assert reliability.expected_calibration_error(np.full(1000, 0.7), is_correct) < 1e-12
