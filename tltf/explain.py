"""Shows which parts of images or texts the answers of a run rest on.

python -m tltf.explain --run=RUN --input=photo.jpg,folder/,table.csv
python -m tltf.explain --run=RUN --text='not a good film' --label=positive

It writes a page with the pictures and words in colours, and a JSON line per input with the numbers. An input
that cannot be read has an error in its row and does not stop the others.
"""

import sys
from collections.abc import Sequence

from tltf.config.command_options import ExplainOptions
from tltf.console import command
from tltf.errors import FlagError


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(ExplainOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


def service(options: ExplainOptions) -> None:
    """Explains as the options say; the imports are in the function, so that --help is fast."""
    from tltf.config import call_strings
    from tltf.config.catalogs import EXPLAINERS
    from tltf.runs import model_folder

    # wrong flags must be an error before TensorFlow is imported
    calls = None
    if options.explainer != "auto":
        calls = call_strings.pick_each(EXPLAINERS, options.explainer, "explainer")
    if not options.inputs.text and "-" in options.inputs.input.split(",") and sys.stdin.isatty():
        what = "standard input is a terminal, not a file or a pipe"
        raise FlagError(what, flag="input", fix="give --input=FILE, or pipe texts or paths in")
    model_folder.open_folder(options.run)
    command.load_tensorflow("explaining answers")
    from tltf.experiments import explain_inputs

    print(explain_inputs.run(options, calls))


if __name__ == "__main__":
    command.start(main)
