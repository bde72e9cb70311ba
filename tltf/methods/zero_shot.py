"""Zero-shot classification: a head made of the vectors of the classes' names, or of descriptions."""

import math
from collections.abc import Sequence

import keras
import numpy as np

from tltf.config.checks import AUTO
from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.heads.light.light_model import FrozenRows, Linear
from tltf.heads.light.named_prototypes import NamedPrototypes, unit_rows
from tltf.heads.temperature import fit_of_few
from tltf.methods import label_texts
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, Solved
from tltf.methods.penalty import head_features
from tltf.methods.probe import Probe, put_into
from tltf.methods.rules import HEAD

TEMPLATE = "This text is about {label}."
NAME_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, math.inf)
"""The weights of names among which cross-validation chooses."""


def zero_shot(
    template: str = TEMPLATE,
    descriptions: str = "",
    name_weight: float | str | None = None,
    center: bool = True,
) -> "ZeroShot":
    """A method that makes the head from what the network gives for the names of the classes.

    The vector of a class is the mean of the unit vectors of its name in each template, or of its
    descriptions: Yin et al. 2019, arXiv:1909.00161, have the template, Radford et al. 2021,
    arXiv:2103.00020, section 3.1.4, the mean over templates. The answer is the class with the largest
    cosine, so that the head is linear. With `center` the mean of the training rows is taken from
    features, and the mean of the classes' vectors from these, before their cosine. No label is used
    for the weights; one number, the temperature, is fitted on the labels of the training rows.

    With `name_weight` a few labels and the names work together: a prototype moves from the name
    towards the mean of its examples, see `NamedPrototypes` for the equation.

    Args:
        template: a text with {label} in place of the name of a class, in which _ becomes a space;
            several joined with |.
        descriptions: a CSV file with the columns label,description, or a JSON file {label: texts}, in
            place of names and templates.
        name_weight: how many examples a name counts as; auto: cross-validation on the training rows
            chooses it; none: no example counts.
        center: see above.

    Raises:
        FlagError: a template without {label}, a weight below 0; when training begins, a network of
            images, or data with several texts in a row.
        DataError: when training begins, descriptions that lack a class.
    """
    weights = _weights(name_weight)
    templates = label_texts.check_template(template, "zero_shot")
    return ZeroShot(templates, descriptions, weights, center)


def _weights(name_weight: float | str | None) -> tuple[float, ...]:
    """The weights of names that are tried."""
    if name_weight is None:
        return (math.inf,)
    if name_weight == AUTO:
        return NAME_WEIGHTS
    is_number = isinstance(name_weight, (int, float)) and not isinstance(name_weight, bool)
    if not (is_number and float(name_weight) >= 0):
        raise FlagError(
            f"name_weight takes a number from 0, auto or none (received {name_weight!r})",
            flag="method",
            fix="--method='zero_shot(name_weight=auto)'",
        )
    return (float(name_weight),)


class ZeroShot(Method):
    """The method that `zero_shot` makes.

    Args:
        templates: each has {label}.
        descriptions: path of a file; empty for the names in the templates.
        weights: how many examples a name may count as.
        center: whether means are taken away before the cosine.
    """

    def __init__(
        self,
        templates: Sequence[str],
        descriptions: str,
        weights: tuple[float, ...],
        center: bool,
    ) -> None:
        super().__init__(lambda core: [Phase("zero-shot", (HEAD,), norm="frozen", solver="method")])
        self.templates, self.descriptions = tuple(templates), descriptions
        self.weights, self.center = weights, center
        self.context = FitContext()

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The core; the classes' names are kept for `solve`."""
        self.context = context
        return core

    def solve(
        self, core: Core, rows: FrozenRows, seed: int, unlabelled: np.ndarray | None
    ) -> Solved:
        """The core whose head is made of the vectors of the classes."""
        family = NamedPrototypes(self.vectors(core), self.weights, self.center)
        if self.weights != (math.inf,):
            return Probe([family]).solve(core, rows, seed, unlabelled)
        (model,) = family.solve(rows, self.weights)
        labels = rows.targets.argmax(axis=1)
        logits = model.logits(np.asarray(rows.features))
        divisor = fit_of_few(logits, labels, len(labels))
        accuracy = float((logits.argmax(axis=1) == labels).mean())
        text = f"{accuracy:.1%} of {len(labels)} training rows, of whose labels none is used"
        put = put_into(core, _linear(model).scaled(1 / divisor))
        return Solved(put, [{"candidate": "label names", "training_accuracy": accuracy}], text)

    def vectors(self, core: Core) -> np.ndarray:
        """float64[C, d]: the unit vector of each class."""
        names, to_inputs = (
            self.context.class_names,
            label_texts.require_inputs(self.context, "zero_shot"),
        )
        if self.descriptions:
            texts = label_texts.described_texts(names, self.descriptions)
        else:
            texts = label_texts.named_texts(names, self.templates)
        features = keras.Model(core.model.input, head_features(core))
        flat = unit_rows(features.predict(to_inputs([t for own in texts for t in own]), verbose=0))
        ends = np.cumsum([len(own) for own in texts])
        means = np.stack([part.mean(axis=0) for part in np.split(flat, ends[:-1])])
        return unit_rows(means - means.mean(axis=0) if self.center else means)


def _linear(model: object) -> Linear:
    if not isinstance(model, Linear):
        raise TypeError(f"{type(model)} is not linear")
    return model
