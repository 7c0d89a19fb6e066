"""Answers like the API, with the same events on every page, however many there are."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Self

import msgspec
from typing_extensions import override

from tests.stand_in import make_events

_TOKEN = re.compile(rb"page_token=(\d+)")
_NO_ROWS = b'{"results":[],"total_records":"0"}'
_STATUS = (
    b'{"imports":"%d","errors":"0","job":{"id":"%b","status":"COMPLETED",'
    b'"created":"2026-01-15T01:30:15Z","finished":"2026-01-15T01:31:15Z"}}'
)


class Server:
    """Every job has so many pages of so many events. A context manager.

    Attributes:
        url: Its address.
        rows: How many events a job has.
        requests: How many requests it has received.
    """

    def __init__(self, pages: int, page_size: int, latency: float = 0.0) -> None:
        """Encode the page; each answer takes `latency` seconds."""
        events = [
            {name: value for name, value in event.items() if name != "schema"}
            for event in make_events(page_size)
        ]
        self.rows, self.requests, self.latency = pages * page_size, 0, latency
        self._pages = pages
        about = b',"total_records":"%d"' % self.rows
        self._page = b'{"results":' + msgspec.json.encode(events) + about

    def __enter__(self) -> Self:
        """Serve in a thread of its own, on 127.0.0.1."""
        self._loop = asyncio.new_event_loop()
        start = self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        server = self._loop.run_until_complete(start)
        self.url = "http://127.0.0.1:{1}".format(*server.sockets[0].getsockname())
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def answer(self, path: bytes) -> bytes:
        """The body of the answer to a request."""
        self.requests += 1
        address, _, query = path.partition(b"?")
        job_id, _, endpoint = address.removeprefix(b"/v2/events/batch/").partition(b"/")
        if not endpoint:
            return _STATUS % (self.rows, job_id)
        if endpoint != b"imports":
            return _NO_ROWS
        token = _TOKEN.search(query)
        following = int(token[1]) + 1 if token else 1
        if following >= self._pages:
            return self._page + b"}"
        return self._page + b',"next_page_token":"%d"}' % following


class _Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server, self._received = server, b""

    @override
    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        """Answer when a request is whole; a client sends one at a time."""
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):
            return
        body = self._server.answer(self._received.split(b" ", 2)[1])
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        answer = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        self._received = b""
        loop = asyncio.get_running_loop()
        loop.call_later(self._server.latency, self._transport.write, answer)
