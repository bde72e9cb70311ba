"""Classifies images or texts with a trained run.

python -m tltf.predict --run=RUN --input=photo.jpg,folder/,table.csv > predictions.csv

One row an input: id, path or text, label, one probability per class, error. An input that
cannot be read gets an error in its row; the rest goes on.
"""

import sys
from collections.abc import Sequence

from tltf.config.command_options import PredictOptions
from tltf.console import command
from tltf.errors import FlagError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return command.run(PredictOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


def service(options: PredictOptions) -> None:
    """Predicts as PredictOptions say."""
    if "-" in options.input.split(",") and sys.stdin.isatty():
        what = "standard input is a terminal, no file and no pipe"
        raise FlagError(what, flag="input", fix="give --input=FILE, or pipe texts or paths in")
    from tltf.runs import model_folder

    model_folder.open_folder(options.run)  # a wrong --run must show before TensorFlow is imported
    command.load_tensorflow()
    from tltf.models import loading, prediction_rows

    prediction_rows.write(loading.load(options.run), options)


if __name__ == "__main__":
    command.start(main)
