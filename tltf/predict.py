"""Predicts the labels or numbers of images or texts with a trained run.

python -m tltf.predict --run=RUN --input=photo.jpg,folder/,table.csv > predictions.csv
python -m tltf.predict --run=RUN --text='a fine film' --top_k=3
python -m tltf.predict --server=localhost:8501 --model=NAME --input=photo.jpg

The table has one row per input: its id, its path or text, the answer and its confidence, one
probability per class (or the quantiles of a number), and an error. An input that cannot be read has an error in its row and
does not stop the others.
"""

import sys
from collections.abc import Sequence

from tltf.config.command_options import PredictOptions
from tltf.console import command
from tltf.errors import FlagError


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(PredictOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


def service(options: PredictOptions) -> None:
    """Predicts as the options say; the imports are in the function, so that --help is fast."""
    if not options.inputs.text and "-" in options.inputs.input.split(",") and sys.stdin.isatty():
        what = "standard input is a terminal, not a file or a pipe"
        raise FlagError(what, flag="input", fix="give --input=FILE, or pipe texts or paths in")
    if options.server:
        _check_server_flags(options)
        command.load_tensorflow()
        from tltf.serving import remote_prediction

        remote_prediction.write(options)
        return
    from tltf.runs import model_folder

    model_folder.open_folder(
        options.run
    )  # a wrong --run must be an error before TensorFlow is imported
    command.load_tensorflow()
    from tltf.models import loading, prediction_rows

    prediction_rows.write(loading.load(options.run), options)


def _check_server_flags(options: PredictOptions) -> None:
    """Refuses flags that do not go with --server."""
    if options.run:
        raise FlagError("is given beside --server", flag="run", fix="leave one of them out")
    if not options.model:
        fix = "--model=NAME, the name in the server's paths /v1/models/NAME"
        raise FlagError("must be given with --server", flag="model", fix=fix)
    if options.version and options.version_label:
        what = "is given beside --version"
        raise FlagError(what, flag="version_label", fix="leave one of them out")


if __name__ == "__main__":
    command.start(main)
