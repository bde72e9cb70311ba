"""Folders of images: a folder a class, with or without train/, validation/ and test/ above."""

import os
import pathlib
import stat

import numpy as np

from tltf.data import checks, image_files
from tltf.data.assembly import Rows, assemble
from tltf.data.source import TEST, TRAIN, VALIDATION
from tltf.errors import DataError, FlagError

SPLIT_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
SYSTEM_NAMES = frozenset((".ds_store", "thumbs.db", "desktop.ini", "__macosx", "@eadir"))
"""Of files and folders that are no data, in lower case; those that begin with a dot are none too."""


def image_folder(settings, path):
    """Images of class folders; folders named train, val(idation) or test above them are splits.

    Args:
        settings: LoadSettings.
        path: folder.

    Returns:
        Source of paths; ids are relative to `path`.

    Raises:
        FlagError: no such folder.
        DataError: no images, one class, faulty class names, one content under two labels,
            split folders that look like classes, or too many bad files.
    """
    root = checks.existing_path(path)
    if not root.is_dir():
        raise FlagError(f"{path} is a file, not a folder", flag="data", fix=f"path={root.parent}")
    scan = checks.Scan("image_folder")
    paths, labels, roles = _walk(root, scan, settings.scan.allow_empty_classes)
    if not paths:
        scan.fail(
            f"no images in the folders of {path} (extensions seen: {_extensions(root)})",
            fix="give a folder that holds a folder of images for each class",
        )
        scan.stop_if_failed()
    scan.num_found += len(paths)
    ids = [os.path.relpath(item, root) for item in paths]
    rows = checked_files(scan, ids, paths, labels, roles, root)
    return assemble("image_folder", "path", rows, scan, settings)


def checked_files(scan, ids, paths, labels, roles, root):
    """Rows of those files that are images; the others are added to `scan`.

    Args:
        scan: Scan.
        ids: str a file.
        paths: str a file.
        labels: str a file, or None.
        roles: str a file, or None.
        root: folder that links must not leave.
    """
    findings = image_files.inspect_files(paths, root)
    good = [place for place, finding in enumerate(findings) if not finding.reason]
    for place, finding in enumerate(findings):
        if finding.reason:
            scan.skip(ids[place], finding.reason, labels[place] if labels else "")
    pointers = [row for row, finding in zip(ids, findings, strict=True) if finding.is_lfs]
    if pointers:
        scan.fail(
            f"{len(pointers)} files are Git LFS pointers, such as {pointers[0]}",
            fix="run git lfs pull in the data's repository",
        )
    for is_odd, text in (("is_uniform", "have one colour"), ("is_thin", "are very thin")):
        odd = [ids[place] for place in good if getattr(findings[place], is_odd)]
        if odd:
            scan.warn(f"{len(odd)} images {text}, such as {odd[0]}")

    def kept(values):
        return None if values is None else [values[place] for place in good]

    hashes = np.array([findings[place].hash for place in good], np.uint64)
    return Rows(kept(ids), kept(paths), kept(labels), kept(roles), hashes)


def _walk(root, scan, allows_empty):
    """Lists of paths, labels and roles (None without splits); loose images are skipped."""
    folders, files = _entries(root)
    _add_loose(files, root, scan)
    splits = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    with_classes = [folder for folder in splits if _entries(folder)[0]]
    if splits and len(splits) == len(folders):
        return _walk_splits(root, splits, with_classes, scan, allows_empty)
    if with_classes:
        names = ", ".join(folder.name + "/" for folder in with_classes)
        raise DataError(
            f"{names} hold class folders but stand beside other folders in {root}",
            flag="data",
            fix="move the other folders away, or give path= of one split",
        )
    return *_walk_classes(folders, root, scan, allows_empty), None


def _walk_splits(root, splits, with_classes, scan, allows_empty):
    if len(with_classes) < len(splits):
        names = ", ".join(folder.name + "/" for folder in splits if folder not in with_classes)
        raise DataError(
            f"{names} in {root} hold no class folders: splits would be read as classes",
            flag="data",
            fix="put a folder for each class into train/, validation/ and test/",
        )
    paths, labels, roles = [], [], []
    for split in splits:
        folders, files = _entries(split)
        _add_loose(files, root, scan)
        more_paths, more_labels = _walk_classes(folders, root, scan, allows_empty)
        paths += more_paths
        labels += more_labels
        roles += [SPLIT_NAMES[split.name.lower()]] * len(more_paths)
    return paths, labels, roles


def _add_loose(files, root, scan):
    for file in files:
        if _is_image_name(file):
            _skip(scan, root, file, "lies outside of the class folders")
        else:
            scan.num_ignored += 1


def _skip(scan, root, path, reason):
    """Counts what is no image file of a class, or a folder whose images are not known, as a row."""
    scan.num_found += 1
    scan.skip(os.path.relpath(path, root), reason)


def _walk_classes(folders, root, scan, allows_empty):
    paths, labels = [], []
    for folder in folders:
        found = list(_files_below(folder, root, scan))
        paths += found
        labels += [folder.name] * len(found)
        if not found:
            text = f"the class folder {folder.name}/ has no images"
            fix = "remove it, fill it, or give --allow_empty_classes"
            scan.warn(text) if allows_empty else scan.fail(text, fix=fix)
    return paths, labels


def _files_below(folder, root, scan):
    """Paths of what may be images; links to folders and unreadable folders are skipped as rows.

    Hidden folders and those of the system hold copies or thumbnails: each is ignored as a whole.
    """

    def unreadable(error):
        _skip(scan, root, error.filename, f"is a folder that cannot be read ({error.strerror})")

    for parent, inner, names in os.walk(folder, onerror=unreadable):
        shown = sorted(name for name in inner if not _is_system_name(name))
        scan.num_ignored += len(inner) - len(shown)
        inner[:] = shown
        for path in (os.path.join(parent, name) for name in inner):
            if os.path.islink(path):
                _skip(scan, root, path, "is a link to a folder, which is not followed")
        for path in (os.path.join(parent, name) for name in sorted(names)):
            if _is_ignored(path):
                scan.num_ignored += 1
            else:
                yield path


def _entries(folder):
    """Sorted `(folders, files)` of a folder, without hidden and system entries."""
    entries = sorted(pathlib.Path(folder).iterdir())
    shown = [entry for entry in entries if not _is_system_name(entry.name)]
    return [e for e in shown if e.is_dir()], [e for e in shown if not e.is_dir()]


def _is_system_name(name):
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def _is_image_name(path):
    return os.path.splitext(path)[1].lower() in image_files.EXTENSIONS


def _is_ignored(path):
    """System files, devices and pipes, and what is no image by name and by content."""
    if _is_system_name(os.path.basename(path)):
        return True
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            return True
        if _is_image_name(path):
            return False
        with open(path, "rb") as file:
            return not image_files.format_of(file.read(64))
    except OSError:
        return not _is_image_name(path)


def _extensions(root):
    seen = {os.path.splitext(name)[1] or "none" for _, _, names in os.walk(root) for name in names}
    return ", ".join(sorted(seen)[:10]) or "none, it is empty"
