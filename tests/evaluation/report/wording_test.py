"""Small differences keep their sign, and keys are shown as the words that people use."""

import pytest

from tltf.evaluation.evaluators.classes import ClassEvaluator
from tltf.evaluation.report import sentences, wording
from tltf.evaluation.split_metrics import ClassRow, SplitMetrics


@pytest.mark.parametrize(
    "value, text",
    [(0.021, "+2.1"), (-0.0004, "\N{MINUS SIGN}0.04"), (0.00001, "+0.001"), (0.0, "0.0")],
)
def test_a_small_difference_keeps_its_sign(value, text):
    assert wording.points(value) == text


@pytest.mark.parametrize(
    "key, text",
    [
        ("macro_f1", "macro F1"),
        ("r2", "R²"),
        ("roc_auc", "ROC AUC"),
        ("mean_absolute_error", "mean absolute error"),
    ],
)
def test_keys_are_words(key, text):
    assert sentences.words(key) == text


def test_balanced_accuracy_is_a_tile_of_uneven_classes_only():
    (tile,) = [tile for tile in ClassEvaluator.wording.tiles if tile.metric == "balanced_accuracy"]
    for counts, is_shown in (((10, 90), True), ((50, 50), False)):
        rows = [ClassRow("a", 1.0, 1.0, 1.0, count) for count in counts]
        assert tile.is_shown(SplitMetrics({}, per_class=rows)) == is_shown
    assert "loss" not in {tile.metric for tile in ClassEvaluator.wording.tiles}
