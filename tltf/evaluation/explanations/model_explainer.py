"""An explainer at work on the rows of a model's inputs."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs import EXPLAINERS
from tltf.config.catalogs.row import Row
from tltf.console import out_of_memory
from tltf.data.several_preprocessings import SeveralImages, SeveralTexts
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.data.texts.words import TextPart, parts_of
from tltf.errors import FlagError, TltfError, choices_text
from tltf.evaluation.explanations.explainer import Attributions, Explainer
from tltf.evaluation.explanations.explanation import ExplainedPart, Explanation
from tltf.models import length_sorting, raw_inputs
from tltf.models.prediction import Prediction
from tltf.models.predictor import Predictor
from tltf.models.served_model import ServedModel

BATCH_SIZE = 32
"""Inputs, or points on the paths of inputs, that are computed together where nothing else is chosen."""
QUICK_STEPS = 32
"""Points on each path, at most, of an explanation that must cost little; it says how exact it is."""

FAILURES = (TltfError, tf.errors.OpError)
"""Errors for which an answer is not explained; it is an answer all the same."""


@dataclasses.dataclass(frozen=True)
class ExplainedRows:
    """Rows to be explained.

    Args:
        tensors: the core's inputs, name -> tensor [N, ...].
        chosen: float32[N, E], the output of each row that is explained, see `chosen_outputs`.
        texts: N texts of each field of the examples; () for images.
    """

    tensors: dict[str, tf.Tensor]
    chosen: np.ndarray
    texts: Sequence[Sequence[str]] = ()


class ModelExplainer:
    """An explainer of one model.

    Args:
        model: whose answers are explained.
        call: the explainer, an entry of EXPLAINERS.
        batch_size: inputs, or points on their paths, that are computed together.
        explainer: what `call` builds, perhaps with other limits; None builds it.

    Raises:
        FlagError: the explainer is not for such inputs, or does not take its arguments.
        ModelError: the model does not have what it takes.
    """

    def __init__(
        self,
        model: ServedModel,
        call: Call[Row],
        batch_size: int = BATCH_SIZE,
        explainer: Explainer | None = None,
    ) -> None:
        self._model, self._call, self._batch_size = model, call, batch_size
        self.explainer: Explainer = explainer or call.build()
        modality = model.core.backbone.modality
        if modality not in self.explainer.modalities:
            what = f"{call.name} explains {' and '.join(self.explainer.modalities)}s, and this model takes {modality}s"
            raise FlagError(what, flag="explainer", fix="--explainer=auto")
        if isinstance(model.preprocessing, (SeveralImages, SeveralTexts)):
            what = "an ensemble is explained only where its members take the same inputs"
            raise FlagError(what, flag="run", fix="--run= one of its members")
        self._attribute = self.explainer.attach(model, batch_size)

    def explain(self, rows: ExplainedRows) -> list[Explanation]:
        """The explanation of each row, in their order."""
        found: dict[int, Explanation] = {}
        with out_of_memory.explain_out_of_memory("eval_batch_size", self._batch_size):
            for places, batch in self._batches(rows):
                attributions = self._attribute(batch, rows.chosen[places])
                for row, place in enumerate(places.tolist()):
                    found[place] = self._explanation(attributions, row, rows.chosen[place])
        explanations = [found[place] for place in range(len(rows.chosen))]
        return self._with_words(explanations, rows.texts) if rows.texts else explanations

    def _batches(self, rows: ExplainedRows) -> Iterator[tuple[np.ndarray, dict[str, tf.Tensor]]]:
        """`(rows, their inputs)`; texts are sorted by length, and cut to the longest of a batch."""
        order, lengths = np.arange(len(rows.chosen)), None
        if self._model.takes_any_length:
            lengths = length_sorting.lengths_of({k: v.numpy() for k, v in rows.tensors.items()})
            order = np.argsort(lengths, kind="stable")
        for start in range(0, len(order), self._batch_size):
            places = order[start : start + self._batch_size]
            batch = {name: tf.gather(tensor, places) for name, tensor in rows.tensors.items()}
            if lengths is not None:
                longest = int(lengths[places].max())
                batch = {name: tensor[:, :longest] for name, tensor in batch.items()}
            yield places, batch

    def _explanation(self, found: Attributions, row: int, chosen: np.ndarray) -> Explanation:
        """The Explanation of one row; `heat` holds the values of its tokens or places."""
        names = self._model.core.head.evidence_names(self._model.class_names)
        return Explanation(
            method=str(self._call),
            title=self._call.row.title if self._call.row else self._call.name,
            explained=", ".join(names[place] for place in np.flatnonzero(chosen)),
            output=float(found.outputs[row]),
            baseline=None if found.baselines is None else float(found.baselines[row]),
            error=None if found.errors is None else float(found.errors[row]),
            steps=int(found.steps[row]),
            is_signed=self.explainer.is_signed,
            heat=found.values[row],
        )

    def _with_words(
        self, explanations: Sequence[Explanation], texts: Sequence[Sequence[str]]
    ) -> list[Explanation]:
        """The explanations with the values of words in place of those of tokens."""
        prepared = self._model.preprocessing
        if not isinstance(prepared, TextPreprocessing):
            raise TypeError("texts need the preprocessing of texts")
        return [
            dataclasses.replace(
                found,
                parts=tuple(_explained_part(part, found.heat) for part in parts),
                heat=None,
            )
            for found, parts in zip(explanations, parts_of(prepared, texts), strict=True)
        ]


def _explained_part(part: TextPart, values: np.ndarray | None) -> ExplainedPart:
    """A part of a text with the sum of the values of its tokens, float32[L]."""
    if values is None or part.first == part.end:
        return ExplainedPart(part.text, None, part.is_read)
    return ExplainedPart(part.text, float(values[part.first : part.end].sum()))


def chosen_outputs(model: ServedModel, scores: np.ndarray, label: str = "") -> np.ndarray:
    """float32[N, E]: the outputs that are explained, as weights of the columns of `Head.evidence`.

    Args:
        model: whose answers they are.
        scores: float[N, K], the head's scores of the rows.
        label: the class, label or number that is explained in all rows; empty for the answer of each.

    Raises:
        FlagError: the model has no such class.
    """
    answered = model.core.head.answered(scores)
    if not label:
        return answered
    if answered.shape[1] != len(model.class_names) or label not in model.class_names:
        names = model.class_names if answered.shape[1] == len(model.class_names) else ()
        what = f"there is no class {label!r} (choices: {choices_text(label, names)})"
        if not names:
            what = f"this model has one output, of {model.core.head.describe(model.class_names)}"
        raise FlagError(what, flag="label", fix="leave --label out: the answer is explained")
    chosen = np.zeros_like(answered)
    chosen[:, model.class_names.index(label)] = 1.0
    return chosen


def rows_of(
    model: ServedModel,
    predictor: Predictor,
    values: Sequence[object],
    predictions: Sequence[Prediction],
    label: str = "",
) -> ExplainedRows:
    """Raw inputs that were answered, as explainers take them.

    Args:
        model: that answered.
        predictor: of the model.
        values: the inputs, as `Predictor.stream` takes them.
        predictions: their answers, none of which has an error.
        label: see `chosen_outputs`.

    Raises:
        FlagError: the model has no such class.
    """
    scores = np.array([prediction.scores for prediction in predictions], np.float32)
    texts: list[list[str]] = []
    if model.core.backbone.modality == "text":
        fields = [value if isinstance(value, tuple) else (value,) for value in values]
        texts = [
            [raw_inputs.encode_text(str(text)).decode("utf-8") for text in column]
            for column in zip(*fields, strict=True)
        ]
    chosen = chosen_outputs(model, scores, label)
    return ExplainedRows(predictor.tensors(values), chosen, texts)


def fitting_calls(modality: str) -> list[Call[Row]]:
    """The explainers of the catalog that take such inputs."""
    return [
        call_strings.pick(EXPLAINERS, name)
        for name, row in EXPLAINERS.items()
        if row.modality in ("", modality)
    ]


def quick_call(modality: str, call: Call[Row] | None = None) -> Call[Row]:
    """An explainer whose explanations cost little, with QUICK_STEPS points on each path at most.

    Args:
        modality: of the inputs.
        call: the explainer; None for grad_cam of images and integrated_gradients of texts.
    """
    call = call or _usual_call(modality)
    if "most_steps" not in call.kwargs:
        return call
    return call.change(most_steps=min(QUICK_STEPS, call.kwargs["most_steps"]))


@functools.cache
def _usual_call(modality: str) -> Call[Row]:
    usual = "grad_cam" if modality == "image" else "integrated_gradients"
    return call_strings.pick(EXPLAINERS, usual)


def reason_of(error: Exception) -> str:
    """In a line, why an answer is not explained, of one of FAILURES."""
    text = error.message if isinstance(error, tf.errors.OpError) else getattr(error, "what", error)
    return str(text).splitlines()[0]
