"""Adversarial training: on each example and on the worst perturbation of it."""

import dataclasses

import keras

from tltf.backbones import prompt
from tltf.errors import FlagError
from tltf.graphs import functional
from tltf.graphs.core import Core
from tltf.methods.adversaries import AdversarialModel, Perturbation
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, TrainingOutcome
from tltf.methods.rules import EVERYTHING

EPSILON = {"image": 4.0, "text": 1.0}
"""Default size of a perturbation: for images in pixel levels of 0 to 255; for texts the length in
the space of embedded tokens."""


def adversarial(epsilon: float = 0.0, steps: int = 1, share: float = 0.5) -> "Adversarial":
    """A method that trains everything on each batch and on the worst perturbation near it.

    Images: FGSM, and with more steps PGD, on pixels. Texts: the same in the space of embedded
    tokens, in the direction of the gradient. See tltf.methods.adversaries for papers and equations.
    Departs: PGD starts at the example, not at a random point near it. Miyato et al. normalise
    embeddings to a mean of 0 and a variance of 1 and use 5; here the embeddings are the input of
    the first block as it is, with a length of 1 by default. Moving statistics are of the clean pass
    alone.

    Args:
        epsilon: size of the perturbation; 0 takes that of EPSILON.
        steps: number of gradient steps, at least 1; each is a forward and a backward pass.
        share: share of the unperturbed examples in the loss, at least 0 and below 1.

    Raises:
        FlagError: a number out of its range; when the core is prepared, a text network that is not
            a transformer.
    """
    if not (epsilon >= 0 and steps >= 1 and 0 <= share < 1):
        what = (
            "epsilon must be at least 0, steps at least 1, share from 0 to below 1 "
            f"(received {epsilon}, {steps}, {share})"
        )
        raise FlagError(what, flag="method", fix="--method='adversarial(steps=1)'")
    return Adversarial(epsilon, steps, share)


class Adversarial(Method):
    """The method that `adversarial` makes."""

    model_class = AdversarialModel
    plain: Core
    """The core without the perturbation, from `prepare` on."""

    def __init__(self, epsilon: float, steps: int, share: float) -> None:
        super().__init__(lambda core: [Phase("adversarial", EVERYTHING)])
        self.epsilon, self.steps, self.share = epsilon, steps, share

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The core with a layer that perturbs the image or the embedded tokens."""
        modality, self.plain = core.backbone.modality, core
        place = _place(core)
        layer = Perturbation(
            "max" if modality == "image" else "l2",
            self.epsilon or EPSILON[modality],
            self.steps,
            self.share,
            name="perturbed",
        )
        inputs = [(tensor, tensor) for tensor in core.model.input.values()]
        name = core.head.name
        given = [*inputs, (place, layer(place))]  # the later one of a tensor counts
        (logits,) = functional.replay([core.model.output[name]], given)
        model = keras.Model(core.model.input, {name: logits}, name="core")
        return dataclasses.replace(core, model=model)

    def finish(self, core: Core, outcome: TrainingOutcome) -> Core:
        """The core without the layer that perturbs; its other layers are the same."""
        return self.plain


def _place(core: Core) -> keras.KerasTensor:
    """The tensor that is perturbed."""
    if core.backbone.modality == "image":
        return core.model.input["image"]
    return prompt.first_block_inputs(core.backbone)[0]
