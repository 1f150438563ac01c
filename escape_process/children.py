"""Processes that end with the one that started them."""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent ends; end at once where that has happened already.

    A killed parent tells its children of nothing else: they would run on beside the next attempt at the same work. To
    the kernel the parent is the thread that started the process.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
