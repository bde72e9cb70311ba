"""Exports a trained run for serving, and checks the export in a clean process.

python -m tltf.export --run=RUN

The export is RUN/export/<next integer>/, a SavedModel for TF Serving. Other formats are
RUN/export/<format>/<next integer>/, and RUN/export/table.md compares those of one call:

python -m tltf.export --run=RUN --format='saved_model|litert(quantize=int8)|onnx|openvino'
"""

import pathlib
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
    from tltf.config.checks import require
    from tltf.files import atomic_folders
    from tltf.runs import model_folder

    # wrong flags must be an error before TensorFlow is imported
    calls = call_strings.pick_each(FORMATS, options.format, "format")
    require("format", options.format.strip(" |"))
    model_folder.open_folder(options.run)
    exports = options.output or f"{options.run}/{layout.EXPORT}"
    for call in calls:
        atomic_folders.new_version(layout.format_folder(exports, call.name), options.version)
    check = "writing and checking in a clean process" if options.verify else "writing"
    command.load_tensorflow(f"{check} the export of {options.run}")
    from tltf.serving.export import exporting

    folders = exporting.export_run(options, calls)
    print(*folders, sep="\n")
    if (pathlib.Path(exports) / layout.FORMATS_MARKDOWN).is_file() and len(calls) > 1:
        lines.write(f"{'table':<10} {pathlib.Path(exports) / layout.FORMATS_MARKDOWN}")
    if layout.SERVED_FORMAT in {call.name for call in calls}:
        lines.write(f"{'serve':<10} {layout.serve_command(exports, options.run)}")


if __name__ == "__main__":
    command.start(main)
