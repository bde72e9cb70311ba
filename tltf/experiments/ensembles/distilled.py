"""Trains one network on the answers of an ensemble, by the method `distill`."""

import pathlib
import shlex
import time

from tltf.config import call_strings, flagfiles
from tltf.config import options as option_values
from tltf.config.ensemble_options import AUTO
from tltf.config.options import Options
from tltf.console import lines
from tltf.errors import FlagError
from tltf.evaluation.report.report import Report
from tltf.experiments import one_run
from tltf.experiments.launch import Launch
from tltf.heads.classify import Classify
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout

FREE = ("train_epochs", "learning_rate", "optimizer", "schedule", "norm", "batch_size", "snapshots")
"""Flags that the method chooses anew."""


def require(model: TransferModel) -> None:
    """Checks that an ensemble can teach.

    Raises:
        FlagError: it does not predict one class.
    """
    if type(model.core.head) is not Classify:
        what = f"an ensemble teaches one class per row, and this one predicts {model.core.head.describe(model.class_names)}"
        raise FlagError(what, flag="distill", fix="leave --distill out")


def options_of(text: str, best: Options, teacher: str) -> Options:
    """The options of the run of the network that learns.

    Args:
        text: of --distill: `auto`, a backbone, or flags.
        best: the options of the best member.
        teacher: the folder of the ensemble.

    Raises:
        FlagError: a flag that cannot be read.
    """
    given = shlex.split(text) if text.startswith("-") else []
    if not given and text != AUTO:
        given = [f"--backbone={text}"]
    method = call_strings.render("distill", {"teacher": teacher})
    values = option_values.flag_values(best) | {
        "method": method,
        "output": str(pathlib.Path(teacher) / layout.DISTILLED),
        "head": call_strings.name_of(best.model.head),
        "baseline": "none",
        "title": "",
        "augment": "",
        "seeds": 1,
    }
    usual = option_values.flag_values(Options())
    values |= {name: usual[name] for name in FREE}
    return flagfiles.parse(Options, [*flagfiles.texts(values), *given])[0]


def train(text: str, best: Options, teacher: str, *, overwrite: bool) -> Report | None:
    """Trains the network, and returns the report of its run.

    Args:
        text: see `options_of`.
        best: see `options_of`.
        teacher: see `options_of`.
        overwrite: whether a finished run in its folder is replaced.
    """
    chosen = option_values.replace(options_of(text, best, teacher), overwrite=overwrite)
    lines.say("distill", f"one {chosen.model.backbone} learns from the ensemble")
    began = time.monotonic()
    report = one_run.run(chosen, launch=Launch(shows_plan=False))
    lines.say("distilled", f"in {time.monotonic() - began:.0f} s: {chosen.output.output}")
    return report
