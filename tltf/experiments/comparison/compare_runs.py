"""Compares finished runs, as the command and `tltf.compare` do."""

import dataclasses
import pathlib

from tltf.config.command_options import CompareOptions
from tltf.experiments import notebook_page
from tltf.experiments.comparison import comparison, finished_run, page
from tltf.experiments.comparison.comparison import Comparison
from tltf.files import atomic_folders
from tltf.runs import layout


@dataclasses.dataclass(frozen=True, repr=False)
class ShownComparison:
    """A comparison of runs, which shows itself on a terminal and in a notebook.

    Args:
        comparison: what was found.
        path: the page.
    """

    comparison: Comparison
    path: pathlib.Path

    def __repr__(self) -> str:
        return page.terminal_text(self.comparison, self.path)

    def _repr_html_(self) -> str:
        return notebook_page.as_frame(self.path)


def run(options: CompareOptions) -> ShownComparison:
    """Compares the runs that the options name, and writes the page.

    Raises:
        FlagError: fewer than two runs, one that is not there, or runs that predict different things.
        ModelError: what a folder holds cannot be read.
        StorageError: the page cannot be written.
    """
    folders = [name for name in options.runs.split(",") if name]
    runs = finished_run.read_runs(folders)
    found = comparison.make(runs, options.examples)
    folder = pathlib.Path(options.output) if options.output else next_folder(runs[0].folder)
    return ShownComparison(found, page.write(found, folder))


def next_folder(run: pathlib.Path) -> pathlib.Path:
    """The folder of the next comparison of a run with others: RUN/comparisons/<next integer>."""
    return atomic_folders.new_version(run / layout.COMPARISONS)
