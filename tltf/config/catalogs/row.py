"""A row of a catalog: plain data that names a builder and its arguments."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """One entry of a catalog.

    Args:
        target: `package.module:callable`, imported only when the row is used.
        args: argument name -> default. The default's type is the argument's type; a type
            in place of a default marks an argument that must be given; `None` takes
            any literal.
        summary: what it is, in one line, as `--list` prints it.
        paper: the reference, with its arXiv number where there is one.
        licence: the licence of the weights or the data; empty for code of tltf's own.
        extra: the extra that must be installed; empty for none.
        paths: the names of those arguments that are files or folders.
        calls: the names of those arguments that are call strings of the same catalog.
        check: `package.module:callable` that takes the arguments and raises FlagError where no
            data could fit them; it needs no TensorFlow.
        title: its name as headings of reports have it, for backbones and methods.
        modality: `image` or `text`, what the examples of a source are; empty where its arguments say
            so, and for rows that have no examples.
    """

    target: str
    args: Mapping[str, Any]
    summary: str
    paper: str = ""
    licence: str = ""
    extra: str = ""
    paths: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    check: str = ""
    title: str = ""
    modality: str = ""


@dataclasses.dataclass(frozen=True)
class AugmentRow(Row):
    """An entry of AUGMENTS.

    Args:
        modality: `image` or `text`.
        makes_rows: whether it adds changed copies to the training rows once, instead of changing
            the rows of every batch.
    """

    modality: str = "image"
    makes_rows: bool = False


@dataclasses.dataclass(frozen=True)
class HeadRow(Row):
    """An entry of HEADS.

    Args:
        kind: the kind of labels that the head predicts: `class`, one class for each row; `labels`,
            several labels for each row; or `number`.
        orders_classes: whether its outputs have another order than the classes of the data.
    """

    kind: str = "class"
    orders_classes: bool = False


@dataclasses.dataclass(frozen=True)
class SplitRow(Row):
    """An entry of SPLITS.

    Args:
        rounds: the arguments whose product says how many rounds of training there are; () for one.
        round: the argument that says which one is trained, -1 for all; also the noun of a round.
    """

    rounds: tuple[str, ...] = ()
    round: str = ""


@dataclasses.dataclass(frozen=True)
class MethodRow(Row):
    """An entry of METHODS.

    Args:
        defaults: the defaults of `tltf.config.defaults` that take the place of `auto`: `fine_tune`;
            `linear_probe`; `scratch`; `solved` for a method whose first phase solves for the head,
            through whose large weights the same rate moves an image network further; `light` for
            one that trains few numbers, so that the rate can be high; `contrast` for one that trains
            the network by comparing rows with each other; `two_domains` for one that trains a head
            with a hidden layer on labelled and other rows.
        replaces_weight_decay: whether its loss itself shrinks weights or holds them in place.
        reads: the roles of rows without labels, `target` or `unlabelled`, of which it takes the first
            that the data has; () for a method that learns from labelled rows alone.
        needs: the flags without which it has nothing to start from.
        several_heads: whether it trains several heads on one network.
        passes: how often an epoch reads each training row, about.
        trains_norms: whether batch norms are trained under --norm=auto though the network is pretrained.
        no_steps_with: the arguments with which it takes no step of an optimizer; {} where it never takes one,
            None where it always does.
    """

    defaults: str = "fine_tune"
    replaces_weight_decay: bool = False
    reads: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    several_heads: bool = False
    passes: int = 1
    trains_norms: bool = False
    no_steps_with: Mapping[str, Any] | None = None

    def takes_steps(self, arguments: Mapping[str, Any]) -> bool:
        """Whether it takes steps of an optimizer with some arguments, so that --learning_rate matters."""
        given = self.no_steps_with
        return given is None or any(arguments[name] != value for name, value in given.items())


@dataclasses.dataclass(frozen=True)
class BackboneRow(Row):
    """An entry of BACKBONES.

    Args:
        modality: `image` or `text`.
        image_size_px: default side of the square input in pixels; 0 for text.
        min_image_size_px: smallest side that the network accepts; 0 for text.
        channels: image channels, 3 or 1; 0 for text.
        text_length: default number of tokens; 0 for images.
        weights: what `--backbone_weights=default` loads; empty where it loads nothing.
        family: for a network of keras.applications, its key in `tltf.backbones.applications.FAMILIES`,
            which says where such networks are cut and how they want their pixels; empty for others.
        keras_class: the name of its class in keras.applications; empty for others.
        blocks: the number of blocks in each stage, where the layers' names have numbers of blocks.
    """

    modality: str = "image"
    image_size_px: int = 224
    min_image_size_px: int = 32
    channels: int = 3
    text_length: int = 0
    weights: str = ""
    family: str = ""
    keras_class: str = ""
    blocks: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class TrackerRow(Row):
    """An entry of TRACKERS.

    Args:
        package: the package that it needs, as it is imported.
    """

    package: str = ""
