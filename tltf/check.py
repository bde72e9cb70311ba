"""Scans a data set as training does and prints what is in it, without training.

python -m tltf.check --data='image_folder(path=photos)'
python -m tltf.check --data='csv(path=all.csv, text=text, label=tags)' --head=multi_label --output=FOLDER
"""

import sys
from collections.abc import Sequence

from tltf.config import checks
from tltf.config.command_options import CheckOptions
from tltf.config.recipe import DataRecipe
from tltf.console import command


def service(options: CheckOptions) -> None:
    """Scans as the options say; the imports are in the function, so that --help is fast."""
    checks.require("data", options.data)
    recipe = checks.resolve_data(
        options.data, options.split, options.head, options.augment, options.output
    )
    if not _is_table_of_texts(recipe):
        command.load_tensorflow(f"scanning {recipe.source.text}")
    from tltf.data import summary

    parts = summary.run(options, recipe)
    if options.output:
        command.load_tensorflow("drawing samples")
        from tltf.experiments import samples

        samples.write_page(options, recipe, parts)


def _is_table_of_texts(recipe: DataRecipe) -> bool:
    """Whether the data can be scanned without TensorFlow, whose import takes longer than the scan."""
    is_table = recipe.source.name in ("csv", "jsonl") and bool(recipe.source.kwargs["text"])
    return is_table and not recipe.orders_classes


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(CheckOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


if __name__ == "__main__":
    command.start(main)
