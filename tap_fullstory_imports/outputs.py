"""From the rows of a stream to messages: RECORD as it is or mapped, or BATCH."""

from __future__ import annotations

import re
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from singer_sdk.mapper import SameRecordTransform
from typing_extensions import override

from tap_fullstory_imports.fullstory import StopError
from tap_fullstory_imports.logs import HIDDEN
from tap_fullstory_imports.messages import BatchMessage, encode_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from singer_sdk.mapper import StreamMap

    from tap_fullstory_imports.messages import BufferedWriter
    from tap_fullstory_imports.streams import JobStream

Record = dict[str, Any]
_GZIP = zlib.MAX_WBITS + 16  # how zlib is asked for the format of gzip


@dataclass(frozen=True)
class Written:
    """What became of some rows.

    Attributes:
        rows: How many were written.
        filtered: How many a filter left out.
    """

    rows: int = 0
    filtered: int = 0


class Output(ABC):
    """Writes the records of one stream."""

    keeps_json = False  # whether the values of a record may stay JSON

    def __init__(self, stream: JobStream, writer: BufferedWriter) -> None:
        """Take the stream, and where its messages go."""
        self.stream, self.writer = stream, writer

    @abstractmethod
    def write(self, records: list[Record]) -> Written:
        """Write records; they may be changed for it.

        Raises:
            RecursionError: If one is nested too deeply to be written.
        """

    def finish(self, note: Callable[[], None]) -> None:
        """Call back when all records that came so far have been written."""
        note()

    def close(self) -> None:  # noqa: B027 - most outputs keep nothing back
        """Write what is left."""


class PlainRecords(Output):
    """Records go out as they are, many at once."""

    keeps_json = True

    @override
    def write(self, records: list[Record]) -> Written:
        self.writer.write_records(self.stream.name, records)
        return Written(len(records))


class MappedRecords(Output):
    """Records lose their deselected fields, and pass the stream maps."""

    @override
    def write(self, records: list[Record]) -> Written:
        for record in records:
            deselect(record, self.stream.mask)
        emitted = [False] * len(records)
        for stream_map in self.stream.stream_maps:
            mapped = [self._mapped(stream_map, record) for record in records]
            emitted = [
                was or record is not None
                for was, record in zip(emitted, mapped, strict=True)
            ]
            self.writer.write_records(
                stream_map.stream_alias, [one for one in mapped if one is not None]
            )
        rows = sum(emitted)
        return Written(rows, len(records) - rows)

    def _mapped(self, stream_map: StreamMap, record: Record) -> Record | None:
        try:
            return stream_map.transform(record)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a user's expression raises
            # The text of the error may hold values of the row.
            msg = (
                f"`stream_maps`: an expression for {self.stream.name} fails on a row"
                f" ({type(error).__name__}). Correct the expression, and run again."
            )
            raise StopError(msg) from None


class BatchFiles(Output):
    """Records go into compressed files of JSON lines, which BATCH messages name."""

    def __init__(self, stream: JobStream, writer: BufferedWriter) -> None:
        """Begin the first file."""
        super().__init__(stream, writer)
        config = stream.get_batch_config(stream.config)
        if config is None:
            raise ValueError("There is no `batch_config`.")
        self._storage, self._size = config.storage, config.batch_size
        self._name = f"{config.storage.prefix or ''}{stream.tap_name}--{stream.name}"
        self._counter = stream.get_batch_counter()
        self.keeps_json = all(stream.mask.values())
        self._pending: list[Callable[[], None]] = []
        self._begin()

    def _begin(self) -> None:
        self._rows = 0
        self._file = bytearray()
        # A GzipFile would warn on stderr if the run ends before the file is closed.
        self._gzip = zlib.compressobj(level=9, wbits=_GZIP)

    @override
    def write(self, records: list[Record]) -> Written:
        if not self.keeps_json:
            for record in records:
                deselect(record, self.stream.mask)
        rows = len(records)
        while records:
            part, records = self._split(records)
            self._file += self._gzip.compress(encode_lines(part))
            self._rows += len(part)
            if self._rows >= self._size:
                self._announce()
        return Written(rows)

    def _split(self, records: list[Record]) -> tuple[list[Record], list[Record]]:
        room = self._size - self._rows
        return records[:room], records[room:]

    @override
    def finish(self, note: Callable[[], None]) -> None:
        self._pending.append(note)
        if not self._rows:
            self._note()

    @override
    def close(self) -> None:
        if self._rows:
            self._announce()

    def _announce(self) -> None:
        """Store the file, and write the BATCH message that names it."""
        self._file += self._gzip.flush()
        name = f"{self._name}-{uuid4()}.json.gz"
        try:
            with self._storage.open(name, "wb") as file:
                file.write(self._file)
        except Exception as error:  # noqa: BLE001 - of whatever file system
            raise StopError(self._cannot_store(error)) from None
        self.writer.write_message(
            BatchMessage(
                self.stream.name,
                {"format": "jsonl", "compression": "gzip"},
                [self._storage.get_url(name)],
            )
        )
        with self._counter:
            self._counter.increment()
        self._begin()
        self._note()

    def _cannot_store(self, error: Exception) -> str:
        reason = getattr(error, "strerror", None) or type(error).__name__
        if isinstance(error, ImportError):
            reason = f"{error}"
        root = re.sub("//[^/]*@", f"//{HIDDEN}@", self._storage.root)
        return (
            f"`batch_config`: no file can be written to {root}"
            f" ({reason}). Check `storage.root`, its permissions and its free space."
        )

    def _note(self) -> None:
        pending, self._pending = self._pending, []
        for note in pending:
            note()


def output_of(stream: JobStream, writer: BufferedWriter) -> Output:
    """How the records of a stream are written, by settings and catalog."""
    if stream.config.get("batch_config"):
        return BatchFiles(stream, writer)
    first, *others = stream.stream_maps
    is_plain = (
        type(first) is SameRecordTransform
        and not others
        and not first.flattening_enabled
        and all(stream.mask.values())
    )
    return (PlainRecords if is_plain else MappedRecords)(stream, writer)


def deselect(
    record: Record,
    mask: Mapping[tuple[str, ...], bool],
    path: tuple[str, ...] = (),
) -> None:
    """Take the fields that the catalog deselects out of a record, at any depth."""
    for name in list(record):
        place = (*path, "properties", name)
        if not mask[place]:
            del record[name]
        elif isinstance(record[name], dict):
            deselect(record[name], mask, place)
