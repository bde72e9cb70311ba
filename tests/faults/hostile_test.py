"""Rows 82 to 87 of the matrix: what strangers put into model files runs nothing and reads nothing.

For each file: exit code 4 and one line; no canary; no word of a secret; nothing written; no more
memory and time than a small model takes.
"""

import functools
import hashlib
import io
import json
import pickle
import warnings
import zipfile

import keras
import numpy as np
import pytest

from tests.faults import hostile
from tests.faults.flags_test import package, tar, zipped
from tests.faults.making import (
    bounded_memory,
    covers,
    put,
    require,
    run,
)
from tests.faults.refusing import (  # noqa: F401 (warm is a fixture)
    MOST_MB,
    TRAIN,
    Hostile,
    backbone,
    bounded_time,
    harmless,
    refused,
    table,
    warm,
    weights,
)
from tltf.errors import ModelError
from tltf.runs import checkpoints

H = hostile
KERAS = {
    "Lambda": H.lambda_layer,
    "function by its path": H.function("os", "mkdir"),
    "function of a package": H.function("shutil", "rmtree", "shutil>rmtree"),
    "registered function": H.function("builtins", "get_file", "keras.utils>get_file"),
    "function of Keras": H.function("keras.config", "enable_unsafe_deserialization"),
    "TFSMLayer": H.layer("TFSMLayer", {"filepath": "SECRET", "call_endpoint": "serve"}),
    "TorchModuleWrapper": H.layer("TorchModuleWrapper", {"module": "gASVAAAA"}),
    "StringLookup": H.layer("StringLookup", {"vocabulary": "SECRET"}),
    "IntegerLookup": H.layer("IntegerLookup", {"vocabulary": "SECRET"}),
    "TextVectorization": H.layer("TextVectorization", {"vocabulary": "SECRET"}),
    "unknown module": H.layer("Popen", {"args": ["mkdir", "CANARY"]}, "subprocess"),
    "unknown class": H.layer("Own", {"units": 2}, "mine.layers", "mine>Own"),
    "name upwards": H.members(lambda old: old | {"../../canary": b"x"}),
    "absolute name": H.members(lambda old: old | {H.ABSOLUTE: b"x"}),
    "link": H.linked,
    "name twice": H.twice,
    "bomb": H.members(lambda old: old | {"assets/zeros": bytes(1 << 26)}, zipfile.ZIP_DEFLATED),
}


@table(
    *(
        weights(
            83,
            f"{what} as weights",
            "a.keras",
            write,
            "a .keras file is not read as weights",
            is_large=what != "Lambda",
        )
        for what, write in KERAS.items()
    ),
    *(
        backbone(
            83, f"{what} as backbone", "a.keras", write, "--backbone: a .keras file is not opened"
        )
        for what, write in KERAS.items()
    ),
    backbone(83, "program", "a.keras", H.lambda_layer, "not opened as a backbone", is_program=True),
)
def test_models_of_keras(case, tmp_path, capfd):
    refused(case, tmp_path, capfd)


SUFFIX = "file is not read as weights"
NOT_READ = "no readable weights"
H5 = "is not a readable HDF5 file"


@table(
    weights(84, "pickle", "a.pkl", H.pickled, SUFFIX),
    weights(84, "PyTorch zip", "a.pt", H.torch_zip, SUFFIX),
    weights(84, "PyTorch legacy", "a.pth", H.torch_legacy, SUFFIX),
    weights(84, "objects in npz", "a.npz", H.objects, SUFFIX),
    weights(84, "objects in npy", "a.npy", H.objects, SUFFIX),
    weights(86, "npz bomb", "a.npz", H.npz_bomb, SUFFIX),
    *(
        weights(84, f"{what} called {name}", name, write, said)
        for what, write in (
            ("pickle", H.pickled),
            ("PyTorch zip", H.torch_zip),
            ("PyTorch legacy", H.torch_legacy),
            ("npz", H.objects),
        )
        for name, said in (("a.safetensors", NOT_READ), ("a.h5", H5))
    ),
    weights(84, "program", "a.pt", H.torch_zip, SUFFIX, is_program=True),
)
def test_pickles(case, tmp_path, capfd):
    refused(case, tmp_path, capfd)


LARGE = 1 << 40


@table(
    weights(
        82,
        "missing",
        "a.safetensors",
        H.tensors(conv_1__bias=None),
        "weights of another network",
        "conv_1/bias: missing in the file",
    ),
    weights(
        82,
        "too many",
        "a.safetensors",
        H.tensors(more=np.ones(2, "f4")),
        "more: (2,) in the file, not in the network",
    ),
    weights(
        82,
        "other shape",
        "a.safetensors",
        H.tensors(conv_1__bias=np.ones(5, "f4")),
        "conv_1/bias: (5,) in the file, (4,) in the network",
    ),
    weights(
        82,
        "whole numbers",
        "a.safetensors",
        H.tensors(conv_1__bias=np.ones(4, "i8")),
        "conv_1/bias holds I64, not real numbers",
    ),
    weights(
        84,
        "bfloat16",
        "a.safetensors",
        H.header(
            {
                "conv_1/bias": H.tensor([4], 0, 8, "BF16"),
                "conv_1/kernel": H.tensor([3, 3, 1, 4], 8, 152),
            },
            bytes(152),
        ),
        "conv_1/bias holds BF16",
    ),
    weights(
        84,
        "overlap",
        "a.safetensors",
        H.header(
            {"conv_1/bias": H.tensor([4], 0, 16), "conv_1/kernel": H.tensor([3, 3, 1, 4], 8, 152)},
            bytes(152),
        ),
        NOT_READ,
        "invalid offset",
    ),
    weights(
        84,
        "hole",
        "a.safetensors",
        H.header({"conv_1/bias": H.tensor([4], 16, 32)}, bytes(32)),
        NOT_READ,
    ),
    weights(
        84,
        "negative offset",
        "a.safetensors",
        H.header({"conv_1/bias": H.tensor([4], -16, 0)}, bytes(16)),
        NOT_READ,
    ),
    weights(
        84,
        "negative shape",
        "a.safetensors",
        H.header({"conv_1/bias": H.tensor([-4], 0, 16)}, bytes(16)),
        NOT_READ,
    ),
    weights(
        84,
        "offset behind the end",
        "a.safetensors",
        H.header({"conv_1/bias": H.tensor([LARGE], 0, 4 * LARGE)}, bytes(16)),
        NOT_READ,
    ),
    weights(
        84,
        "shape that overflows",
        "a.safetensors",
        H.header({"conv_1/bias": H.tensor([1 << 62, 1 << 62], 0, 16)}, bytes(16)),
        NOT_READ,
    ),
    weights(
        84,
        "dtype of objects",
        "a.safetensors",
        H.header({"conv_1/bias": H.tensor([4], 0, 16, "OBJECT")}, bytes(16)),
        NOT_READ,
    ),
    weights(
        84,
        "key twice",
        "a.safetensors",
        H.header(H.TWICE, bytes(16)),
        NOT_READ,
        "'conv_1/bias' is there twice",
    ),
    weights(86, "header of 2^63", "a.safetensors", H.header(b"{}", size=(1 << 63) - 1), NOT_READ),
    weights(86, "header of 17 MB", "a.safetensors", H.header(b" " * (17 << 20)), NOT_READ),
    weights(86, "deep header", "a.safetensors", H.header(b"[" * 500_000), NOT_READ),
    weights(84, "no object", "a.safetensors", H.header(b"[1, 2]"), NOT_READ),
    weights(84, "empty", "a.safetensors", H.damaged(lambda content: b""), NOT_READ),
    weights(84, "cut", "a.safetensors", H.damaged(lambda content: content[:-1]), NOT_READ),
    weights(84, "cut header", "a.safetensors", H.damaged(lambda content: content[:20]), NOT_READ),
    *(
        weights(
            84,
            f"flipped bit {place}",
            "a.safetensors",
            H.damaged(lambda content, place=place: H.flipped(content, place)),
            "a.safetensors",
            is_large=place > 0,
        )
        for place in (0, 7, 8, 12, 40)
    ),
)
def test_safetensors(case, tmp_path, capfd):
    refused(case, tmp_path, capfd)


AWAY = "leads out of the file or is virtual"


@table(
    weights(87, "external link", "a.h5", H.hdf5(H.external_link), "/conv_1/bias", AWAY),
    weights(87, "soft link", "a.h5", H.hdf5(H.soft_link), "/conv_1/bias", AWAY),
    weights(87, "external storage", "a.h5", H.hdf5(H.external_storage), "/conv_1/bias", AWAY),
    weights(87, "virtual", "a.h5", H.hdf5(H.virtual), "/conv_1/bias", AWAY),
    weights(87, "program", "a.h5", H.hdf5(H.external_link), AWAY, is_program=True),
    weights(86, "huge shape", "a.h5", H.hdf5(H.huge), "(1048576, 65536) in the file"),
    weights(86, "large part", "a.h5", H.hdf5(H.large_part), "a chunk of 1073741824 bytes"),
    weights(86, "circle", "a.h5", H.hdf5(H.circle), "/conv_1/more is a second name"),
    weights(86, "tree without end", "a.h5", H.hdf5(H.tree), "is a second name"),
    weights(84, "texts", "a.h5", H.hdf5(H.of_texts), "/conv_1/bias holds object, not numbers"),
    weights(84, "pairs", "a.h5", H.hdf5(H.of_pairs), "/conv_1/bias holds ", "not numbers"),
    weights(84, "whole numbers", "a.h5", H.hdf5(H.whole_numbers), "int64, not real numbers"),
    weights(84, "group for a weight", "a.h5", H.hdf5(H.a_group), NOT_READ),
    weights(84, "layer that is not there", "a.h5", H.hdf5(H.lost_layer), NOT_READ),
    weights(84, "weight that is not there", "a.h5", H.hdf5(H.lost_weights), NOT_READ),
    weights(84, "numbers as names", "a.h5", H.hdf5(H.numbers_as_names), NOT_READ),
    weights(84, "corrupt part", "a.h5", H.corrupt_part, NOT_READ),
    weights(84, "whole model", "a.h5", H.whole_model, "a whole model in HDF5 is not opened"),
    weights(84, "whole model as weights", "a.weights.h5", H.whole_model, "a whole model in HDF5"),
    weights(
        84,
        "text in Keras's format",
        "a.weights.h5",
        H.keras_weights(H.text_for_bias),
        "holds object, not numbers",
    ),
    backbone(84, "whole model as backbone", "a.h5", H.whole_model, "a .h5 file is not opened"),
)
def test_hdf5(case, tmp_path, capfd):
    refused(case, tmp_path, capfd)


def checkpoint(folder, content):
    """A checkpoint of step 1 with other bytes of arrays, for which its manifest is right."""
    checkpoints.save(folder, 1, checkpoints.Checkpoint({"weights/a": np.zeros(3)}, {"epoch": 0}))
    path = folder / "checkpoints/000000001"
    (path / checkpoints.ARRAYS).write_bytes(content)
    manifest = json.loads((path / checkpoints.MANIFEST).read_text())
    manifest["sha256"][checkpoints.ARRAYS] = hashlib.sha256(content).hexdigest()
    (path / checkpoints.MANIFEST).write_text(json.dumps(manifest))


def arrays(member, compression=zipfile.ZIP_STORED, **more):
    """The arrays of step 1, of which one is this member of an .npz file."""
    step = {checkpoints._STEP: H.npy(np.int64(1))}
    return H.npz({"weights/a": member} | step | more, compression)


@covers(84, 86)
@pytest.mark.parametrize(
    "content",
    [
        lambda folder: arrays(H.npy(np.array([H.Code(folder)], object))),
        lambda folder: arrays(pickle.dumps(H.Code(folder))),
        lambda folder: arrays(H.npy(np.zeros(1 << 20)), zipfile.ZIP_DEFLATED),
        lambda folder: arrays(H.npy(shape=(1 << 40,))),
        lambda folder: arrays(b"\x93NUMPY\x01\x00"),
        lambda folder: arrays(H.npy(np.zeros(3)), **{checkpoints._STEP: H.npy(np.int64(2))}),
        lambda folder: arrays(H.npy(np.zeros(3)))[:-9],
        lambda folder: b"PK\x03\x04 no archive",
    ],
    ids=[
        "objects",
        "pickle",
        "bomb",
        "huge shape",
        "cut member",
        "other step",
        "cut",
        "no archive",
    ],
)
def test_checkpoints(content, tmp_path):
    """Whoever wrote the arrays could also write their SHA-256."""
    checkpoint(tmp_path / "data", content(tmp_path / "data"))
    with (
        harmless(tmp_path),
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(ModelError, match="all checkpoints are damaged"),
    ):
        checkpoints.newest(tmp_path / "data")


def test_the_checkpoint_that_was_changed_is_taken_with_its_arrays(tmp_path):
    checkpoint(tmp_path, arrays(H.npy(np.arange(3.0))))
    found = checkpoints.newest(tmp_path)
    assert found.arrays["weights/a"].tolist() == [0, 1, 2] and found.state["epoch"] == 0


@covers(85, 86)
@pytest.mark.parametrize(
    ("content", "file", "said"),
    [
        (lambda: tar("dev", H_CHAR), "a.tgz", "is a link or a device"),
        (lambda: tar("pipe", H_FIFO), "a.tgz", "is a link or a device"),
        (lambda: tar("C:/out.txt"), "a.tgz", "would leave the folder"),
        (lambda: zipped({"/out.txt": "boom"}), "a.whl", "would leave the folder"),
        (lambda: zipped({"a\\..\\..\\out.txt": "boom"}), "a.whl", "would leave the folder"),
        (lambda: doubled("a.txt", "a.txt"), "a.whl", "takes the place of another"),
        (lambda: doubled("a", "a/b"), "a.whl", "takes the place of another"),
        (lambda: doubled("a/b", "a"), "a.whl", "takes the place of another"),
        (lambda: zipped({"a": "b"})[:-9], "a.whl", "not a readable archive"),
        (lambda: tar("a")[:-30], "a.tgz", "not a readable archive"),
        (lambda: b"\x1f\x8b" + bytes(40), "a.tgz", "not a readable archive"),
        pytest.param(
            lambda: tall(), "a.whl", "unpacks to more than its limit", marks=pytest.mark.large
        ),
    ],
    ids=range(12),
)
def test_archives(monkeypatch, tmp_path, capfd, content, file, said):
    cache, _ = package(monkeypatch, tmp_path, content(), file)
    with bounded_memory(MOST_MB), bounded_time():
        done = run("check", ["--data=mnist_5k"], capfd)
    require(done, 4, [file, said])
    outside = [path for path in tmp_path.rglob("*") if path.name == "out.txt"]
    assert not outside and not (cache / "assets/mnist_5k").exists()


H_CHAR, H_FIFO = b"3", b"6"


def doubled(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            opened.writestr(name, "boom")
    return file.getvalue()


@functools.cache
def tall():
    """2 GB of zeros in 2 MB, by a member whose name is taken and one whose name is not."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a", b"")
        with opened.open("zeros", "w", force_zip64=True) as member:
            for _ in range(1100):
                member.write(bytes(1 << 20))
    return file.getvalue()


def data(what, content, *said, **more):
    """A case of an .npz file that is given as --data."""

    def make(folder):
        put(folder, {"a.npz": content(folder)})
        return [f"--data=numpy(path={folder}/a.npz)", "--dry_run", f"--backbone={H.BACKBONE}"]

    return Hostile(86, what, make, 3, said, flags=(), command="train", **more)


@table(
    data(
        "objects as data",
        lambda folder: H.npz(
            {"x": H.npy(np.array([H.Code(folder)], object)), "y": H.npy(np.zeros(1))}
        ),
        "holds pickled objects",
    ),
    data(
        "huge shape as data",
        lambda _: H.npz({"x": H.npy(shape=(1 << 40,))}),
        "x.npy promises 8796093022208 bytes",
    ),
    data(
        "cut member as data",
        lambda _: H.npz({"x": b"\x93NUMPY\x01\x00", "y": H.npy(np.zeros(1))}),
        "is damaged",
    ),
    data("no archive as data", lambda _: b"PK\x03\x04 no archive", "it is not a .npz file"),
    data(
        "bomb as data",
        lambda _: renamed(tall()),
        "unpacks to much more than its size",
        is_large=True,
    ),
)
def test_arrays_of_data(case, tmp_path, capfd):
    refused(case, tmp_path, capfd)


def renamed(content):
    return content.replace(b"zeros", b"x.npy")


def test_the_canaries_would_sing(tmp_path):
    """The files are as dangerous as they say, to readers that are less careful."""
    data = tmp_path / "data"
    data.mkdir()
    H.lambda_layer(data / "a.keras")
    keras.saving.load_model(data / "a.keras", safe_mode=False)
    assert H.canary(data).exists()
    H.canary(data).rmdir()
    H.pickled(data / "a.pkl")
    pickle.loads((data / "a.pkl").read_bytes())
    assert H.canary(data).exists()
    H.canary(data).rmdir()
    H.objects(data / "a.npz")
    np.load(data / "a.npz", allow_pickle=True)["kernel"]
    assert H.canary(data).exists()


@pytest.mark.parametrize("name", ["a.safetensors", "a.h5", "a.weights.h5"])
def test_the_weights_that_were_changed_are_taken_unchanged(name, tmp_path, capfd):
    write = {
        "a.safetensors": H.tensors(),
        "a.h5": H.hdf5(lambda *_: None),
        "a.weights.h5": H.keras_weights(lambda *_: None),
    }[name]
    write(tmp_path / name)
    require(run("train", [*TRAIN, f"--backbone_weights={tmp_path / name}"], capfd), 0)
