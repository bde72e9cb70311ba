"""Folders that a stranger could have made: runs, presets, checkpoints; and adapter files."""

import json
import os
import pathlib
import shutil

import keras
import numpy as np
import safetensors.numpy
from safetensors.numpy import load_file, save_file

from tests import served
from tests.faults.hostile import BACKBONE, canary, pickled
from tltf.files.hashes import sha256_of_file
from tltf.models import saving
from tltf.runs import model_folder


def a_run(folder, trained=None):
    """A whole run folder of a model of images."""
    saving.save(trained or served.image_once(), folder)
    return folder


def core_of(folder):
    return folder / "model/core.json"


def weights_of(folder):
    return folder / "model/v1" / model_folder.WEIGHTS


def edited(change, trained=None):
    """A writer of a run whose core.json is what `change(content, folder)` made of it."""

    def write(folder):
        a_run(folder, trained() if trained else None)
        content = json.loads(core_of(folder).read_text())
        core_of(folder).write_text(json.dumps(change(content, folder) or content))

    return write


def backbone(**changes):
    return edited(
        lambda content, folder: content["core"]["backbone"].update(
            {
                key: value.format(folder=folder) if isinstance(value, str) else value
                for key, value in changes.items()
            }
        )
    )


def text_manifest(text):
    """A writer of a run whose core.json is this text."""

    def write(folder):
        a_run(folder)
        core_of(folder).write_text(text)

    return write


def key_twice(folder):
    a_run(folder)
    text = core_of(folder).read_text()
    core_of(folder).write_text('{"folder": "../elsewhere",' + text[1:])


def other_weights(write):
    """A writer of a run with other weights, whose SHA-256 core.json gives."""

    def made(folder):
        a_run(folder)
        write(weights_of(folder))
        content = json.loads(core_of(folder).read_text())
        content["files"][model_folder.WEIGHTS] = sha256_of_file(weights_of(folder))
        core_of(folder).write_text(json.dumps(content))

    return made


def same_weights(change):
    """A writer, for `other_weights`, of the run's own arrays after a change."""
    return lambda path: save_file(change(load_file(path)), path)


def changed_bytes(change):
    """A writer of a run the bytes of whose weights are changed, the SHA-256 not."""

    def write(folder):
        a_run(folder)
        path = weights_of(folder)
        path.write_bytes(change(bytearray(path.read_bytes())))

    return write


def linked_weights(folder):
    a_run(folder)
    elsewhere = folder.parent.parent / "elsewhere.safetensors"
    shutil.move(weights_of(folder), elsewhere)
    weights_of(folder).symlink_to(elsewhere)


def linked_folder(folder):
    a_run(folder)
    shutil.move(folder / "model/v1", folder.parent.parent / "elsewhere")
    (folder / "model/v1").symlink_to(folder.parent.parent / "elsewhere")


def endless(folder):
    a_run(folder)
    core_of(folder).unlink()
    core_of(folder).symlink_to("/dev/zero")


def pipe(folder):
    a_run(folder)
    core_of(folder).unlink()
    os.mkfifo(core_of(folder))


def pipe_for_weights(folder):
    a_run(folder)
    weights_of(folder).unlink()
    os.mkfifo(weights_of(folder))


def pickle_beside(folder):
    a_run(folder)
    pickled(folder / "model/v1/extra.pkl")


def flags(text):
    """A writer of a run with these lines in its run.flags."""

    def write(folder):
        a_run(folder)
        filled = text.format(
            canary=canary(folder.parent), secret=folder.parent.parent / "secret.txt"
        )
        (folder / "run.flags").write_text(filled)

    return write


def pipe_for_flags(folder):
    a_run(folder)
    os.mkfifo(folder / "run.flags")


def saved_model(folder):
    """A SavedModel of another program, without our core.json."""
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).export(folder, verbose=False)


# folders of KerasHub and Hugging Face


BERT = {
    "vocabulary_size": 9,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
    "max_sequence_length": 32,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "##b", "cafe"]
HF = {
    "model_type": "bert",
    "vocab_size": 9,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "hidden_size": 8,
    "intermediate_size": 16,
    "hidden_dropout_prob": 0.1,
    "max_position_embeddings": 32,
    "type_vocab_size": 2,
}


def preset(change=lambda config: None, tokenizer=lambda config: None):
    """A writer of a KerasHub folder of a tiny BERT whose JSON files are changed."""

    def write(folder):
        import keras_hub

        keras_hub.models.BertBackbone(**BERT).save_to_preset(folder)
        made = keras_hub.models.BertTokenizer(vocabulary=WORDS, lowercase=True)
        made.save_to_preset(folder)
        for name, edit in (("config.json", change), ("tokenizer.json", tokenizer)):
            path = pathlib.Path(folder, name)
            content = json.loads(path.read_text())
            edited_content = edit(content) or content
            text = json.dumps(edited_content).replace(
                "SECRET", str(folder.parent.parent / "secret.txt")
            )
            path.write_text(text)

    return write


def checkpoint(change=None, files=()):
    """A writer of a Hugging Face folder: config.json and, by name, a writer of each other file."""

    def write(folder):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(HF | (change or {})))
        (folder / "vocab.txt").write_text("\n".join(WORDS))
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
        for name, make in dict(files).items():
            make(folder / name)

    return write


def shards_elsewhere(path):
    path.write_text(json.dumps({"weight_map": {"bert.a": "../../secret.safetensors"}}))


# adapters


def adapter(**changes):
    """The bytes of an adapter file with these changes of what it says of itself."""
    about = {
        "format": 1,
        "backbone": BACKBONE,
        "backbone_weights": "none",
        "head": "classify",
        "method": "linear_probe",
        "modality": "image",
        "class_names": ["a", "b"],
        "preprocessing": {"size_px": 28, "channels": 1},
        "base_sha256": "0" * 64,
    }
    arrays = {"label_logits/bias": np.zeros(2, "f4")}
    return safetensors.numpy.save(arrays, {"tltf": json.dumps(about | changes)})
