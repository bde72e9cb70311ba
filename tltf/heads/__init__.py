"""--head: what stands on a backbone, reads labels and decodes answers.

`Classify`, from which a head of one's own inherits, is imported when it is first used: some files
here are free of TensorFlow.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "Classify":
        raise AttributeError(f"module 'tltf.heads' has no attribute {name!r}")
    from tltf.heads.classify import Classify

    return Classify
