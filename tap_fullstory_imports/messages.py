"""The writer of Singer messages: buffered, and exact in every number and text."""

from __future__ import annotations

import os
import sys

import msgspec
from singer_sdk.contrib.msgspec import enc_hook
from singer_sdk.singerlib import RecordMessage
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message
from singer_sdk.singerlib.json import serialize_json

from tap_fullstory_imports import clock

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

BUFFER_BYTES = 256 * 1024
BUFFER_SECONDS = 1.0
_ENCODER = msgspec.json.Encoder(enc_hook=enc_hook, decimal_format="number")


class TargetGoneError(SystemExit):
    """Whoever read stdout has closed it: nothing can be written any more."""

    def __init__(self) -> None:
        """End the program with the status 1."""
        super().__init__(1)


class BufferedWriter(GenericSingerWriter[bytes, Message]):
    """Writes records in blocks, and every other message at once.

    A record waits until 256 KiB have come together, or until the first write or
    `flush_if_old` after one second.
    """

    def __init__(self) -> None:
        """Start with nothing to write."""
        super().__init__()
        self._lines: list[bytes] = []
        self._size = 0
        self._oldest = 0.0
        self._broken = False

    @override
    def serialize_message(self, message: Message) -> bytes:
        """Encode a message as a line of JSON, without its end.

        What the fast encoder refuses, such as a lone surrogate, the SDK's encoder
        writes in ASCII.
        """
        content = message.to_dict()
        try:
            return _ENCODER.encode(content)
        except (UnicodeEncodeError, TypeError, ValueError, OverflowError):
            return serialize_json(content).encode("ascii")

    @override
    def write_message(self, message: Message) -> None:
        line = self.serialize_message(message)
        if not self._lines:
            self._oldest = clock.now()
        self._lines.append(line)
        self._size += len(line)
        if not isinstance(message, RecordMessage) or self._size >= BUFFER_BYTES:
            self.flush()
        else:
            self.flush_if_old()

    def flush_if_old(self) -> None:
        """Write out what has waited for its second."""
        if self._lines and clock.now() - self._oldest >= BUFFER_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write out what has come together.

        Raises:
            TargetGoneError: If stdout is closed on the other side. Later calls do
                nothing.
        """
        lines, self._lines, self._size = self._lines, [], 0
        if not lines or self._broken:
            return
        try:
            sys.stdout.buffer.write(b"\n".join([*lines, b""]))
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            self._broken = True
            # Python flushes stdout once more at its end, which must not fail then.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            raise TargetGoneError from None
