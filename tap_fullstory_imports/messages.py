"""The writer of Singer messages: buffered, and exact in every number and text."""

from __future__ import annotations

import os
import select
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

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
_READER_GONE = "The target has closed the pipe: see its own messages."
_REFUSALS = (UnicodeEncodeError, TypeError, ValueError, OverflowError)
_ENCODER = msgspec.json.Encoder(enc_hook=enc_hook, decimal_format="number")


class _Record(msgspec.Struct, tag_field="type", tag="RECORD"):
    """A RECORD message. Of this form the encoder writes most in a second."""

    stream: str
    record: dict[str, Any]
    time_extracted: msgspec.Raw


def _encode(content: dict[str, Any]) -> bytes:
    """A line of JSON.

    What the fast encoder refuses, such as a lone surrogate, the SDK's encoder writes in
    ASCII.
    """
    try:
        return _ENCODER.encode(content) + b"\n"
    except _REFUSALS:
        return serialize_json(content).encode("ascii") + b"\n"


class TargetGoneError(SystemExit):
    """Nothing can be written to stdout any more.

    Attributes:
        reason: Why, in a sentence.
    """

    def __init__(self, reason: str) -> None:
        """End the program with the status 1."""
        super().__init__(1)
        self.reason = reason


class BufferedWriter(GenericSingerWriter[bytes, Message]):
    """Writes records in blocks, and every other message at once.

    A record waits until 256 KiB have come together, or until the first write or
    `flush_if_old` after one second.
    """

    def __init__(self) -> None:
        """Start with nothing to write."""
        super().__init__()
        self._buffer = bytearray()
        self._oldest = 0.0
        self._is_closed = False

    @override
    def serialize_message(self, message: Message) -> bytes:
        """Encode a message as a line of JSON.

        Raises:
            RecursionError: If it is nested more deeply than any page can be read.
        """
        content = message.to_dict()
        try:
            return _encode(content)
        except RecursionError:  # with less of the stack in use there is room for more
            with ThreadPoolExecutor(max_workers=1) as empty_stack:
                return empty_stack.submit(_encode, content).result()

    @override
    def write_message(self, message: Message) -> None:
        self._add(self.serialize_message(message))
        if not isinstance(message, RecordMessage):
            self.flush()

    def write_records(self, stream: str, records: list[dict[str, Any]]) -> bool:
        """Write records of a stream, as `write_message` does, but at one stroke.

        Returns:
            Whether all could be written: one may be nested too deeply.
        """
        now = datetime.now(timezone.utc)
        time = msgspec.Raw(_ENCODER.encode(now))
        try:
            self._add(
                _ENCODER.encode_lines([_Record(stream, one, time) for one in records])
            )
        except (*_REFUSALS, RecursionError):
            written = [self._write_record(stream, record, now) for record in records]
            return all(written)
        return True

    def _write_record(self, stream: str, record: dict[str, Any], now: datetime) -> bool:
        try:
            self.write_message(RecordMessage(stream, record, time_extracted=now))
        except RecursionError:
            return False
        return True

    def flush_if_old(self) -> None:
        """Write out what has waited for its second."""
        if self._buffer and clock.now() - self._oldest >= BUFFER_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write out what has come together.

        Raises:
            TargetGoneError: If stdout can't be written. Later calls do nothing.
        """
        block, self._buffer = self._buffer, bytearray()
        if not block or self._is_closed:
            return
        try:
            left = memoryview(block)
            while left:  # without a buffer of Python's, a signal can cut a write short
                left = left[sys.stdout.buffer.write(left) :]
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise self._closed(_READER_GONE) from None
        except OSError as error:
            raise self._closed(f"stdout can't be written: {error.strerror}.") from None

    def check_reader(self) -> None:
        """Notice while there is nothing to write that nobody reads any more.

        Raises:
            TargetGoneError: If the reader of stdout has closed it.
        """
        if self._is_closed or not hasattr(select, "poll"):
            return
        poll = select.poll()
        try:
            poll.register(sys.stdout.fileno(), 0)  # tells of errors only
        except OSError:  # it is not a file
            return
        if poll.poll(0):
            raise self._closed(_READER_GONE)

    def _closed(self, reason: str) -> TargetGoneError:
        self._is_closed = True
        # Python flushes stdout once more at its end, which must not fail then.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        return TargetGoneError(reason)

    def _add(self, lines: bytes) -> None:
        if not self._buffer:
            self._oldest = clock.now()
        self._buffer += lines
        if len(self._buffer) >= BUFFER_BYTES:
            self.flush()
        else:
            self.flush_if_old()
