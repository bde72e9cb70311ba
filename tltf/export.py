"""Exports a trained run for serving, and checks the export in a clean process.

python -m tltf.export --run=RUN

The export is RUN/export/<next integer>/, a SavedModel for TF Serving.
"""

import sys
from collections.abc import Sequence

from tltf.config.command_options import ExportOptions
from tltf.console import command, lines
from tltf.runs import layout


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(ExportOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


def service(options: ExportOptions) -> None:
    """Exports as the options say; prints the new folder, and the command that serves it."""
    from tltf.config import call_strings
    from tltf.config.catalogs import FORMATS
    from tltf.files import atomic_folders
    from tltf.runs import model_folder

    # wrong flags must be an error before TensorFlow is imported
    call = call_strings.pick(FORMATS, options.format, "format")
    model_folder.open_folder(options.run)
    atomic_folders.new_version(options.output or f"{options.run}/{layout.EXPORT}", options.version)
    check = "writing and checking in a clean process" if options.verify else "writing"
    command.load_tensorflow(f"{check} the export of {options.run}")
    from tltf.serving.export import saved_model

    folder = saved_model.export_run(options, call)
    print(folder)
    lines.write(f"{'serve':<10} {layout.serve_command(folder.parent, options.run)}")


if __name__ == "__main__":
    command.start(main)
