"""Writes whole lines to stdout, however slow the target is."""

from __future__ import annotations

import os
import select
import sys
import time
from typing import TextIO

from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message
from typing_extensions import override

from tap_fullstory_imports.singer.records import json_lines

PIECE_BYTES = 64 * 1024  # the size of a pipe
WAIT_SECONDS = 1.0  # for a stdout that does not block
END_SECONDS = 8.0  # for a busy target to take what is left
_CLOSED = "The target has closed the pipe: see its own messages."


def lead_nowhere(stream: TextIO) -> None:
    """Drop what is left of a stream, which Python flushes once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class TargetGoneError(Exception):
    """Nothing can be written to stdout any more. The text says why."""


class Writer(GenericSingerWriter[bytes, Message]):
    """Writes whole lines to stdout."""

    def __init__(self) -> None:
        super().__init__()
        self.leaves_out = b""  # how lines begin that are not for a terminal
        self._gone: str | None = None
        self._deadline: float | None = None

    def end_soon(self) -> None:
        """Stop after the current line; drop the rest after `END_SECONDS`."""
        self._deadline = time.monotonic() + END_SECONDS

    @override
    def serialize_message(self, message: Message) -> bytes:
        return json_lines([message.to_dict()])

    @override
    def write_message(self, message: Message) -> None:
        """Write a message at once, as the SDK's own ways expect."""
        self.write(self.serialize_message(message))

    def write(self, lines: bytes | bytearray) -> bool:
        """Write lines, which blocks while the target is busy.

        Returns:
            Whether all of them have been written: not if the run ends meanwhile.

        Raises:
            TargetGoneError: If stdout can't be written.
        """
        if self._gone:
            raise TargetGoneError(self._gone)
        if sys.stdout is None:
            raise self._lost("stdout is closed: connect it to a target or a file.")
        if self.leaves_out:
            kept = lines.splitlines(keepends=True)
            lines = b"".join(one for one in kept if not one.startswith(self.leaves_out))
        start, size, view = 0, PIECE_BYTES, memoryview(lines)
        while start < len(lines):
            if self._deadline is not None:
                size = 1  # one line after the other: the target may be slow
                if time.monotonic() > self._deadline:
                    return False
            end = lines.find(b"\n", min(start + size, len(lines)) - 1) + 1
            self._write_whole(view[start:end])
            start = end
        return True

    def _write_whole(self, piece: memoryview) -> None:
        """Write a whole piece, even if stdout takes only a part of it at once."""
        stdout = sys.stdout.buffer
        try:
            while piece:
                try:
                    piece = piece[stdout.write(piece) or 0 :]
                except BlockingIOError as error:
                    piece = piece[error.characters_written :]
                    select.select([], [stdout], [], WAIT_SECONDS)
            while not self._is_flushed():
                select.select([], [stdout], [], WAIT_SECONDS)
        except BrokenPipeError:
            raise self._lost(_CLOSED) from None
        except OSError as error:
            raise self._lost(f"stdout can't be written: {error.strerror}.") from None

    @staticmethod
    def _is_flushed() -> bool:
        try:
            sys.stdout.buffer.flush()
        except BlockingIOError:
            return False
        return True

    def check_reader(self) -> None:
        """Detect a closed pipe while there is nothing to write.

        Raises:
            TargetGoneError: If the reader of stdout has closed it.
        """
        if self._gone or sys.stdout is None or not hasattr(select, "poll"):
            return
        poll = select.poll()
        try:
            poll.register(sys.stdout.fileno(), 0)  # reports errors only
        except OSError:  # it is not a file
            return
        if poll.poll(0):
            raise self._lost(_CLOSED)

    def _lost(self, reason: str) -> TargetGoneError:
        self._gone = reason
        if sys.stdout is not None:
            lead_nowhere(sys.stdout)
        return TargetGoneError(reason)
