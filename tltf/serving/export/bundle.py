"""What an export holds beside its graph: tltf.json, and the requests with which a server warms up.

assets.extra/tltf.json says what the model is, what it needs, how it was made, and the SHA-256 of
every other file, so that who is given the folder can tell that it is whole. A server reads
assets.extra/tf_serving_warmup_requests before its first answer.
"""

import dataclasses
import json
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tltf.errors import FlagError, ModelError
from tltf.files import untrusted
from tltf.files.hashes import sha256_of_file
from tltf.graphs.core import Core
from tltf.models import example_inputs, raw_inputs
from tltf.models.transfer_model import TransferModel
from tltf.runs import model_folder, versions
from tltf.serving import about
from tltf.serving.about import AboutModel

EXTRA = "assets.extra"
MANIFEST = f"{EXTRA}/tltf.json"
WARMUP = f"{EXTRA}/tf_serving_warmup_requests"
"""The files in an export, by the names that TF Serving gives the folder and the requests."""
MADE_UP, REAL, NONE = "made_up", "real", "none"
WARMUP_BATCHES = (1, 8, 32)
"""Batch sizes of the requests with which a server warms up."""
MOST_WARMUP_REQUESTS = 1000
"""More of them TF Serving refuses."""
PACKAGES = ("tltf", "tensorflow", "tensorflow-text", "keras", "keras-hub", "numpy")
"""The packages whose versions tltf.json has."""


@dataclasses.dataclass(frozen=True)
class Warmup:
    """The requests with which a server warms up.

    Args:
        inputs: `made_up`, `real` or `none`.
        batches: their batch sizes.

    Raises:
        FlagError: another kind of inputs, or a batch size that is not a whole number above 0.
    """

    inputs: str = MADE_UP
    batches: tuple[int, ...] = WARMUP_BATCHES

    def __post_init__(self) -> None:
        choices = (MADE_UP, REAL, NONE)
        if self.inputs not in choices:
            what = f"warmup takes {', '.join(choices)} (received {self.inputs!r})"
            raise FlagError(what, flag="format", fix=f"saved_model(warmup={MADE_UP})")
        if any(type(size) is not int or size < 1 for size in self.batches):
            what = f"warmup_batches takes whole numbers above 0 (received {list(self.batches)})"
            raise FlagError(what, flag="format", fix="warmup_batches=[1, 8, 32]")
        if len(self.batches) > MOST_WARMUP_REQUESTS:
            what = f"warmup_batches has {len(self.batches)} sizes, more than {MOST_WARMUP_REQUESTS}"
            raise FlagError(what, flag="format")


def describe(trained: TransferModel) -> AboutModel:
    """What a model tells of itself."""
    fields, modality = trained.preprocessing.fields, trained.core.backbone.modality
    return AboutModel(
        modality=modality,
        fields=tuple(fields),
        inputs=tuple(raw_inputs.input_names(fields).values()),
        reading=about.reading_of(trained.data, modality),
        head=trained.core.head_spec,
        class_names=tuple(trained.class_names),
    )


def write_extras(folder: pathlib.Path, trained: TransferModel, core: Core, warmup: Warmup) -> None:
    """Writes assets.extra/ into the folder of a SavedModel, tltf.json last.

    Args:
        folder: the folder, with all its other files.
        trained: the model.
        core: its core as it is exported.
        warmup: the requests; they need tensorflow-serving-api, without which there are none.

    Raises:
        FlagError: real inputs are asked for, and the run's data cannot be read.
    """
    (folder / EXTRA).mkdir(exist_ok=True)
    if warmup.inputs != NONE:
        _write_warmup(folder / WARMUP, _warmup_inputs(trained, warmup), warmup.batches)
    facts = manifest_of(trained, core) | {
        "warmup": dataclasses.asdict(warmup) if (folder / WARMUP).exists() else None,
        "files": hash_files(folder),
    }
    (folder / MANIFEST).write_text(
        json.dumps(facts, indent=1, default=str) + "\n", encoding="utf-8"
    )


def manifest_of(trained: TransferModel, core: Core) -> dict[str, Any]:
    """The content of tltf.json but for the files."""
    told, is_image = describe(trained), core.backbone.modality == "image"
    names = list(told.inputs)
    return {
        **({"input": names[0]} if len(names) == 1 else {"inputs": names}),
        "about": told.to_json(),
        "class_names": [name.encode("utf-8", "replace").decode() for name in told.class_names],
        "predicts": core.head.describe(told.class_names),
        "head": dataclasses.asdict(core.head),
        **({"tasks": _tasks_of(core)} if core.joint else {}),
        "backbone": core.backbone.name,
        "preprocessing": trained.preprocessing.to_config(),
        "tensorflow": tf.__version__,
        "needs": [] if is_image else ["tensorflow_text"],
        "versions": {
            "python": platform.python_version(),
            **versions.installed_versions(PACKAGES),
        },
    }


def _tasks_of(core: Core) -> dict[str, Any]:
    """Task -> what a program must know of its outputs, whose names begin with it."""
    return {
        task: {
            "outputs_begin_with": about.task_start(task),
            "class_names": list(own.class_names),
            "predicts": own.head.describe(own.class_names),
        }
        for task, own in core.heads.items()
    }


def hash_files(folder: pathlib.Path) -> dict[str, str]:
    """Path of each file in an export, relative to it -> its SHA-256; tltf.json itself is left out."""
    names = [name for name in model_folder.files_in(folder) if name != MANIFEST]
    return {name: sha256_of_file(folder / name) for name in names}


def read_manifest(folder: pathlib.Path) -> dict[str, Any]:
    """The content of an export's tltf.json, after every file's hash has been compared.

    Raises:
        ModelError: there is no tltf.json, a file differs from the one that was exported, is missing
            or is new.
    """
    place = folder / MANIFEST
    try:
        facts = untrusted.read_json(place)
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "is not an export of tltf: it has no tltf.json"
        raise ModelError(what, place=folder, fix="python -m tltf.export --run=RUN") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("files"), dict):
        what = "has no SHA-256 of the files, as exports of earlier versions of tltf"
        raise ModelError(what, place=place, fix="python -m tltf.export --run=RUN")
    _compare(folder, facts["files"], hash_files(folder))
    return facts


def _compare(folder: pathlib.Path, expected: Mapping[str, str], found: Mapping[str, str]) -> None:
    for name in sorted({*expected, *found}):
        if expected.get(name) == found.get(name):
            continue
        what = "the file is not the one that was exported (its SHA-256 differs from tltf.json)"
        if name not in found:
            what = "the file is missing"
        elif name not in expected:
            what = "the file is not in tltf.json"
        raise ModelError(what, place=folder / name, fix="export again, or copy the folder again")


def _warmup_inputs(trained: TransferModel, warmup: Warmup) -> dict[str, list[bytes]]:
    """Input of `serving_default` -> raw inputs.

    They are made up unless the user asks for real ones, since an export is given to others, who must
    not find the user's data in it.
    """
    if warmup.inputs == MADE_UP:
        return example_inputs.make_probes(trained)
    if example_inputs.choose_rows(trained, 1) is None:
        what = "warmup=real takes rows of the run's data, which cannot be read"
        raise FlagError(what, flag="format", fix=f"saved_model(warmup={MADE_UP})")
    return example_inputs.take_examples(trained, max(warmup.batches, default=1))


def _write_warmup(
    path: pathlib.Path, raw: Mapping[str, list[bytes]], batches: tuple[int, ...]
) -> None:
    """Writes a request of each batch size, if tensorflow-serving-api is installed."""
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        return
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in batches:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = "serving_default"
            for name, items in raw.items():
                repeated = items * -(-size // len(items))
                batch = np.array(repeated[:size], object)
                request.inputs[name].CopyFrom(tf.make_tensor_proto(batch))
            writer.write(log.SerializeToString())
