"""Looks at a data set, tries networks on it, and says what to train, why, how long that takes, and what more labels are worth.

python -m tltf.advise --data='vader(domain=movie)' --output=FOLDER
python -m tltf.advise --data='image_folder(path=photos)' --backbones='efficientnet_lite0|densenet121_packaged'

Nothing is trained but light heads on the features of some training rows. It prints a plan, and writes a page and a
flagfile for each run of the plan into --output where it is given. tltf.train --backbone=auto takes the first network.
"""

import pathlib
import sys
from collections.abc import Sequence

from tltf.config import checks
from tltf.config.advise_options import AdviseOptions
from tltf.console import command, lines


def service(options: AdviseOptions) -> None:
    """Advises as the options say; the imports are in the function, so that --help is fast."""
    checks.require("data", options.data.data)
    with lines.quiet(options.output.quiet):
        command.load_tensorflow(f"reading {options.data.data}")
        from tltf.experiments.advice import advising, page

        found = advising.run(options)
        folder = pathlib.Path(options.output.output) if options.output.output else None
        if folder:
            page.write(found, folder)
        print(page.terminal_text(found, folder))


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(AdviseOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


if __name__ == "__main__":
    command.start(main)
