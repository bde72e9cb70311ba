"""The reference of a run: what its model said of rows that it was not trained on, kept in its folder."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
from safetensors.numpy import save

from tltf.data.label_kinds import CLASS, LABELS
from tltf.errors import ModelError
from tltf.files import atomic_files, untrusted
from tltf.runs import layout, model_folder
from tltf.serving.monitoring.answers import Answers

FORMAT = 1
MAX_HEADER_BYTES = 16 * 2**20
_ABOUT = "about"
_ARRAYS = ("scores", "given", "truths", "features")


@dataclasses.dataclass(frozen=True)
class About:
    """What the reference rows are, and what the run states of a row.

    Args:
        kind: the kind of labels of its head, a name of label_kinds.KINDS.
        answer: what is predicted, such as `label`, of which tables have a column `predicted_label`.
        scores_name: the name of the scores in JSON lines, `probabilities` or `quantiles`.
        columns: the names of the K columns of the scores in tables.
        names: of the classes or labels; of the numbers that are predicted otherwise.
        role: the split that the rows are of.
        num_rows: of that split, of which the reference has some or all.
        model_sha256: of the weights that said it, so that those of a later training are told apart.
    """

    kind: str
    answer: str
    scores_name: str
    columns: tuple[str, ...]
    names: tuple[str, ...]
    role: str
    num_rows: int
    model_sha256: str

    @property
    def has_classes(self) -> bool:
        """Whether answers are classes or labels, and not numbers."""
        return self.kind in (CLASS, LABELS)


@dataclasses.dataclass(frozen=True)
class Reference:
    """The answers on reference rows, beside the truth.

    Args:
        about: what they are.
        answers: on M rows; features of at most M of them.
        truths: int32[M], bool[M, C] or float64[M, V], as `Answers.given`.
    """

    about: About
    answers: Answers
    truths: np.ndarray

    def __len__(self) -> int:
        return len(self.answers)


def folder_of(run: pathlib.Path, task: str = "") -> pathlib.Path:
    """The folder of a reference: that of the run, or of one of its tasks."""
    return layout.task_folder(run, task) if task else pathlib.Path(run)


def write(run: pathlib.Path, reference: Reference, task: str = "") -> None:
    """Writes the reference into a run folder; the file is whole or absent.

    Args:
        run: the run folder.
        reference: of the run, or of one of its tasks.
        task: its name, of a run of several heads; otherwise empty.

    Raises:
        StorageError: it cannot be written.
    """
    answers, features = reference.answers, reference.answers.features
    arrays = {"scores": answers.scores, "given": answers.given, "truths": reference.truths}
    if features is not None:
        arrays["features"] = features
    about = json.dumps({"format": FORMAT, **dataclasses.asdict(reference.about)})
    content = save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}, {_ABOUT: about}
    )
    path = folder_of(run, task) / layout.REFERENCE
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_files.replace_file(path, "wb") as file:
        file.write(content)


def weights_sha256(run: pathlib.Path) -> str:
    """The digest of the weights of the model in a run folder, whose files are checked.

    Raises:
        FlagError, ModelError: there is no model, or it is damaged.
    """
    return str(model_folder.open_folder(run).manifest["files"][model_folder.WEIGHTS])


def read_current(run: pathlib.Path, task: str = "") -> Reference | None:
    """The reference of the model in a run folder; None without one, or where it is of other weights.

    Args:
        run: the run folder.
        task: see `write`.

    Raises:
        FlagError, ModelError: there is no model, or a file is damaged.
    """
    current = weights_sha256(run)
    folder = folder_of(run, task)
    if not (folder / layout.REFERENCE).exists():
        return None
    found = read(folder)
    return found if found.about.model_sha256 == current else None


def read(run: pathlib.Path) -> Reference:
    """The reference in a run folder.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    path = pathlib.Path(run) / layout.REFERENCE
    with untrusted.open_safetensors(path, MAX_HEADER_BYTES) as file:
        content = untrusted.parse_json((file.metadata() or {}).get(_ABOUT, ""), path)
        arrays = {name: file.get_tensor(name) for name in file.keys() if name in _ARRAYS}  # noqa: SIM118
    with untrusted.refuse_failures("is not a reference of tltf", path):
        about = _about(content)
        answers = Answers(arrays["scores"], arrays["given"], arrays.get("features"))
        reference = Reference(about, answers, arrays["truths"])
    _check(reference, path)
    return reference


def _about(content: dict[str, Any]) -> About:
    if content.pop("format") != FORMAT:
        raise ModelError("was written by another version of tltf")
    columns, names = (tuple(map(str, content.pop(name))) for name in ("columns", "names"))
    return About(**content, columns=columns, names=names)


def _check(reference: Reference, path: pathlib.Path) -> None:
    """Refuses arrays whose shapes do not fit together, or that hold what is not finite."""
    answers, about, num = reference.answers, reference.about, len(reference)
    widths = {"scores": len(about.columns), "given": len(about.names), "truths": len(about.names)}
    for name, array in (
        ("scores", answers.scores),
        ("given", answers.given),
        ("truths", reference.truths),
    ):
        shape = (num,) if about.kind == CLASS and name != "scores" else (num, widths[name])
        if array.shape != shape:
            what = f"is not a reference: {name} have the shape {array.shape} in place of {shape}"
            raise ModelError(what, place=path)
    arrays = [answers.scores, *([] if answers.features is None else [answers.features])]
    if num < 2 or not all(np.isfinite(array).all() for array in arrays):
        raise ModelError("is not a reference: it has no finite rows", place=path)
    if about.kind == CLASS and not all(
        ((array >= -1) & (array < len(about.names))).all()
        for array in (answers.given, reference.truths)
    ):
        raise ModelError("is not a reference: a class has no name", place=path)
