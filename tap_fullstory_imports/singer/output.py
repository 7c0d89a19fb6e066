"""What is written when: RECORD, BATCH, and STATE, which never gets ahead of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from singer_sdk import Stream
from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.singerlib import SchemaMessage

from tap_fullstory_imports.fullstory.pages import Row
from tap_fullstory_imports.fullstory.session import Thread
from tap_fullstory_imports.singer.batches import BatchFiles, File
from tap_fullstory_imports.singer.records import Records, json_lines, record_lines
from tap_fullstory_imports.singer.state import Bookmarks
from tap_fullstory_imports.singer.writer import Writer

BUFFER_BYTES = 256 * 1024
BUFFER_SECONDS = 1.0
STATE_SECONDS = 5.0
STATE_SHARE = 0.015  # of the bytes written since the STATE before
LATE_SECONDS = 60.0  # for each started million bytes of STATE
LARGE_BYTES = 1_000_000


class Output:
    """Writes the records of many jobs, and notes a job that has been written.

    Records wait in a buffer until it holds 256 KiB or is a second old. STATE follows
    the records of the jobs that it names, in the same buffer.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        bookmarks: Bookmarks,
        writer: Writer,
        now: Callable[[], float],
    ) -> None:
        """Write the schemas; take the finished jobs, and a clock that tells seconds."""
        self._bookmarks, self._writer, self._now = bookmarks, writer, now
        self._streams = {stream.name: stream for stream in streams}
        self._records = {stream.name: Records(stream) for stream in streams}
        self._files = {
            stream.name: BatchFiles(stream)
            for stream in streams
            if stream.config.get("batch_config")
        }
        self._buffer, self._oldest = bytearray(), 0.0
        self._thread, self._writing = Thread(), asyncio.Lock()
        # One thread, because the SDK's storage does not share its transactions.
        self._storer, self._storing = Thread(), asyncio.Lock()
        self._bytes = 0  # since the last STATE
        self._state_bytes = len(self._state())
        self._stated_at, self._has_news = now(), False
        for stream in streams:
            self._write_schema(stream)

    def _write_schema(self, stream: Stream) -> None:
        for stream_map in stream.stream_maps:
            if not isinstance(stream_map, RemoveRecordTransform):
                message = SchemaMessage(
                    stream_map.stream_alias,
                    stream_map.transformed_schema,
                    stream_map.transformed_key_properties or (),
                )
                self._add(json_lines([message.to_dict()]))

    async def write(self, stream: Stream, rows: list[Row]) -> int:
        """Write rows of a stream; the rows may be changed for it.

        Returns:
            How many of the rows no filter left out.

        Raises:
            StopError: If the settings keep them from being written.
            TargetGoneError: If nobody reads stdout any more.
        """
        made, written = self._records[stream.name].of(rows)
        files = self._files.get(stream.name)
        for name, records in made:
            if files is None:
                self._add(record_lines(name, records) if records else b"")
                continue
            async with self._storing:  # so that no later file overtakes another
                for file in files.add(records):
                    await self._announce(files, file)
        if len(self._buffer) >= BUFFER_BYTES:
            await self._flush()
        return written

    def finish(self, stream: Stream, job_id: str) -> None:
        """Note that all rows of a job have been written.

        The job counts when the BATCH file with its last rows has been announced.
        """
        files = self._files.get(stream.name)
        file = files and (files.being_stored or files.open)
        if file and file.rows:
            file.jobs.append(job_id)
        else:
            self._bookmarks.finish(stream.name, job_id)
            self._has_news = True

    async def keep_up(self) -> None:
        """Write what has waited long enough: records, and STATE if a job has ended.

        STATE names all finished jobs, so it grows. It comes when it is a small part of
        what has been written since the one before, or is late.

        Raises:
            TargetGoneError: If nobody reads stdout any more.
        """
        self._writer.check_reader()
        waited = self._now() - self._stated_at
        is_small = self._state_bytes <= STATE_SHARE * self._bytes
        late = LATE_SECONDS * max(1.0, self._state_bytes / LARGE_BYTES)
        if self._has_news and (
            waited >= late or (is_small and waited >= STATE_SECONDS)
        ):
            self._add_state()
        if self._buffer and self._now() - self._oldest >= BUFFER_SECONDS:
            await self._flush()

    async def close(self, *, is_cut: bool = False) -> None:
        """Write what is left, then STATE.

        Args:
            is_cut: Whether the run has been told to end: no file is stored any more.
        """
        try:
            for files in () if is_cut else self._files.values():
                if files.open.rows:
                    await self._announce(files, files.take())
        finally:
            self._add_state()
            await self._flush()

    async def _announce(self, files: BatchFiles, file: File) -> None:
        message = await self._storer.call(files.store, file)
        self._add(json_lines([message.to_dict()]))
        files.being_stored = None
        for job_id in file.jobs:
            self._bookmarks.finish(message.stream, job_id)
        self._has_news = True

    def _state(self) -> bytes:
        state = self._bookmarks.state(self._streams)
        # The SDK's message would copy the state first.
        return json_lines([{"type": "STATE", "value": state}])

    def _add_state(self) -> None:
        line = self._state()
        self._add(line)
        self._bytes, self._state_bytes = 0, len(line)
        self._stated_at, self._has_news = self._now(), False

    def _add(self, lines: bytes) -> None:
        if not self._buffer:
            self._oldest = self._now()
        self._buffer += lines
        self._bytes += len(lines)

    async def _flush(self) -> None:
        async with self._writing:
            block, self._buffer = self._buffer, bytearray()
            if block:
                # A block must not vanish with the job that happens to write it.
                await asyncio.shield(self._thread.call(self._writer.write, block))
