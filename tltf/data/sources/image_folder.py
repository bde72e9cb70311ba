"""Folders of images: a folder per class, with or without train/, validation/ and test/ above them."""

import collections
import dataclasses
import os
import pathlib
import stat
from collections.abc import Iterator, Sequence

import numpy as np

from tltf.config.option_groups import ScanOptions
from tltf.data import row_scan
from tltf.data.assembly import Rows, assemble
from tltf.data.images import files
from tltf.data.images.files import Finding
from tltf.data.row_scan import Scan
from tltf.data.source import LoadSettings, Source, one_field
from tltf.data.sources import split_folders
from tltf.errors import DataError, FlagError

PACKED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
SYSTEM_NAMES = frozenset((".ds_store", "thumbs.db", "desktop.ini", "__macosx", "@eadir"))
"""Names, in lower case, of files and folders that are not data, as those that begin with a dot."""


def image_folder(settings: LoadSettings, path: str) -> Source:
    """Images of class folders; folders named train, val(idation) or test above them are splits.

    Args:
        settings: LoadSettings; where no labels are needed, images at any depth are read without them.
        path: path of the folder.

    Returns:
        A Source of paths, with ids relative to `path`.

    Raises:
        FlagError: there is no such folder.
        DataError: there are no images or one class only, faulty class names, one content under two
            labels, split folders that look like classes, or too many bad files.
    """
    root = row_scan.existing_path(path)
    if not root.is_dir():
        is_packed = root.name.lower().endswith(PACKED)
        fix = (
            "unpack it, and give the folder that it makes as path="
            if is_packed
            else f"path={root.parent}"
        )
        raise FlagError(f"{path} is a file, not a folder", flag="data", fix=fix)
    scan = row_scan.Scan("image_folder")
    paths, labels, roles = (
        _walk(root, scan, settings)
        if settings.needs_labels
        else (
            list(walk_files(root, root, scan, follows_links=settings.scan.follow_links)),
            None,
            None,
        )
    )
    if not paths:
        scan.fail(
            f"no images in the folders of {path} (extensions seen: {_extensions(root)})",
            fix="give a folder that holds a folder of images for each class",
        )
        scan.stop_if_failed()
    scan.num_found += len(paths)
    ids = [os.path.relpath(item, root) for item in paths]
    listed = Rows(ids, one_field("path", paths), labels, roles)
    rows = check_files(scan, listed, root, follows_links=settings.scan.follow_links)
    return assemble("image_folder", rows, scan, settings, are_names=True)


def check_files(
    scan: Scan, rows: Rows, root: pathlib.Path | str, *, follows_links: bool = False
) -> Rows:
    """The rows whose files are images; the others are added to `scan`.

    Args:
        scan: the scan of the source.
        rows: rows whose values are paths.
        root: folder that links must not leave.
        follows_links: whether links may leave it.
    """
    ids, labels = rows.ids, rows.labels
    findings = files.inspect_files(list(rows.values), os.sep if follows_links else root)
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
    warn_of_converted(scan, [ids[place] for place in good], [findings[place] for place in good])
    paths = [findings[place].converted or rows.values[place] for place in good]
    hashes = np.array([findings[place].hash for place in good], np.uint64)
    kept = rows.take(good)
    return dataclasses.replace(kept, fields=one_field("path", paths), hashes=hashes)


def warn_of_converted(scan: Scan, ids: Sequence[str], findings: Sequence[Finding]) -> None:
    """Warns of images that were converted to PNG, with their number for each format."""
    counts = collections.Counter(finding.format for finding in findings if finding.converted)
    for name, count in sorted(counts.items()):
        first = next(i for i, finding in zip(ids, findings, strict=True) if finding.format == name)
        scan.warn(f"{count} images ({name}, such as {first}) were converted to PNG for TensorFlow")


def _walk(
    root: pathlib.Path, scan: Scan, settings: LoadSettings
) -> tuple[list[str], list[str], list[str] | None]:
    """The paths, labels and roles (None without splits) of images; loose images are skipped."""
    folders, files = _entries(root)
    _add_loose(files, root, scan)
    splits = split_folders.find_splits(root, folders, lambda path: _entries(path)[0], _has_images)
    if not splits:
        if settings.least_classes > 1:
            _require_classes(root, folders, files)
        _warn_of_alike(folders, scan)
        return *_walk_classes(folders, root, scan, settings.scan), None
    for folder in split_folders.prediction_folders(folders):
        scan.warn(
            f"{folder.name}/ is left out, because its images have no class; predict takes them"
        )
    return _walk_splits(root, splits, scan, settings)


def _walk_splits(
    root: pathlib.Path,
    splits: Sequence[tuple[pathlib.Path, str]],
    scan: Scan,
    settings: LoadSettings,
) -> tuple[list[str], list[str], list[str]]:
    paths, labels, roles = [], [], []
    for split, role in splits:
        folders, files = _entries(split)
        _add_loose(files, root, scan)
        more_paths, more_labels = _walk_classes(folders, root, scan, settings.scan)
        paths += more_paths
        labels += more_labels
        roles += [role] * len(more_paths)
    return paths, labels, roles


def _has_images(folder: pathlib.Path) -> bool:
    return any(_is_image_name(file) for file in _entries(folder)[1])


def _require_classes(
    root: pathlib.Path, folders: Sequence[pathlib.Path], files: Sequence[pathlib.Path]
) -> None:
    """Raises DataError where there is one folder only and the folders in it look like the classes."""
    if len(folders) == 1 and not any(map(_is_image_name, files)):
        inner, loose = _entries(folders[0])
        if len(inner) > 1 and not any(map(_is_image_name, loose)):
            raise DataError(
                f"{root} holds one folder, {folders[0].name}/, with {len(inner)} folders in it",
                flag="data",
                fix=f"path={folders[0]}",
            )


def _warn_of_alike(folders: Sequence[pathlib.Path], scan: Scan) -> None:
    """Warns where all class folders hold folders of the same names, which may be the classes."""
    inner = {frozenset(entry.name for entry in _entries(folder)[0]) for folder in folders}
    if len(folders) > 1 and len(inner) == 1 and len(names := sorted(*inner)) > 1:
        classes, shown = ", ".join(f.name for f in folders[:5]), ", ".join(names[:5])
        scan.warn(
            f"each class folder ({classes}) holds the folders {shown}: are these the classes?"
        )


def _add_loose(files: Sequence[pathlib.Path], root: pathlib.Path, scan: Scan) -> None:
    """Adds the files that lie outside of the class folders to `scan`."""
    for file in files:
        if _is_image_name(file):
            _skip(scan, root, file, "lies outside of the class folders")
        else:
            scan.num_ignored += 1


def _skip(scan: Scan, root: pathlib.Path, path: pathlib.Path | str, reason: str) -> None:
    """Counts as a skipped row a file that is not of a class, or a folder whose images are not known."""
    scan.num_found += 1
    scan.skip(os.path.relpath(path, root), reason)


def _walk_classes(
    folders: Sequence[pathlib.Path], root: pathlib.Path, scan: Scan, options: ScanOptions
) -> tuple[list[str], list[str]]:
    paths, labels = [], []
    for folder in folders:
        inside = list(walk_files(folder, root, scan, follows_links=options.follow_links))
        paths += inside
        labels += [folder.name] * len(inside)
        if not inside:
            text = f"the class folder {folder.name}/ has no images"
            fix = "remove it, fill it, or give --allow_empty_classes"
            scan.warn(text) if options.allow_empty_classes else scan.fail(text, fix=fix)
    return paths, labels


def walk_files(
    folder: pathlib.Path, root: pathlib.Path, scan: Scan, *, follows_links: bool = False
) -> Iterator[str]:
    """Yields the paths of possible images; links to folders and unreadable folders are skipped rows.

    Hidden folders and those of the system hold copies or thumbnails, so each is ignored as a whole.

    Args:
        folder: the folder, which is searched at every depth in sorted order.
        root: folder that the ids of skipped rows are relative to.
        scan: the scan that counts what is ignored and what is skipped.
        follows_links: whether links to folders are searched, each folder once.
    """

    def skip_unreadable(error: OSError) -> None:
        _skip(scan, root, error.filename, f"is a folder that cannot be read ({error.strerror})")

    seen = {os.path.realpath(folder)}
    for parent, inner, names in os.walk(folder, onerror=skip_unreadable, followlinks=follows_links):
        shown = sorted(name for name in inner if not _is_system_name(name))
        scan.num_ignored += len(inner) - len(shown)
        inner[:] = shown
        for name in shown:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                continue
            place = os.path.realpath(path)
            if not follows_links:
                _skip(scan, root, path, "is a link to a folder, which is not followed")
            elif place in seen or seen & set(map(str, pathlib.Path(place).parents)):
                inner.remove(name)  # a loop, or a folder that is searched already
            seen.add(place)
        for path in (os.path.join(parent, name) for name in sorted(names)):
            if _is_ignored(path):
                scan.num_ignored += 1
            else:
                yield path


def _entries(folder: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """`(folders, files)` in a folder, sorted, without hidden and system entries."""
    entries = sorted(pathlib.Path(folder).iterdir())
    shown = [entry for entry in entries if not _is_system_name(entry.name)]
    return [e for e in shown if e.is_dir()], [e for e in shown if not e.is_dir()]


def _is_system_name(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def _is_image_name(path: pathlib.Path | str) -> bool:
    return os.path.splitext(path)[1].lower() in files.EXTENSIONS


def _is_ignored(path: str) -> bool:
    """Whether a file is ignored: a system file, a device, a pipe, or not an image by name and content."""
    if _is_system_name(os.path.basename(path)):
        return True
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            return True
        if _is_image_name(path):
            return False
        with open(path, "rb") as file:
            return files.format_of(file.read(512)) in files.NO_PICTURE
    except OSError:
        return not _is_image_name(path)


def _extensions(root: pathlib.Path) -> str:
    seen = {os.path.splitext(name)[1] or "none" for _, _, names in os.walk(root) for name in names}
    return ", ".join(sorted(seen)[:10]) or "none, because it is empty"
