"""Every method under MirroredStrategy: two devices leave the weights that one does."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.contracts import mirrored_script
from tests.contracts.cases import METHODS

ADAM = {"optimizer": "adam", "learning_rate": 0.01}
RECALIBRATE = {"norm": "recalibrate"}
QUICK = [
    ("full", RECALIBRATE),
    ("discriminative", ADAM),
    ("lora(rank=1)", {}),
    ("adapters(size=2)", {}),
    ("distill(teacher=tiny)", {}),
    ("adversarial", {}),
    ("setfit", {}),
    ("fastfit", {}),
    ("flexmatch(threshold=.4)", {}),
    ("linear_probe(solver=lbfgs)", {"rows": 21}),
    ("full", {"rows": 21}),
    # At this rate nothing moves but the statistics, of which only the last ones are compared.
    ("full", {**RECALIBRATE, "rows": 21, "learning_rate": 1e-12}),
]
"""(case, flags); of 21 rows the last batch has 5, and one of 8 is trained on several devices."""
ALL = [
    # Frozen norms, the script's default, would leave norm_only nothing to train.
    *((case, {}) for cases in METHODS.values() for case in cases if case != "norm_only"),
    ("bss(eta=.5, smallest=2)", {}),
    ("full(backbone_rate=.1)", ADAM),
    ("gradual(stages=2)", ADAM),
    ("rules(patterns=['head/.*', '.*/kernel'], rates=[1, .5])", {**ADAM, "weight_decay": 0.1}),
    ("wise_ft(steps=4)", RECALIBRATE),
    ("norm_only", RECALIBRATE),
]
"""Without flags every case, and what needs more to be seen."""


def started_on_two(given, output):
    """The process of the script on two devices, which only a new process can be split into."""
    command = [sys.executable, "-m", "tests.contracts.mirrored_script", "2", output, *given]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "trainings",
    [
        pytest.param(QUICK, id="quick"),
        pytest.param([one for one in ALL if one not in QUICK], id="all", marks=pytest.mark.large),
    ],
)
def test_two_devices_leave_what_one_does(trainings, tmp_path, monkeypatch, capsys):
    given = [json.dumps(training) for training in trainings]
    outputs = tmp_path / "1.npz", tmp_path / "2.npz"
    process = started_on_two(given, outputs[1])
    mirrored_script.main(["1", outputs[0], *given], monkeypatch.setattr)
    assert capsys.readouterr().out.split()[-1] == "1"
    told, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
    assert told.split()[-1] == "2"
    one, two = (dict(np.load(output)) for output in outputs)
    assert one.keys() == two.keys()
    for name, value in one.items():
        number, _, path = name.partition("/")
        message = f"{trainings[int(number)]}: {path}"
        np.testing.assert_allclose(two[name], value, rtol=1e-3, atol=1e-4, err_msg=message)
