"""Transfer by name and shape, with its table."""

import keras
import numpy as np

from tltf.graphs import weight_transfer


def test_rows_and_values():
    zeros = {
        "conv/kernel": keras.Variable(np.zeros((3, 3))),
        "conv/bias": keras.Variable(np.zeros(3)),
        "new/kernel": keras.Variable(np.zeros(2)),
        "tokens/embeddings": keras.Variable(np.zeros(4)),
    }
    arrays = {
        "conv/kernel": np.ones((3, 3)),
        "conv/bias": np.ones(5),
        "tokens/embeddings": np.ones(4),
        "head/kernel": np.ones(7),
    }
    rows = weight_transfer.copy_by_name(zeros, arrays, never=("tokens/embeddings",))
    assert rows == (
        ("conv/kernel", (3, 3), "copied"),
        ("conv/bias", (3,), "re-initialised"),
        ("new/kernel", (2,), "re-initialised"),
        ("tokens/embeddings", (4,), "re-initialised"),
        ("head/kernel", (7,), "skipped"),
    )
    assert {name: float(v.numpy().max()) for name, v in zeros.items()} == {
        "conv/kernel": 1.0,
        "conv/bias": 0.0,
        "new/kernel": 0.0,
        "tokens/embeddings": 0.0,
    }
    lines = weight_transfer.table(rows).splitlines()
    assert lines[0].split() == ["conv/kernel", "(3,", "3)", "copied"]
    assert lines[-1] == "1 copied, 1 skipped, 3 re-initialised"
