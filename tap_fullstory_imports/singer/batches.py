"""From records to files, and the BATCH messages that name them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from singer_sdk import Stream
from singer_sdk.singerlib.encoding.base import SingerMessageType
from singer_sdk.singerlib.encoding.simple import Message

from tap_fullstory_imports.fullstory.answers import StopError
from tap_fullstory_imports.fullstory.pages import Row
from tap_fullstory_imports.reporting.words import HIDDEN
from tap_fullstory_imports.singer.records import json_lines

MOST_BYTES = 16 * 1024 * 1024  # of a file, compressed
_LEVEL = 3  # of gzip: half the time of level 6, and nearly as small
_GZIP = zlib.MAX_WBITS | 16
# A target adds these columns to the rows of RECORD messages, but not to those of files.
_TIMES = ("_sdc_extracted_at", "_sdc_batched_at")


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


class File:
    """A file of compressed JSON lines, in memory.

    Attributes:
        rows: How many records it holds.
        bytes: Their size, compressed.
        jobs: The jobs of which it holds the last record.
    """

    def __init__(self) -> None:
        self.rows = self.bytes = 0
        self.jobs: list[str] = []
        self._lines = zlib.compressobj(_LEVEL, wbits=_GZIP)
        self._parts: list[bytes] = []

    def add(self, records: list[Row]) -> None:
        """Add records."""
        part = self._lines.compress(json_lines(records))
        self._parts.append(part)
        self.rows, self.bytes = self.rows + len(records), self.bytes + len(part)

    def content(self) -> list[bytes]:
        """The whole file; no record can be added after it."""
        return [*self._parts, self._lines.flush()]


class BatchFiles:
    """Collects the records of a stream in files, and stores the files.

    Attributes:
        open: The file that takes the next records.
        being_stored: The file before it, until it is announced.
    """

    def __init__(self, stream: Stream) -> None:
        config: Any = stream.get_batch_config(stream.config)
        self._stream, self._size = stream.name, config.batch_size
        self._storage = storage = config.storage
        if "://" not in storage.root:
            # The SDK percent-encodes a plain path in the manifest, but its targets do
            # not decode it.
            path = Path(storage.root).absolute().as_posix()
            storage.root = f"file:///{path.lstrip('/')}"
        if storage.root.startswith("file:"):  # the prefix may name folders
            storage.params = {"auto_mkdir": True, **storage.params}
        self._name = f"{storage.prefix or ''}{stream.tap_name}--{stream.name}"
        self.open = File()
        self.being_stored: File | None = None

    def add(self, records: list[Row]) -> Iterator[File]:
        """Add records, with the time; yield each file that is full."""
        times = dict.fromkeys(_TIMES, datetime.now(UTC))
        for record in records:
            record.update(times)
        while records:
            room = self._size - self.open.rows
            self.open.add(records[:room])
            records = records[room:]
            if self.open.rows >= self._size or self.open.bytes >= MOST_BYTES:
                yield self.take()

    def take(self) -> File:
        """Take the open file, and begin another one."""
        taken = self.being_stored = self.open
        self.open = File()
        return taken

    def store(self, file: File) -> BatchMessage:
        """Store a file, which can take long; return the message that names it.

        Raises:
            StopError: If the file can't be stored.
        """
        name = f"{self._name}-{uuid4()}.json.gz"
        try:
            with self._storage.open(name, "wb") as stored:
                stored.writelines(file.content())
        except Exception as error:  # noqa: BLE001 - of whatever file system
            raise StopError(self._cannot_store(error)) from None
        return BatchMessage(
            self._stream,
            {"format": "jsonl", "compression": "gzip"},
            [self._storage.get_url(name)],
        )

    def _cannot_store(self, error: Exception) -> str:
        reason = getattr(error, "strerror", None) or type(error).__name__
        if isinstance(error, ImportError):
            reason = f"{error}"
        root = re.sub("//[^/]*@", f"//{HIDDEN}@", self._storage.root)
        return (
            f"`batch_config`: no file can be written to {root} ({reason}). Check"
            " `storage.root`, its permissions, and the free space there and in the"
            " folder of temporary files (`TMPDIR`)."
        )
