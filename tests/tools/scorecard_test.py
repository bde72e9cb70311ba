"""The scorecard's arithmetic, its lines, and the shifts of its images."""

import argparse
import importlib
import json
import re
import shutil
import sys

import numpy as np
import pytest
from scipy import stats

from tests.tools.bench_transfer_test import TOOLS


@pytest.fixture(name="scorecard")
def _scorecard(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("scorecard")


@pytest.mark.parametrize("count", range(2, 11))
def test_intervals_are_students(scorecard, count):
    values = np.random.default_rng(count).normal(0.8, 0.02, count)
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    mean, half = (float(part) for part in scorecard.interval(list(values), digits=6).split(" ± "))
    assert mean == pytest.approx(values.mean(), abs=1e-6)
    assert half == pytest.approx((high - low) / 2, rel=1e-3)
    assert scorecard.interval([0.5]) == "0.500"


ROW = {
    "accuracy": 0.8,
    "logistic": 0.78,
    "trained": 1000,
    "total": 10_000,
    "file_mb": 0.3,
    "seconds": 10.0,
    "peak_mb": 900.0,
}


def test_a_line_has_paired_gains_and_marks_failures(scorecard):
    rows = [
        ROW | {"shift": 0.6, "known": 0.9, "kept": 0.85},
        ROW | {"accuracy": 0.82, "shift": 0.62, "known": 0.9, "kept": 0.86},
    ]
    line = scorecard.line("vader", "lora", rows)
    assert len(line) == len(scorecard.HEADER)
    assert line[3].startswith("0.810 ± ") and line[4].startswith("3.0 ± ")
    assert (
        line[5] == "1,000 (10.00%)" and line[9].startswith("0.610") and line[10].startswith("4.5")
    )
    quick = scorecard.line("vader", "lora", [ROW])
    assert quick[9] == quick[10] == ""
    failed = scorecard.line("vader", "prompt", [ROW, {"failed": "exit 2"}])
    assert failed[3] == "FAILED: exit 2" and len(failed) == len(scorecard.HEADER)


def test_differences_to_full_are_paired_by_seed(scorecard):
    def rows(*accuracies, shift=0.5):
        return {seed: ROW | {"accuracy": a, "shift": shift} for seed, a in enumerate(accuracies)}

    found = {
        ("vader", "full"): rows(0.8, 0.9, 0.7),
        ("vader", "lora"): rows(0.79, 0.91, shift=0.6),
        ("vader", "prompt"): {0: {"failed": "exit 2"}},
        ("fashion", "lora"): rows(0.8),
    }
    (line,) = scorecard.differences_to_full(found)
    assert line[:3] == ["vader", "`lora`", "2"]
    assert line[3].startswith("0.0 ± 12.7") and line[4] == "10.0 ± 0.0"


def test_what_the_scorecard_runs_is_there(scorecard):
    from tltf.config import call_strings
    from tltf.config.catalogs import METHODS

    named = set()
    for task, methods in scorecard.METHODS.items():
        for text in methods:
            call, *flags = text.split(" --")
            call_strings.pick(METHODS, call)
            assert {flag.partition("=")[0] for flag in flags} <= {
                "norm",
                "augment",
                "head_weights",
                "learning_rate",
                "warmup_fraction",
            }
            named |= set(re.findall(r"{(\w+)}", " ".join([text, *scorecard.WORK[task]])))
    assert named == set(scorecard.PREPARED)
    unlisted = set(METHODS) - {
        call_strings.parse(text.split(" --")[0], "method")[0]
        for methods in scorecard.METHODS.values()
        for text in methods
    }
    of_other_rows = {name for name, row in METHODS.items() if row.reads}  # there are none there
    of_steps = {"ewc", "ncm"}  # which tools/continual.py measures
    assert unlisted - of_other_rows - of_steps == {"rules"}, "a method has no line in the scorecard"


def test_flags_and_prepared_runs_are_those_a_method_names(scorecard, monkeypatch, tmp_path):
    trained, measured = [], []
    monkeypatch.setattr(scorecard.measuring, "train", lambda *given: trained.append(given))
    card = scorecard.Scorecard(
        argparse.Namespace(folder=tmp_path, quick=True, flags=["--train_epochs=1"])
    )
    monkeypatch.setattr(card, "_train", lambda run, flags: measured.append(flags) or dict(ROW))
    card.row("vader small_lstm", "distill(teacher='{vader_full}')", 3)
    card.row("fashion", "full --norm=frozen --learning_rate=3e-4", 0)
    teacher = str(tmp_path / "prepared" / "vader_full_3")
    assert [given[1] for given in trained] == [teacher]
    assert trained[0][2:] == (
        *scorecard.WORK["vader"],
        "--method=full",
        "--seed=3",
        "--export=false",
    )
    assert f"--method=distill(teacher='{teacher}')" in measured[0]
    assert measured[1][3:6] == ["--method=full", "--norm=frozen", "--learning_rate=3e-4"]
    assert measured[1][-1] == "--train_epochs=1"


def test_its_data_is_there(scorecard):
    """Texts only: they are small. The shifted domain has the classes that are trained."""
    from tltf.data import loader

    flags = [scorecard.WORK["vader"][0], scorecard.OTHER_TASK["vader"][0]]
    shifted = scorecard.Scorecard._shifted_data(None, "vader")
    texts = [*(flag.removeprefix("--data=") for flag in flags), shifted]
    loaded = [loader.load(text) for text in texts]
    assert len({source.class_names for source in loaded}) == 1
    assert all(len(source) >= 2000 for source in loaded)


def test_shifted_images_are_the_same_pictures_shifted(scorecard):
    shifted_images = importlib.import_module("shifted_images")
    images = np.zeros((3, 28, 28, 1), np.uint8)
    images[:, 8:20, 8:20] = 200
    found = shifted_images.shift(images)
    assert set(found) == {"noise", "blur", "rotation"}
    for changed in found.values():
        assert changed.shape == images.shape and changed.dtype == np.uint8
        assert np.corrcoef(changed.ravel(), images.ravel())[0, 1] > 0.8
        assert not np.array_equal(changed, images)
    blurred = found["blur"][0, 13, :, 0].astype(int)
    assert np.abs(np.diff(blurred)).max() < 120, "the edge is soft"


def test_pictures_pair_by_seed_and_are_drawn_alike(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(TOOLS))
    pictures, measuring = (importlib.import_module(n) for n in ("measured_pictures", "measuring"))
    rows = {
        "fashion full 0": (0.9, 0.5),
        "fashion full 1": (0.8, 0.7),
        "fashion lora 1": (0.86, 0.6),
    }
    lines = [
        json.dumps({"key": key, "accuracy": accuracy, "logistic": 0.8, "shift": shift})
        for key, (accuracy, shift) in rows.items()
    ]
    (tmp_path / "scorecard.jsonl").write_text(
        "\n".join([*lines, '{"key": "fashion bss 0", "failed": "exit 2"}'])
    )
    found = pictures.gains_of_methods(measuring.Notebook(tmp_path / "scorecard.jsonl"), "fashion")
    assert [one[0] for one in found] == ["full", "lora"]
    np.testing.assert_allclose(found[0][1], [10, 0], atol=1e-9)
    np.testing.assert_allclose(found[1][2], [-10], atol=1e-9)
    drawn = []
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["", f"--folder={tmp_path}"])
        shutil.copy(TOOLS / "measured" / "label_budgets.jsonl", tmp_path)
        pictures.main()
        drawn.append({path.name: path.read_bytes() for path in tmp_path.glob("*.svg")})
    assert set(drawn[0]) == {"scorecard.svg", "label_budgets.svg"} and drawn[0] == drawn[1]
    assert b">lora</text>" in drawn[0]["scorecard.svg"]
