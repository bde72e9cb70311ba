"""Numbers far from zero, near zero and without a difference."""

import csv
import types
import warnings

import numpy as np
import pytest

from tests.faults.making import covers
from tltf.data import label_kinds, loader
from tltf.errors import DataError
from tltf.evaluation import evaluators
from tltf.evaluation.evaluators import numbers
from tltf.evaluation.report import wording
from tltf.evaluation.split_metrics import SplitMetrics
from tltf.heads.regress import regress


def table(path, values):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(
            [("text", "label"), *((f"text {n}", v) for n, v in enumerate(values))]
        )
    return f"csv(path={path}, text=text, label=label)"


def load(path, values):
    return loader.load(table(path, values), target=label_kinds.NUMBER)


@covers(265)
@pytest.mark.parametrize(
    "values",
    [
        ["1600005012", "1600005000", "1600004999.5"],
        ["20250101", "20250102", "20250103"],
        ["1e12", "1000000000001"],
    ],
)
def test_numbers_are_kept_as_read_and_what_float32_loses_is_warned_of(tmp_path, values):
    with pytest.warns(UserWarning, match="float32.*subtract a fixed number"):
        found = load(tmp_path / "a.csv", values)
    labels = np.sort(np.asarray(found.labels, np.float64))
    assert labels.tolist() == sorted(map(float, values))
    written = numbers.NumberEvaluator.truths(None, found.labels, ())
    assert sorted(map(float, written)) == sorted(map(float, values)), "as the file has them"


def test_ordinary_numbers_are_not_warned_of_and_written_as_read(tmp_path):
    values = ["0.1", "2.5", "-3", "4.4444"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load(tmp_path / "a.csv", values)
    assert numbers.NumberEvaluator.truths(None, found.labels, ()) == values


@covers(267)
@pytest.mark.parametrize("values", [["3", "3.0", "3e0"], ["0", "-0", "0.0"], ["1600000000"] * 4])
def test_one_number_only_is_refused_like_one_class(tmp_path, values):
    with pytest.raises(DataError, match="only one number") as caught:
        load(tmp_path / "a.csv", values)
    assert "at least two numbers" in caught.value.fix


def test_one_number_is_enough_to_evaluate_on(tmp_path):
    text = table(tmp_path / "a.csv", ["3", "3"])
    assert len(loader.load(text, target=label_kinds.NUMBER, least_classes=1)) == 2


@covers(266)
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.234e-6, "0.00000123"),
        (0.00123, "0.00123"),
        (-2e-9, "-2 \N{MULTIPLICATION SIGN} 10⁻⁹"),
        (0.0, "0.000"),
        (0.5, "0.500"),
        (12.3456, "12.3"),
        (None, wording.NOTHING),
    ],
)
def test_small_numbers_are_shown(value, text):
    assert wording.number(value) == text


def test_small_differences_are_shown():
    said = evaluators.wording_for(SplitMetrics({}, target=label_kinds.NUMBER))
    assert said.change(-3.21e-7) == "\N{MINUS SIGN}3.21 \N{MULTIPLICATION SIGN} 10⁻⁷"
    assert said.change(0.25) == "+0.250"


@pytest.mark.parametrize("center", [1.6e9, -20250131.5, 3.0, 0.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 42.0, 1e4])
def test_the_center_is_as_exact_as_the_scale_asks(center, scale):
    labels = center + scale * np.linspace(-1, 1, 99)
    head = regress().fit_to(types.SimpleNamespace(labels=labels))
    near = max(1e-5 * labels.std(), 4 * np.spacing(abs(center)))
    assert abs(head.center - labels.mean()) <= near
    assert head.scale == pytest.approx(labels.std(), rel=1e-5)
