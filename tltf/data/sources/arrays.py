"""Arrays in .npz files, as numpy.savez writes them."""

import math
import pathlib
import zipfile
import zlib
from collections.abc import Sequence
from typing import IO

import numpy as np

from tltf.data import label_kinds, row_scan
from tltf.data.assembly import Rows, assemble
from tltf.data.source import TEST, TRAIN, VALIDATION, LoadSettings, Source, one_field
from tltf.errors import DataError, FlagError

MOST_UNPACKED = 200
"""How many times the size of a file its arrays may have: pictures pack to a tenth, zeros to a
thousandth."""
SUFFIXES = {"": None, "_train": TRAIN, "_validation": VALIDATION, "_val": VALIDATION, "_test": TEST}
Part = tuple[str | None, np.ndarray, np.ndarray | None]
"""The role of a part, None for the only one; its values; its labels, None without."""


def numpy(settings: LoadSettings, path: str, x: str = "x", y: str = "y") -> Source:
    """Arrays `x` and `y` of an .npz file, or `x_train`, `y_train`, `x_test`, `y_test` and so on.

    Args:
        settings: LoadSettings.
        path: path of the file; nothing in it is unpickled.
        x: name of the images, uint8[N, H, W] or [N, H, W, C], or of the texts, str[N].
        y: name of the labels, int[N] or str[N]; empty for data without labels. Numbers to predict
            can be float[N] too. Several labels per row are 0 and 1, [N, C], with an array `y_names`,
            str[C], where they have names.

    Raises:
        FlagError: there is no such file or array.
        DataError: the arrays are of another kind, or rows cannot be used.
    """
    file = row_scan.existing_path(path)
    if not zipfile.is_zipfile(file):
        raise DataError("it is not a .npz file", flag="data", place=file, fix="use numpy.savez")
    _refuse_bomb(file)
    with np.load(file, allow_pickle=False) as archive:
        parts = _parts(archive, x, y, file)
        names = _read(archive, f"{y}_names", file).tolist() if f"{y}_names" in archive else None
    scan = row_scan.Scan("numpy")
    if settings.target == label_kinds.LABELS and y:
        parts = [
            (role, values, None if part is None else _join_rows(part, names, file))
            for role, values, part in parts
        ]
    kind = _check_kind(parts, file, settings.target)
    values = np.concatenate([values for _, values, _ in parts])
    ids = [
        f"{file.name}:{role or 'row'}:{row}"
        for role, values, _ in parts
        for row in range(len(values))
    ]
    scan.num_found = len(ids)
    labels = None
    if y:
        labels = [str(item) for _, _, part in parts if part is not None for item in part.tolist()]
    roles = [role for role, values, _ in parts for _ in values if role] if parts[0][0] else None
    fields = one_field(kind, values.tolist() if kind == "text" else values)
    rows = Rows(ids, fields, labels, roles)
    return assemble("numpy", rows, scan, settings)


def _refuse_bomb(file: pathlib.Path) -> None:
    """Raises DataError for arrays that unpack to gigabytes from next to nothing, and for headers that
    promise more than follows, because numpy allocates the memory first."""
    size = file.stat().st_size
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if info.file_size > max(MOST_UNPACKED * size, 2**30):
                    raise DataError("unpacks to much more than its size", flag="data", place=file)
                with archive.open(info) as member:
                    promised = _promised_bytes(member)
                if promised > info.file_size:
                    raise DataError(
                        f"is damaged: {info.filename} promises {promised} bytes and "
                        f"has {info.file_size}",
                        flag="data",
                        place=file,
                    )
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise DataError(f"is damaged ({error})", flag="data", place=file) from error


def _promised_bytes(member: IO[bytes]) -> int:
    """The size in bytes that the header of an open .npy member promises; 0 for other members."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(member)
        shape, _, dtype = readers[version](member)
    except (ValueError, KeyError):
        return 0
    return 0 if dtype.hasobject else math.prod(shape) * dtype.itemsize


def _parts(archive: np.lib.npyio.NpzFile, x: str, y: str, file: pathlib.Path) -> list[Part]:
    """The parts of an archive."""
    role_of_suffix = {suffix: role for suffix, role in SUFFIXES.items() if x + suffix in archive}
    if not role_of_suffix:
        row_scan.check_column(x, list(archive), "x", file)
    if "" in role_of_suffix and len(role_of_suffix) > 1:
        what = f"it has the array {x} for all rows beside arrays for splits, such as {x}_train"
        raise FlagError(what, flag="data", place=file)
    for suffix in role_of_suffix if y else ():
        row_scan.check_column(y + suffix, list(archive), "y", file)
    return [
        (role, _read(archive, x + suffix, file), _read(archive, y + suffix, file) if y else None)
        for suffix, role in role_of_suffix.items()
    ]


def _read(archive: np.lib.npyio.NpzFile, name: str, file: pathlib.Path) -> np.ndarray:
    """An array of an archive; DataError where it is damaged or has pickled objects."""
    try:
        return archive[name]
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        what = "holds pickled objects" if "pickle" in str(error) else f"is damaged ({error})"
        raise DataError(f"it {what}", flag="data", place=file, fix="save plain arrays") from error


def _join_rows(labels: np.ndarray, names: Sequence[str] | None, file: pathlib.Path) -> np.ndarray:
    """Labels [N, C] as str[N] such as `cat|dog`; other labels as they are."""
    if labels.ndim != 2:
        return labels
    names = names or [str(place) for place in range(labels.shape[1])]
    if len(names) != labels.shape[1] or not np.isin(labels, (0, 1)).all():
        raise DataError(
            f"labels of shape {list(labels.shape)} with {len(names)} names are not 0 and 1 for each label",
            flag="data",
            place=file,
            fix="give uint8[N, C] and str[C]",
        )
    return np.array([label_kinds.join_labels(np.array(names)[row > 0]) for row in labels])


def _check_kind(parts: list[Part], file: pathlib.Path, target: str) -> str:
    """The kind of the values, `array` or `text`; grey images in `parts` get their axis of channels."""
    for number, (role, values, labels) in enumerate(parts):
        if labels is not None and labels.shape != values.shape[:1]:
            raise DataError(
                f"{len(values)} examples but labels of shape {labels.shape}",
                flag="data",
                place=file,
                fix="give one label per example",
            )
        fitting = "iufU" if target == label_kinds.NUMBER else "iuUb"
        if labels is not None and labels.dtype.kind not in fitting:
            raise FlagError(
                f"the labels are {labels.dtype}, not classes",
                flag="data",
                place=file,
                fix="--head=regress for numbers, or y=NAME",
            )
        if values.ndim == 3 and values.dtype == np.uint8:
            parts[number] = (role, values[..., None], labels)
    kinds = {_kind(values) for _, values, _ in parts}
    if len(kinds) > 1 or "" in kinds:
        shapes = ", ".join(f"{values.dtype}{list(values.shape)}" for _, values, _ in parts)
        raise DataError(
            f"the arrays are {shapes}; images are uint8[N, H, W] or uint8[N, H, W, C] of one size",
            flag="data",
            place=file,
            fix="save pixels from 0 to 255 as uint8",
        )
    return "text" if parts[0][1].ndim == 1 else "array"


def _kind(values: np.ndarray) -> str | tuple[int, int, int]:
    """The shape of an image, or `text`; empty for anything else."""
    if values.dtype.kind == "U" and values.ndim == 1:
        return "text"
    if values.dtype == np.uint8 and values.ndim in (3, 4):
        shape = values.shape[1:] if values.ndim == 4 else (*values.shape[1:], 1)
        return shape if shape[-1] in (1, 3, 4) else ""
    return ""
