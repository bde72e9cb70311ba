"""Searches flags of a run: many trials, of which the one that is best on validation is kept.

python -m tltf.search --data='vader(domain=movie)' --output=RUN --trials=20 --budget_minutes=60
python -m tltf.search --flagfile=run.flags --output=RUN --space='learning_rate: log(1e-5, 1e-2); method: [full, lp_ft]'

Every trial is a run in RUN/trials, in a process of its own. The same command again goes on with a search that was
interrupted, in the middle of a trial too, and takes part in one that another process or machine runs in the same
folder. It writes a page, RUN/report.html, and RUN/best.flags, which tltf.train takes.
"""

import sys
from collections.abc import Sequence

from tltf.config.search_options import SearchOptions
from tltf.console import command, lines


def service(options: SearchOptions) -> None:
    """Searches as the options say; the imports are in the function, so that --help is fast."""
    from tltf.experiments.search import page, searching

    with lines.quiet(options.output.quiet):
        if options.output.dry_run:
            print(page.plan_text(searching.plan_of(options)))
            return
        found = searching.run(options)
        print(page.terminal_text(found, page.write(found)))


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(SearchOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


if __name__ == "__main__":
    command.start(main)
