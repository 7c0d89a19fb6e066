"""Threads for what blocks, which an event loop can wait for or leave behind."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Thread:
    """Makes one call after the other.

    A daemon, so that a call that never ends does not keep the program from ending. The
    threads of the standard library's executors would.
    """

    def __init__(self) -> None:
        """Start the thread, which waits for calls."""
        self._calls: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in the thread; return or raise what it does."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((future, function, args))
        return await future

    def end(self) -> None:
        """End the thread after the calls that it has been given."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            _make(*call)
            del call  # or its arguments and its result would stay in memory


def _make(
    future: asyncio.Future[Any], function: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    result, error = None, None
    try:
        result = function(*args)
    except Exception as raised:  # noqa: BLE001 - raised where it is waited for
        error = raised
    with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
        future.get_loop().call_soon_threadsafe(_settle, future, result, error)


def _settle(
    future: asyncio.Future[Any], result: object, error: Exception | None
) -> None:
    if future.done():  # it has been cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
