"""Rows 82 to 87 of the matrix: what strangers put into model files runs nothing and reads nothing.

For each file: exit code 4 and one line; no canary; no word of a secret; nothing written; no more
memory and time than a small model takes.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import os
import pickle
import signal
import warnings
import zipfile

import keras
import numpy as np
import pytest

import tltf
from tests import served
from tests.faults import hostile
from tests.faults.flags_test import package, tar, zipped
from tests.faults.making import (
    COVERED,
    Case,
    bounded_memory,
    covers,
    put,
    require,
    run,
    snapshot,
)
from tltf import checkpoints, train
from tltf.errors import ModelError

MOST_MB, MOST_SECONDS = 300, 40
TRAIN = ["--data=digits", f"--backbone={hostile.BACKBONE}", "--dry_run"]
TEXTS = "text,label\n" + "".join(f"word {n},{'ab'[n % 2]}\n" for n in range(20))


@dataclasses.dataclass(frozen=True)
class Hostile(Case):
    """A Case of a hostile file.

    Args:
        is_large: only run with the slow tests: another case of the suite is much like it.
    """

    is_large: bool = False


def table(*cases):
    """Parametrizes a test by `case`."""
    for case in cases:
        COVERED.setdefault(case.row, []).append(case.what)
    return pytest.mark.parametrize("case", [
        pytest.param(case, id=f"{case.row:02}-{case.what.replace(' ', '_')}",
                     marks=[pytest.mark.large] if case.is_large or case.is_program else [])
        for case in cases
    ])  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def warm():
    """What is imported and kept by the first run is not laid to the first case."""
    assert train.main(TRAIN) == 0
    served.image_once()


@contextlib.contextmanager
def bounded_time(seconds=MOST_SECONDS):
    """A block that is broken off: a read of a pipe would wait for ever."""

    def late(*_):
        raise AssertionError(f"not refused within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def harmless(tmp_path):
    """A block after which there is no canary and no file that was not there before."""
    before = snapshot(tmp_path)
    with bounded_memory(MOST_MB), bounded_time():
        yield
    assert not hostile.canary(tmp_path / "data").exists(), "code in the file was run"
    assert snapshot(tmp_path) == before, "something was written or changed"


def refused(case, tmp_path, capfd):
    """Runs a case and asserts its exit code, its one line, and that it was harmless."""
    data = tmp_path / "data"
    hostile.surroundings(data)
    argv = case.make(data)
    with harmless(tmp_path):
        done = run(case.command, argv, capfd, is_program=case.is_program)
    require(done, case.code, case.said, is_alone=case.is_program)
    assert hostile.SECRET not in done.out + done.err
    return done


def weights(row, what, name, write, *said, **more):
    """A case of a file that is given as --backbone_weights."""

    def make(folder):
        write(folder / name)
        return [*TRAIN, f"--backbone_weights={folder / name}"]

    return Hostile(row, what, make, 4, said, flags=(), command="train", **more)


def backbone(row, what, name, write, *said, data="--data=digits", **more):
    """A case of a file or a folder that is given as --backbone."""

    def make(folder):
        write(folder / name)
        return [data, f"--backbone={folder / name}", "--dry_run"]

    return Hostile(row, what, make, 4, said, flags=(), command="train", **more)


def of_texts(row, what, write, *said, **more):
    """A case of a folder with a text model that is given as --backbone."""

    def make(folder):
        put(folder, {"all.csv": TEXTS})
        write(folder / "model")
        return [f"--data=csv(path={folder}/all.csv, text=text, label=label)",
                f"--backbone={folder}/model", "--dry_run"]  # fmt: skip

    return Hostile(row, what, make, 4, said, flags=(), command="train", **more)


def a_run(row, what, write, *said, command="predict", **more):
    """A case of a run folder."""

    def make(folder):
        write(folder / "run")
        argv = [f"--run={folder}/run"]
        return [*argv, "--input=x.png"] if command == "predict" else argv

    return Hostile(row, what, make, 4, said, flags=(), command=command, **more)


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
    "absolute name": H.members(lambda old: old | {"/tmp/tltf_canary": b"x"}),
    "link": H.linked,
    "name twice": H.twice,
    "bomb": H.members(lambda old: old | {"assets/zeros": bytes(1 << 26)}, zipfile.ZIP_DEFLATED),
}


@table(
    *(weights(83, f"{what} as weights", "a.keras", write, "a .keras file is not read as weights",
              is_large=what != "Lambda") for what, write in KERAS.items()),
    *(backbone(83, f"{what} as backbone", "a.keras", write, "--backbone: a .keras file is not opened")
      for what, write in KERAS.items()),
    backbone(83, "program", "a.keras", H.lambda_layer, "not opened as a backbone", is_program=True),
)  # fmt: skip
def test_models_of_keras(case, tmp_path, capfd):
    refused(case, tmp_path, capfd)


SUFFIX = "file is not read as weights"
NOT_READ = "no readable weights"
H5 = "no readable HDF5 file"


@table(
    weights(84, "pickle", "a.pkl", H.pickled, SUFFIX),
    weights(84, "PyTorch zip", "a.pt", H.torch_zip, SUFFIX),
    weights(84, "PyTorch legacy", "a.pth", H.torch_legacy, SUFFIX),
    weights(84, "objects in npz", "a.npz", H.objects, SUFFIX),
    weights(84, "objects in npy", "a.npy", H.objects, SUFFIX),
    weights(86, "npz bomb", "a.npz", H.npz_bomb, SUFFIX),
    *(weights(84, f"{what} called {name}", name, write, said)
      for what, write in (("pickle", H.pickled), ("PyTorch zip", H.torch_zip),
                          ("PyTorch legacy", H.torch_legacy), ("npz", H.objects))
      for name, said in (("a.safetensors", NOT_READ), ("a.h5", H5))),
    weights(84, "program", "a.pt", H.torch_zip, SUFFIX, is_program=True),
)  # fmt: skip
def test_pickles(case, tmp_path, capfd):
    refused(case, tmp_path, capfd)


LARGE = 1 << 40


@table(
    weights(82, "missing", "a.safetensors", H.tensors(conv_1__bias=None),
            "weights of another network", "conv_1/bias: missing in the file"),
    weights(82, "too many", "a.safetensors", H.tensors(more=np.ones(2, "f4")),
            "more: (2,) in the file, not in the network"),
    weights(82, "other shape", "a.safetensors", H.tensors(conv_1__bias=np.ones(5, "f4")),
            "conv_1/bias: (5,) in the file, (4,) in the network"),
    weights(82, "whole numbers", "a.safetensors", H.tensors(conv_1__bias=np.ones(4, "i8")),
            "conv_1/bias holds I64, no real numbers"),
    weights(84, "bfloat16", "a.safetensors", H.header(
        {"conv_1/bias": H.tensor([4], 0, 8, "BF16"),
         "conv_1/kernel": H.tensor([3, 3, 1, 4], 8, 152)}, bytes(152)), "conv_1/bias holds BF16"),
    weights(84, "overlap", "a.safetensors", H.header(
        {"conv_1/bias": H.tensor([4], 0, 16), "conv_1/kernel": H.tensor([3, 3, 1, 4], 8, 152)},
        bytes(152)), NOT_READ, "invalid offset"),
    weights(84, "hole", "a.safetensors", H.header(
        {"conv_1/bias": H.tensor([4], 16, 32)}, bytes(32)), NOT_READ),
    weights(84, "negative offset", "a.safetensors", H.header(
        {"conv_1/bias": H.tensor([4], -16, 0)}, bytes(16)), NOT_READ),
    weights(84, "negative shape", "a.safetensors", H.header(
        {"conv_1/bias": H.tensor([-4], 0, 16)}, bytes(16)), NOT_READ),
    weights(84, "offset behind the end", "a.safetensors", H.header(
        {"conv_1/bias": H.tensor([LARGE], 0, 4 * LARGE)}, bytes(16)), NOT_READ),
    weights(84, "shape that overflows", "a.safetensors", H.header(
        {"conv_1/bias": H.tensor([1 << 62, 1 << 62], 0, 16)}, bytes(16)), NOT_READ),
    weights(84, "dtype of objects", "a.safetensors", H.header(
        {"conv_1/bias": H.tensor([4], 0, 16, "OBJECT")}, bytes(16)), NOT_READ),
    weights(84, "key twice", "a.safetensors", H.header(H.TWICE, bytes(16)),
            NOT_READ, "'conv_1/bias' is there twice"),
    weights(86, "header of 2^63", "a.safetensors", H.header(b"{}", size=(1 << 63) - 1), NOT_READ),
    weights(86, "header of 17 MB", "a.safetensors", H.header(b" " * (17 << 20)), NOT_READ),
    weights(86, "deep header", "a.safetensors", H.header(b"[" * 500_000), NOT_READ),
    weights(84, "no object", "a.safetensors", H.header(b"[1, 2]"), NOT_READ),
    weights(84, "empty", "a.safetensors", H.damaged(lambda content: b""), NOT_READ),
    weights(84, "cut", "a.safetensors", H.damaged(lambda content: content[:-1]), NOT_READ),
    weights(84, "cut header", "a.safetensors", H.damaged(lambda content: content[:20]), NOT_READ),
    *(weights(84, f"flipped bit {place}", "a.safetensors",
              H.damaged(lambda content, place=place: H.flipped(content, place)), "a.safetensors",
              is_large=place > 0)
      for place in (0, 7, 8, 12, 40)),
)  # fmt: skip
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
    weights(86, "large part", "a.h5", H.hdf5(H.large_part), "part of 1073741824 bytes"),
    weights(86, "circle", "a.h5", H.hdf5(H.circle), "/conv_1/more is a second name"),
    weights(86, "tree without end", "a.h5", H.hdf5(H.tree), "is a second name"),
    weights(84, "texts", "a.h5", H.hdf5(H.of_texts), "/conv_1/bias holds object, no numbers"),
    weights(84, "pairs", "a.h5", H.hdf5(H.of_pairs), "/conv_1/bias holds ", "no numbers"),
    weights(84, "whole numbers", "a.h5", H.hdf5(H.whole_numbers), "int64, no real numbers"),
    weights(84, "group for a weight", "a.h5", H.hdf5(H.a_group), NOT_READ),
    weights(84, "layer that is not there", "a.h5", H.hdf5(H.lost_layer), NOT_READ),
    weights(84, "weight that is not there", "a.h5", H.hdf5(H.lost_weights), NOT_READ),
    weights(84, "numbers as names", "a.h5", H.hdf5(H.numbers_as_names), NOT_READ),
    weights(84, "corrupt part", "a.h5", H.corrupt_part, NOT_READ),
    weights(84, "whole model", "a.h5", H.whole_model, "a whole model in HDF5 is not opened"),
    weights(84, "whole model as weights", "a.weights.h5", H.whole_model, "a whole model in HDF5"),
    weights(84, "text in Keras's format", "a.weights.h5", H.keras_weights(H.text_for_bias),
            "holds object, no numbers"),
    backbone(84, "whole model as backbone", "a.h5", H.whole_model, "a .h5 file is not opened"),
)  # fmt: skip
def test_hdf5(case, tmp_path, capfd):
    refused(case, tmp_path, capfd)


def without_core(content, folder):
    del content["core"]


def outside_head(content, folder):
    content["core"]["head"] = f"os:mkdir(path={H.canary(folder.parent)})"


def large_head(content, folder):
    content["core"]["head"] = "classify(hidden=[2000000000])"


def many_heads(content, folder):
    content["core"]["head"] = f"classify(hidden={[1] * 40_000})"


def traversal(content, folder):
    content["files"]["../../../secret.txt"] = "0" * 64


def large_pixels(content, folder):
    content["preprocessing"]["size_px"] = 10**9


def words_elsewhere(content, folder):
    memory = content["core"]["backbone"]["memory"]["tokenizer"]
    memory["config"]["vocabulary"] = str(folder.parent.parent / "secret.txt")


def code_for_words(content, folder):
    content["core"]["backbone"]["memory"]["tokenizer"]["class"] = "Lambda"


FILTERS = {"memory": {}, "text": "small_cnn(filters=[2000000000], channels=3)"}
MANY = {"memory": {}, "text": f"small_cnn(filters={[1] * 20_000}, channels=3, kernel_px=1)"}
NO_PART = "is no part of tltf"
OUT = "is a link out of the model folder"
CUT = "the file is not the one that was saved"
EDITS = {
    "head from outside": (H.edited(outside_head), NO_PART),
    "backbone from outside": (H.backbone(text="os:mkdir", memory={}), NO_PART),
    "backbone in a folder": (H.backbone(text="{folder}/..", memory={}), NO_PART),
    "backbone to be fetched": (H.backbone(text="hub:hf://a/b", memory={}), NO_PART),
    "class that is no backbone": (
        H.backbone(text="hub:a", memory={"class": "Lambda", "config": {}}), "no backbone of"),
    "class in a list": (
        H.backbone(text="hub:a", memory={"class": ["os"], "config": {}}), "no backbone of"),
    "classes among its arguments": (H.backbone(text="hub:a", memory={
        "class": "BertBackbone", "config": {"num_layers": {"class_name": "Lambda"}}}),
        "names classes"),
    "filters of 2 billion": (H.backbone(**FILTERS), "too many for its weights file"),
    "20,000 layers": (H.backbone(**MANY), "cannot be rebuilt"),
    "head of 2 billion": (H.edited(large_head), "too many for its weights file"),
    "head of 40,000 layers": (H.edited(many_heads), "too many for its weights file"),
    "BERT of a billion layers": (H.backbone(text="hub:a", memory={
        "class": "BertBackbone", "config": H.BERT | {"num_layers": 10**9}}),
        "too many for its weights file"),
    "billions of pixels": (H.backbone(image_size_px=10**9), "has image_size_px 1000000000"),
    "pixels in words": (H.backbone(image_size_px="many"), "has image_size_px 'many'"),
    "billions of pixels read": (H.edited(large_pixels), "does not fit the backbone"),
    "no core": (H.edited(without_core), "has no 'core'"),
    "folder upwards": (H.edited(lambda content, _: content | {"folder": "../.."}), "the folder"),
    "file upwards": (H.edited(traversal), "the file is missing"),
    "part unknown": (H.backbone(inserted=[{"kind": "os", "size": 1, "names": []}]), "unknown part"),
    "part too large": (H.backbone(inserted=[{"kind": "prompt", "size": 10**9, "names": []}]),
                       "a part of size 1000000000"),
}  # fmt: skip


@table(
    *(a_run(83, what, write, said, is_large="000 layers" in what or "billion layers" in what)
      for what, (write, said) in EDITS.items()),
    a_run(83, "words elsewhere", H.edited(words_elsewhere, served.text_once),
          "vocabulary leads out"),
    a_run(83, "code for words", H.edited(code_for_words, served.text_once), "no tokenizer"),
    a_run(86, "deep JSON", H.text_manifest("[" * 500_000), "is no readable JSON"),
    a_run(86, "5,000 digits", H.text_manifest('{"format": 1' + "0" * 5000 + "}"), "is no readable"),
    a_run(86, "infinite number", H.text_manifest('{"format": Infinity}'), "is no number of JSON"),
    a_run(86, "key twice", H.key_twice, "the key 'folder' is there twice"),
    a_run(86, "endless", H.endless, "no model in"),
    a_run(86, "pipe", H.pipe, "no model in"),
    a_run(86, "pipe for weights", H.pipe_for_weights, "the file is missing"),
    a_run(85, "link to weights", H.linked_weights, OUT),
    a_run(85, "link to a folder", H.linked_folder, OUT),
    a_run(84, "pickle beside", H.pickle_beside, "unknown file 'extra.pkl'"),
    a_run(84, "cut weights", H.changed_bytes(lambda content: content[:-5]), CUT),
    a_run(84, "flipped bit", H.changed_bytes(lambda content: H.flipped(content, -3)), CUT),
    a_run(84, "zeros", H.changed_bytes(lambda content: bytes(len(content))), CUT),
    a_run(84, "pickle for weights", H.other_weights(H.pickled), NOT_READ),
    a_run(84, "objects for weights", H.other_weights(H.objects), NOT_READ),
    a_run(84, "overlap", H.other_weights(H.header(
        {"a": H.tensor([4], 0, 16), "b": H.tensor([4], 8, 24)}, bytes(24))), NOT_READ),
    a_run(82, "other network", H.other_weights(H.tensors()),
          "the weights are of another architecture: ", "conv_1/kernel is (3, 3, 1, 4), the model has"),
    a_run(82, "other numbers", H.other_weights(H.same_weights(
        lambda arrays: arrays | {"conv_1/bias": np.ones(4, "i8")})),
        "conv_1/bias is I64, the model has float32"),
    a_run(83, "flags of other files", H.flags("--flagfile={secret}\n"), "pulls in another file"),
    a_run(83, "flags of no kind", H.flags("--seed=1\n{canary}\n"), "run.flags:2", "is not a flag"),
    a_run(83, "pipe for flags", H.pipe_for_flags, "is no regular file"),
    a_run(83, "data from outside", H.flags("--data=os:mkdir(path={canary})\n"),
          "the run's data 'os:mkdir'", NO_PART, command="evaluate"),
    a_run(83, "split from outside", H.flags("--data=digits\n--split=os:mkdir(path={canary})\n"),
          NO_PART, command="evaluate"),
    a_run(83, "export of head from outside", H.edited(outside_head), NO_PART, command="export"),
    a_run(83, "SavedModel", H.saved_model, "no model in "),
    a_run(83, "program", H.edited(outside_head), NO_PART, is_program=True),
    backbone(83, "SavedModel as backbone", "run", H.saved_model, "a SavedModel is a program"),
    *(backbone(83, f"{what} as backbone", "run", write, is_large=True)
      for what, (write, _) in EDITS.items() if "head" not in what and "read" not in what),
)  # fmt: skip
def test_runs(case, tmp_path, capfd):
    refused(case, tmp_path, capfd)


def config(**changes):
    return lambda content: content["config"].update(changes)


TWO_FORMATS = {"registered_name": "keras>Lambda", "class_name": "Lambda", "config": {}}


@table(
    of_texts(83, "class of Keras", H.preset(lambda c: c.update(class_name="Lambda")),
             "no backbone of KerasHub"),
    of_texts(83, "class among arguments", H.preset(config(num_heads={"class_name": "Lambda"})),
             "names classes"),
    of_texts(83, "two formats", H.checkpoint(TWO_FORMATS), "both model_type and registered_name"),
    of_texts(83, "words elsewhere", H.preset(tokenizer=config(vocabulary="SECRET")),
             "vocabulary leads out"),
    of_texts(83, "tokenizer of no kind", H.preset(tokenizer=lambda c: {"config": {}}),
             "no readable backbone"),
    of_texts(83, "configuration of no kind", H.preset(lambda c: c.update(config=[1])),
             "no readable backbone"),
    of_texts(86, "a billion layers", H.preset(config(num_layers=10**9)),
             "too many for its weights file", is_large=True),
    of_texts(86, "a billion words", H.preset(config(vocabulary_size=10**9)), "too many for its weights file"),
    of_texts(86, "deep JSON", H.checkpoint(files={
        "config.json": lambda path: path.write_text("[" * 500_000)}), "is no readable JSON"),
    of_texts(86, "pipe for words", H.checkpoint(files={
        "vocab.txt": lambda path: path.unlink() or os.mkfifo(path)}),
        "is no regular file"),
    of_texts(84, "pickled checkpoint", H.checkpoint(files={"pytorch_model.bin": H.torch_zip}),
             "pickled weights are not read"),
    of_texts(84, "pickle called safetensors", H.checkpoint(files={
        "model.safetensors": H.pickled}), NOT_READ),
    of_texts(86, "checkpoint of a billion words", H.checkpoint({"vocab_size": 10**9}, {
        "model.safetensors": H.tensors()}), "too many for its weights file"),
    of_texts(82, "checkpoint of another network", H.checkpoint(files={
        "model.safetensors": H.tensors()}), "no readable bert checkpoint"),
    of_texts(85, "shards elsewhere", H.checkpoint(files={
        "model.safetensors": H.tensors(), "model.safetensors.index.json": H.shards_elsewhere}),
        "names the file '../../secret.safetensors'"),
)  # fmt: skip
def test_folders_of_kerashub_and_hugging_face(case, tmp_path, capfd):
    refused(case, tmp_path, capfd)


@covers(83)
@pytest.mark.parametrize(("changes", "said"), [
    ({"head": "os:mkdir(path=x)"}, NO_PART),
    ({"method": "os:mkdir(path=x)"}, NO_PART),
    ({"backbone": "os:mkdir(path=x)"}, "no name of --list=backbones"),
    ({"backbone": "hub:hf://a/b"}, "no name of --list=backbones"),
    ({"backbone": "/etc"}, "no name of --list=backbones"),
    ({"head": "classify(hidden=[2000000000])"}, "too many for its weights file"),
    ({"class_names": ["a"] * 200_000_0}, "has a header|no header of up to"),
    ({"preprocessing": {"size_px": "many"}}, "cannot be built"),
    ({"preprocessing": []}, "no 'preprocessing' of type dict"),
    ({"modality": "text"}, "trained on other weights"),
    ({}, "trained on other weights"),
])  # fmt: skip
def test_adapters(changes, said, tmp_path):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data/adapter.safetensors"
    path.write_bytes(H.adapter(**changes))
    with harmless(tmp_path), pytest.raises(ModelError, match=said):
        tltf.load(str(path))


def sha256_of(content):
    return hashlib.sha256(content).hexdigest()


@covers(84, 86)
@pytest.mark.parametrize("content", [
    lambda folder: H.npz({"weights/a": H.npy(np.array([H.Code(folder)], object))}),
    lambda folder: H.npz({"weights/a": H.npy(np.zeros(1 << 20))}, zipfile.ZIP_DEFLATED),
    lambda folder: H.npz({"weights/a": H.npy(shape=(1 << 40,))}),
    lambda folder: H.npz({"weights/a": b"\x93NUMPY\x01\x00"}),
    lambda folder: b"PK\x03\x04 no archive",
], ids=["objects", "bomb", "huge shape", "cut member", "no archive"])  # fmt: skip
def test_checkpoints(content, tmp_path):
    """Whoever wrote the arrays could also write their SHA-256."""
    arrays = content(tmp_path / "data")
    put(tmp_path / "data/checkpoints/000000001", {
        "arrays.npz": arrays, "state.json": f'{{"sha256": "{sha256_of(arrays)}"}}'})  # fmt: skip
    with (
        harmless(tmp_path),
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(ModelError, match="all checkpoints are damaged"),
    ):
        checkpoints.newest(tmp_path / "data")


@covers(85, 86)
@pytest.mark.parametrize(("content", "file", "said"), [
    (lambda: tar("dev", H_CHAR), "a.tgz", "is a link or a device"),
    (lambda: tar("pipe", H_FIFO), "a.tgz", "is a link or a device"),
    (lambda: tar("C:/out.txt"), "a.tgz", "would leave the folder"),
    (lambda: zipped({"/out.txt": "boom"}), "a.whl", "would leave the folder"),
    (lambda: zipped({"a\\..\\..\\out.txt": "boom"}), "a.whl", "would leave the folder"),
    (lambda: doubled("a.txt", "a.txt"), "a.whl", "takes the place of another"),
    (lambda: doubled("a", "a/b"), "a.whl", "takes the place of another"),
    (lambda: doubled("a/b", "a"), "a.whl", "takes the place of another"),
    (lambda: zipped({"a": "b"})[:-9], "a.whl", "no readable archive"),
    (lambda: tar("a")[:-30], "a.tgz", "no readable archive"),
    (lambda: b"\x1f\x8b" + bytes(40), "a.tgz", "no readable archive"),
    pytest.param(lambda: tall(), "a.whl", "unpacks to more than its limit", marks=pytest.mark.large),
], ids=range(12))  # fmt: skip
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
    data("objects as data", lambda folder: H.npz({
        "x": H.npy(np.array([H.Code(folder)], object)), "y": H.npy(np.zeros(1))}),
        "holds pickled objects"),
    data("huge shape as data", lambda _: H.npz({"x": H.npy(shape=(1 << 40,))}),
         "x.npy promises 8796093022208 bytes"),
    data("cut member as data", lambda _: H.npz(
        {"x": b"\x93NUMPY\x01\x00", "y": H.npy(np.zeros(1))}), "is damaged"),
    data("no archive as data", lambda _: b"PK\x03\x04 no archive", "it is no .npz file"),
    data("bomb as data", lambda _: renamed(tall()), "unpacks to much more than it is",
         is_large=True),
)  # fmt: skip
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
    write = {"a.safetensors": H.tensors(), "a.h5": H.hdf5(lambda *_: None),
             "a.weights.h5": H.keras_weights(lambda *_: None)}[name]  # fmt: skip
    write(tmp_path / name)
    require(run("train", [*TRAIN, f"--backbone_weights={tmp_path / name}"], capfd), 0)


@pytest.mark.parametrize("write", [H.a_run, H.edited(lambda *_: None, served.text_once)])
def test_the_runs_that_were_changed_are_taken_unchanged(write, tmp_path):
    write(tmp_path / "run")
    assert tltf.load(tmp_path / "run").class_names


def test_the_folders_that_were_changed_are_taken_unchanged(tmp_path, capfd):
    case = of_texts(83, "", H.preset())
    require(run("train", case.make(tmp_path), capfd), 0)
