"""Ranks pretrained networks for a data set by scores of their frozen features, in minutes.

python -m tltf.rank --data='image_folder(path=photos)' --output=FOLDER
python -m tltf.rank --data=fashion_mnist --backbones='efficientnet_lite0|dog_mobilenet_v2' --taps=all

No network is trained: each computes the features of some training rows once, which later runs take from the
cache, and light heads and scores of the literature are computed from them. It prints a table with the cost of each
network, and writes a page to --output where it is given.
"""

import pathlib
import sys
from collections.abc import Sequence

from tltf.config import checks
from tltf.config.rank_options import RankOptions
from tltf.console import command, lines


def service(options: RankOptions) -> None:
    """Ranks as the options say; the imports are in the function, so that --help is fast."""
    checks.require("data", options.data.data)
    with lines.quiet(options.output.quiet):
        command.load_tensorflow(f"reading {options.data.data}")
        from tltf.experiments.ranking import page, ranking

        found = ranking.run(options)
        folder = options.output.output
        path = page.write(found, pathlib.Path(folder)) if folder else None
        print(page.terminal_text(found, path))


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(RankOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


if __name__ == "__main__":
    command.start(main)
