"""Asks a person for the labels of those rows of a pool that help a run most.

python -m tltf.label --run=RUN --pool=texts.txt --output=labels.csv
python -m tltf.label --run=RUN --pool=photos/ --query=badge --per_round=20 --page

The rows of a round are chosen on the features of the run's backbone; after it a light head is fitted again on
the labels so far, with training rows of the run. Each answer is written at once, so that the same command goes
on after a break. --page asks in a browser. The labels are a table that tltf.update and tltf.train take.
"""

import sys
from collections.abc import Sequence

from tltf.config import checks
from tltf.config.label_options import LabelOptions
from tltf.console import command


def service(options: LabelOptions) -> None:
    """Asks as the options say; the imports are in the function, so that --help is fast."""
    for name in ("run", "pool", "output"):
        checks.require(name, getattr(options, name))
    from tltf.active_learning import query
    from tltf.runs import model_folder

    query.pick(options.query)  # wrong flags must be an error before TensorFlow is imported
    model_folder.open_folder(options.run)
    command.load_tensorflow(f"labelling for {options.run}")
    if options.page:
        from tltf.serving.demo import labelling

        labelling.serve(options)
    else:
        from tltf.active_learning import terminal

        terminal.run(options)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(LabelOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


if __name__ == "__main__":
    command.start(main)
