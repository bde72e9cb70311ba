"""--head: what stands on a backbone, reads labels and decodes answers.

`Head` and `Classify`, from which a head of one's own inherits, are imported when they are first
used: some files here are free of TensorFlow.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "Head":
        from tltf.heads.head import Head

        return Head
    if name == "Classify":
        from tltf.heads.classify import Classify

        return Classify
    raise AttributeError(f"module 'tltf.heads' has no attribute {name!r}")
