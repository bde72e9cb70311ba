"""Every method under MirroredStrategy: two devices leave the weights that one does."""

import json
import subprocess
import sys

import pytest

from tests.contracts.cases import METHODS

BY_REPLICA = {"bss(smallest=2)"}
"""Singular values are of each device's share of a batch."""
CASES = [case for cases in METHODS.values() for case in cases if case not in BY_REPLICA]
QUICK = ["full", "lora(rank=1)", "adapters(size=2)", "distill(teacher=tiny)", "adversarial"]


def weights(num_devices, cases):
    command = [sys.executable, "-m", "tests.contracts.mirrored_script", str(num_devices), *cases]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == num_devices
    return found["weights"]


@pytest.mark.parametrize("cases", [
    pytest.param(QUICK, id="quick"),
    pytest.param([c for c in CASES if c not in QUICK], id="all", marks=pytest.mark.large),
])  # fmt: skip
def test_two_devices_leave_what_one_does(cases):
    one, two = weights(1, cases), weights(2, cases)
    for case in cases:
        assert one[case].keys() == two[case].keys(), case
        for name, value in one[case].items():
            assert two[case][name] == pytest.approx(value, rel=2e-3, abs=1e-5), (case, name)
