"""Puts finished runs beside each other: metrics, learning curves, flags, time and disagreements.

python -m tltf.compare RUN OTHER_RUN ...

It prints a table and writes a page. Differences are paired: they are of the test rows that all runs
were judged on, which are found by their contents. In Python: `tltf.compare(["RUN", "OTHER_RUN"])`.
"""

import os
import sys
import types
from collections.abc import Sequence
from typing import Any

from tltf.config import options
from tltf.config.command_options import CompareOptions
from tltf.console import command


def service(chosen: CompareOptions) -> None:
    """Compares as the options say; the imports are in the function, so that --help is fast."""
    command.load_tensorflow("comparing runs")
    from tltf.experiments.comparison import compare_runs

    print(compare_runs.run(chosen))


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(CompareOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


def _compare(runs: Sequence[str | os.PathLike[str]], values: dict[str, bool | float | str]) -> Any:
    command.quiet_tensorflow(debug=False)
    command.load_tensorflow()
    from tltf.experiments.comparison import compare_runs

    folders = [os.fspath(getattr(run, "folder", run)) for run in runs]
    return compare_runs.run(options.make(CompareOptions, runs=",".join(folders), **values))


class _CallableModule(types.ModuleType):
    """This module, which is also the function `tltf.compare` of programs and notebooks."""

    def __call__(
        self,
        runs: Sequence[str | os.PathLike[str]],
        *,
        output: str | os.PathLike[str] = "",
        **flags: bool | float | str,
    ) -> Any:
        """Compares finished runs; the result shows its page in a notebook.

        Args:
            runs: folders of two runs or more, or of evaluations of runs; or what `tltf.fit` gave.
            output: folder of the page; empty: the next one in `comparisons` of the first run.
            flags: any flag of `python -m tltf.compare` by its name, such as `examples=6`.

        Returns:
            tltf.experiments.comparison.compare_runs.ShownComparison

        Raises:
            FlagError: fewer than two runs, or runs that predict different things.
            ModelError: a run cannot be read.
        """
        return _compare(runs, {**flags, "output": os.fspath(output)})


sys.modules[__name__].__class__ = _CallableModule

if __name__ == "__main__":
    command.start(main)
