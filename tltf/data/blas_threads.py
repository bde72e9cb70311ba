"""The number of threads for linear algebra: on small problems many threads wait for each other."""

import contextlib

import threadpoolctl

ONE_THREAD = 2**25
"""The number of values in a matrix of features below which one thread is quickest.

On two cores a logistic regression of 28 labels on 2,000 x 384 features took 24 s with two threads
and 1.1 s with one.
"""


def limit_threads(size: int) -> contextlib.AbstractContextManager[object]:
    """A context in which BLAS has one thread where the problem is small.

    Args:
        size: how many numbers the matrix of features has.
    """
    if size >= ONE_THREAD:
        return contextlib.nullcontext()
    return threadpoolctl.threadpool_limits(1, user_api="blas")
