"""Which examples a report shows."""

import numpy as np

from tltf.experiments import shown_examples

NAMES = ["cat", "dog", "owl"]
LABELS = np.array([0, 0, 0, 1, 1, 2])
STATED = np.array(
    [
        [0.5, 0.4, 0.1],  # right, least sure
        [0.2, 0.7, 0.1],  # cat taken for dog
        [0.05, 0.9, 0.05],  # cat taken for dog, surer
        [0.1, 0.8, 0.1],  # right
        [0.6, 0.3, 0.1],  # dog taken for cat
        [0.2, 0.25, 0.55],  # right
    ]
)
IDS = [f"row {n}" for n in range(6)]


def test_borderline_answers_are_right_and_least_sure_first():
    rows = shown_examples.least_sure(LABELS, STATED, NAMES, IDS)
    assert [row.id for row in rows] == ["row 0", "row 5", "row 3"]
    assert all(row.label == row.predicted for row in rows)
    assert rows[0].detail == "50.0%, then dog 40.0%"
    assert rows[1].detail == "55.0%, then dog 25.0%"


def test_confused_pairs_have_their_surest_mistakes():
    first, second = shown_examples.confused_pairs(LABELS, STATED, NAMES, IDS)
    assert (first.label, first.predicted, first.count) == ("cat", "dog", 2)
    assert [row.id for row in first.examples] == ["row 2", "row 1"]
    assert (first.examples[0].probability, first.examples[0].label_probability) == (0.9, 0.05)
    assert (second.label, second.predicted, second.count) == ("dog", "cat", 1)


def test_few_pairs_and_few_examples_of_each_are_shown():
    labels = np.repeat(np.arange(8), 9)
    stated = np.full((72, 8), 0.02)
    stated[np.arange(72), (labels + 1) % 8] = 0.86
    pairs = shown_examples.confused_pairs(
        labels, stated, list("abcdefgh"), list(map(str, range(72)))
    )
    assert [(pair.count, len(pair.examples)) for pair in pairs] == [(9, 3)] * 5
    assert shown_examples.least_sure(labels, stated, list("abcdefgh"), list(map(str, labels))) == []
