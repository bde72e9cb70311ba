"""A tuned light head on frozen features: the baseline that every other method has to beat."""

from collections.abc import Sequence

import numpy as np

from tltf.config import call_strings
from tltf.config.catalogs import HEADS
from tltf.graphs.core import Core, attach_head
from tltf.heads.light import choice, families
from tltf.heads.light.choice import Choice
from tltf.heads.light.light_model import Family, FrozenRows, LightModel, Linear, Perceptron
from tltf.methods.method import Method, Phase, Solved
from tltf.methods.rules import HEAD


def probe(family: str = "auto") -> "Probe":
    """A method that chooses a light head on frozen features by cross-validation.

    That takes seconds with few rows and a minute with many. Above 2,000,000 features times rows one fold
    alone is held back.

    The families are logistic regression on standardised and on Pareto-scaled features, ridge regression, class
    means, the shrunk linear discriminant, the nearest training examples and one hidden layer, each with its settings; see
    tltf.heads.light for their equations and `choice.choose` for how one is chosen. A head that wins
    takes the place of the run's. The validation split is not used for the choice.

    Args:
        family: `auto` for all, one of them, or several joined with |.

    Raises:
        FlagError: an unknown family.
    """
    return Probe(families.pick(family))


class Probe(Method):
    """The method that `probe` makes; `chosen` is what it chose.

    Args:
        tried: the families that are tried.
    """

    def __init__(self, tried: Sequence[Family]) -> None:
        super().__init__(lambda core: [Phase("probe", (HEAD,), norm="frozen", solver="method")])
        self.families = tried
        self.chosen: Choice | None = None

    def solve(
        self, core: Core, rows: FrozenRows, seed: int, unlabelled: np.ndarray | None
    ) -> Solved:
        """The core with the best light head on its frozen features."""
        self.chosen = choice.choose(self.families, rows, seed)
        best, tried = self.chosen.candidate, self.chosen.candidates
        text = (
            f"{best.text}: {best.accuracy:.1%} of {self.chosen.num_held} held-out rows, best of "
            f"{len(tried)} tried"
        )
        history = [
            {
                "candidate": candidate.text,
                "is_chosen": candidate is best,
                "held_out_loss": candidate.loss,
                "held_out_accuracy": candidate.accuracy,
            }
            for candidate in tried
        ]
        return Solved(put_into(core, self.chosen.model), history, text)


def put_into(core: Core, model: LightModel) -> Core:
    """The core whose head is a light model; the layers below it are the same."""
    head = core.head
    if isinstance(model, Perceptron):
        call = core.only.call.change(hidden=(len(model.bias),), activation="relu")
        core = attach_head(core.backbone, call, core.num_classes)
    if isinstance(model, Linear | Perceptron):
        put_light_head(core, model)
        return core
    call = call_strings.pick(HEADS, "neighbors", "head").change(
        count=model.count, rows=len(model.bank), pooling=head.pooling, features=head.features
    )
    core = attach_head(core.backbone, call, core.num_classes)
    bank = core.groups[-1].layers[-1]
    for name in ("center", "bank", "targets", "factor"):
        getattr(bank, name).assign(getattr(model, name))
    return core


def put_light_head(core: Core, model: LightModel) -> None:
    """Sets the weights of a core's head, of the same layers, to those of a light model.

    Raises:
        ValueError: the model has no layers, as that of stored examples.
    """
    if isinstance(model, Linear):
        _assign(core, "logits", model)
    elif isinstance(model, Perceptron):
        _assign(core, "hidden_1", Linear(model.kernel, model.bias))
        _assign(core, "logits", model.output)
    else:
        raise ValueError("a head of stored examples has no dense layers")


def _assign(core: Core, part: str, model: Linear) -> None:
    """Sets the kernel and the bias of a dense layer of the head."""
    dense = core.model.get_layer(f"{core.head.name}_{part}")
    dense.kernel.assign(model.kernel)
    dense.bias.assign(model.bias)
