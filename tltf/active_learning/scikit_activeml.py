"""Strategies of scikit-activeml (Kottke et al. 2021, 10.20944/preprints202103.0194.v1) as query strategies."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tltf.active_learning.pool_view import PoolView
from tltf.config import call_strings
from tltf.errors import FlagError

PREFIX = "skactiveml:"
"""What stands before the name of a class of skactiveml.pool in --query."""
EXTRA = "active"
_GIVEN = {"X", "y", "candidates", "batch_size", "return_utilities"}


def build(name: str, arguments: Mapping[str, Any]) -> Callable[[PoolView, int], np.ndarray]:
    """The query strategy of a class of skactiveml.pool.

    Strategies that take a classifier get the head of the round, which they must not fit again.

    Args:
        name: `skactiveml:CLASS`.
        arguments: of the class, such as `method="margin_sampling"`.

    Raises:
        FlagError: scikit-activeml is not installed, has no such class or argument, or the class needs
            more than features, labels and a classifier.
    """
    try:
        import skactiveml.pool
    except ModuleNotFoundError as error:
        raise call_strings.missing_extra(error, EXTRA) from error
    kind: Any = getattr(skactiveml.pool, name.removeprefix(PREFIX), None)
    is_strategy = inspect.isclass(kind) and hasattr(kind, "query")
    if not is_strategy:
        shown = f"skactiveml.pool has no strategy {name.removeprefix(PREFIX)!r}"
        raise FlagError(shown, flag="query", fix="--query=skactiveml:ProbCover")
    known = set(inspect.signature(kind).parameters)
    unknown = sorted(set(arguments) - known)
    if unknown:
        what = f"{name} has no argument {unknown[0]!r} (choices: {', '.join(sorted(known))})"
        raise FlagError(what, flag="query")
    takes = inspect.signature(kind.query).parameters
    needed = [
        key
        for key, parameter in takes.items()
        if parameter.default is parameter.empty and key not in _GIVEN | {"self", "clf"}
    ]
    if needed:
        what = f"{name} needs {', '.join(needed)}, which only a program can give"
        raise FlagError(what, flag="query", fix="--query=package.module:function")
    takes_head = "clf" in takes

    def query(pool: PoolView, count: int) -> np.ndarray:
        seed = int(pool.random.integers(2**31))
        strategy = kind(random_state=seed, missing_label=-1, **arguments)
        rows = np.concatenate([pool.known, pool.features]).astype(np.float64)
        unlabelled = np.full(len(pool.features), -1)
        labels = np.concatenate([np.asarray(pool.known_labels, np.int64), unlabelled])
        also = {"clf": head_of(pool), "fit_clf": False} if takes_head else {}
        found = strategy.query(rows, labels, batch_size=count, **also)
        return np.asarray(found) - len(pool.known)

    return query


def head_of(pool: PoolView) -> Any:
    """The head of the round as a classifier of scikit-activeml."""
    from skactiveml.base import SkactivemlClassifier

    class RoundsHead(SkactivemlClassifier):
        """A classifier that is fitted already."""

        def __init__(self) -> None:
            num_classes = pool.probabilities.shape[1]
            super().__init__(classes=np.arange(num_classes), missing_label=-1, random_state=0)
            self.classes_ = np.arange(num_classes)

        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "RoundsHead":
            """Changes nothing."""
            return self

        def predict_proba(self, X: Any) -> np.ndarray:
            """float64[N, C]."""
            return pool.probabilities_of(np.asarray(X, np.float32))

        def predict(self, X: Any) -> np.ndarray:
            """int64[N]."""
            return self.predict_proba(X).argmax(axis=1)

    return RoundsHead()
