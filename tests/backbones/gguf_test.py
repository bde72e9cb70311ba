"""GGUF files: numbers of 4, 8 and 32 bits as the format describes them, and damaged files refused."""

import struct

import numpy as np
import pytest

from tests import tiny_llama
from tltf.backbones import gguf
from tltf.errors import ModelError


def test_a_file_is_read_as_it_was_described(tmp_path):
    arrays = tiny_llama.write(tmp_path / "tiny.gguf")
    file = gguf.read(tmp_path / "tiny.gguf")
    assert file.metadata["general.architecture"] == "llama"
    assert file.metadata["tokenizer.ggml.tokens"] == tiny_llama.tokens()
    assert file.metadata["llama.rope.freq_base"] == 100.0
    assert list(file.tensors) == list(arrays)
    for name, array in arrays.items():
        found = file.tensors[name].numbers()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, array, rtol=1e-6, atol=1e-8, err_msg=name)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: b"", "GGUF file"),
        (lambda raw: b"GGUF", "ends too early"),
        (lambda raw: b"gguf" + raw[4:], "begins with b'gguf'"),
        (lambda raw: raw[:4] + struct.pack("<I", 9) + raw[8:], "version 9"),
        (lambda raw: raw[:-40], "ends too early"),
        (lambda raw: raw[:900], "ends too early"),
        (lambda raw: raw[:8] + struct.pack("<Q", 10**9) + raw[16:], "GGUF file"),
        (lambda raw: raw[:16] + struct.pack("<Q", 10**18) + raw[24:], "GGUF file"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, change, reason):
    path = tmp_path / "tiny.gguf"
    tiny_llama.write(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelError, match=f"is not a readable GGUF file .*{reason}|{reason}"):
        gguf.read(path)
