"""A sequence of steps as one run: each step is a run in RUN/steps/<n>, which goes on from the one before.

What passes from step to step is nothing but what a user who does it by hand has: the network and the
head of the run before (`--backbone=RUN/steps/n-1 --head_weights=RUN/steps/n-1`), what its method has
left in carried.safetensors, and the memory in RUN/memory/<n>.json, which names the rows that later
steps may read. With `rows=memory` or `rows=all` a step starts from the pretrained weights instead. The
last step's run is the one to serve. A sequence that was killed goes on in the step that it was in.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import keras
import numpy as np

from tltf.config import call_strings, checks, options
from tltf.config.call_strings import Call
from tltf.config.catalogs.row import Row
from tltf.config.catalogs.sources import IN_STEPS, SOURCES
from tltf.config.options import Options
from tltf.config.recipe import Recipe
from tltf.console import lines
from tltf.data import fingerprint, kept_rows
from tltf.data.kept_rows import HERDING, KeptRows, Stream
from tltf.data.source import TEST, TRAIN, LoadSettings, Source, Splits
from tltf.data.sources import steps as step_sources
from tltf.errors import DataError, FlagError
from tltf.evaluation.report import wording
from tltf.evaluation.step_accuracies import StepAccuracies
from tltf.experiments import one_run, steps_page
from tltf.experiments.launch import Launch
from tltf.files import untrusted
from tltf.models import loading, prediction_table
from tltf.models.transfer_model import TransferModel
from tltf.runs import folder as runs_folder
from tltf.runs import layout


@dataclasses.dataclass(frozen=True)
class _Sequence:
    """What all steps of a run share.

    Args:
        chosen: the options of the run.
        recipe: its recipe.
        every: the rows of all steps, with their roles.
        names: of the steps.
    """

    chosen: Options
    recipe: Recipe
    every: Source
    names: Sequence[str]

    @property
    def call(self) -> Call[Row]:
        """The call of --data."""
        return self.recipe.source

    @property
    def folder(self) -> pathlib.Path:
        """The run folder of all steps together."""
        return pathlib.Path(self.chosen.output.output)

    @property
    def starts_anew(self) -> bool:
        """Whether every step starts from the pretrained weights."""
        return bool(self.call.kwargs["rows"] != step_sources.STEP)

    def run_of(self, number: int) -> pathlib.Path:
        """The run folder of a step, from 1."""
        return self.folder / layout.STEPS / str(number)

    def memory_after(self, number: int) -> pathlib.Path:
        """The file of the memory after a step; after step 0 there is none."""
        return self.folder / layout.MEMORY / f"{number}.json"

    def rows_of(self, number: int, role: str) -> Source:
        """The rows of a role of one step."""
        numbers = step_sources.numbers_of(self.every)
        return self.every.take(
            np.flatnonzero((numbers == number) & (np.asarray(self.every.roles) == role))
        )


def is_asked_for(recipe: Recipe) -> bool:
    """Whether a run trains several steps: its data is a sequence of which no step is named."""
    source = recipe.source
    return source.name in IN_STEPS and not source.kwargs["step"]


def run(
    chosen: Options,
    recipe: Recipe | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    launch: Launch | None = None,
) -> StepAccuracies | None:
    """Trains every step and judges it on the test rows of all steps.

    Args:
        chosen: the options of the run.
        recipe: what their call strings name; if it is None, they are resolved here.
        callbacks: more callbacks for `fit`, the same objects for every step.
        launch: how the run was started, and how much it prints; None for a call from Python.

    Returns:
        The accuracies; None after a dry run.

    Raises:
        TltfError: a stage of the run fails.
    """
    recipe, launch = recipe or checks.resolve(chosen), launch or Launch()
    _require_whole_steps(chosen, recipe)
    if chosen.output.dry_run:  # it shows the plan of the first step
        first = str(recipe.source.change(step=1))
        one_run.run(options.replace(chosen, data=first))
        return None
    with runs_folder.claim_folder(chosen.output), lines.quiet(chosen.output.quiet):
        settings = LoadSettings(chosen.runtime.seed, chosen.data.scan, target=recipe.label_kind)
        every = recipe.source.build(settings)
        whole = _Sequence(chosen, recipe, every, _names(recipe.source, every))
        parts = Splits({"train": every})
        runs_folder.begin(
            whole.folder,
            chosen,
            "python -m tltf.train --flagfile=run.flags --output=NEW",
            fingerprint.fingerprints(parts),
        )
        return _every_step(whole, callbacks, launch)


def _require_whole_steps(chosen: Options, recipe: Recipe) -> None:
    """Raises FlagError for flags that would hide rows of a step from its run, but not from the memory."""
    name = recipe.source.name
    if recipe.split.name not in ("holdout", "given"):
        what = f"{recipe.split.text} draws rows anew, and {name} says which rows a step has"
        raise FlagError(what, flag="split", fix="--split=holdout, with several --seed")
    if chosen.runtime.seeds > 1:
        what = f"the steps of {name} are trained once"
        raise FlagError(what, flag="seeds", fix="run it once for each --seed")
    if chosen.data.limit:
        what = f"cannot be combined with the steps of {name}"
        raise FlagError(what, flag="limit", fix="num_train= in the data of the steps")
    if chosen.runtime.strategy == "multi_worker":
        what = f"the steps of {name} are trained by one process"
        raise FlagError(what, flag="strategy", fix="--strategy=auto")


def _names(call: Call[Row], every: Source) -> list[str]:
    """The names of the steps: those of the data sets, or of the classes that are new in each.

    Raises:
        DataError: a step has no test rows.
    """
    numbers, labels = step_sources.numbers_of(every), np.asarray(every.labels)
    is_tested, names = np.asarray(every.roles) == TEST, list[str]()
    for number in range(1, int(numbers.max()) + 1):
        if not (is_tested & (numbers == number)).any():
            what = f"step {number} of {call.text} has no test rows to be judged on"
            raise DataError(what, flag="data", fix="data with a test split")
        if "steps" in call.kwargs:
            names.append(call_strings.pick(SOURCES, call.kwargs["steps"][number - 1]).text)
        else:
            classes = np.unique(labels[numbers == number])
            names.append(", ".join(every.class_names[place] for place in classes))
    return names


def _every_step(
    whole: _Sequence, callbacks: Sequence[keras.callbacks.Callback], launch: Launch
) -> StepAccuracies:
    count = len(whole.names)
    matrix, chances = np.full((count, count), np.nan), np.full(count, np.nan)
    for number in range(1, count + 1):
        print(f"step {number} of {count}: {whole.names[number - 1]}")
        if whole.call.kwargs["rows"] == step_sources.MEMORY:
            _remember(whole, number)
        given = _options_of(whole, number)
        if runs_folder.read_status(given.output.output) != "finished":
            one_run.run(
                given, callbacks=callbacks, launch=dataclasses.replace(launch, shows_result=False)
            )
        if whole.call.kwargs["rows"] == step_sources.STEP:
            _remember(whole, number)
        matrix[number - 1], chances[number - 1] = _judge(whole, number)
        print(f"{'accuracy':<{lines.NAME}} {'  '.join(map(_shown, matrix[number - 1]))}")
    found = StepAccuracies(matrix, chances, whole.names)
    steps_page.write(found, whole.folder, whole.chosen)
    runs_folder.write_status(whole.folder, "finished")
    print(steps_page.closing_text(found, whole.folder))
    return found


def _shown(accuracy: float) -> str:
    return wording.NOTHING if np.isnan(accuracy) else wording.percent(accuracy)


def _options_of(whole: _Sequence, number: int) -> Options:
    """The options of a step's run."""
    chosen, kwargs = whole.chosen, whole.call.kwargs
    is_last = number == len(whole.names)
    changed: dict[str, bool | str] = {
        "output": str(whole.run_of(number)),
        "resume": "auto" if chosen.output.resume == "never" else chosen.output.resume,
        "export": chosen.output.export and is_last,
        "baseline": "none" if chosen.output.baseline == "auto" else chosen.output.baseline,
    }
    held = number if kwargs["rows"] == step_sources.MEMORY else number - 1
    is_kept = held > 0 and kwargs["memory"] and kwargs["rows"] != step_sources.ALL
    kept = str(whole.memory_after(held).absolute()) if is_kept else ""
    changed["data"] = str(whole.call.change(step=number, kept=kept))
    if number > 1 and not whole.starts_anew:
        before = str(whole.run_of(number - 1).absolute())
        changed |= {"backbone": before, "backbone_weights": "default", "head_weights": before}
    return options.replace(chosen, **changed)


def _remember(whole: _Sequence, number: int) -> None:
    """Writes the memory after a step, unless it is there already."""
    budget, choice = whole.call.kwargs["memory"], whole.call.kwargs["choice"]
    path = whole.memory_after(number)
    if not budget or path.exists():
        return
    before = kept_rows.read(whole.memory_after(number - 1)) if number > 1 else KeptRows()
    new = whole.rows_of(number, TRAIN)
    names = np.array(new.class_names, object)[np.asarray(new.labels)]
    stream = Stream([str(row) for row in new.ids], names.tolist())
    if choice == HERDING:
        places = {str(row): place for place, row in enumerate(whole.every.ids)}
        old = whole.every.take(np.array([places[row] for row in before.ids], np.int64))
        model = loading.load(str(whole.run_of(number)))
        parts = [model.features(part) for part in (old, new) if len(part)]
        stream = dataclasses.replace(stream, features=np.concatenate(parts))
    seed = whole.chosen.runtime.seed
    kept_rows.update(before, stream, choice, budget, seed).write(path)


def _judge(whole: _Sequence, number: int) -> tuple[np.ndarray, float]:
    """`(accuracies, chance)`: float64[T] on the test rows of every step, after one was learned.

    Those of the steps so far are in the run's own predictions. On a later step the model is judged only
    where it knows all of its classes; the others are NaN.
    """
    run, count = whole.run_of(number), len(whole.names)
    table, _ = prediction_table.read(run / layout.PREDICTIONS)
    is_right = dict(
        zip(table.ids, np.equal(table.truths or [], table.answers).tolist(), strict=True)
    )
    found, model = np.full(count, np.nan), None
    for step in range(1, count + 1):
        part = whole.rows_of(step, TEST)
        if step <= number:
            found[step - 1] = np.mean([is_right[str(row)] for row in part.ids])
            continue
        known = _classes_so_far(whole, number)
        if set(_classes_so_far(whole, step)) <= set(known):
            model = model or loading.load(str(run))
            found[step - 1] = _accuracy(model, part, known)
    return found, 1.0 / len(_classes_so_far(whole, number))


def _classes_so_far(whole: _Sequence, number: int) -> list[str]:
    labels = np.asarray(whole.every.labels)
    is_past = step_sources.numbers_of(whole.every) <= number
    return list(whole.every.class_names[: int(labels[is_past].max()) + 1])


def _accuracy(model: TransferModel, part: Source, known: Sequence[str]) -> float:
    places = {name: place for place, name in enumerate(model.class_names)}
    wanted = np.array([places[known[label]] for label in np.asarray(part.labels).tolist()])
    answers = model.scores(part).argmax(axis=1)
    return float(np.mean(answers == wanted))


def read(run: pathlib.Path | str) -> StepAccuracies:
    """The accuracies in a run folder that `run` wrote.

    Raises:
        ModelError: the file cannot be read.
    """
    found = untrusted.read_json(pathlib.Path(run) / layout.STEPS_JSON)
    values = [[np.nan if value is None else value for value in row] for row in found["accuracies"]]
    return StepAccuracies(np.array(values, float), np.array(found["chances"]), found["names"])
