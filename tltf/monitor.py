"""Watches live rows: compares them with what the run's model said of its validation rows, and rings.

python -m tltf.monitor --run=RUN --input=predictions.csv
python -m tltf.monitor --run=RUN --input=texts.txt --alarm='drift|surge(label=negative)' --webhook=URL

A call looks at the rows that came since the last one, in windows, so that it can run from cron over a
log that grows. It ends with code 10 where an alarm rings, and writes a page with the series over time.
"""

import sys
from collections.abc import Sequence

from tltf.config.command_options import MonitorOptions
from tltf.console import command


def service(options: MonitorOptions) -> int:
    """Looks at new rows; returns the exit code. The imports are in the function, so that --help is fast."""
    from tltf.serving.monitoring import watch

    found = watch.run(options)
    print(found.text)
    return found.exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(MonitorOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


if __name__ == "__main__":
    command.start(main)
