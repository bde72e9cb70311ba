"""Classifiers that use no pretrained network: words of texts, and edges and colours of pictures.

A pretrained network that is not better than these brings nothing to a data set.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import special

from tltf.config import call_strings
from tltf.heads.light import choice, families
from tltf.heads.light.light_model import FrozenRows

EXTRA = "classical"
SIDE_PX = 64
"""Side of the pictures whose edges are counted."""
HISTOGRAM_BINS, GRID = 8, 4
"""Bins of each colour, and cells a side whose mean colours are taken."""
PENALTIES = (0.01, 0.1, 1.0, 10.0)
"""Penalties among which cross-validation chooses, in units of one row."""
MOST_FOLDS = 5


@dataclasses.dataclass(frozen=True)
class ClassicalAnswers:
    """What a classical classifier says of the test rows.

    Args:
        probabilities: float32[M, C].
        note: what it is and how it was chosen, as a sentence without a full stop.
    """

    probabilities: np.ndarray
    note: str


def of_texts(
    texts: Sequence[str],
    labels: np.ndarray,
    test: Sequence[str],
    num_classes: int,
    seed: int,
    *,
    penalties: Sequence[float] = PENALTIES,
    most_folds: int = MOST_FOLDS,
) -> ClassicalAnswers:
    """Logistic regression on TF-IDF of words and pairs of words.

    The counts of a text enter by their logarithm, the penalty is that with the best accuracy in stratified
    cross-validation on the training rows.

    Args:
        texts: N training texts.
        labels: int[N], places of classes.
        test: M texts.
        num_classes: C.
        seed: of the folds.
        penalties: among which one is chosen.
        most_folds: of the cross-validation that chooses it.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline

    def classifier(penalty: float) -> object:
        words = TfidfVectorizer(
            sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b|[^\w\s]"
        )
        return make_pipeline(words, LogisticRegression(C=1 / penalty, max_iter=1000))

    rows, known = list(texts), np.unique(labels)
    if len(known) < 2:
        return ClassicalAnswers(_one_class(known, len(test), num_classes), "one class alone")
    folds = min(most_folds, int(np.bincount(labels)[known].min()))
    penalty, how = 0.1, "which was not chosen, for some class has one row"
    if folds > 1:
        draw = StratifiedKFold(folds, shuffle=True, random_state=seed)
        found = [
            float(np.mean(cross_val_score(classifier(one), rows, labels, cv=draw)))
            for one in penalties
        ]
        penalty = penalties[int(np.argmax(found))]
        how = f"chosen in {folds} folds of train with {max(found):.1%} right there"
    model = classifier(penalty).fit(rows, labels)  # type: ignore[attr-defined]
    probabilities = np.zeros((len(test), num_classes), np.float32)
    probabilities[:, known] = model.predict_proba(list(test))
    what = "logistic regression on TF-IDF of words and pairs of words"
    return ClassicalAnswers(probabilities, f"{what}, penalty {penalty:g}, {how}")


def _one_class(known: np.ndarray, num_rows: int, num_classes: int) -> np.ndarray:
    probabilities = np.zeros((num_rows, num_classes), np.float32)
    probabilities[:, known] = 1
    return probabilities


def of_pictures(
    features: np.ndarray, labels: np.ndarray, test: np.ndarray, num_classes: int, seed: int
) -> ClassicalAnswers:
    """The tuned light head on edges and colours.

    Args:
        features: float32[N, d] of the training rows, as `picture_features` gives them.
        labels: int[N], places of classes.
        test: float32[M, d].
        num_classes: C.
        seed: of the folds.

    Raises:
        DataError: too few rows to choose a head.
    """
    rows = FrozenRows(features, np.eye(num_classes)[labels], np.ones(len(labels)))
    found = choice.choose(families.pick("logistic|ridge"), rows, seed)
    stated = special.softmax(found.model.logits(test), axis=1).astype(np.float32)
    what = "histograms of oriented gradients and colours"
    note = f"{found.candidate.text} on {what}, with {found.candidate.accuracy:.1%} right in train"
    return ClassicalAnswers(stated, note)


def picture_features(batches: Iterable[np.ndarray]) -> np.ndarray:
    """float32[N, d]: edges and colours of pictures.

    Histograms of oriented gradients (Dalal & Triggs 2005) in cells of 8 pixels of the picture at 64 pixels,
    then the square roots of a histogram of each colour and the mean colours of 4 x 4 cells.

    Args:
        batches: float32[B, S, S, C] each, 0..255, C of 1 or 3.

    Raises:
        FlagError: scikit-image is not installed.
    """
    try:
        from skimage import feature, transform
    except ModuleNotFoundError as error:
        raise call_strings.missing_extra(error, EXTRA) from error
    found = list[np.ndarray]()
    for batch in batches:
        for picture in np.asarray(batch, np.float32) / 255:
            size = (SIDE_PX, SIDE_PX, picture.shape[-1])
            small = transform.resize(
                picture, size, order=1, anti_aliasing=picture.shape[0] > SIDE_PX
            )
            edges = feature.hog(small, cells_per_block=(2, 2), channel_axis=-1)
            found.append(np.concatenate([edges, _colours(small)]))
    return np.stack(found).astype(np.float32)


def _colours(picture: np.ndarray) -> np.ndarray:
    """float[d]: square roots of the shares of each colour's bins, and the mean colours of cells."""
    values = np.clip(picture, 0, 1)
    bins = [
        np.histogram(values[..., channel], HISTOGRAM_BINS, (0, 1))[0] / values[..., channel].size
        for channel in range(values.shape[-1])
    ]
    step = SIDE_PX // GRID
    cells = values.reshape(GRID, step, GRID, step, -1).mean(axis=(1, 3))
    return np.concatenate([np.sqrt(np.concatenate(bins)), cells.ravel()])
