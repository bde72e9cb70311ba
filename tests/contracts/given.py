"""Parameter lists for the contract tests."""

import pytest

from tests import tiny
from tests.contracts.cases import CASES, LARGE, ON_TEXTS


def parameters(catalog):
    """A pytest parameter for each case of a catalog; slow ones marked large."""
    return [
        pytest.param(case, id=case if isinstance(case, str) else name, marks=_marks(name))
        for name, cases in CASES[catalog].items()
        for case in (cases if isinstance(cases, list) else [cases])
    ]


def _marks(name):
    return [pytest.mark.large] if name in LARGE else []


def core_for(method):
    """A tiny untrained core that a case of METHODS can train; one on images has a nested norm."""
    is_text = method in ON_TEXTS
    return tiny.core(tiny.text_backbone() if is_text else tiny.image_backbone(nested=True))
