"""Training on the worst that is near each example."""

import dataclasses
from typing import Any

import keras

from tltf.backbones import prompt
from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.graphs.core import Core
from tltf.methods.adversaries import AdversarialModel, Perturbed
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, TrainingOutcome
from tltf.methods.rules import EVERYTHING

EPSILON = {"image": 4.0, "text": 1.0}
"""By default: levels of 255 of a pixel; length in the space of embedded tokens."""


def adversarial(epsilon: float = 0.0, steps: int = 1, share: float = 0.5) -> "Adversarial":
    """Trains everything on each batch and on what the network finds hardest near it.

    Images: FGSM, and with more steps PGD, on pixels. Texts: the same in the space of embedded
    tokens, in the direction of the gradient. See tltf.methods.adversaries for papers and equations.
    Departs: PGD starts at the example, not at a random point near it. Miyato et al. normalise
    embeddings to a mean of 0 and a variance of 1 and use 5; here they are what enters the first
    block, with a length of 1 by default. Moving statistics are of the clean pass alone.

    Args:
        epsilon: size of the perturbation, see EPSILON; 0 takes what is there.
        steps: gradient steps, at least 1; each is a forward and a backward pass.
        share: of the loss of the examples as they are, at least 0, below 1.

    Raises:
        FlagError: a number out of its range, or a text network that is not a transformer.
    """
    if not (epsilon >= 0 and steps >= 1 and 0 <= share < 1):
        what = f"epsilon is at least 0, steps at least 1, share 0 to below 1 (received {epsilon}, {steps}, {share})"
        raise FlagError(what, flag="method", fix="--method='adversarial(steps=1)'")
    return Adversarial(epsilon, steps, share)


class Adversarial(Method):
    """See `adversarial`."""

    model_class = AdversarialModel

    def __init__(self, epsilon: float, steps: int, share: float) -> None:
        super().__init__(lambda core: [Phase("adversarial", EVERYTHING)])
        self.epsilon, self.steps, self.share, self.plain = epsilon, steps, share, None

    def prepare(self, core: Any, context: FitContext) -> Core:
        """The core with a place for the perturbation: the image, or the embedded tokens."""
        modality, self.plain = core.backbone.modality, core
        place = _place(core)
        layer = Perturbed("max" if modality == "image" else "l2", self.epsilon or EPSILON[modality],
                          self.steps, self.share, name="perturbed")  # fmt: skip
        inputs = [(tensor, tensor) for tensor in core.model.input.values()]
        name = core.head.name
        given = [*inputs, (place, layer(place))]  # the later one of a tensor counts
        (logits,) = functional.replay([core.model.output[name]], given)
        model = keras.Model(core.model.input, {name: logits}, name="core")
        return dataclasses.replace(core, model=model)

    def finish(self, core: Core, outcome: TrainingOutcome | None) -> Any:
        """The core without that place; its layers are the same."""
        return self.plain


def _place(core: Core) -> keras.KerasTensor:
    """The tensor that is perturbed."""
    if core.backbone.modality == "image":
        return core.model.input["image"]
    return prompt.first_block_inputs(core.backbone)[0]
