"""The families of light heads by name, in the order in which equals are taken."""

from collections.abc import Sequence

from tltf.config.checks import AUTO
from tltf.errors import FlagError
from tltf.heads.light import linear_families, other_families
from tltf.heads.light.light_model import Family

FAMILIES: dict[str, type[Family]] = {
    kind.name: kind
    for kind in (
        linear_families.Logistic,
        linear_families.ParetoLogistic,
        linear_families.Ridge,
        linear_families.ClassMeans,
        linear_families.ShrunkDiscriminant,
        other_families.NearestExamples,
        other_families.HiddenLayer,
    )
}
"""Name -> Family."""


def pick(text: str) -> Sequence[Family]:
    """The families that `auto`, or names joined with |, stand for.

    Raises:
        FlagError: an unknown name.
    """
    names = list(FAMILIES) if text == AUTO else [name.strip() for name in text.split("|")]
    unknown = [name for name in names if name not in FAMILIES]
    if unknown:
        raise FlagError(
            f"there is no family {unknown[0]!r} (choices: {AUTO}, {', '.join(FAMILIES)})",
            flag="method",
            fix="--method='probe(family=logistic|ridge)'",
        )
    return [FAMILIES[name]() for name in names]
