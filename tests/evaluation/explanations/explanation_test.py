import json

import numpy as np
import pytest

from tltf.evaluation.explanations.explanation import (
    ExplainedPart,
    Explanation,
    cut_parts,
    grid_sums,
)
from tltf.evaluation.report import examples
from tltf.evaluation.report.report import Mistake

PARTS = (
    ExplainedPart("Not", -0.5),
    ExplainedPart(" "),
    ExplainedPart("<good>", 1.0),
    ExplainedPart(" "),
    ExplainedPart("at", 0.01),
    ExplainedPart(" "),
    ExplainedPart("all", None, is_read=False),
    ExplainedPart("!", None, is_read=False),
)


def explanation(**more):
    return Explanation("m(a=1)", "M", "good", 1.5, 0.5, 0.004, 16, True, **more)


def test_json_holds_words_and_gives_them_back():
    found = explanation(parts=PARTS)
    again = Explanation.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    mistake = Mistake(0, "a", "bad", "good", text="Not <good> at all!", explanation=found)
    assert Mistake.from_json(json.loads(json.dumps(mistake.to_json()))) == mistake
    assert "explanation" not in Mistake(0, "a", "bad", "good").to_json()


def test_json_holds_pictures_as_sums_over_a_grid():
    heat = np.random.default_rng(0).normal(size=(50, 37)).astype(np.float32)
    values = explanation(heat=heat).to_json()
    grid = np.array(values["grid"])
    assert grid.shape == (28, 28) and grid.sum() == pytest.approx(heat.sum(), abs=0.01)
    again = Explanation.from_json(values)
    assert again.heat is not None and again.heat.shape == (28, 28) and again.parts is None


def test_sums_over_a_grid_are_those_of_its_cells():
    values = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(grid_sums(values, 2), _sums(values))
    np.testing.assert_array_equal(grid_sums(values, 9), values)


def _sums(values):
    """2 x 2 cells, where the first column has one column of the values and the second has two."""
    return [
        [values[:2, :1].sum(), values[:2, 1:].sum()],
        [values[2:, :1].sum(), values[2:, 1:].sum()],
    ]


def test_the_strongest_words_speak_for_or_against():
    assert [part.text for part in explanation(parts=PARTS).strongest(2)] == ["<good>", "Not"]


def test_words_are_coloured_by_side_and_share_and_escaped():
    page = str(examples.explained_text(PARTS, 100))
    assert '<span class="against" style="--a:0.28" title="-0.5">Not</span>' in page
    assert '<span class="for" style="--a:0.55" title="+1">&lt;good&gt;</span>' in page
    assert " at " in page, "a word with a hundredth of the largest value has no colour"
    assert page.count("cut off:") == 1 and page.count('class="unread"') == 2


def test_long_texts_are_cut_and_keep_their_scale():
    page = str(examples.explained_text(PARTS, 4))
    assert page.endswith("…") and 'style="--a:0.28"' in page and "good" not in page
    assert [part.text for part in cut_parts(PARTS, 11)] == ["Not", " ", "<good>", " "]
