"""How many threads linear algebra takes: waiting for each other, many are slower on small problems."""

import contextlib
from typing import Any

import threadpoolctl

ONE_THREAD = 2**25
"""Numbers in a matrix of features below which one thread is quickest. On two cores a logistic regression
of 28 labels on 2,000 x 384 features took 24 s with two threads and 1.1 s with one."""


def limit_threads(size: int) -> Any:
    """A context in which BLAS has one thread where the problem is small.

    Args:
        size: numbers in the matrix of features.
    """
    if size >= ONE_THREAD:
        return contextlib.nullcontext()
    return threadpoolctl.threadpool_limits(1, user_api="blas")
