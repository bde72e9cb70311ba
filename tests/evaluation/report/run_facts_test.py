"""The facts of a run in its report."""

import dataclasses

import pytest

from tests.evaluation.report.writer_test import EVIL, full_report, written
from tltf.evaluation.report import run_facts
from tltf.evaluation.report.run_facts import RunFacts, Speed
from tltf.runs.machine import Machine

FACTS = RunFacts(
    typed="python -m tltf.train --data='a|b' --output=RUN",
    started="2026-02-03T04:05:06+00:00",
    finished="2026-02-03T05:05:06+00:00",
    machine=Machine("A Processor", 8, 16_000_000_000, "Linux 6"),
    gpus=["H200"],
    peak_memory_bytes=1_500_000_000,
    commit="abc, changed",
    licences={"backbone": "MIT"},
    data_digest={"train split": "10 rows (0f)"},
    model_bytes=86_700_000,
    speed=Speed(1.25, 100, 32, "H200", "float32"),
)


def test_facts_are_read_as_they_were_written():
    assert RunFacts.from_json(FACTS.to_json()) == FACTS
    assert RunFacts.from_json({}) == RunFacts() and RunFacts().to_json() == {}
    assert RunFacts.from_json({"new": 1, "typed": "x"}) == RunFacts(typed="x")


@pytest.mark.parametrize(
    ("num", "text"),
    [(999, "999 bytes"), (1000, "1.0 KB"), (86_740_000, "86.7 MB"), (999_960_000, "1.0 GB")],
)
def test_sizes_have_units(num, text):
    assert run_facts.size_text(num) == text


def test_only_what_is_known_is_shown():
    rows = dict(run_facts.facts_rows(FACTS))
    assert rows["model size"] == "86.7 MB" and "export size" not in rows
    assert rows["time per example"].startswith(
        "1.250 ms for the network alone, in batches of up to 32"
    )
    assert rows["licence of the backbone"] == "MIT" and "licence of the data" not in rows
    assert rows["GPUs"] == "H200" and rows["train split"] == "10 rows (0f)"
    assert run_facts.facts_rows(None) == []


def test_both_pages_have_the_facts_escaped(tmp_path):
    report, history = full_report()
    facts = dataclasses.replace(FACTS, typed=EVIL, commit=EVIL, licences={EVIL: EVIL})
    _, tags, markdown = written(tmp_path, dataclasses.replace(report, facts=facts), history)
    assert "script" not in tags.names
    for text in (" ".join(tags.texts), markdown):
        assert "86.7 MB" in text and "A Processor" in text and "2026-02-03 04:05:06" in text
