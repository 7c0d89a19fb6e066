"""How the C library looks after the memory of pages."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_ARENA_MAX = -8  # of glibc's malloc.h


def share_one_heap() -> None:
    """Let all threads of this process allocate from the same heap.

    glibc gives each thread one of its own. What fetching threads allocate there and the
    writing one frees leaves holes, which add up while thousands of pages pass. As only
    one thread at a time runs Python, none has to wait for another. Other C libraries
    have neither this function nor this trouble.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
