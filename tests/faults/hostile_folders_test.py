"""Rows 82 to 87 of the matrix: what strangers put into folders of models runs nothing and reads nothing.

For each file: exit code 4 and one line; no canary; no word of a secret; nothing written; no more
memory and time than a small model takes.
"""

import os

import numpy as np
import pytest

import tltf
from tests import served
from tests.faults import hostile, hostile_folders
from tests.faults.making import (
    covers,
    picture,
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
from tltf.models import example_inputs
from tltf.serving.export import verify

H, F = hostile, hostile_folders
TEXTS = "text,label\n" + "".join(f"word {n},{'ab'[n % 2]}\n" for n in range(20))
NOT_READ = "no readable weights"


def of_texts(row, what, write, *said, **more):
    """A case of a folder with a text model that is given as --backbone."""

    def make(folder):
        put(folder, {"all.csv": TEXTS})
        write(folder / "model")
        return [
            f"--data=csv(path={folder}/all.csv, text=text, label=label)",
            f"--backbone={folder}/model",
            "--dry_run",
        ]

    return Hostile(row, what, make, 4, said, flags=(), command="train", **more)


def a_run(row, what, write, *said, command="predict", **more):
    """A case of a run folder."""

    def make(folder):
        write(folder / "run")
        argv = [f"--run={folder}/run"]
        return [*argv, "--input=x.png"] if command == "predict" else argv

    return Hostile(row, what, make, 4, said, flags=(), command=command, **more)


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
NO_PART = "is not part of tltf"
OUT = "is a link out of the model folder"
CUT = "the file is not the one that was saved"
EDITS = {
    "head from outside": (F.edited(outside_head), NO_PART),
    "backbone from outside": (F.backbone(text="os:mkdir", memory={}), NO_PART),
    "backbone in a folder": (F.backbone(text="{folder}/..", memory={}), NO_PART),
    "backbone to be fetched": (F.backbone(text="hub:hf://a/b", memory={}), NO_PART),
    "class that is not a backbone": (
        F.backbone(text="hub:a", memory={"class": "Lambda", "config": {}}),
        "not a backbone of",
    ),
    "class in a list": (
        F.backbone(text="hub:a", memory={"class": ["os"], "config": {}}),
        "not a backbone of",
    ),
    "classes among its arguments": (
        F.backbone(
            text="hub:a",
            memory={"class": "BertBackbone", "config": {"num_layers": {"class_name": "Lambda"}}},
        ),
        "names classes",
    ),
    "filters of 2 billion": (F.backbone(**FILTERS), "too many for its weights file"),
    "20,000 layers": (F.backbone(**MANY), "cannot be rebuilt"),
    "head of 2 billion": (F.edited(large_head), "too many for its weights file"),
    "head of 40,000 layers": (F.edited(many_heads), "too many for its weights file"),
    "BERT of a billion layers": (
        F.backbone(
            text="hub:a", memory={"class": "BertBackbone", "config": F.BERT | {"num_layers": 10**9}}
        ),
        "too many for its weights file",
    ),
    "billions of pixels": (F.backbone(image_size_px=10**9), "has image_size_px 1000000000"),
    "pixels in words": (F.backbone(image_size_px="many"), "has image_size_px 'many'"),
    "billions of pixels read": (F.edited(large_pixels), "does not fit the backbone"),
    "no core": (F.edited(without_core), "has no 'core'"),
    "folder upwards": (F.edited(lambda content, _: content | {"folder": "../.."}), "the folder"),
    "file upwards": (F.edited(traversal), "the file is missing"),
    "part unknown": (F.backbone(inserted=[{"kind": "os", "size": 1, "names": []}]), "unknown part"),
    "part too large": (
        F.backbone(inserted=[{"kind": "prompt", "size": 10**9, "names": []}]),
        "a part of size 1000000000",
    ),
}


@table(
    *(
        a_run(83, what, write, said, is_large="000 layers" in what or "billion layers" in what)
        for what, (write, said) in EDITS.items()
    ),
    a_run(
        83, "words elsewhere", F.edited(words_elsewhere, served.text_once), "vocabulary leads out"
    ),
    a_run(83, "code for words", F.edited(code_for_words, served.text_once), "not a tokenizer"),
    a_run(86, "deep JSON", F.text_manifest("[" * 500_000), "is not readable JSON"),
    a_run(
        86, "5,000 digits", F.text_manifest('{"format": 1' + "0" * 5000 + "}"), "is not readable"
    ),
    a_run(86, "infinite number", F.text_manifest('{"format": Infinity}'), "is not a JSON number"),
    a_run(86, "key twice", F.key_twice, "the key 'folder' is there twice"),
    a_run(86, "endless", F.endless, "no model in"),
    a_run(86, "pipe", F.pipe, "no model in"),
    a_run(86, "pipe for weights", F.pipe_for_weights, "the file is missing"),
    a_run(85, "link to weights", F.linked_weights, OUT),
    a_run(85, "link to a folder", F.linked_folder, OUT),
    a_run(84, "pickle beside", F.pickle_beside, "unknown file 'extra.pkl'"),
    a_run(84, "cut weights", F.changed_bytes(lambda content: content[:-5]), CUT),
    a_run(84, "flipped bit", F.changed_bytes(lambda content: H.flipped(content, -3)), CUT),
    a_run(84, "zeros", F.changed_bytes(lambda content: bytes(len(content))), CUT),
    a_run(84, "pickle for weights", F.other_weights(H.pickled), NOT_READ),
    a_run(84, "objects for weights", F.other_weights(H.objects), NOT_READ),
    a_run(
        84,
        "overlap",
        F.other_weights(
            H.header({"a": H.tensor([4], 0, 16), "b": H.tensor([4], 8, 24)}, bytes(24))
        ),
        NOT_READ,
    ),
    a_run(
        82,
        "other network",
        F.other_weights(H.tensors()),
        "the weights are of another architecture: ",
        "conv_1/kernel is (3, 3, 1, 4), the model has",
    ),
    a_run(
        82,
        "other numbers",
        F.other_weights(F.same_weights(lambda arrays: arrays | {"conv_1/bias": np.ones(4, "i8")})),
        "conv_1/bias is I64, the model has float32",
    ),
    a_run(83, "flags of other files", F.flags("--flagfile={secret}\n"), "pulls in another file"),
    a_run(83, "flags of no kind", F.flags("--seed=1\n{canary}\n"), "run.flags:2", "is not a flag"),
    a_run(83, "pipe for flags", F.pipe_for_flags, "is not a regular file"),
    a_run(
        83,
        "data from outside",
        F.flags(f"--data={H.PLANTED}\n"),
        "the run's data 'tests.faults.hostile:planted'",
        NO_PART,
        command="evaluate",
    ),
    a_run(
        83,
        "split from outside",
        F.flags(f"--data=digits\n--split={H.PLANTED}\n"),
        NO_PART,
        command="evaluate",
    ),
    *(
        a_run(
            83,
            f"{what} of TFDS",
            F.flags(f"--data=tfds({call})\n"),
            "may name code",
            command="evaluate",
        )
        for what, call in {
            "files": "name=mnist, data_dir={canary}/..",
            "words": "name=hf:a/b",
            "arguments": "name='mnist/data_dir={canary}'",
        }.items()
    ),
    a_run(83, "export of head from outside", F.edited(outside_head), NO_PART, command="export"),
    # No flag trusts a SavedModel, where policy 5 of the matrix wants --trust_saved_model: tltf opens
    # none but the one that it has just written, to check it.
    a_run(83, "SavedModel", F.saved_model, "no model in "),
    a_run(83, "program", F.edited(outside_head), NO_PART, is_program=True),
    backbone(83, "SavedModel as backbone", "run", F.saved_model, "a SavedModel is a program"),
    *(
        backbone(83, f"{what} as backbone", "run", write, is_large=True)
        for what, (write, _) in EDITS.items()
        if "head" not in what and "read" not in what
    ),
)
def test_runs(case, tmp_path, capfd):
    refused(case, tmp_path, capfd)


def config(**changes):
    return lambda content: content["config"].update(changes)


@covers(83)
@pytest.mark.parametrize("flags", [f"--data={H.PLANTED}", f"--data=digits\n--split={H.PLANTED}"])
@pytest.mark.parametrize("command", ["predict", "export"])
def test_what_needs_no_data_runs_none_of_a_strangers_code(
    command, flags, tmp_path, capfd, monkeypatch
):
    checked = []
    monkeypatch.setattr(verify, "check_saved_model", lambda check, *_: checked.append(check.raw))
    run_folder = put(tmp_path, {"x.png": picture(0)}) / "data/run"
    F.flags(flags + "\n")(run_folder)
    more = [f"--input={tmp_path}/x.png"] if command == "predict" else [f"--output={tmp_path}/new"]
    done = run(command, [f"--run={run_folder}", *more], capfd)
    require(done, 0)
    assert not H.canary(tmp_path / "data").exists()
    if command == "export":
        assert checked == [example_inputs.make_probes(served.image_once())]
        assert f"{NO_PART}, and its code would be run); made-up inputs" in done.err


TWO_FORMATS = {"registered_name": "keras>Lambda", "class_name": "Lambda", "config": {}}


@table(
    of_texts(
        83,
        "class of Keras",
        F.preset(lambda c: c.update(class_name="Lambda")),
        "not a backbone of KerasHub",
    ),
    of_texts(
        83,
        "class among arguments",
        F.preset(config(num_heads={"class_name": "Lambda"})),
        "names classes",
    ),
    of_texts(83, "two formats", F.checkpoint(TWO_FORMATS), "both model_type and registered_name"),
    of_texts(
        83,
        "words elsewhere",
        F.preset(tokenizer=config(vocabulary="SECRET")),
        "vocabulary leads out",
    ),
    of_texts(
        83,
        "tokenizer of no kind",
        F.preset(tokenizer=lambda c: {"config": {}}),
        "is not a readable backbone",
    ),
    of_texts(
        83,
        "configuration of no kind",
        F.preset(lambda c: c.update(config=[1])),
        "is not a readable backbone",
    ),
    of_texts(
        86,
        "a billion layers",
        F.preset(config(num_layers=10**9)),
        "too many for its weights file",
        is_large=True,
    ),
    of_texts(
        86,
        "a billion words",
        F.preset(config(vocabulary_size=10**9)),
        "too many for its weights file",
    ),
    of_texts(
        86,
        "deep JSON",
        F.checkpoint(files={"config.json": lambda path: path.write_text("[" * 500_000)}),
        "is not readable JSON",
    ),
    of_texts(
        86,
        "pipe for words",
        F.checkpoint(files={"vocab.txt": lambda path: path.unlink() or os.mkfifo(path)}),
        "is not a regular file",
    ),
    of_texts(
        84,
        "pickled checkpoint",
        F.checkpoint(files={"pytorch_model.bin": H.torch_zip}),
        "pickled weights are not read",
    ),
    of_texts(
        84,
        "pickle called safetensors",
        F.checkpoint(files={"model.safetensors": H.pickled}),
        NOT_READ,
    ),
    of_texts(
        86,
        "checkpoint of a billion words",
        F.checkpoint({"vocab_size": 10**9}, {"model.safetensors": H.tensors()}),
        "too many for its weights file",
    ),
    of_texts(
        82,
        "checkpoint of another network",
        F.checkpoint(files={"model.safetensors": H.tensors()}),
        "is not a readable bert checkpoint",
    ),
    of_texts(
        85,
        "shards elsewhere",
        F.checkpoint(
            files={
                "model.safetensors": H.tensors(),
                "model.safetensors.index.json": F.shards_elsewhere,
            }
        ),
        "names the file '../../secret.safetensors'",
    ),
)
def test_folders_of_kerashub_and_hugging_face(case, tmp_path, capfd):
    refused(case, tmp_path, capfd)


@covers(83)
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"head": "os:mkdir(path=x)"}, NO_PART),
        ({"method": "os:mkdir(path=x)"}, NO_PART),
        ({"backbone": "os:mkdir(path=x)"}, "not a name of --list=backbones"),
        ({"backbone": "hub:hf://a/b"}, "not a name of --list=backbones"),
        ({"backbone": "/etc"}, "not a name of --list=backbones"),
        ({"head": "classify(hidden=[2000000000])"}, "too many for its weights file"),
        ({"class_names": ["a"] * 200_000_0}, "has a header|no header of up to"),
        ({"preprocessing": {"size_px": "many"}}, "cannot be built"),
        ({"preprocessing": []}, "no 'preprocessing' of type dict"),
        ({"modality": "text"}, "trained on other weights"),
        ({}, "trained on other weights"),
    ],
)
def test_adapters(changes, said, tmp_path):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data/adapter.safetensors"
    path.write_bytes(F.adapter(**changes))
    with harmless(tmp_path), pytest.raises(ModelError, match=said):
        tltf.load(str(path))


@pytest.mark.parametrize("write", [F.a_run, F.edited(lambda *_: None, served.text_once)])
def test_the_runs_that_were_changed_are_taken_unchanged(write, tmp_path):
    write(tmp_path / "run")
    assert tltf.load(tmp_path / "run").class_names


def test_the_folders_that_were_changed_are_taken_unchanged(tmp_path, capfd):
    case = of_texts(83, "", F.preset())
    require(run("train", case.make(tmp_path), capfd), 0)
