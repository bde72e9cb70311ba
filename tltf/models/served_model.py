"""The parts of a model that a prediction needs: the core, its preprocessing and its class names."""

import dataclasses

from tltf.config.options import Options
from tltf.data.images.preprocessing import ImagePreprocessing
from tltf.data.texts.preprocessing import TextPreprocessing
from tltf.graphs.core import Core

EVAL_BATCH_SIZE = 128
"""Examples per step of evaluation and prediction where nothing else is chosen."""


@dataclasses.dataclass
class ServedModel:
    """A core with what turns raw inputs into its inputs and its outputs into labels.

    Args:
        core: the model that is served.
        preprocessing: what makes the core's inputs of images or of texts.
        class_names: one name per output, in order.
        options: the options of the run, with every `auto` resolved; None for a model without a run.
    """

    core: Core
    preprocessing: ImagePreprocessing | TextPreprocessing
    class_names: tuple[str, ...]
    options: Options | None = None

    @property
    def run_options(self) -> Options:
        """The options of the run.

        Raises:
            ValueError: the model is without a run.
        """
        if self.options is None:
            raise ValueError("the model has no run, and so no options")
        return self.options

    @property
    def eval_batch_size(self) -> int:
        """Examples per step of evaluation and prediction, as --eval_batch_size of the run has it."""
        return self.run_options.train.eval_batch_size or EVAL_BATCH_SIZE

    @property
    def data(self) -> str:
        """The call string of the run's --data; empty for a model without a run."""
        return self.options.data.data if self.options else ""

    @property
    def text_length(self) -> int:
        """Tokens that texts are cut to; 0 for images."""
        prepared = self.preprocessing
        return prepared.length if isinstance(prepared, TextPreprocessing) else 0

    @property
    def takes_any_length(self) -> bool:
        """Whether the core takes texts of any length, so that padding can be cut off."""
        return self.core.backbone.takes_any_length
