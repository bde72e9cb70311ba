"""The commands of tltf, by the names that `tltf NAME` takes."""

from collections.abc import Callable, Sequence

from tltf.config.call_strings import load_target
from tltf.errors import FlagError, choices_text, nearest

COMMANDS = {
    "train": "trains, evaluates, reports and exports a transferred model",
    "predict": "classifies images or texts with a trained run",
    "evaluate": "evaluates a finished run on its own test split or on other labelled examples",
    "export": "exports a trained run for serving, and checks the export",
    "serve": "serves the export of a run over HTTP, on the paths of TF Serving",
    "compare": "puts finished runs beside each other: metrics, curves, flags, time, disagreements",
    "ensemble": "makes one model of several finished runs, and says whether it pays",
    "demo": "opens a page on this machine on which a run answers whoever tries it",
    "explain": "shows which parts of images or texts the answers of a run rest on",
    "monitor": "compares live rows with a run's reference, and rings where they differ",
    "label": "asks a person for the labels of those rows of a pool that help a run most",
    "update": "goes on from a run with more rows and new classes, and publishes what is not worse",
    "check": "scans a data set as training does and prints what is in it",
    "advise": "says what to train on a data set, why, how long it takes, what more labels are worth",
    "rank": "ranks pretrained networks for a data set by scores of their frozen features",
    "search": "searches flags of a run by many trials, and keeps the best on validation",
    "lr_find": "proposes a learning rate for a run",
}
"""Name of a command, which is also that of its module at the top -> what it does."""


def load_command(name: str) -> Callable[[Sequence[str]], int]:
    """The `main(argv)` of a command.

    Raises:
        FlagError: there is no such command.
    """
    if name not in COMMANDS:
        near = nearest(name, COMMANDS, limit=1)
        what = f"there is no command {name!r} (choices: {choices_text(name, COMMANDS)})"
        raise FlagError(what, fix=f"tltf {near[0]}" if near else "tltf --help")
    return load_target(f"tltf.{name}:main")
