"""Opens a page on this machine on which a trained run answers whoever tries it.

python -m tltf.demo --run=RUN

The page takes a picture or texts, and shows the answer with its probabilities and then what it rests on; it
begins with examples of the run's test split. It is for this machine alone unless --host or --share says
otherwise, and Ctrl-C ends it.
"""

import sys
from collections.abc import Sequence

from tltf.config.command_options import DemoOptions
from tltf.console import command


def service(options: DemoOptions) -> None:
    """Shows the page; the imports are in the function, so that --help is fast."""
    from tltf.runs import model_folder

    model_folder.open_folder(
        options.run
    )  # a wrong --run must be an error before TensorFlow is imported
    command.load_tensorflow("loading the run")
    from tltf.serving.demo import page

    page.serve(options)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(DemoOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


if __name__ == "__main__":
    command.start(main)
