"""The runs that may be members of an ensemble, read and compared."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from tltf.console import lines
from tltf.data import fingerprint, run_data, trained_rows
from tltf.data.source import TEST, VALIDATION, Splits
from tltf.errors import FlagError, ModelError
from tltf.experiments.comparison import finished_run
from tltf.experiments.ensembles import answers
from tltf.graphs import functional
from tltf.models import ensembles, loading
from tltf.models.ensembles import Member
from tltf.models.transfer_model import TransferModel
from tltf.runs import checkpoints, origin, snapshots
from tltf.training import fit_state
from tltf.training.fit_state import Arrays

LAST = "last epoch"
"""What the weights of the last epoch of a run are called, as a candidate."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model that may be a member.

    Args:
        name: the end of the path of its run, with what tells it from others of this run.
        run: the run folder.
        is_last: whether it has the weights of the last epoch, and not those that the run kept.
        epoch: number of the epoch whose snapshot it is; 0 for none.
    """

    name: str
    run: pathlib.Path
    is_last: bool = False
    epoch: int = 0

    def load(self) -> TransferModel:
        """The model.

        Raises:
            FlagError: it has several heads, or is an ensemble itself.
            ModelError: it cannot be read.
        """
        model = loading.load_one_head(self.run, "tltf.ensemble", "runs")
        if model.core.backbone.members:
            what = f"{self.run} is an ensemble itself ({', '.join(model.core.backbone.members)})"
            raise FlagError(what, flag="runs", fix="name its members beside the others")
        if model.options is None:
            raise ModelError("has no flags, so its data is not known", place=self.run)
        weights = self.weights()
        if self.epoch and weights:
            # what only the training had, such as the head of a loss, is gone
            names = functional.named_weights(model.core.model.layers)
            weights = {name: array for name, array in weights.items() if name in names}
        if weights is not None and not set_weights(model, weights):
            what = f"{model.run_options.train.method} changed the network when its training was over, so that weights from before do not fit it"
            raise ModelError(what, place=self.run, fix="leave out --snapshots, or this run")
        return model

    def weights(self) -> Arrays | None:
        """The weights that are not those that the run kept; None where it has those."""
        if self.epoch:
            return snapshots.read(self.run, self.epoch)
        if not self.is_last:
            return None
        saved = checkpoints.newest(self.run)
        return fit_state.arrays_under(saved, "weights/") if saved else {}


@dataclasses.dataclass(frozen=True)
class Library:
    """All candidates with what they say of the rows.

    Args:
        candidates: in the order of the command.
        models: of each, whose layers are in one joint graph by now, but for their heads and options.
        splits: of the runs.
        scores: role -> float32[N, K] of each candidate.
        ms_per_example: of each candidate by itself.
    """

    candidates: list[Candidate]
    models: list[TransferModel]
    splits: Splits
    scores: dict[str, list[np.ndarray]]
    ms_per_example: list[float]

    @property
    def judged(self) -> str:
        """The role of the rows that the report is about."""
        return TEST if self.splits.test else VALIDATION


def read(folders: Sequence[str], with_snapshots: bool, batch_size: int) -> Library:
    """The Library of some run folders.

    Args:
        folders: of the runs.
        with_snapshots: whether the snapshots of each run are candidates too, or the weights of its last epoch.
        batch_size: rows per step.

    Raises:
        FlagError: the runs do not go together, or there is only one candidate.
        ModelError: a run cannot be read.
    """
    pairs = load_distinct(candidates_of(folders, with_snapshots))
    found, models = [candidate for candidate, _ in pairs], [model for _, model in pairs]
    _require_two(found, with_snapshots)
    _require_one_task(found, models)
    splits = run_data.load_parts(str(found[0].run))
    for candidate in found:
        require_same_rows(candidate.run, found[0].run, splits)
    for model, candidate in zip(models, found, strict=True):
        lines.say("candidate", f"{candidate.name}: {model.run_options.train.method}")
    members = [
        Member(candidate.name, model.core, model.preprocessing)
        for candidate, model in zip(found, models, strict=True)
    ]
    scores, times = answers.compute(members, splits, batch_size)
    return Library(found, models, splits, scores, times)


def candidates_of(folders: Sequence[str], with_snapshots: bool) -> list[Candidate]:
    """The candidates in some run folders, of which each may have more than one.

    Raises:
        FlagError: a folder is named twice, or there are fewer than two candidates.
    """
    paths = [pathlib.Path(folder) for folder in folders]
    if len({path.resolve() for path in paths}) < len(paths):
        raise FlagError("names a run folder twice", flag="runs", fix="name each run once")
    found = list[Candidate]()
    for path, name in zip(paths, finished_run.short_names(paths), strict=True):
        found.append(Candidate(name or path.name, path))
        found += _earlier(path, name or path.name) if with_snapshots else []
    _require_two(found, with_snapshots)
    return found


def _earlier(run: pathlib.Path, name: str) -> list[Candidate]:
    """The candidates of a run besides the weights that it kept: its snapshots, or else its last epoch."""
    epochs = snapshots.epochs_of(run)
    if epochs or not has_last_weights(run):
        return [Candidate(f"{name} (epoch {epoch})", run, epoch=epoch) for epoch in epochs]
    return [Candidate(f"{name} ({LAST})", run, is_last=True)]


def _require_two(found: Sequence[Candidate], with_snapshots: bool) -> None:
    if len(found) < 2:
        what = f"takes two candidates or more (received {len(found)})"
        if with_snapshots:
            what += "; a run that was trained with --snapshots=5 gives up to five more, any other at most one"
        raise FlagError(what, flag="runs", fix="python -m tltf.ensemble RUN OTHER_RUN --output=NEW")


def load_distinct(found: Sequence[Candidate]) -> list[tuple[Candidate, TransferModel]]:
    """Each candidate with its model, without the snapshots whose weights are those that their run kept.

    Args:
        found: the candidates of a run stand together, and the weights that it kept are the first.
    """
    pairs, kept = list[tuple[Candidate, TransferModel]](), Arrays()
    for candidate in found:
        model = candidate.load()
        own = functional.weights_of(model.core.model)
        if candidate.epoch and not _differ(kept, own):
            continue
        kept = kept if candidate.epoch or candidate.is_last else own
        pairs.append((candidate, model))
    return pairs


def _differ(kept: Arrays, other: Arrays) -> bool:
    """Whether any array that both have differs."""
    return any(
        name in other and not np.array_equal(array, other[name]) for name, array in kept.items()
    )


def has_last_weights(run: pathlib.Path) -> bool:
    """Whether the newest checkpoint of a run has the weights of another epoch than it kept."""
    saved = checkpoints.newest(run)
    if saved is None:
        return False
    return _differ(*(fit_state.arrays_under(saved, prefix) for prefix in ("best/", "weights/")))


def set_weights(model: TransferModel, arrays: Arrays) -> bool:
    """Gives a model of a run other weights of its training; returns whether they fit it.

    They do not where the method changed the network when the training was over.
    """
    variables = functional.named_weights(model.core.model.layers)
    fits = bool(arrays) and all(
        name in variables and tuple(variables[name].shape) == array.shape
        for name, array in arrays.items()
    )
    for name, array in arrays.items() if fits else ():
        variables[name].assign(array)
    return fits


def _require_one_task(candidates: Sequence[Candidate], models: Sequence[TransferModel]) -> None:
    """Raises FlagError where the runs do not answer the same question."""
    ensembles.head_call_of([model.core.only.call for model in models])
    first = models[0]
    for candidate, model in zip(candidates, models, strict=True):
        if model.class_names != first.class_names:
            own, other = ", ".join(model.class_names[:5]), ", ".join(first.class_names[:5])
            what = f"{candidate.run} has the classes {own}, and {candidates[0].run} has {other}"
            raise FlagError(what, flag="runs", fix="runs that were trained on the same classes")
        fields = model.preprocessing.fields, first.preprocessing.fields
        if model.core.backbone.modality != first.core.backbone.modality or fields[0] != fields[1]:
            what = f"{candidate.run} takes {' and '.join(fields[0])}, and {candidates[0].run} takes {' and '.join(fields[1])}"
            raise FlagError(what, flag="runs", fix="runs that take the same examples")


def require_same_rows(run: pathlib.Path, first: pathlib.Path, splits: Splits) -> None:
    """Checks that a run held out the rows by which members are chosen and judged.

    Args:
        run: its folder.
        first: the folder of the run whose splits are taken.
        splits: these splits.

    Raises:
        FlagError: it has other validation or test rows, or was trained on some of them.
    """
    noted, own = origin.read_data(run), fingerprint.fingerprints(splits)
    if not noted:
        noted = fingerprint.fingerprints(run_data.load_parts(str(run)))
    fix = "runs with the same --data, --split and --seed, or data whose splits are given"
    for role in (VALIDATION, TEST):
        key = f"{role} split"
        if noted.get(key) != own.get(key):
            told = noted.get(key, "none"), own.get(key, "none")
            what = f"{run} has other {role} rows than {first}: {told[0]} against {told[1]}"
            raise FlagError(what, flag="runs", fix=fix)
    for role in (VALIDATION, TEST):
        part = splits.get(role)
        is_trained = trained_rows.find_trained(str(run), part) if part else None
        if is_trained is not None and is_trained.any():
            count = f"{int(is_trained.sum())} of the {len(is_trained)} {role} rows"
            what = f"{run} was trained on {count}, so that it would look better than it is"
            raise FlagError(what, flag="runs", fix=fix)
