"""Evaluates a finished run on its own test split or on other labelled examples.

python -m tltf.evaluate --run=RUN
python -m tltf.evaluate --run=RUN --data='csv(path=new.csv, text=text, label=label)'
"""

import sys
from collections.abc import Sequence

from tltf.config import checks
from tltf.config.command_options import EvaluateOptions
from tltf.console import command


def service(options: EvaluateOptions) -> None:
    """Evaluates as the options say; the imports are in the function, so that --help is fast."""
    source = checks.pick_source(options.data, options.output) if options.data else None
    from tltf.runs import model_folder

    model_folder.open_folder(
        options.run
    )  # a wrong --run must be an error before TensorFlow is imported
    command.load_tensorflow(f"evaluating {options.run}")
    from tltf.experiments import run_evaluation

    run_evaluation.run(options, source)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(EvaluateOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


if __name__ == "__main__":
    command.start(main)
