"""The best configuration of a search: its flagfile, the report of its trial, and the run on more rows."""

import pathlib

from tltf.config import flagfiles, paths
from tltf.config.call_strings import name_of
from tltf.config.flag_fields import FlagValue
from tltf.config.options import Options, flag_values, flags_of, replace
from tltf.console import lines
from tltf.experiments.search import child
from tltf.experiments.search.trial import TrialRow
from tltf.experiments.search.wording import score_text
from tltf.runs import folder as runs_folder
from tltf.runs import layout

SOLVED = "linear_probe(solver=lbfgs)"
"""What trains the start of a solved head alone."""


def finish(folder: pathlib.Path, options: Options, row: TrialRow, *, retrains: bool) -> list[str]:
    """Writes best.flags, evaluates the best trial and trains it again where asked; what could not be done.

    Args:
        folder: of the search.
        options: the run that was searched.
        row: the best trial.
        retrains: whether it is trained again on training and validation rows.
    """
    chosen = replace(options, **row.values)
    write_flags(folder / layout.BEST_FLAGS, chosen, row)
    jobs = {layout.trial_folder(folder, row.number): chosen}
    if retrains:
        jobs[folder / layout.RETRAINED] = on_all_rows(chosen, row)
    notes = []
    for run, one in jobs.items():
        status = runs_folder.read_status(run)
        is_same = bool(status) and is_run_of(run, one)
        if status == "finished" and is_same:
            continue
        what = "evaluating the best trial" if status else "training the best on more rows"
        lines.say("best", what)
        own = replace(
            one,
            output=str(run),
            quiet=True,
            overwrite=status == "finished",
            resume="auto" if is_same or not status else "never",
        )
        if reason := child.run_training(run, own):
            notes.append(f"{what} failed: {reason}; see {run / layout.CONSOLE_LOG}")
    return notes


def is_run_of(run: pathlib.Path, options: Options) -> bool:
    """Whether the run in a folder has these values of all flags that are given and change its training."""
    old, values = flag_values(runs_folder.read_options(run)), flag_values(options)
    defaults = {name: flag.default for name, flag in flags_of(Options).items()}
    given = [name for name, value in values.items() if value != defaults[name]]
    names = [name for name in given if name not in _NOT_TRAINED]
    return all(paths.make_absolute(name, values[name]) == old[name] for name in names)


_NOT_TRAINED = (
    *("output", "title", "baseline", "explain", "export", "export_format", "track"),
    *("quiet", "overwrite", "resume", "dry_run", "near_duplicates"),
)


def write_flags(path: pathlib.Path, options: Options, row: TrialRow) -> None:
    """Writes the flags of a trial that are not the defaults, with paths that are right from everywhere."""
    head = [
        f"python -m tltf.train --flagfile={path.name} --output=NEW",
        f"Trial {row.number}: {score_text(row.score)} on validation.",
    ]
    flagfiles.write_given(path, options, head)


def on_all_rows(options: Options, row: TrialRow) -> Options:
    """The options that train on training and validation rows: without validation the last epoch is kept.

    Where the trial kept one epoch of all, that is how many epochs are trained; where it kept its solved head, that is
    all that is trained.
    """
    values: dict[str, FlagValue] = {
        "split": split_without_validation(options.data.split),
        "seeds": 1,
        "keep": "auto",
        "early_stopping_epochs": 0,
        "metric": "auto",
    }
    kept = row.score.best_epoch if row.score else None
    if kept == 0:
        values["method"] = SOLVED
    elif kept is not None:
        values["train_epochs"] = kept
    return replace(options, **values)


def split_without_validation(split: str) -> str:
    """The split whose training rows are those and the validation rows of another; all rows, for one in folds."""
    from tltf.config import call_strings
    from tltf.config.catalogs import SPLITS

    merged = call_strings.pick(SPLITS, "holdout(train_on_validation=true)", "split")
    if name_of(split) == "holdout":
        return call_strings.pick(SPLITS, split, "split").change(train_on_validation=True).text
    return merged.text if name_of(split) == "given" else merged.change(test=0.0).text
