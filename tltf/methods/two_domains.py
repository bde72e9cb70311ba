"""Training on a source and a target that starts from a solved head, with classes as often as in the target.

A penalty that makes both domains alike does harm where the classes have other shares in the target: it then makes
rows of different classes alike, see Zhao et al. 2019, arXiv:1901.09453, theorem 4.3. So the shares of the classes in
the target are estimated first, and rows of the source are drawn by them, as Tachet des Combes et al. 2020,
arXiv:2003.04475, section 3 weigh them.
"""

from collections.abc import Sequence

import keras
import numpy as np
from scipy import special

from tltf.data.ordering import GivenOrder
from tltf.errors import FlagError
from tltf.graphs.core import Core
from tltf.heads.light import choice, class_shares
from tltf.heads.light.class_shares import ESTIMATED, SHARES
from tltf.heads.light.light_model import FrozenRows
from tltf.heads.light.linear_families import Logistic, Ridge
from tltf.heads.light.other_families import HiddenLayer
from tltf.methods.context import FitContext
from tltf.methods.method import Phase, RowsToOrder, Solved
from tltf.methods.other_rows import OtherRowsMethod
from tltf.methods.probe import put_light_head
from tltf.methods.rules import HEAD

START = "light_head"
"""The name of the phase that solves for the head."""
CLASS_SHARE = "class_share_"
"""What the names of the shares in the history of that phase begin with."""


class TwoDomainsMethod(OtherRowsMethod):
    """A method with a penalty of both domains that starts from a head that was solved for on the source.

    The head is chosen by cross-validation on the source: one hidden layer, or a linear head with hidden=0.
    A head that the user gave layers of its own starts at random instead. Subclasses override `alignment`.

    Args:
        name: see OtherRowsMethod.
        weight: see OtherRowsMethod.
        hidden: see OtherRowsMethod.
        last_groups: see OtherRowsMethod.
        shares: `estimated` draws rows of the source so that classes are as often as they seem to be in
            the target; `source` takes the rows as they are.

    Raises:
        FlagError: a number out of its range, or other shares.
    """

    def __init__(
        self, name: str, weight: float, hidden: int, last_groups: int, shares: str
    ) -> None:
        if shares not in SHARES:
            what = f"shares is one of {', '.join(SHARES)} (received {shares})"
            raise FlagError(what, flag="method", fix=f"--method='{name}(shares={ESTIMATED})'")
        super().__init__(name, weight, hidden, last_groups)
        self.shares = shares
        self._make_phases = self._two_phases
        self._starts_solved: bool | None = None  # until `prepare`
        self._penalised: Core

    def _two_phases(self, core: Core) -> list[Phase]:
        is_solved = _is_one_layer(core) if self._starts_solved is None else self._starts_solved
        start = [Phase(START, (HEAD,), norm="frozen", solver="method")] if is_solved else []
        return [*start, self._phase(core)]

    def prepare(self, core: Core, context: FitContext) -> Core:
        """The core, with a hidden layer in its head, and the penalty behind its logits."""
        self._starts_solved = _is_one_layer(core)
        self._penalised = super().prepare(core, context)
        return self._penalised

    def core_of(self, core: Core, phase: Phase) -> Core:
        """The core without the penalty while the head is solved for, which then stands on one vector alone."""
        return self.plain if phase.name == START else self._penalised

    def solve(
        self, core: Core, rows: FrozenRows, seed: int, unlabelled: np.ndarray | None
    ) -> Solved:
        """The core with the head that fits the source, its classes as often as in the target."""
        if unlabelled is None:
            raise ValueError(f"{self.name} has no rows of a target")
        units = core.head.hidden
        tried = [HiddenLayer(units[0], least_rows=0)] if units else [Logistic(), Ridge()]
        chosen = choice.choose(tried, rows, seed)
        best, model = chosen.candidate, chosen.model
        own = rows.weights @ rows.targets / rows.weights.sum()
        shares = own
        if self.shares == ESTIMATED:
            answers = special.softmax(model.logits(unlabelled), axis=1)
            shares = class_shares.estimate(answers)
            weighed = class_shares.weigh(rows, shares)
            (model,) = choice.solve(best.family, weighed, [best.setting])
        put_light_head(core, model)
        moved = 0.5 * float(np.abs(shares - own).sum())
        text = f"{best.text}; {moved:.0%} of the target are of other classes"
        found = {f"{CLASS_SHARE}{number}": float(share) for number, share in enumerate(shares)}
        return Solved(core, [found], text)

    def order(self, phase: Phase, rows: RowsToOrder) -> GivenOrder | None:
        """As many rows of the source as it has, classes as often as the first phase has found."""
        found = [
            [share for name, share in row.items() if name.startswith(CLASS_SHARE)]
            for row in rows.history
            if f"{CLASS_SHARE}0" in row
        ]
        if not found or self.shares != ESTIMATED:
            return None
        labels, seed = np.asarray(rows.labels), rows.seed
        return GivenOrder(lambda epoch: drawn(labels, found[-1], [seed, epoch]), len(labels))


def drawn(labels: np.ndarray, shares: Sequence[float], seed: Sequence[int]) -> np.ndarray:
    """int64[N]: rows in random order in which classes have these shares, to a row.

    Rows of a class are repeated, each about equally often.

    Args:
        labels: int[N].
        shares: float[C], which sum to 1.
        seed: of the order.
    """
    state, count = np.random.default_rng(list(seed)), len(labels)
    is_there = np.isin(np.arange(len(shares)), labels)
    wanted = np.cumsum(np.where(is_there, shares, 0.0))
    ends = np.round(wanted / wanted[-1] * count).astype(int)
    parts = []
    for number, size in enumerate(np.diff(ends, prepend=0)):
        own = np.flatnonzero(labels == number)
        passes = [state.permutation(own) for _ in range(-(-size // max(len(own), 1)))]
        parts += [np.concatenate(passes)[:size]] if size else []
    return state.permutation(np.concatenate(parts)).astype(np.int64)


def _is_one_layer(core: Core) -> bool:
    """Whether the head is one dense layer, which can be solved for."""
    return [type(layer) for layer in core.groups[-1].layers] == [keras.layers.Dense]
