"""What a query strategy is given and must return: it says which rows of a pool to label next."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from tltf.active_learning import scikit_activeml
from tltf.active_learning.pool_view import PoolView
from tltf.config import call_strings
from tltf.config.call_strings import Call
from tltf.config.catalogs import QUERIES
from tltf.config.catalogs.row import Row
from tltf.errors import FlagError

Query = Callable[[PoolView, int], np.ndarray]
"""`(pool, count)` -> int[count], the places of different rows of the pool, the first one first."""


@dataclasses.dataclass(frozen=True)
class NamedQuery:
    """A query strategy with its name.

    Args:
        name: as the call string has it.
        function: the strategy.
    """

    name: str
    function: Query

    def __call__(self, pool: PoolView, count: int) -> np.ndarray:
        """int64[min(count, N)]: the places of the rows to label next.

        Raises:
            FlagError: the strategy gives something else than places of different rows.
        """
        count = min(count, len(pool.features))
        if count == 0:
            return np.empty(0, np.int64)
        found = np.asarray(self.function(pool, count))
        is_place = found.dtype.kind in "iu" and found.shape == (count,)
        places = set(found.tolist()) if is_place else set[int]()
        if len(places) == count and places <= set(range(len(pool.features))):
            return found.astype(np.int64)
        what = (
            f"{self.name} must give {count} different places from 0 to {len(pool.features) - 1} "
            f"(received {found.dtype}{list(found.shape)})"
        )
        raise FlagError(what, flag="query", fix="--query=margin")


def pick(text: str) -> NamedQuery:
    """The query strategy that a call string of --query names.

    Args:
        text: an entry of QUERIES; `skactiveml:CLASS(key=value)`, a strategy of scikit-activeml; or
            `package.module:name(key=value)`, a function `(pool, count, ...)` as `Query` says.

    Raises:
        FlagError: there is no such strategy or argument, or scikit-activeml is not installed.
    """
    name = call_strings.name_of(text)
    if name.startswith(scikit_activeml.PREFIX):
        arguments = call_strings.read_arguments(text, "query")
        return NamedQuery(text, scikit_activeml.build(name, arguments))
    call: Call[Row] = call_strings.pick(QUERIES, text, "query")
    return NamedQuery(call.text, functools.partial(call.load(), **call.kwargs))
