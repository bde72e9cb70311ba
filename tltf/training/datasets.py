"""Makes the Feed of a fit: training batches, the splits that judge it, and both above a frozen prefix."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import cast

import keras
import numpy as np
import tensorflow as tf

from tltf.caching import feature_cache, frozen_outputs
from tltf.caching.frozen_outputs import Table, View
from tltf.config import call_strings, defaults
from tltf.config.call_strings import Call
from tltf.config.catalogs import AUGMENTS
from tltf.config.catalogs.row import AugmentRow
from tltf.data import augment as augmentation
from tltf.data import lookups, pipeline, unlabelled
from tltf.data.class_weights import class_weights
from tltf.data.fingerprint import fingerprint
from tltf.data.label_kinds import several
from tltf.data.lookups import Lookup
from tltf.data.ordering import GivenOrder
from tltf.data.source import Source
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.errors import FlagError
from tltf.graphs import frozen_prefix
from tltf.graphs.core import Core
from tltf.methods.method import MakeInputs
from tltf.models.transfer_model import TransferModel
from tltf.training.callbacks import non_finite
from tltf.training.feed import Above, Batch, Batches, DataAbove, Feed, JudgedData


def build(trained: TransferModel, strategy: tf.distribute.Strategy) -> Feed:
    """The `Feed` of a run.

    Args:
        trained: TransferModel with its options and splits.
        strategy: tf.distribute.Strategy.

    Raises:
        FlagError: the devices cannot share a batch evenly.
    """
    train, num_replicas = trained.run_options.train, strategy.num_replicas_in_sync
    batch_size = cast(int, train.batch_size)  # it is chosen by now
    if batch_size % num_replicas:
        what = f"{batch_size} rows cannot be shared evenly by {num_replicas} devices"
        fix = f"--batch_size={-(-batch_size // num_replicas) * num_replicas}"
        raise FlagError(what, flag="batch_size", fix=fix)
    builder = _Builder(trained)
    return Feed(
        builder.training,
        len(trained.splits["train"]),
        builder.split_in_order("validation"),
        builder.split_in_order("test") if train.watch_test else None,
        fingerprint(trained.splits["train"]),
        builder.data_above,
        builder.dataset_above if trained.run_options.cache.cache else None,
        builder.used_ids,
        tuple(trained.class_names),
        lambda: builder.in_order(builder.parts["train"]),
        builder.batch,
        lambda role: builder.parts[role].ids,
        builder.origins,
        functools.partial(_probe_scores, trained) if is_probe_a_baseline(trained) else None,
        builder.unlabelled(),
        builder.unlabelled_in_order if read_role(trained) else None,
        len(trained.splits.get(read_role(trained)) or ()),
    )


def is_probe_a_baseline(trained: TransferModel) -> bool:
    """Whether the head that the method solves for first is the run's linear baseline."""
    recipe = trained.recipe
    if recipe is None or recipe.method is None or "test" not in trained.splits:
        return False
    return "logistic" in (recipe.baselines or ()) and defaults.solves_first(recipe.method)


def _probe_scores(trained: TransferModel, core: Core, above: Above | None) -> np.ndarray:
    """float32[M, C]: what a core states of the test split."""
    solved = dataclasses.replace(trained, core=core, above=above)
    return solved.scores(trained.splits["test"], trained.eval_batch_size)


def frozen_features(trained: TransferModel) -> dict[str, np.ndarray]:
    """Role -> float32[N, d], the pooled backbone features of each split; cached where possible.

    Those that do not fit --cache_memory_mb are memory maps.
    """
    options, model = trained.run_options, trained.feature_model()
    cache = trained.feature_cache

    def features(part: Source, role: str) -> np.ndarray:
        reading = frozen_outputs.Reading(
            part, trained.preprocessing, trained.takes_any_length, role=role
        )
        try:
            table = cache.table(model, reading)
            return next(iter(table.arrays(np.float32).values()))
        except frozen_outputs.NotCached:
            return trained.features(part, trained.eval_batch_size)

    if not options.cache.cache:
        return {role: trained.features(part) for role, part in trained.splits.items()}
    return {role: features(part, role) for role, part in trained.splits.items()}


def read_role(trained: TransferModel) -> str:
    """The role of the rows without labels that the method of a model learns from; "" for none."""
    method = trained.recipe.method if trained.recipe else None
    reads = method.row.reads if method and method.row else ()
    return next((role for role in reads if role in trained.splits), "")


class _Builder:
    """Makes the datasets of a run's splits."""

    def __init__(self, trained: TransferModel) -> None:
        self.trained = trained
        self.options, self.parts = trained.run_options, trained.splits
        recipe, text = trained.recipe, self.options.data.augment
        self.augment = augmentation.pick_batch_changes(recipe.augments if recipe else text)

    @property
    def cache(self) -> feature_cache.Cache:
        """The cache of the run, which all that needs features share."""
        return self.trained.feature_cache

    @functools.cached_property
    def texts(self) -> Lookup | None:
        """Lookup of the training texts, which are tokenized once; None for images."""
        part = self.parts["train"]
        if part.modality != "text":
            return None
        return lookups.build_lookup(part, self.trained.preprocessing, cache_bytes=0)

    def used_ids(self) -> dict[str, np.ndarray]:
        """Input name -> int32[n], the token ids that training texts can have; {} for images."""
        if not self.texts:
            return {}
        count, size = len(self.parts["train"]), lookups.TOKENIZED_AT_ONCE
        starts = (tf.range(s, min(s + size, count), dtype=tf.int64) for s in range(0, count, size))
        found = [np.unique(self.texts.inputs_of(rows)["token_ids"]) for rows in starts]
        used = np.unique(np.concatenate(found))
        if self.augment:  # it may replace tokens by the mask, whose embedding is then trained
            mask = cast(TextPreprocessing, self.trained.preprocessing).mask_id()
            used = np.union1d(used, mask).astype(used.dtype)
        return {"token_ids": used}

    def training(
        self,
        first_epoch: int,
        num_epochs: int,
        rows: np.ndarray | GivenOrder | None = None,
        reads: Lookup | None = None,
        augment: Sequence[Call[AugmentRow]] | None = None,
        skip: int = 0,
        is_drawn: bool = True,
    ) -> tf.data.Dataset:
        """Dataset of the training split.

        Args:
            first_epoch: number of the first epoch.
            num_epochs: number of epochs.
            rows: int64[M], the rows that are read, or a GivenOrder; None for all.
            reads: Lookup that is read in place of the contents.
            augment: augmentations in place of those of --augment.
            skip: number of batches of the first epoch that are left out.
            is_drawn: whether rows are drawn as --sampling says, or by the sizes of several data sets.
                Otherwise each is read once, with the weight that its class would be drawn with: this is
                for a solver, whose result must not depend on a draw.
        """
        options, train, part = self.options, self.options.train, self.parts["train"]
        if not is_drawn:
            part = dataclasses.replace(part, mixed=None)
        kind = train.class_weights if is_drawn or train.sampling == "none" else train.sampling
        return pipeline.build(
            part,
            self.trained.preprocessing,
            batch_size=cast(int, train.batch_size),
            training=True,
            augment=self.augment if augment is None else augment,
            seed=options.runtime.seed,
            sampling=train.sampling if is_drawn else "none",
            class_weights=class_weights(part, kind),
            first_epoch=first_epoch,
            num_epochs=num_epochs,
            target=self.trained.core.head.name,
            length_buckets=self.trained.takes_any_length,
            reads=reads or self.texts,
            part=rows,
            skip=skip,
        )

    def _numbers(self) -> Lookup:
        """A Lookup of the numbers of the rows in place of their contents."""
        lengths = self.texts.lengths if self.texts else None
        return lookups.Lookup(lambda rows: {"row": rows}, lengths=lengths, is_cut=True)

    def origins(self, first_epoch: int, num_epochs: int, is_drawn: bool = True) -> np.ndarray:
        """int64[N]: the group of each row of `training`; copies, views and draws of a row share one."""
        read = self.training(first_epoch, num_epochs, None, self._numbers(), (), 0, is_drawn)
        rows = np.concatenate([inputs["row"].numpy() for inputs, _, _ in read])
        return self.parts["train"].split_groups()[rows]

    def batch(self, epoch: int, step: int, rows: np.ndarray | GivenOrder | None = None) -> Batch:
        """The Batch of a step of `training`; it is read again, in the order that the seed gives."""
        part, numbers = self.parts["train"], self._numbers()
        read, _, weights = next(iter(self.training(epoch, 1, rows, numbers, (), step)))
        chosen = part.take(read["row"].numpy())
        labels = several.arrays_of(np.asarray(chosen.labels))
        given = (next(iter(self.trained.dataset(chosen, len(chosen))))[0], labels, weights)
        ids = [f"{row_id}" for row_id in chosen.ids]
        broken = non_finite.not_finite(given)
        return Batch(
            tuple(ids),
            tuple(dict.fromkeys(id_ for id_, bad in zip(ids, broken, strict=True) if bad)),
        )

    def split_in_order(self, role: str, prefix: keras.Model | None = None) -> JudgedData | None:
        """`in_order` of the split of a role; None where there is no such split."""
        part = self.parts.get(role)
        return None if part is None else self.in_order(part, prefix)

    def in_order(self, part: Source, prefix: keras.Model | None = None) -> JudgedData:
        """The JudgedData of a split, above a prefix if there is one.

        Without a prefix it has a function that makes the dataset, which may never be needed.
        """
        size, labels = self.trained.eval_batch_size, np.asarray(part.labels)
        if prefix:
            return self.dataset_above(prefix, part, size), labels
        return functools.partial(self.trained.dataset, part, size, is_repeated=True), labels

    def dataset_above(self, prefix: keras.Model, part: Source, batch_size: int) -> tf.data.Dataset:
        """The dataset of a split in its order, as the layers above a prefix take it."""
        return self.trained.dataset(part, batch_size, self._lookup(prefix, part))

    def data_above(self, prefix: keras.Model) -> DataAbove:
        """The DataAbove of a frozen prefix; where it is not cached one line says why."""
        if not self.options.cache.cache:
            return DataAbove()
        try:
            return DataAbove(
                self._training_above(prefix),
                self.split_in_order("validation", prefix),
                self.split_in_order("test", prefix) if self.options.train.watch_test else None,
                lambda part, size: self.dataset_above(prefix, part, size),
                self.unlabelled(prefix),
            )
        except frozen_outputs.NotCached as reason:
            feature_cache.say_not_cached(reason)
            return DataAbove()

    def unlabelled(self, prefix: keras.Model | None = None) -> MakeInputs | None:
        """`Feed.unlabelled`, above a prefix if there is one; None where the method reads no such rows."""
        role = read_role(self.trained)
        if not role:
            return None
        return functools.partial(self._unlabelled, self.parts[role], prefix)

    def unlabelled_in_order(self, prefix: keras.Model | None) -> tf.data.Dataset:
        """See `Feed.unlabelled_in_order`."""
        part, size = self.parts[read_role(self.trained)], self.trained.eval_batch_size
        return (
            self.dataset_above(prefix, part, size) if prefix else self.trained.dataset(part, size)
        )

    def _unlabelled(
        self,
        part: Source,
        prefix: keras.Model | None,
        first_epoch: int,
        num_epochs: int,
        skip: int = 0,
        augment: str = "",
        views: int = 4,
        steps: int | None = None,
    ) -> tf.data.Dataset:
        """See `MakeInputs`; above a prefix the augmented views are cached and used in turn."""
        size = cast(int, self.options.train.batch_size)
        calls = call_strings.pick_each(AUGMENTS, augment, "augment") if augment else self.augment
        seed = self.options.runtime.seed
        make = functools.partial(
            unlabelled.build,
            part,
            self.trained.preprocessing,
            batch_size=size,
            steps=steps or -(-len(self.parts["train"]) // size),
            seed=seed,
            length_buckets=self.trained.takes_any_length,
        )
        if prefix is None:
            lookup = lookups.build_lookup(part, self.trained.preprocessing, pipeline.CACHE_BYTES)
            return make(
                lookup, first_epoch=first_epoch, num_epochs=num_epochs, skip=skip, augment=calls
            )
        if not calls:
            lookup = self._lookup(prefix, part)
            return make(lookup, first_epoch=first_epoch, num_epochs=num_epochs, skip=skip)
        text = "|".join(call.text for call in calls)
        kept = views if augment else self.options.cache.cache_views
        tables = [self._lookup(prefix, part, View(text, seed, number)) for number in range(kept)]
        passes = [
            make(
                tables[epoch % kept],
                first_epoch=epoch,
                num_epochs=1,
                skip=skip if epoch == first_epoch else 0,
            )
            for epoch in range(first_epoch, first_epoch + num_epochs)
        ]
        return functools.reduce(tf.data.Dataset.concatenate, passes)

    def _lookup(self, prefix: keras.Model, part: Source, view: View | None = None) -> Lookup:
        """Lookup of the outputs of a prefix; those that it only passes on are read at their origin."""
        passed = frozen_prefix.passed_boundaries(prefix)
        computed = frozen_prefix.without_passed_inputs(prefix)
        if not passed:
            return self._table(prefix, part, view).lookup
        if view:
            raise frozen_outputs.NotCached(
                "the layers above the frozen ones take augmented images too"
            )
        table = self._table(computed, part)
        tokenized = self.texts if part is self.parts["train"] else None
        own = tokenized or lookups.build_lookup(
            part, self.trained.preprocessing, pipeline.CACHE_BYTES
        )
        cut = pipeline.cut_to_longest if self.trained.takes_any_length else None
        return lookups.join_lookups(own, passed, table.lookup, cut)

    def _table(self, prefix: keras.Model, part: Source, view: View | None = None) -> Table:
        is_tokenized = part is self.parts["train"] and part.modality == "text"
        reading = frozen_outputs.Reading(
            part,
            self.trained.preprocessing,
            self.trained.takes_any_length,
            view,
            (lambda: self.texts) if is_tokenized else None,
            next((role for role, one in self.parts.items() if one is part), ""),
        )
        return self.cache.table(prefix, reading)

    def _training_above(self, prefix: keras.Model) -> Batches | None:
        """`DataAbove.training`; None where augmentation changes the data in every epoch."""
        augment, views = self.augment, self.options.cache.cache_views
        if not augment:
            lookup = self._lookup(prefix, self.parts["train"])
            return functools.partial(self.training, reads=lookup)
        if self.texts:
            feature_cache.say_not_cached("--augment changes the tokens in every epoch")
            return None
        if not views:
            feature_cache.say_not_cached(
                "--augment changes the images; --cache_views=4 keeps four views of each"
            )
            return None
        seed = self.options.runtime.seed
        if augmentation.build(augment, len(self.trained.class_names), seed).is_mixing:
            what = (
                "a cached view is of one example, but mixup and cutmix mix the examples of a batch"
            )
            raise FlagError(what, flag="cache_views", fix="--cache_views=0")
        text = "|".join(call.text for call in augment)
        tables = [
            self._lookup(prefix, self.parts["train"], frozen_outputs.View(text, seed, number))
            for number in range(views)
        ]

        return functools.partial(self._training_views, tables)

    def _training_views(
        self,
        tables: Sequence[Lookup],
        first_epoch: int,
        num_epochs: int,
        rows: np.ndarray | GivenOrder | None = None,
        skip: int = 0,
        is_drawn: bool = True,
    ) -> tf.data.Dataset:
        """Dataset like `training` in which each epoch reads the next view of the rows.

        Args:
            tables: Lookup of the outputs of a frozen prefix, for each view.
            first_epoch: number of the first epoch.
            num_epochs: number of epochs.
            rows: see `training`.
            skip: see `training`.
            is_drawn: see `training`.
        """
        passes = []
        for epoch in range(first_epoch, first_epoch + num_epochs):
            table, skipped = tables[epoch % len(tables)], skip if epoch == first_epoch else 0
            passes.append(self.training(epoch, 1, rows, table, (), skipped, is_drawn))
        return functools.reduce(tf.data.Dataset.concatenate, passes)
