"""Shows which parts of images or texts the answers of a run rest on.

python -m tltf.explain --run=RUN --input=photo.jpg,folder/,table.csv
python -m tltf.explain --run=RUN --text='not a good film' --label=positive

It writes a page with the pictures and words in colours, and a JSON line per input with the numbers. An input
that cannot be read has an error in its row and does not stop the others. In Python:
`tltf.explain(["not a good film"], run="RUN")`.
"""

import os
import sys
import types
from collections.abc import Sequence
from typing import Any

from tltf.config import options
from tltf.config.call_strings import Call
from tltf.config.catalogs.row import Row
from tltf.config.command_options import ExplainOptions, InputOptions
from tltf.console import command
from tltf.errors import FlagError


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(ExplainOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


def service(chosen: ExplainOptions) -> None:
    """Explains as the options say; the imports are in the function, so that --help is fast."""
    from tltf.runs import model_folder

    calls = _explainers(chosen.explainer)
    if not chosen.inputs.text and "-" in chosen.inputs.input.split(",") and sys.stdin.isatty():
        what = "standard input is a terminal, not a file or a pipe"
        raise FlagError(what, flag="input", fix="give --input=FILE, or pipe texts or paths in")
    model_folder.open_folder(chosen.run)
    command.load_tensorflow("explaining answers")
    from tltf.experiments import explain_inputs

    print(explain_inputs.run(chosen, calls))


def _explainers(text: str) -> tuple[Call[Row], ...] | None:
    """What --explainer names; None for auto. Wrong flags are an error before TensorFlow is imported."""
    from tltf.config import call_strings
    from tltf.config.catalogs import EXPLAINERS

    return None if text == "auto" else call_strings.pick_each(EXPLAINERS, text, "explainer")


def _explain(inputs: Any, run: Any, values: dict[str, bool | float | str]) -> Any:
    for name in options.flags_of(InputOptions):
        if name in values:
            what = "is of the command: in Python the inputs are the first argument"
            raise FlagError(what, flag=name, fix=f"leave {name} out")
    chosen = options.make(ExplainOptions, **values)
    calls = _explainers(chosen.explainer)
    command.quiet_tensorflow(debug=False)
    command.load_tensorflow()
    from tltf.experiments import explain_inputs

    return explain_inputs.run_in_memory(run, inputs, chosen, calls)


class _CallableModule(types.ModuleType):
    """This module, which is also the function `tltf.explain` of programs and notebooks."""

    def __call__(
        self,
        inputs: Any,
        *,
        run: Any,
        output: str | os.PathLike[str] = "",
        **flags: bool | float | str,
    ) -> Any:
        """Shows what the answers of a run to some inputs rest on; the result shows its page in a notebook.

        Args:
            inputs: texts or pictures in any form that `tltf.load(run).predict` takes: one, a list, an
                array, a series, a dict or a frame.
            run: a run folder, or what `tltf.fit` gave.
            output: folder of the page; empty: the next one in `explanations` of the run folder.
            flags: any flag of `python -m tltf.explain` by its name, such as `label="positive"`.

        Returns:
            tltf.experiments.explain_inputs.ShownExplanations

        Raises:
            FlagError: an unknown flag, no run, or an explainer or a class that does not fit.
            DataError: no input can be predicted.
            ModelError: the run cannot be read, or lacks what an explainer takes.
        """
        return _explain(inputs, run, {**flags, "output": os.fspath(output)})


sys.modules[__name__].__class__ = _CallableModule

if __name__ == "__main__":
    command.start(main)
