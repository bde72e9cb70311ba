"""Proposes a learning rate for a run by a short training with a rising rate.

python -m tltf.lr_find --flagfile=configs/vader_minilm_l6_full.flags --output=FOLDER
"""

import sys
from collections.abc import Sequence

from tltf.config import checks
from tltf.config.command_options import FindOptions
from tltf.console import command, lines


def service(options: FindOptions) -> None:
    """Runs the test that the options describe; the imports are in the function, so that --help is fast."""
    recipe = checks.resolve(options, needs_output=False)
    with lines.quiet(options.output.quiet):
        command.load_tensorflow(f"reading {recipe.source.text}")
        from tltf.training import lr_range_test

        lr_range_test.run(options, options.find.num_steps, recipe)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(FindOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


if __name__ == "__main__":
    command.start(main)
