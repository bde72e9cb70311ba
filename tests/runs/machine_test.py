"""What is said of the machine is what the system says."""

import os
import re

from tltf.runs import machine


def test_the_machine_is_this_one():
    found = machine.this_machine()
    assert found.cpu and 1 <= found.cores <= os.cpu_count()
    assert found.system.startswith(os.uname().sysname)
    assert found.memory_bytes is None or found.memory_bytes > 2**28


def test_the_peak_of_memory_grows_with_what_is_used():
    before = machine.peak_memory_bytes()
    held = bytearray(before // 4)
    held[::4096] = b"x" * len(held[::4096])
    assert machine.peak_memory_bytes() >= before > 2**20


def test_the_commit_is_one_or_nothing(monkeypatch, tmp_path):
    machine.commit.cache_clear()
    assert re.fullmatch("([0-9a-f]{40}(, changed)?)?", machine.commit())
    machine.commit.cache_clear()
    monkeypatch.setattr(machine, "_PACKAGE", tmp_path / "tltf")
    assert machine.commit() == "", "an installed package is in no repository"
    machine.commit.cache_clear()
    (tmp_path / ".git").mkdir()
    (tmp_path / "tltf").mkdir()
    assert machine.commit() == "", "git fails"
    machine.commit.cache_clear()
