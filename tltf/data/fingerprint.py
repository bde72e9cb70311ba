"""What tells the rows of two data sets apart."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tltf.data import label_kinds
from tltf.data.source import Source


def fingerprint(part: Any) -> str:
    """`1,000 rows (digest)`: a hexadecimal digest of a split's contents and labels, in their order."""
    digest = hashlib.blake2b(part.content_hashes().tobytes(), digest_size=8)
    labels = label_kinds.kind_of(part.labels).trained(part.labels)
    digest.update(np.ascontiguousarray(labels).tobytes())
    return f"{len(part):,} rows ({digest.hexdigest()})"


def fingerprints(parts: Mapping[str, Source]) -> dict[str, str]:
    """`train split` and so on -> its `fingerprint`, and the same of the names of the classes.

    Args:
        parts: role -> Source.
    """
    names = "\n".join(parts["train"].class_names).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(names, digest_size=8).hexdigest()
    splits = {f"{role} split": fingerprint(part) for role, part in parts.items()}
    return splits | {"classes": f"{len(parts['train'].class_names)} ({digest})"}
