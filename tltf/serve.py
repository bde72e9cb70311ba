"""Serves the export of a run over HTTP, on the paths of TF Serving's REST interface.

python -m tltf.serve --run=RUN
curl localhost:8501/v1/models/RUN:predict -d '{"instances": ["a fine film"]}'

Requests that come at the same time are computed together. /metrics has figures for Prometheus. It is
for one machine: a server that many depend on is TF Serving, which reads the same export.
"""

import importlib
import sys
from collections.abc import Sequence

from tltf.config import call_strings
from tltf.config.command_options import ServeOptions
from tltf.console import command

NEEDED = ("uvicorn", "starlette", "prometheus_client")
"""The packages of the extra `serve` without which there is no server."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(ServeOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


def service(options: ServeOptions) -> None:
    """Serves as the options say; the imports are in the function, so that --help is fast."""
    from tltf.serving import served_folders

    # a wrong flag must be an error before TensorFlow is imported
    served_folders.choose(served_folders.folder_of(options), options.versions)
    try:
        for name in NEEDED:
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise call_strings.missing_extra(error, "serve") from error
    command.load_tensorflow("serving")
    from tltf.serving.server import running

    running.serve(options)


if __name__ == "__main__":
    command.start(main)
