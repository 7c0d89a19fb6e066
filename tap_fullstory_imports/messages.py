"""The writer of Singer messages: buffered, and exact in every number and text."""

from __future__ import annotations

import json
import os
import select
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.contrib.msgspec import enc_hook
from singer_sdk.singerlib import RecordMessage
from singer_sdk.singerlib.encoding.base import GenericSingerWriter, SingerMessageType
from singer_sdk.singerlib.encoding.simple import Message
from typing_extensions import override

from tap_fullstory_imports.fullstory import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

BUFFER_BYTES = 256 * 1024
BUFFER_SECONDS = 1.0
_READER_GONE = "The target has closed the pipe: see its own messages."
_REFUSALS = (UnicodeEncodeError, TypeError, ValueError, OverflowError)
_ENCODER = msgspec.json.Encoder(enc_hook=enc_hook, decimal_format="number")


class _Record(msgspec.Struct, tag_field="type", tag="RECORD"):
    """A RECORD message, in the form that the encoder writes fastest."""

    stream: str
    record: dict[str, Any]
    time_extracted: msgspec.Raw

    def to_dict(self) -> dict[str, Any]:
        """The message as a dictionary without JSON in it."""
        time = msgspec.json.decode(self.time_extracted)
        return {
            "type": "RECORD",
            "stream": self.stream,
            "record": self.record,
            "time_extracted": time,
        }


def encode(content: dict[str, Any]) -> bytes:
    """A line of JSON.

    What the fast encoder refuses, such as an unpaired surrogate, leaves in ASCII.

    Raises:
        RecursionError: If the content is nested too deeply.
    """
    try:
        return _encode(content)
    except RecursionError:  # the empty stack of another thread leaves room for more
        with ThreadPoolExecutor(max_workers=1) as empty_stack:
            return empty_stack.submit(_encode, content).result()


def _encode(content: dict[str, Any]) -> bytes:
    try:
        return _ENCODER.encode(content) + b"\n"
    except _REFUSALS:
        return _encode_slowly(content).encode("ascii") + b"\n"


def _encode_slowly(value: Any) -> str:
    """JSON in ASCII, of values that the fast encoder refuses."""
    if isinstance(value, dict):
        return f"{{{','.join(_members(value))}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_encode_slowly, value))}]"
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode("ascii")  # a number with a huge exponent
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(value, default=enc_hook)


def _members(value: dict[str, Any]) -> Iterator[str]:
    for name, member in value.items():
        yield f"{json.dumps(name)}:{_encode_slowly(member)}"


def encode_lines(contents: list[Any]) -> bytes:
    """Lines of JSON.

    Raises:
        RecursionError: If one of them is nested too deeply.
    """
    try:
        return _ENCODER.encode_lines(contents)
    except (*_REFUSALS, RecursionError):
        return b"".join(
            encode(one.to_dict() if isinstance(one, _Record) else one)
            for one in contents
        )


@dataclass(slots=True)
class BatchMessage(Message):
    """A BATCH message: files of records for a target to load.

    Source: https://sdk.meltano.com/en/latest/batch.html
    """

    stream: str
    encoding: dict[str, str]
    manifest: list[str]

    def __post_init__(self) -> None:
        """Set the type, as the SDK's messages do."""
        self.type = SingerMessageType.BATCH


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

    A record waits until the buffer holds 256 KiB, or until the first write or
    `flush_if_old` after one second.

    Attributes:
        bytes_added: How many bytes the messages had so far.
        is_writing: Whether a write is under way, which blocks while the target is busy.
    """

    def __init__(self) -> None:
        """Start with nothing to write."""
        super().__init__()
        self._buffer = bytearray()
        self._oldest = 0.0
        self._is_closed = False
        self.bytes_added = 0
        self.is_writing = False

    @override
    def serialize_message(self, message: Message) -> bytes:
        """Encode a message as a line of JSON.

        Raises:
            RecursionError: If it is nested too deeply.
        """
        return encode(message.to_dict())

    @override
    def write_message(self, message: Message) -> None:
        self._add(self.serialize_message(message))
        if not isinstance(message, RecordMessage):
            self.flush()

    def write_records(self, stream: str, records: list[dict[str, Any]]) -> None:
        """Write records of a stream, as `write_message` does, but all at once.

        Raises:
            RecursionError: If one is nested too deeply. None is written then.
        """
        time = msgspec.Raw(_ENCODER.encode(datetime.now(UTC)))
        self._add(encode_lines([_Record(stream, one, time) for one in records]))

    def flush_if_old(self) -> None:
        """Write the buffer if its oldest message is a second old."""
        if self._buffer and clock.now() - self._oldest >= BUFFER_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the buffer to stdout.

        Raises:
            TargetGoneError: If stdout can't be written. Later calls do nothing.
        """
        block, self._buffer = self._buffer, bytearray()
        if not block or self._is_closed:
            return
        if sys.stdout is None:
            raise self._closed("stdout is closed: connect it to a target or a file.")
        self.is_writing = True
        try:
            left = memoryview(block)
            while left:  # without a buffer of Python's, a signal can cut a write short
                left = left[sys.stdout.buffer.write(left) :]
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise self._closed(_READER_GONE) from None
        except OSError as error:
            raise self._closed(f"stdout can't be written: {error.strerror}.") from None
        finally:
            self.is_writing = False

    def check_reader(self) -> None:
        """Detect a closed pipe while there is nothing to write.

        Raises:
            TargetGoneError: If the reader of stdout has closed it.
        """
        if self._is_closed or sys.stdout is None or not hasattr(select, "poll"):
            return
        poll = select.poll()
        try:
            poll.register(sys.stdout.fileno(), 0)  # reports errors only
        except OSError:  # it is not a file
            return
        if poll.poll(0):
            raise self._closed(_READER_GONE)

    def _closed(self, reason: str) -> TargetGoneError:
        self._is_closed = True
        if sys.stdout is not None:
            # Python flushes stdout once more at its end, which must not fail then.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
        return TargetGoneError(reason)

    def _add(self, lines: bytes) -> None:
        if not self._buffer:
            self._oldest = clock.now()
        self._buffer += lines
        self.bytes_added += len(lines)
        if len(self._buffer) >= BUFFER_BYTES:
            self.flush()
        else:
            self.flush_if_old()
