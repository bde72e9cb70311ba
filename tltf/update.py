"""Goes on from a run with more rows and new classes, and publishes the new run if it is not worse.

python -m tltf.update --run=RUN --data='csv(path=new.csv, text=text, label=label)' --output=NEW_RUN

The classes that the run knows keep their weights, and some of its training rows are trained on again, so
that the old is not forgotten. Both runs are judged on the old and on the new test rows. The new one becomes
the next version in RUN/export if it is better on the new rows and not worse on the old ones by more than
--tolerance; otherwise the command ends with code 7 and says why.
"""

import sys
from collections.abc import Sequence

from tltf.config import checks
from tltf.config.command_options import UpdateOptions
from tltf.console import command


def service(options: UpdateOptions) -> None:
    """Updates as the options say; the imports are in the function, so that --help is fast."""
    for name in ("run", "data", "output"):
        checks.require(name, getattr(options, name))
    from tltf.runs import model_folder

    model_folder.open_folder(
        options.run
    )  # a wrong --run must be an error before TensorFlow is imported
    command.load_tensorflow(f"updating {options.run}")
    from tltf.experiments import update_run

    update_run.run(options)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(UpdateOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


if __name__ == "__main__":
    command.start(main)
