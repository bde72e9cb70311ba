"""The features of a split for the embedding projector of TensorBoard."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tltf.data.source import Source
from tltf.evaluation import evaluators
from tltf.evaluation.report import pictures
from tltf.files import atomic_files
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout

MOST_POINTS = 1000
"""Rows that the projector shows; a browser lays out so many in seconds."""
TILE_PX = 32
"""Side of the picture of a point, in pixels."""
MOST_LETTERS = 200
"""Of a text beside a point."""


@dataclasses.dataclass(frozen=True)
class Points:
    """Rows of a split in the feature space of a model.

    Args:
        features: float32[N, d], pooled, below the head.
        columns: name -> a text per row: id, label, answer, whether that is right, and the text.
        images: N pictures, None where one cannot be read; () for texts.
    """

    features: np.ndarray
    columns: dict[str, list[str]]
    images: Sequence[Image.Image | None] = ()


def points_of(model: TransferModel, most: int = MOST_POINTS) -> Points | None:
    """The points of the test split, else of the validation split; None without both.

    A model of several heads has none, since a row has no single label.

    Args:
        model: with its splits, and with the scores that they were judged by.
        most: rows, drawn by the run's seed where the split has more.
    """
    role = next((role for role in ("test", "validation") if model.splits.get(role)), None)
    if role is None or model.core.joint:
        return None
    part = model.splits[role]
    rows = np.arange(len(part))
    if len(rows) > most:
        generator = np.random.default_rng(model.run_options.runtime.seed)
        rows = np.sort(generator.choice(rows, most, replace=False))
    shown = part.take(rows)
    return Points(
        model.features(shown, model.eval_batch_size),
        _columns(model, shown, model.judged[role][rows]),
        [pictures.small_picture(value, TILE_PX) for value in shown.column.values]
        if shown.modality == "image"
        else (),
    )


def _columns(model: TransferModel, part: Source, scores: np.ndarray) -> dict[str, list[str]]:
    judge, names = evaluators.evaluator_for(model.core.head), model.class_names
    labels = judge.truths(np.asarray(part.labels), names)
    answers = judge.answers(judge.candidate(model.core.head, scores), names)
    columns = {
        "label": list(map(str, labels)),
        "predicted": list(map(str, answers)),
        "id": list(map(str, part.ids)),
    }
    if model.core.head.target == "class":
        pairs = zip(columns["label"], columns["predicted"], strict=True)
        columns["is_right"] = ["yes" if label == answer else "no" for label, answer in pairs]
    if part.modality == "text":
        columns["text"] = [text[:MOST_LETTERS] for text in part.texts(" / ")]
    return columns


def write(points: Points, folder: pathlib.Path) -> None:
    """Writes what TensorBoard's projector reads: features, labels, a sheet of pictures, and its configuration.

    Raises:
        StorageError: a file cannot be written.
    """
    from tensorboard.plugins import projector

    with atomic_files.replace_file(folder / layout.PROJECTOR_FEATURES) as file:
        for row in points.features.tolist():
            file.write("\t".join(f"{value:.5g}" for value in row) + "\n")
    with atomic_files.replace_file(folder / layout.PROJECTOR_LABELS) as file:
        file.write("\t".join(points.columns) + "\n")
        for cells in zip(*points.columns.values(), strict=True):
            file.write("\t".join(" ".join(cell.split()) or "-" for cell in cells) + "\n")
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "features of the test split"
    embedding.tensor_path = layout.PROJECTOR_FEATURES
    embedding.metadata_path = layout.PROJECTOR_LABELS
    if points.images:
        sheet = _sheet(points.images)
        with atomic_files.replace_file(folder / layout.PROJECTOR_PICTURES, "wb") as file:
            sheet.save(file, "PNG")
        embedding.sprite.image_path = layout.PROJECTOR_PICTURES
        embedding.sprite.single_image_dim.extend([TILE_PX, TILE_PX])
    projector.visualize_embeddings(str(folder), config)


def _sheet(images: Sequence[Image.Image | None]) -> Image.Image:
    """A square sheet of tiles in the order of the rows; white where a picture cannot be read."""
    per_line = math.ceil(math.sqrt(len(images)))
    sheet = Image.new("RGB", (per_line * TILE_PX, per_line * TILE_PX), "white")
    for place, image in enumerate(images):
        if image is not None:
            line, column = divmod(place, per_line)
            tile = image.convert("RGB").resize((TILE_PX, TILE_PX), Image.Resampling.BILINEAR)
            sheet.paste(tile, (column * TILE_PX, line * TILE_PX))
    return sheet
