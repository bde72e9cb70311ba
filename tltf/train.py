"""Trains, evaluates, reports and exports a transferred model.

python -m tltf.train --data='vader(domain=movie)' --backbone=minilm_l6 --output=RUN
python -m tltf.train --flagfile=configs/mnist_5k_efficientnet_lite0_full.flags --output=RUN
python -m tltf.train --data='csv(path=all.csv, text=text, label=label)' --output=RUN --budget_minutes=30
"""

import functools
import shlex
import sys
import time
from collections.abc import Callable, Sequence

from tltf.config import checks
from tltf.config.options import run_options
from tltf.config.preset_options import NONE, TrainCommandOptions
from tltf.console import command, lines, streams


def service(options: TrainCommandOptions, typed: str = "") -> None:
    """Trains as the options say; the imports are in the function, so that --help is fast.

    Args:
        options: the options of the run.
        typed: the command as it was written; empty where it is not known.
    """
    recipe, began = checks.resolve(options), time.monotonic()
    with lines.quiet(options.output.quiet):
        command.load_tensorflow(f"reading {recipe.source.text}")
        from tltf.experiments import one_run, round_plan, rounds, steps
        from tltf.experiments.launch import Launch

        run: Callable[..., object] = (
            rounds.run if round_plan.is_asked_for(options, recipe) else one_run.run
        )
        if steps.is_asked_for(recipe):
            run = steps.run
        with streams.survive_closed_output(options.output.output):
            if options.presets.name != NONE:
                from tltf.experiments.presets import preset_run
                from tltf.experiments.presets.budget import Budget

                budget = Budget(options.presets.budget_s, began)
                preset_run.run(options, recipe, Launch(typed), budget)
                return
            chosen = run_options(options)
            if chosen.model.backbone == checks.AUTO:
                from tltf.experiments.advice import automatic

                chosen, recipe = automatic.choose_network(chosen, recipe)
            run(chosen, recipe, launch=Launch(typed))


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code for command-line arguments without the program's name."""
    given = sys.argv[1:] if argv is None else argv
    typed = shlex.join(["python", "-m", "tltf.train", *given])
    return command.run(TrainCommandOptions, functools.partial(service, typed=typed), given, __doc__)


if __name__ == "__main__":
    command.start(main)
