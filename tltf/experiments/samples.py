"""Random training examples of each class as the network sees them."""

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tltf.backbones import builder
from tltf.config import checks
from tltf.config.call_strings import Call
from tltf.config.catalogs.row import AugmentRow
from tltf.config.command_options import CheckOptions
from tltf.config.recipe import DataRecipe
from tltf.data import augment as augmentation
from tltf.data import label_kinds, ordering, pipeline, preprocessing
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.source import Source, Splits
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.data.texts.unread import unread_parts
from tltf.errors import FlagError
from tltf.evaluation.report import examples, templating
from tltf.evaluation.report.samples import Sample, SampleGroup
from tltf.files import atomic_files
from tltf.runs import layout

SIZE_PX = 224
"""The side of images where no network is named."""
MOST_CLASSES, NUM_PER_CLASS = 12, 4
NUM_WITHOUT_CLASSES = 12
"""Examples that are drawn where labels are numbers."""


def draw(
    train: Source,
    prepared: ImagePreprocessing | TextPreprocessing | None,
    augments: Sequence[Call[AugmentRow]] = (),
    seed: int = 0,
) -> list[SampleGroup]:
    """Some training examples of each class, of at most MOST_CLASSES classes.

    Args:
        train: the training split.
        prepared: what makes the inputs of the network; None for texts of which the network,
            and so the tokenizer, is not known.
        augments: the augmentations of training; of texts, those that change tokens are not shown.
        seed: of the draw and of the augmentations.
    """
    random = np.random.default_rng(seed)
    groups = [
        (name, rows, np.sort(random.permutation(rows)[:count]))
        for name, rows, count in _classes(train, random)
    ]
    places = np.unique(np.concatenate([np.empty(0, np.int64), *(drawn for *_, drawn in groups)]))
    seen = dict(
        zip(places.tolist(), _seen(train.take(places), prepared, augments, seed), strict=True)
    )
    return [
        SampleGroup(name, len(rows), [seen[place] for place in drawn.tolist()])
        for name, rows, drawn in groups
    ]


def write_page(options: CheckOptions, recipe: DataRecipe, parts: Splits) -> pathlib.Path:
    """Writes samples.html into the output folder of `tltf.check`, and returns its path.

    Args:
        options: the options of the command, with an output folder.
        recipe: what their call strings name.
        parts: the splits.

    Raises:
        FlagError: --backbone or --augment is of another modality than the data.
        StorageError: the page cannot be written.
    """
    train, path = parts.train, pathlib.Path(options.output) / layout.SAMPLES
    augmentation.require_modality(recipe.augments, train.modality)
    prepared = _preprocessing(options, train)
    groups = draw(train, prepared, recipe.augments, options.seed)
    values = {
        "data": options.data,
        "how": _how_text(options, prepared),
        "sample_groups": examples.shown_groups(groups),
    }
    with atomic_files.replace_file(path) as file:
        file.write(templating.render("samples_page.html.jinja", values))
    print(f"{'samples':<10} {path}")
    return path


def _preprocessing(
    options: CheckOptions, train: Source
) -> ImagePreprocessing | TextPreprocessing | None:
    """What makes the inputs of --backbone; without one, None for texts."""
    if options.backbone:
        call = checks.pick_backbone(options.backbone)
        if call and call.row:
            _require_modality(call.name, call.row.modality, train)
        backbone = builder.build(
            call or options.backbone,
            weights="none",
            image_size_px=options.image_size_px or 0,
            text_length=options.text_length or 0,
            texts=train.texts() if train.modality == "text" else None,
        )
        _require_modality(backbone.name, backbone.modality, train)
        return preprocessing.build(backbone, train, options.text_length)
    return (
        None if train.modality == "text" else ImagePreprocessing(options.image_size_px or SIZE_PX)
    )


def _require_modality(name: str, modality: str, train: Source) -> None:
    if modality != train.modality:
        what = f"{name} takes {modality}s, but the data has {train.modality}s"
        raise FlagError(what, flag="backbone", fix="see --list=backbones")


def _how_text(
    options: CheckOptions, prepared: ImagePreprocessing | TextPreprocessing | None
) -> str:
    """How the examples of the page are made, in a sentence."""
    if isinstance(prepared, ImagePreprocessing):
        changes = f", changed by {options.augment}" if options.augment else ", not augmented"
        return (
            f"Drawn at random, resized to {prepared.size_px} x {prepared.size_px} pixels{changes}."
        )
    if prepared is None:
        return "Drawn at random. --backbone=NAME marks what its network does not see of long texts."
    return (
        f"Drawn at random, cut to {prepared.length} tokens: what is grey, the network does not see."
    )


def _classes(train: Source, random: np.random.Generator) -> list[tuple[str, np.ndarray, int]]:
    """`(name, rows, how many are drawn)` of some classes, or of all rows where labels are numbers."""
    labels = train.labels
    if labels is None or not label_kinds.kind_of(labels).has_classes:
        return [("", np.arange(len(train)), NUM_WITHOUT_CLASSES)]
    chosen = np.sort(random.permutation(len(train.class_names))[:MOST_CLASSES])
    found = []
    for place in chosen.tolist():
        is_in_class = labels == place if labels.ndim == 1 else labels[:, place] > 0
        rows = np.flatnonzero(is_in_class)
        if len(rows):
            found.append((train.class_names[place], rows, NUM_PER_CLASS))
    return found


def _seen(
    part: Source,
    prepared: ImagePreprocessing | TextPreprocessing | None,
    augments: Sequence[Call[AugmentRow]],
    seed: int,
) -> list[Sample]:
    """A Sample of each row, in their order."""
    if part.modality == "text":
        columns = part.text_columns()
        unread: Sequence[list[list[int]] | None] = [None] * len(part)
        if isinstance(prepared, TextPreprocessing) and len(part):
            unread = unread_parts(prepared, columns)
        rows = zip(part.ids, part.texts(), unread, strict=True)
        return [Sample(name, text=text, unread=cut) for name, text, cut in rows]
    if not isinstance(prepared, ImagePreprocessing) or not len(part):
        return []
    dataset = pipeline.build(
        part,
        prepared,
        batch_size=len(part),
        training=True,
        augment=augmentation.pick_batch_changes(augments),
        seed=seed,
        first_epoch=0,
    )
    images = np.concatenate([inputs["image"].numpy() for inputs, *_ in dataset])
    order = ordering.shuffle_rows(len(part), seed, tf.constant(0, tf.int64)).numpy()
    pixels = np.clip(np.rint(images), 0, 255).astype(np.uint8)[np.argsort(order)]
    return [Sample(name, image) for name, image in zip(part.ids, pixels, strict=True)]
