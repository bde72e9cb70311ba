"""Asking a server again that is busy or not there."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from tltf.errors import TltfError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
Answer = TypeVar("Answer")


class TryAgain(Exception):
    """A server that is busy or not there.

    Args:
        fault: the error if it is not asked again.
        wait_s: the seconds that the server asks to wait.
    """

    def __init__(self, fault: TltfError, wait_s: float = 0.0) -> None:
        super().__init__(fault.what)
        self.fault, self.wait_s = fault, wait_s


def with_retries(ask: Callable[[], Answer], retries: int) -> Answer:
    """What `ask` returns, which is called again up to `retries` times while the server is busy.

    Before the n-th time it waits FIRST_PAUSE_S * 2^n, shortened by up to a half at random, so that
    clients who were refused together do not come back together.
    """
    for attempt in range(retries + 1):
        try:
            return ask()
        except TryAgain as again:
            if attempt == retries:
                raise again.fault from again.__cause__
            pause = FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.0)
            time.sleep(min(max(pause, again.wait_s), LONGEST_PAUSE_S))
    raise RuntimeError("unreachable")
