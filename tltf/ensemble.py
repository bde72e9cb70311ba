"""Makes one model of several finished runs: selected members, or a regression on their answers.

python -m tltf.ensemble RUN OTHER_RUN ... --output=NEW
python -m tltf.ensemble runs/a runs/b runs/c --combine=stacking --output=runs/all

The members are chosen on validation rows, which no member was trained on. The result is a run: tltf.predict,
tltf.evaluate, tltf.export and tltf.serve take it, and its report says what each member is worth, what the
ensemble costs, and whether it pays.
"""

import sys
from collections.abc import Sequence

from tltf.config import checks
from tltf.config.ensemble_options import EnsembleOptions
from tltf.console import command, lines


def service(options: EnsembleOptions) -> None:
    """Makes the ensemble; the imports are in the function, so that --help is fast."""
    for name in ("runs", "output"):
        checks.require(name, getattr(options, name))
    with lines.quiet(options.quiet):
        command.load_tensorflow("reading the runs")
        from tltf.experiments.ensembles import ensemble_run

        ensemble_run.run(options)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    return command.run(EnsembleOptions, service, sys.argv[1:] if argv is None else argv, __doc__)


if __name__ == "__main__":
    command.start(main)
