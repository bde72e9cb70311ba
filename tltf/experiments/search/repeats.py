"""Trials that would train what an earlier one has trained: they have its score, and take no time.

A method that takes no step of an optimizer, such as a tuned light head, does not look at the learning rate, nor at anything else
in STEP_FLAGS. So trials of it that differ in these alone are one training. The sampler is told its score for each of them, since that is
what each would have reached.
"""

from collections.abc import Mapping

from tltf.config import call_strings
from tltf.config.catalogs import METHODS
from tltf.config.flag_fields import FlagValue
from tltf.config.options import Options
from tltf.experiments.search.trial import COMPLETE, Outcome, TrialRow

STEP_FLAGS = (
    *("learning_rate", "schedule", "warmup_fraction", "clipnorm", "global_clipnorm"),
    *("optimizer", "momentum", "adam_beta_1", "adam_beta_2", "adam_epsilon", "weight_decay"),
    *("train_epochs", "ema_decay", "early_stopping_epochs", "stop_when_learned"),
)
"""Flags that matter to steps of an optimizer alone."""


def answer(
    options: Options, values: Mapping[str, FlagValue], rows: list[TrialRow]
) -> Outcome | None:
    """How a trial ends that would train again what an earlier one has trained; None for another one.

    Args:
        options: of the search.
        values: of the trial.
        rows: the trials that were begun.
    """
    own = used_values(options, values)
    for row in rows:
        if row.is_trained and used_values(options, row.values) == own:
            return Outcome(COMPLETE, row.score, same_as=row.number)
    return None


def used_values(options: Options, values: Mapping[str, FlagValue]) -> dict[str, FlagValue]:
    """Those values of a trial that its method looks at.

    Args:
        options: of the search.
        values: of the trial.
    """
    text = str(values.get("method", options.train.method))
    if text == "auto":
        return dict(values)
    call = call_strings.pick(METHODS, text, "method")
    if call.row is None or call.row.takes_steps(call.kwargs):
        return dict(values)
    return {name: value for name, value in values.items() if name not in STEP_FLAGS}
