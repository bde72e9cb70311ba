"""Recognition of folders that are splits, such as train/ and val/, by their usual names."""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Sequence

from tltf.data.source import TEST, TRAIN, VALIDATION
from tltf.errors import DataError

ROLES_OF_WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "trainset": TRAIN,
    "trn": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "valset": VALIDATION,
    "dev": VALIDATION,
    "eval": VALIDATION,
    "test": TEST,
    "testing": TEST,
    "tests": TEST,
    "testset": TEST,
    "tst": TEST,
}
GENERIC_WORDS = frozenset(
    (
        "set",
        "data",
        "dataset",
        "images",
        "image",
        "imgs",
        "img",
        "pictures",
        "photos",
        "split",
        "folder",
        "dir",
        "samples",
        "seg",
    )
)
"""Words beside the word of the split that say nothing about a class."""
UNLABELLED_WORDS = frozenset(
    ("pred", "predict", "prediction", "submission", "unlabeled", "unlabelled")
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclasses.dataclass(frozen=True)
class _FolderName:
    """What the name of a folder says.

    Args:
        role: one of source.ROLES, or "".
        rest: the other words, in lower case.
        is_unlabelled: whether it is named as a folder of pictures to predict.
    """

    role: str
    rest: tuple[str, ...]
    is_unlabelled: bool


def _parse_name(name: str) -> _FolderName:
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:  # another script
        return _FolderName("", (name,), False)
    roles = [ROLES_OF_WORDS[word] for word in words if word in ROLES_OF_WORDS]
    unlabelled = [word for word in words if word in UNLABELLED_WORDS]
    rest = tuple(w for w in words if w not in ROLES_OF_WORDS and w not in UNLABELLED_WORDS)
    return _FolderName(roles[0] if len(roles) == 1 else "", rest, bool(unlabelled) and not roles)


def _says_no_class(rest: tuple[str, ...]) -> bool:
    return all(word in GENERIC_WORDS for word in rest)


def find_splits(
    root: pathlib.Path,
    folders: Sequence[pathlib.Path],
    inner: Callable[[pathlib.Path], Sequence[pathlib.Path]],
    has_images: Callable[[pathlib.Path], bool],
) -> list[tuple[pathlib.Path, str]]:
    """(folder, role) of each split; [] where the folders are classes.

    The folders are splits where the name of each says so (`training_set`, `seg_train`, `Val2017`),
    beside words that are the same in all names or say nothing. A folder in a split with the same
    role takes its place (`seg_train/seg_train`), and a folder of pictures to predict (`seg_pred`)
    is left out.

    Args:
        root: path of the data.
        folders: the folders in it.
        inner: path of a folder -> the folders in it.
        has_images: path of a folder -> whether images lie in the folder itself.

    Raises:
        DataError: folders named as splits hold no class folders, or stand beside other folders.
    """
    names = {folder: _parse_name(folder.name) for folder in folders}
    shared = {named.rest for named in names.values()}
    unlabelled = [folder for folder in folders if names[folder].is_unlabelled]
    splits = [
        folder
        for folder in folders
        if names[folder].role and (len(shared) == 1 or _says_no_class(names[folder].rest))
    ]
    below = {folder: _unwrap(folder, names[folder], inner, has_images) for folder in splits}
    with_classes = [folder for folder in splits if inner(below[folder])]
    if splits and len(splits) + len(unlabelled) == len(folders):
        if not with_classes and len({names[folder].role for folder in splits}) == 1:
            return []  # test1/ and test2/ with images are classes like others
        if len(with_classes) < len(splits):
            raise _no_classes_error(
                root, [f for f in splits if f not in with_classes], with_classes
            )
        return [(below[folder], names[folder].role) for folder in splits]
    if with_classes:
        raise DataError(
            f"{_list_names(with_classes)} hold class folders but stand beside other folders in {root}",
            flag="data",
            fix=f"path={with_classes[0]} takes one split, or move the other folders away",
        )
    return []


def prediction_folders(folders: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The folders that are named as folders of pictures to predict."""
    return [folder for folder in folders if _parse_name(folder.name).is_unlabelled]


def _unwrap(
    folder: pathlib.Path,
    named: _FolderName,
    inner: Callable[[pathlib.Path], Sequence[pathlib.Path]],
    has_images: Callable[[pathlib.Path], bool],
) -> pathlib.Path:
    """The folder, or the only folder in it if that is named as the same split."""
    below = inner(folder)
    if len(below) == 1 and _parse_name(below[0].name).role == named.role and not has_images(folder):
        return below[0]
    return folder


def _no_classes_error(
    root: pathlib.Path, without: Sequence[pathlib.Path], with_classes: Sequence[pathlib.Path]
) -> DataError:
    fix = "put a folder for each class into train/, validation/ and test/"
    train = [folder for folder in with_classes if _parse_name(folder.name).role == TRAIN]
    if train:
        fix = f"path={train[0]} trains on the rows with classes; tltf.predict --input={without[0]} takes the rest"
    return DataError(
        f"{_list_names(without)} in {root} hold no class folders: splits would be read as classes",
        flag="data",
        fix=fix,
    )


def _list_names(folders: Sequence[pathlib.Path]) -> str:
    return ", ".join(folder.name + "/" for folder in folders)
