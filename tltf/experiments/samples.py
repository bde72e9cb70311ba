"""Random training examples of each class as the network sees them."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tltf.config.call_strings import Call
from tltf.config.catalogs.row import AugmentRow
from tltf.data import augment as augmentation
from tltf.data import label_kinds, ordering, pipeline
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.source import Source
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.data.texts.unread import unread_parts
from tltf.evaluation.report.samples import Sample, SampleGroup

MOST_CLASSES, NUM_PER_CLASS = 12, 4
NUM_WITHOUT_CLASSES = 12
"""Examples that are drawn where labels are numbers."""


def draw(
    train: Source,
    preprocessing: ImagePreprocessing | TextPreprocessing | None,
    augments: Sequence[Call[AugmentRow]] = (),
    seed: int = 0,
) -> list[SampleGroup]:
    """Some training examples of each class, of at most MOST_CLASSES classes.

    Args:
        train: the training split.
        preprocessing: what makes the inputs of the network; None for texts of which the network,
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
        zip(places.tolist(), _seen(train.take(places), preprocessing, augments, seed), strict=True)
    )
    return [
        SampleGroup(name, len(rows), [seen[place] for place in drawn.tolist()])
        for name, rows, drawn in groups
    ]


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
    preprocessing: ImagePreprocessing | TextPreprocessing | None,
    augments: Sequence[Call[AugmentRow]],
    seed: int,
) -> list[Sample]:
    """A Sample of each row, in their order."""
    if part.modality == "text":
        columns = part.text_columns()
        unread: Sequence[list[list[int]] | None] = [None] * len(part)
        if isinstance(preprocessing, TextPreprocessing) and len(part):
            unread = unread_parts(preprocessing, columns)
        rows = zip(part.ids, part.texts(), unread, strict=True)
        return [Sample(name, text=text, unread=cut) for name, text, cut in rows]
    if not isinstance(preprocessing, ImagePreprocessing) or not len(part):
        return []
    dataset = pipeline.build(
        part,
        preprocessing,
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
