"""What an answer rests on, as a part of the page."""

import warnings

import markupsafe

from tltf.config import call_strings, checks
from tltf.config.call_strings import Call
from tltf.config.catalogs import EXPLAINERS
from tltf.config.catalogs.row import Row
from tltf.evaluation.explanations import model_explainer
from tltf.evaluation.explanations.model_explainer import ModelExplainer
from tltf.evaluation.report import explained_inputs
from tltf.evaluation.report.explained_inputs import ExplainedInput
from tltf.models.prediction import Prediction
from tltf.models.predictor import Predictor
from tltf.models.transfer_model import TransferModel


class AnswerExplainer:
    """Explains the answers of a model one by one.

    Args:
        model: whose answers are explained.
        call: the explainer.

    Raises:
        FlagError, ModelError: the explainer is not for this model.
    """

    def __init__(self, model: TransferModel, call: Call[Row]) -> None:
        self._model, self._predictor = model, Predictor(model)
        self._explainer = ModelExplainer(model, call)

    def __call__(self, values: tuple[str, ...], prediction: Prediction) -> str:
        """HTML of what the answer rests on, or of why that is not known.

        Args:
            values: a text for each field, or the path of a picture.
            prediction: the answer, without an error.
        """
        value: object = values if len(values) > 1 else values[0]
        try:
            rows = model_explainer.rows_of(self._model, self._predictor, [value], [prediction])
            found = tuple(self._explainer.explain(rows))
        except model_explainer.FAILURES as error:
            why = markupsafe.escape(model_explainer.reason_of(error))
            return f"<p>This answer could not be explained: {why}.</p>"
        shown = ExplainedInput("", value, prediction, found)
        return explained_inputs.page("", [shown], (), "explained_input.html.jinja")


def explainer_of(model: TransferModel, text: str) -> AnswerExplainer | None:
    """What explains the answers of a model; None where nothing does, with a warning.

    Args:
        model: whose answers are explained.
        text: of --explainer: `auto` is the explainer that the run names, else the usual one; `none`.

    Raises:
        FlagError, ModelError: there is no such explainer, or one that --explainer names does not fit.
    """
    if text == checks.NOTHING:
        return None
    modality, is_chosen = model.core.backbone.modality, text != checks.AUTO
    if not is_chosen and model.options:
        text = model.options.output.explain
    is_named = text not in (checks.AUTO, checks.NOTHING)
    named = call_strings.pick(EXPLAINERS, text, "explainer") if is_named else None
    try:
        return AnswerExplainer(model, model_explainer.quick_call(modality, named))
    except model_explainer.FAILURES as error:
        if is_chosen:
            raise
        what = f"answers are not explained: {model_explainer.reason_of(error)}"
        warnings.warn(what, stacklevel=2)
        return None
