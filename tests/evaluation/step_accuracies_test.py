import numpy as np
import pytest

from tltf.errors import ShapeError
from tltf.evaluation.report.step_matrix import step_matrix
from tltf.evaluation.step_accuracies import StepAccuracies

NAN = np.nan
MATRIX = np.array([[0.9, 0.4, 0.5], [0.95, 0.8, 0.7], [0.6, 0.5, 1.0]])


def found(values=MATRIX):
    return StepAccuracies(np.array(values), np.full(3, 0.5), ["a", "b", "c<d"])


def test_the_numbers_are_those_of_the_papers_on_a_matrix_by_hand():
    own = found()
    assert own.average() == pytest.approx((0.6 + 0.5 + 1.0) / 3)
    assert own.incremental() == pytest.approx((0.9 + (0.95 + 0.8) / 2 + 0.7) / 3)
    assert own.forgotten() == pytest.approx([0.95 - 0.6, 0.8 - 0.5])
    assert own.forgetting() == pytest.approx((0.35 + 0.3) / 2)
    assert own.backward_transfer() == pytest.approx((0.6 - 0.9 + 0.5 - 0.8) / 2)
    assert own.forward_transfer() == pytest.approx((0.4 - 0.5 + 0.7 - 0.5) / 2)


def test_steps_that_bring_classes_have_no_forward_transfer():
    values = np.array(MATRIX)
    values[np.triu_indices(3, 1)] = NAN
    own = found(values)
    assert own.forward_transfer() is None
    assert own.forgotten() == pytest.approx([0.35, 0.3])
    plain = own.to_json()
    assert plain["accuracies"][0] == [0.9, None, None] and plain["forward_transfer"] is None


def test_a_matrix_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match="3 x 3"):
        StepAccuracies(np.zeros((2, 3)), np.zeros(3), ["a", "b", "c"])


def test_the_picture_has_a_cell_for_each_measured_accuracy():
    values = np.array(MATRIX)
    values[0, 2] = NAN
    svg = step_matrix(found(values), "Accuracy")
    assert svg.count("<title>") == 8 and svg.count('fill="none"') == 1
    assert "after step 3 (c&lt;d), on step 1 (a): 60.0%" in svg
    assert ">95</text>" in svg and "c<d" not in svg


def test_many_steps_still_fit():
    count = 40
    many = StepAccuracies(np.eye(count), np.full(count, 0.1), [str(n) for n in range(count)])
    svg = step_matrix(many, "Accuracy")
    assert svg.count("<title>") == count * count and "pointer-events" not in svg
