"""The base of formats other than SavedModel: written, then checked by their own runtime, then in place."""

import contextlib
import importlib.metadata
import importlib.util
import json
import pathlib
from typing import Any, ClassVar

import tensorflow as tf

from tltf.backbones import builder, transformers
from tltf.config import call_strings, several_heads
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.several_preprocessings import SeveralImages, SeveralTexts
from tltf.errors import ModelError
from tltf.evaluation.report.format_rows import FormatRow
from tltf.files import atomic_folders
from tltf.models.transfer_model import TransferModel
from tltf.runs import layout
from tltf.serving.export import measuring, prepared_rows, scores_graph
from tltf.serving.export.measuring import Subject
from tltf.serving.export.prepared_rows import PreparedRows

NUM_VERIFIED = 256
"""The most rows on which an export by itself is checked."""


class Abandoned(Exception):
    """Ends an export that is not wanted any more."""


class FormatExport:
    """An export in a format that is one or a few files; it is in place when `finish` has been called.

    A subclass writes the files and says which runtime loads them. Inputs are what the preprocessing
    makes (see `ScoresModule`), outputs have the names that TF Serving gives too, without strings; the
    names of the classes are in tltf.json beside the model, and for texts the tokenizer's files are.

    Args:
        trained: the model; its test split, if it has one, gives the inputs of the check.
        folder: the folder of the format's versions.
        version: whole number above 0, or None for the next one.
        verify: whether `finish` has the export loaded and compared, unless `measure` has done so.

    Raises:
        FlagError: the version exists, or a package is missing.
        ModelError: the model cannot be converted.
        StorageError: the folder cannot be written.
    """

    name: str
    """The call string of the format."""
    extra: ClassVar[str] = ""
    """The extra that installs the packages."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Modules that must be there."""
    runtime: ClassVar[str]
    """A name of runtime_process.RUNTIMES."""
    files: ClassVar[tuple[str, ...]]
    """The files that the runtime loads, the first of which is named to it."""

    def __init__(
        self,
        trained: TransferModel,
        folder: pathlib.Path | str,
        version: int | None = None,
        verify: bool = True,
        /,
    ) -> None:
        if trained.core.joint:
            raise several_heads.refuse(f"the format {self.name}", "format", "--format=saved_model")
        if isinstance(trained.preprocessing, (SeveralImages, SeveralTexts)):
            what = f"{self.name} takes a model of one preprocessing, and the members of this one differ"
            raise ModelError(what, fix="--format=saved_model")
        self.require_packages()
        self.target = atomic_folders.new_version(folder, version)
        self.trained, self._verify = trained, verify
        self._row: FormatRow | None = None
        with contextlib.ExitStack() as stack:
            self.part = stack.enter_context(atomic_folders.new_folder(self.target))
            self.write(self.part)
            self._stack = stack.pop_all()

    @classmethod
    def require_packages(cls) -> None:
        """Raises FlagError, which names the extra, where a package is missing."""
        for name in cls.packages:
            if importlib.util.find_spec(name) is None:
                raise call_strings.missing_extra(ModuleNotFoundError(name=name), cls.extra)

    @property
    def subject(self) -> Subject:
        """The written files, for the check."""
        return Subject(self.name, self.part, self.runtime, self.files)

    def write(self, part: pathlib.Path) -> None:
        """Writes all files into an empty folder."""
        raise NotImplementedError

    def measure(self, rows: PreparedRows) -> FormatRow:
        """The FormatRow of the export on these rows, by its own runtime in a clean process.

        Raises:
            ModelError: the runtime cannot run it, or it differs from the model.
            StorageError: the runtime takes too long or has no room for its answers.
        """
        self._row = measuring.measure(self.subject, self.trained, rows)
        return self._row

    def finish(self) -> pathlib.Path:
        """Puts the export in its place, which is returned, after it was checked.

        Raises:
            ModelError: the export gives other answers; then nothing is left in the folder.
            StorageError: the folder cannot be written.
        """
        with self._stack:
            if self._verify and self._row is None:
                with prepared_rows.prepare(self.trained, NUM_VERIFIED) as rows:
                    self.measure(rows)
        return self.target

    def abandon(self) -> None:
        """Removes what was written, unless `finish` was called."""
        with contextlib.suppress(Abandoned), self._stack:
            raise Abandoned


class GraphExport(FormatExport):
    """A format that a converter makes of the graph of `ScoresModule`."""

    def describe(self, part: pathlib.Path, module: scores_graph.ScoresModule) -> dict[str, Any]:
        """Writes tltf.json and the tokenizer's files beside the model; returns what tltf.json holds."""
        facts = facts_of(self.trained) | {
            "format": self.name,
            "inputs": {k: _tensor(v) for k, v in module.specs.items()},
            "outputs": {k: _tensor(v) for k, v in module.outputs.items()},
            "versions": {
                name: importlib.metadata.version(name) for name in ("keras", "tensorflow")
            },
        }
        text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
        (part / layout.EXPORT_FACTS).write_text(text, encoding="utf-8")
        if self.trained.core.backbone.modality == "text":
            builder.save_assets(self.trained.core.backbone, part)
        return facts


def facts_of(trained: TransferModel) -> dict[str, Any]:
    """What a program must know to use a model, as plain JSON: class names and preprocessing."""
    facts: dict[str, Any] = {"class_names": list(trained.class_names)}
    preprocessing = trained.preprocessing
    if isinstance(preprocessing, ImagePreprocessing):
        facts["image"] = {
            "size_px": preprocessing.size_px,
            "channels": preprocessing.channels,
            "pixels": "0 to 255, RGB; the scaling is in the model",
            "resizing": "bilinear with antialiasing, without keeping the ratio of the sides",
        }
    else:
        facts["text"] = {
            "length": preprocessing.length,
            "pad_id": preprocessing.pad_id,
            "tokenizer": transformers.tokenizer_memory(preprocessing.tokenizer),
        }
    return facts


def _tensor(spec: tf.TensorSpec) -> dict[str, Any]:
    return {"dtype": spec.dtype.name, "shape": scores_graph.shape_text(spec)}
