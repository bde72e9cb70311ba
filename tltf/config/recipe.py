"""What the call strings of a run name, resolved once; everything that runs takes these calls."""

import dataclasses

from tltf.config.call_strings import Call
from tltf.config.catalogs.row import AugmentRow, BackboneRow, HeadRow, MethodRow, Row


@dataclasses.dataclass(frozen=True)
class DataRecipe:
    """How labelled examples are read and split.

    Args:
        source: of --data.
        split: of --split.
        head: of --head, which says how labels are read.
        augments: of --augment, in its order; () for none.
    """

    source: Call[Row]
    split: Call[Row]
    head: Call[HeadRow]
    augments: tuple[Call[AugmentRow], ...] = ()

    @property
    def label_kind(self) -> str:
        """The kind of labels that the head predicts: `class`, `labels` or `number`.

        A head from outside of tltf has no row that tells it; it is built and asked.
        """
        return self.head.row.kind if self.head.row else self.head.build().target


@dataclasses.dataclass(frozen=True)
class Recipe(DataRecipe):
    """All that the call strings of a training run name.

    Args:
        backbone: of --backbone; None where that is a preset or a folder, which no row stands for.
        method: of --method; None as long as it is `auto`.
        formats: what the run is exported as; () for no export.
        baselines: names in --baseline.
    """

    backbone: Call[BackboneRow] | None = None
    method: Call[MethodRow] | None = None
    formats: tuple[Call[Row], ...] = ()
    baselines: tuple[str, ...] = ()
