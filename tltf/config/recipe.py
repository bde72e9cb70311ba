"""The calls that the call strings of a run name: resolved once, and used by everything that runs."""

import dataclasses

from tltf.config.call_strings import Call
from tltf.config.catalogs.row import (
    AugmentRow,
    BackboneRow,
    HeadRow,
    MethodRow,
    Row,
    SplitRow,
    TrackerRow,
)

EVERY = -1
"""The number of a round that stands for all of them."""


def label_kind_of(head: Call[HeadRow]) -> str:
    """The kind of labels that a head predicts, a name of label_kinds.KINDS.

    A head from outside of tltf has no row that says so; it is built and asked.
    """
    return head.row.kind if head.row else head.build().target


def may_order_classes(head: Call[HeadRow]) -> bool:
    """Whether a head may have another order of the classes than the data; one from outside may."""
    return head.row is None or head.row.orders_classes


@dataclasses.dataclass(frozen=True)
class DataRecipe:
    """The calls that say how labelled examples are read and split.

    Args:
        source: the call of --data.
        split: the call of --split.
        head: the call of --head, which says how labels are read.
        augments: the calls of --augment, in its order; () for none.
        target: the call of --target_data; None for none.
        unlabelled: the call of --unlabelled_data; None for none.
    """

    source: Call[Row]
    split: Call[SplitRow]
    head: Call[HeadRow]
    augments: tuple[Call[AugmentRow], ...] = ()
    target: Call[Row] | None = None
    unlabelled: Call[Row] | None = None

    @property
    def label_kind(self) -> str:
        """The kind of labels that the head predicts, see `label_kind_of`."""
        return label_kind_of(self.head)

    @property
    def orders_classes(self) -> bool:
        """Whether the head may have another order of the classes than the data."""
        return may_order_classes(self.head)

    @property
    def every_round(self) -> SplitRow | None:
        """The row of a split of which every round is trained; None where one training is asked for."""
        row = self.split.row  # code from outside has none
        is_every = row and row.round and self.split.kwargs[row.round] == EVERY
        return row if is_every else None


@dataclasses.dataclass(frozen=True)
class Recipe(DataRecipe):
    """All calls that the call strings of a training run name.

    Args:
        backbone: the call of --backbone; None for a preset or a folder, which have no row.
        method: the call of --method; None as long as it is `auto`.
        formats: the calls of the formats that the run is exported in; () for no export.
        baselines: the names in --baseline; None as long as it is `auto`.
        trackers: the calls of --track; () for none.
        explainer: the call of --explain; None for `auto` and for none.
        abstention: the call of --abstain; None for none.
    """

    backbone: Call[BackboneRow] | None = None
    method: Call[MethodRow] | None = None
    formats: tuple[Call[Row], ...] = ()
    baselines: tuple[str, ...] | None = ()
    trackers: tuple[Call[TrackerRow], ...] = ()
    explainer: Call[Row] | None = None
    abstention: Call[Row] | None = None
