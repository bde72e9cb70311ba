"""The code of a model that MLflow keeps, which it copies and runs by itself ("models from code")."""

from typing import Any

import mlflow
import mlflow.pyfunc
import pandas


class RunModel(mlflow.pyfunc.PythonModel):
    """A run of tltf as a pyfunc: raw inputs in, answers and probabilities out."""

    def load_context(self, context: Any) -> None:
        """Loads the model folder of the run."""
        from tltf.models import loading

        self.model = loading.load(context.artifacts["model"])

    def predict(
        self, context: Any, model_input: pandas.DataFrame, params: Any = None
    ) -> pandas.DataFrame:
        """The answers for a frame with a column of texts, or of the bytes of image files.

        Args:
            context: of MLflow.
            model_input: with a column `text` or `image`, or one per field.
            params: not used.

        Returns:
            As `tltf.models.prediction_frame.make_frame` says.
        """
        return self.model.predict(model_input)


mlflow.models.set_model(RunModel())
