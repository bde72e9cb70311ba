"""The rows of a pool that may be asked for, their features, and what the run has learned before."""

import contextlib
import dataclasses
import warnings

import numpy as np

from tltf.active_learning import light_head
from tltf.active_learning.light_head import LightHead
from tltf.caching import frozen_outputs
from tltf.caching.frozen_outputs import NotCached
from tltf.config import call_strings
from tltf.config.catalogs import SOURCES
from tltf.config.command_options import InputOptions
from tltf.config.label_options import LabelOptions
from tltf.data import label_kinds, loader, run_data, trained_rows
from tltf.data.source import LoadSettings, Source
from tltf.data.sources import in_memory
from tltf.errors import DataError, FlagError, TltfError
from tltf.models import prediction_rows
from tltf.models.transfer_model import TransferModel


@dataclasses.dataclass(frozen=True)
class Learned:
    """Rows with labels that the head learns beside those of the person.

    Args:
        features: float32[L, d].
        labels: int64[L], places of classes.
    """

    features: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class PoolRows:
    """A pool that is ready to be asked from.

    Args:
        source: its rows, each content once and none that the run was trained on.
        features: float32[N, d] of them.
        class_names: of the run, then the new ones.
        learned: training rows of the run.
        families: of the head that is fitted.
        about: what was left out of the pool, in sentences.
    """

    source: Source
    features: np.ndarray
    class_names: tuple[str, ...]
    learned: Learned
    families: str
    about: tuple[str, ...] = ()

    def fit_head(self, places: np.ndarray, labels: np.ndarray, seed: int) -> LightHead | None:
        """The head of the rows `places` with their labels and of `learned`; None for one class only."""
        known, classes = self.known(places), np.concatenate([self.learned.labels, labels])
        return light_head.fit_head(known, classes, len(self.class_names), seed, self.families)

    def known(self, places: np.ndarray) -> np.ndarray:
        """float32[L + M, d]: the features of `learned`, then of the rows `places`, int64[M]."""
        return np.concatenate([self.learned.features, self.features[places]])


def prepare(model: TransferModel, options: LabelOptions) -> PoolRows:
    """The pool that the options name, with the features that the run's backbone gives.

    Raises:
        FlagError: the run does not predict classes, the pool is not of its inputs, or more labels are
            asked for than there are rows.
        DataError: the pool has no rows that the run was not trained on.
    """
    if model.core.head.target != label_kinds.CLASS:
        what = (
            f"predicts {model.core.head.name}, and labels are asked for runs that predict one class"
        )
        raise FlagError(what, flag="run", fix="a run with --head=classify")
    given = [name.strip() for name in options.new_classes.split(",") if name.strip()]
    names = tuple(dict.fromkeys([*model.class_names, *given]))
    source, about = _usable(load(model, options.pool), options.run)
    _require_enough(source, options)
    features = features_of(model, source, options.eval_batch_size)
    learned = _learned(model, options, names, features.shape[1])
    return PoolRows(source, features, names, learned, options.families, about)


def load(model: TransferModel, text: str) -> Source:
    """The Source of --pool: a call string of SOURCES, or paths as --input of tltf.predict has them.

    Raises:
        FlagError: there is no such source or path, or it holds other inputs than the run takes.
        DataError: it cannot be read.
    """
    modality, fields = model.core.backbone.modality, model.preprocessing.fields
    name = call_strings.name_of(text)
    if name in SOURCES or call_strings.is_outside(name):
        source = loader.load(text, least_classes=1)
    else:
        source = _source_of_paths(model, text)
    if source.modality != modality or (modality == "text" and tuple(source.fields) != fields):
        has = f"has {', '.join(source.fields)}"
        raise FlagError(f"{has}, and the run takes {', '.join(fields)}", flag="pool")
    return source


def _source_of_paths(model: TransferModel, text: str) -> Source:
    asked = prediction_rows.asked_of(model)
    try:
        items = list(prediction_rows.items_of(asked, InputOptions(input=text)))
    except TltfError as error:
        error.flag = "pool" if error.flag == "input" else error.flag
        raise
    good = [item for item in items if not item.error]
    if len(good) < len(items):
        first = next(item for item in items if item.error)
        what = f"{len(items) - len(good)} rows of the pool cannot be read: {first.id} {first.error}"
        warnings.warn(what, stacklevel=3)
    if not good:
        raise DataError("has no rows that can be read", flag="pool", place=text)
    if asked.modality == "image":
        columns = {"image": [item.value for item in good]}
        request = in_memory.MemoryRequest(image="image", label="")
    else:
        rows = [item.value if isinstance(item.value, tuple) else (item.value,) for item in good]
        columns = dict(zip(asked.fields, map(list, zip(*rows, strict=True)), strict=True))
        request = in_memory.MemoryRequest(text="|".join(asked.fields), label="")
    part = in_memory.MemoryPart(None, columns, [item.id for item in good])
    return in_memory.read(LoadSettings(least_classes=1), [part], request)


def _usable(source: Source, run: str) -> tuple[Source, tuple[str, ...]]:
    """The rows without copies and without those that the run was trained on, and what was left out."""
    about = []
    if source.labels is not None:
        about.append("The pool has labels, which are not looked at.")
    _, first = np.unique(source.content_hashes(), return_index=True)
    is_left = np.zeros(len(source), bool)
    is_left[first] = True
    if not is_left.all():
        about.append(f"{np.count_nonzero(~is_left):,} rows are copies of others and are left out.")
    was_trained = trained_rows.find_trained(run, source)
    if was_trained is None:
        about.append("The run does not say which rows it was trained on, so none is left out.")
    elif (is_left & was_trained).any():
        count = np.count_nonzero(is_left & was_trained)
        about.append(f"{count:,} rows are left out, because the run was trained on them.")
        is_left &= ~was_trained
    if not is_left.any():
        what = (
            "every row of the pool is one that the run was trained on"
            if len(source)
            else "is empty"
        )
        raise DataError(what, flag="pool", fix="--pool=OTHER_ROWS")
    return source.take(np.flatnonzero(is_left)), tuple(about)


def _require_enough(source: Source, options: LabelOptions) -> None:
    for flag, count in (("num_labels", options.num_labels), ("per_round", options.per_round)):
        if count is not None and count > len(source):
            what = f"asks for {count:,} labels, and the pool has {len(source):,} rows"
            raise FlagError(what, flag=flag, fix=f"--{flag}={len(source)}")


def features_of(model: TransferModel, source: Source, batch_size: int) -> np.ndarray:
    """float32[N, d]: the pooled features of a Source, from the run's cache where they are there."""
    reading = frozen_outputs.Reading(source, model.preprocessing, model.takes_any_length)
    if model.options:
        with contextlib.suppress(NotCached):
            table = model.feature_cache.table(model.feature_model(), reading)
            return next(iter(table.arrays(np.float32).values()))
    return model.features(source, batch_size)


def _learned(
    model: TransferModel, options: LabelOptions, names: tuple[str, ...], width: int
) -> Learned:
    """Training rows of the run; none, with a warning, where its data cannot be read."""
    nothing = Learned(np.empty((0, width), np.float32), np.empty(0, np.int64))
    if not options.training_rows:
        return nothing
    try:
        part = run_data.load_parts(options.run).train.reorder_classes(names)
    except TltfError as error:
        what = f"the head learns from the new labels alone: {error.what}"
        warnings.warn(what, stacklevel=3)
        return nothing
    random = np.random.default_rng(options.seed)
    part = part.take(np.sort(random.permutation(len(part))[: options.training_rows]))
    features = features_of(model, part, options.eval_batch_size)
    return Learned(features, np.asarray(part.labels, np.int64))
