"""Exports that are loaded to be served: their versions, signatures and labels."""

import dataclasses
import importlib
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tltf.errors import FlagError, ModelError, StorageError
from tltf.serving import served_folders
from tltf.serving.export import bundle

Arrays = dict[str, np.ndarray]
"""Name of an input or an output -> its array; strings are of dtype object and hold bytes."""


@dataclasses.dataclass(frozen=True)
class LoadedVersion:
    """One version of an export, in memory.

    Args:
        number: its number.
        folder: its folder.
        model: what tf.saved_model.load gave, which owns the weights.
    """

    number: int
    folder: pathlib.Path
    model: Any

    @property
    def signatures(self) -> Mapping[str, Any]:
        """Name of a signature -> its concrete function."""
        return self.model.signatures

    def inputs_of(self, signature: str) -> dict[str, tf.TensorSpec]:
        """Name -> spec of each input of a signature."""
        return dict(self.signatures[signature].structured_input_signature[1])

    def outputs_of(self, signature: str) -> dict[str, tf.TensorSpec]:
        """Name -> spec of each output of a signature."""
        return dict(self.signatures[signature].structured_outputs)

    def compute(self, signature: str, arrays: Arrays) -> Arrays:
        """The outputs of a signature for arrays that fit its inputs.

        Raises:
            tf.errors.InvalidArgumentError: the graph refuses an input; the message says why.
        """
        specs = self.inputs_of(signature)
        tensors = {name: tf.constant(arrays[name], spec.dtype) for name, spec in specs.items()}
        outputs = self.signatures[signature](**tensors)
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    def warm_up(self) -> int:
        """Answers the export's warm-up requests and returns their number; 0 where there are none."""
        path = self.folder / bundle.WARMUP
        if not path.exists():
            return 0
        from tensorflow_serving.apis import prediction_log_pb2

        count = 0
        for record in tf.data.TFRecordDataset(str(path)):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            request = log.predict_log.request
            arrays = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            self.compute(request.model_spec.signature_name, arrays)
            count += 1
        return count


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A model under one name: its loaded versions, and labels that stand for versions.

    Args:
        name: the name in the paths.
        versions: number -> version; at least one.
        labels: label -> number of a version.
    """

    name: str
    versions: Mapping[int, LoadedVersion]
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def newest(self) -> LoadedVersion:
        """The version that answers where none is asked for."""
        return self.versions[max(self.versions)]


def load_versions(folder: pathlib.Path, which: str) -> dict[int, LoadedVersion]:
    """Number -> version of the exports in a folder, after the hashes of their files were compared.

    Args:
        folder: the folder of the versions.
        which: `latest`, `all`, or numbers joined with commas.

    Raises:
        FlagError: a version is not there, or `which` is something else.
        ModelError: an export is damaged, or is not one of tltf.
    """
    return {
        number: _load(folder / str(number), number)
        for number in served_folders.choose(folder, which)
    }


def read_labels(text: str, versions: Mapping[int, LoadedVersion]) -> dict[str, int]:
    """Label -> version, from `stable=3,canary=4`; {} for an empty text.

    Raises:
        FlagError: another form, or a version that is not served.
    """
    labels = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        label, equals, number = part.partition("=")
        if not equals or not label.strip() or not number.strip().isdecimal():
            what = f"takes label=version, joined with commas (received {part!r})"
            raise FlagError(what, flag="labels", fix="--labels=stable=1")
        if int(number) not in versions:
            what = f"the label {label.strip()} stands for version {number}, which is not served"
            raise FlagError(what, flag="labels", fix="--versions=all")
        labels[label.strip()] = int(number)
    return labels


def _load(folder: pathlib.Path, number: int) -> LoadedVersion:
    """One version; raises ModelError where it is damaged or needs operators that are not there."""
    facts = bundle.read_manifest(folder)
    for module in facts.get("needs", []):
        if module == "tensorflow_text":  # the only one that exports of tltf need
            importlib.import_module(module)
    try:
        return LoadedVersion(number, folder, tf.saved_model.load(str(folder), tags=["serve"]))
    except (OSError, ValueError, tf.errors.OpError) as error:
        what = f"the export cannot be loaded: {str(error).splitlines()[0]:.300}"
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise StorageError(what, place=folder) from error
        raise ModelError(what, place=folder, fix="python -m tltf.export --run=RUN") from error
