"""--head: the layers on a backbone, with their loss and metrics and the decoding of answers.

`Head` and `Classify`, from which a user's own head inherits, are imported when they are first
used, because some modules here can be imported without TensorFlow.
"""


def __getattr__(name: str) -> type:
    if name == "Head":
        from tltf.heads.head import Head

        return Head
    if name == "Classify":
        from tltf.heads.classify import Classify

        return Classify
    raise AttributeError(f"module 'tltf.heads' has no attribute {name!r}")
