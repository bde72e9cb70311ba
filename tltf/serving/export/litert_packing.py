"""Writes a .tflite file again, smaller, and with its numbers where processors read them best.

TensorFlow's converter writes a zero point of 8 bytes for every channel of every quantised kernel and of
its bias, all of them 0: in int8 that is a twelfth of EfficientNet-Lite0. A flatbuffer may point to one
vector from many places, so each vector and each string is written once. No number, name or operator
is changed, so every runtime computes what it computed before.
"""

import hashlib
from typing import Any

import flatbuffers
import numpy as np

ALIGNMENT = 16
"""The start of each tensor's bytes is a multiple of it: `force_align` of LiteRT's schema, which the
Python code of that schema does not keep."""
IDENTIFIER = b"TFL3"
"""The identifier of a .tflite file, its bytes 4 to 8."""


def pack(content: bytes) -> bytes:
    """The same network in a file that holds every vector and string once, aligned.

    Args:
        content: a .tflite file. One of more than 2 GB, whose tensors lie behind the flatbuffer, comes
            back as it is.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    if _has_parts_behind(model):
        return content
    builder = _SharingBuilder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _has_parts_behind(model: Any) -> bool:
    """Whether the file has bytes that the flatbuffer refers to by their place in the file."""
    operators = [operator for graph in model.subgraphs for operator in graph.operators]
    return any(buffer.offset for buffer in model.buffers) or any(
        operator.largeCustomOptionsOffset for operator in operators
    )


class _SharingBuilder(flatbuffers.Builder):
    """A builder that gives the place of an equal vector or string where it has written one.

    The names of methods and arguments are those of flatbuffers.
    """

    def __init__(self, num_bytes: int) -> None:
        super().__init__(num_bytes)
        self._places: dict[tuple[str, bytes], int] = {}

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802
        """Starts a vector; one of bytes, as those of tensors are, at a multiple of ALIGNMENT."""
        least = ALIGNMENT if elemSize == 1 else alignment
        place: int = super().StartVector(elemSize, numElems, least)
        return place

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802
        """The place of a vector of these numbers."""
        key = (x.dtype.str, hashlib.sha256(x.tobytes()).digest())
        if key not in self._places:
            self._places[key] = super().CreateNumpyVector(x)
        return self._places[key]

    def CreateString(  # noqa: N802
        self, s: str | bytes, encoding: str = "utf-8", errors: str = "strict"
    ) -> int:
        """The place of this string."""
        key = ("text", s.encode(encoding, errors) if isinstance(s, str) else bytes(s))
        if key not in self._places:
            self._places[key] = super().CreateString(s, encoding, errors)
        return self._places[key]
