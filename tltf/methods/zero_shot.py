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
from tltf.methods import imagenet_names, label_texts
from tltf.methods.context import FitContext
from tltf.methods.method import Method, Phase, Solved
from tltf.methods.penalty import head_features
from tltf.methods.probe import Probe, put_into
from tltf.methods.rules import HEAD

TEMPLATE = "This text is about {label}."
IMAGE_TEMPLATE = "{label}"
"""What stands for the name of a class of images where no template is given."""
NAME_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, math.inf)
"""The weights of names among which cross-validation chooses."""


def zero_shot(
    template: str = AUTO,
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

    A network of images answers by ImageNet's 1000 names: a class is as probable as the names of
    what the network sees are like its own, by ConSE; see `imagenet_names.attach` for the equation. Nothing is
    centered there.

    Args:
        template: a text with {label} in place of the name of a class, in which _ becomes a space;
            several joined with |. auto: `This text is about {label}.`, and for images the name alone.
        descriptions: a CSV file with the columns label,description, or a JSON file {label: texts}, in
            place of names and templates.
        name_weight: how many examples a name counts as; auto: cross-validation on the training rows
            chooses it; none: no example counts.
        center: see above.

    Raises:
        FlagError: a template without {label}, a weight below 0; when training begins, a network of
            images without ImageNet's output layer, or data with several texts in a row.
        DataError: when training begins, descriptions that lack a class.
    """
    weights = _weights(name_weight)
    templates = label_texts.check_template(template, "zero_shot") if template != AUTO else ()
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
        templates: each has {label}; () for the usual one.
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
        if core.backbone.modality == "image":
            return self._solve_images(core, rows)
        family = NamedPrototypes(self.vectors(core), self.weights, self.center)
        if self.weights != (math.inf,):
            return Probe([family]).solve(core, rows, seed, unlabelled)
        (model,) = family.solve(rows, self.weights)
        logits = model.logits(np.asarray(rows.features))
        put = put_into(core, _linear(model).scaled(1 / _divisor(logits, rows)))
        return _solved(put, logits, rows)

    def _solve_images(self, core: Core, rows: FrozenRows) -> Solved:
        """The core whose head compares ImageNet's names with those of the classes."""
        if self.weights != (math.inf,):
            what = (
                "name_weight moves the names of texts, and a network of images has its own for them"
            )
            raise FlagError(what, flag="method", fix="--method=zero_shot, or --method=prototypes")
        output, texts = imagenet_names.output_layer(core), self._texts((IMAGE_TEMPLATE,))
        names = imagenet_names.imagenet_names()
        found = imagenet_names.text_vectors([*names, *(t for own in texts for t in own)])
        classes = _means(found[len(names) :], texts)
        core = imagenet_names.attach(core, output, found[: len(names)], classes)
        hidden, logits = core.groups[-1].layers
        stated = logits(hidden(np.asarray(rows.features, np.float32))).numpy()
        logits.kernel.assign(logits.kernel / _divisor(stated, rows))
        return _solved(core, stated, rows)

    def _texts(self, usual: tuple[str, ...]) -> list[list[str]]:
        """The texts of each class: descriptions, or names in the templates, by default the usual ones."""
        names = self.context.class_names
        if self.descriptions:
            return label_texts.described_texts(names, self.descriptions)
        return label_texts.named_texts(names, self.templates or usual)

    def vectors(self, core: Core) -> np.ndarray:
        """float64[C, d]: the unit vector of each class."""
        to_inputs = label_texts.require_inputs(self.context, "zero_shot")
        texts = self._texts((TEMPLATE,))
        features = keras.Model(core.model.input, head_features(core))
        flat = unit_rows(features.predict(to_inputs([t for own in texts for t in own]), verbose=0))
        means = _means(flat, texts)
        return unit_rows(means - means.mean(axis=0) if self.center else means)


def _means(vectors: np.ndarray, texts: Sequence[Sequence[str]]) -> np.ndarray:
    """float64[C, d]: the mean of the unit vectors of each class's texts, which stand side by side."""
    ends = np.cumsum([len(own) for own in texts])
    return np.stack([part.mean(axis=0) for part in np.split(vectors, ends[:-1])])


def _divisor(logits: np.ndarray, rows: FrozenRows) -> float:
    """The temperature of float[N, C] logits by the labels of the training rows."""
    return fit_of_few(logits, rows.targets.argmax(axis=1), len(logits))


def _solved(core: Core, logits: np.ndarray, rows: FrozenRows) -> Solved:
    """What a head without a label in its weights makes of the training rows."""
    accuracy = float((logits.argmax(axis=1) == rows.targets.argmax(axis=1)).mean())
    text = f"{accuracy:.1%} of {len(logits)} training rows, of whose labels none is used"
    return Solved(core, [{"candidate": "label names", "training_accuracy": accuracy}], text)


def _linear(model: object) -> Linear:
    if not isinstance(model, Linear):
        raise TypeError(f"{type(model)} is not linear")
    return model
