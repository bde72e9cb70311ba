"""Fingerprints, which tell the rows of two data sets apart."""

import hashlib
from collections.abc import Mapping

import numpy as np

from tltf.data import label_kinds
from tltf.data.source import Source


def fingerprint(part: Source) -> str:
    """A text such as `1,000 rows (digest)`, with a digest of a split's contents and labels in order.

    Args:
        part: the rows of a split; of those without labels the contents alone count.
    """
    digest = hashlib.blake2b(part.content_hashes().tobytes(), digest_size=8)
    if part.labels is None:
        return f"{len(part):,} rows ({digest.hexdigest()})"
    labels = label_kinds.kind_of(part.labels).training_values(part.labels)
    digest.update(np.ascontiguousarray(labels).tobytes())
    return f"{len(part):,} rows ({digest.hexdigest()})"


def fingerprints(parts: Mapping[str, Source]) -> dict[str, str]:
    """The `fingerprint` of each split under `train split` and so on, and that of the class names.

    Args:
        parts: role -> Source.
    """
    fields = parts["train"].label_fields.values()
    classes = [name for labels in fields for name in labels.class_names]
    names = "\n".join(classes).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(names, digest_size=8).hexdigest()
    splits = {f"{role} split": fingerprint(part) for role, part in parts.items()}
    return splits | {"classes": f"{len(classes)} ({digest})"}
