import pytest
import tensorflow as tf

from tltf.console import out_of_memory
from tltf.errors import StorageError

EXHAUSTED = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[9]")
FULL_DISK = tf.errors.ResourceExhaustedError(None, None, "x.tfevents; No space left on device")


@pytest.mark.parametrize(
    "error,expected",
    [
        (MemoryError(), True),
        (EXHAUSTED, True),
        (tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"), True),
        (tf.errors.UnknownError(None, None, "CUDNN_STATUS_ALLOC_FAILED"), True),
        (FULL_DISK, False),
        (tf.errors.InternalError(None, None, "blas failed"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_is_out_of_memory(error, expected):
    assert out_of_memory.is_exhausted(error) is expected


@pytest.mark.parametrize(
    "size,multiple,fix",
    [
        (32, 1, "--batch_size=16"),
        (7, 1, "--batch_size=3"),
        (12, 4, "--batch_size=4"),
        (1, 1, out_of_memory.SMALLEST),
        (4, 4, out_of_memory.SMALLEST),
    ],
)
def test_half_the_batch_is_suggested(size, multiple, fix):
    with (
        pytest.raises(StorageError) as caught,
        out_of_memory.explain_out_of_memory("batch_size", size, multiple),
    ):
        raise EXHAUSTED
    assert caught.value.code == 5 and caught.value.fix == fix
    assert str(caught.value).startswith(
        f"tltf: error[5] --batch_size: out of memory with {size} rows per batch; fix: "
    )


def test_other_errors_pass():
    with pytest.raises(KeyError), out_of_memory.explain_out_of_memory("batch_size", 8):
        raise KeyError("x")
    with (
        pytest.raises(tf.errors.ResourceExhaustedError),
        out_of_memory.explain_out_of_memory("batch_size", 8),
    ):
        raise FULL_DISK
