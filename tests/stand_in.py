"""A stand-in Fullstory API: the endpoints that read batch imports of events and users.

One program for the tests (``with StandIn(Job(...)) as api``), the demo and the
benchmarks (``python -m tests.stand_in --scenario demo``). What the real API promises
is kept to the letter: the raw key after ``Basic``, string totals, opaque tokens,
202 while a job is processing, the documented error bodies. Any single answer can be
replaced or disturbed, per job, by an `Answer`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import itertools
import json
import logging
import re
import signal
import socket
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from multidict import CIMultiDict

from tests import limiters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import EllipsisType

    Rows = list[dict[str, Any]]
    Total = str | int | None

ENDLESS = "endless "
DEFAULT_API_KEY = "na1.c3RhbmQtaW4ta2V5.0123456789abcdef"

# The documented example of an imported event. Fields for which the documentation has
# no example value (device, position, build variant) are filled in.
EXAMPLE_EVENT: dict[str, Any] = json.loads("""{
  "user": {"id": "123456789", "uid": "xyz123"},
  "session": {"id": "123456789:1298251231", "uid": "xyz123"},
  "context": {
    "browser": {
      "url": "https://app.example.com", "user_agent": "Example_User_Agent",
      "initial_referrer": "https://referrer.example.com"},
    "mobile": {
      "app_id": "com.company.example", "app_version": "1.0.0",
      "app_name": "example app", "build_variant": "release"},
    "device": {
      "manufacturer": "Device Manufacturer", "model": "Device Model",
      "screen_width": 1920, "screen_height": 1080,
      "viewport_width": 1280, "viewport_height": 720},
    "location": {
      "country": "US", "region": "GA", "city": "Atlanta",
      "latitude": 33.749, "longitude": -84.388, "ip_address": "127.0.0.1"}},
  "name": "Support Ticket",
  "timestamp": "2022-03-15T14:23:23Z",
  "properties": {
    "id": 424242, "priority": "Normal", "source": "Email",
    "title": "Account locked out"},
  "schema": {
    "properties": {"id": "int", "priority": "str", "source": "str", "title": "str"}}
}""")
# An imported user with every field that is documented.
EXAMPLE_USER: dict[str, Any] = json.loads("""{
  "id": "4983021", "uid": "xyz123",
  "display_name": "Daniel Falko", "email": "daniel.falko@example.com",
  "properties": {"pricing_plan": "paid", "popup_help": true, "total_spent": 14.5},
  "schema": {
    "properties": {"pricing_plan": "str", "popup_help": "bool", "total_spent": "real"}},
  "type_conflicts": {"properties": {"total_spent": "int,real"}}
}""")


@dataclass
class Answer:
    """Replaces or disturbs the normal answer to one request."""

    # None, or 200 without a body: the normal answer.
    status: int | None = None
    # Sent as it is, a dict as JSON. None: the normal body, the job's `processing_body`
    # with 202, the documented body with a documented error, else nothing.
    body: bytes | str | dict[str, Any] | None = None
    # In addition to the usual ones. A 429 has a `Retry-After` only if it is given here.
    headers: dict[str, str] = field(default_factory=dict)
    # The status of a head without a body that is sent at once, as if it were the whole
    # answer. The real answer follows after `latency`.
    early: int | None = None
    latency: float = 0.0  # seconds, on top of the server's and the job's
    cut: int | None = None  # send so many bytes of the body, close the connection
    drop: bool = False  # close the connection without a byte
    reset: bool = False  # close it, after `cut` or `drop`, by a TCP reset
    hang: bool = False  # never answer
    trickle: float | None = None  # seconds after each byte of the body
    raw: bytes | None = None  # instead of an HTTP answer; with `trickle` as a body
    endless: bytes = b""  # after `raw`, again and again, until the client has gone


@dataclass
class Job:
    """A batch import and how the server speaks of it, from `StandIn.add` on."""

    job_id: str
    rows: Rows = field(default_factory=list)  # the imported events or users
    page_size: int = 100  # of `/imports` and of `/errors`
    # The layout of `/imports`, instead of `rows`; pages may be empty.
    pages: list[Rows] | None = None
    # The text of each page's `results`; wins over `pages`.
    raw_pages: list[bytes | str] | None = None
    # The `next_page_token` of each page of `/imports`; none where the list has ended. A
    # token leads to the page after the first page that sent it, so repeated ones loop;
    # from the last page it leads there again. One that begins with `ENDLESS` leads to
    # empty pages with fresh tokens for ever.
    tokens: list[str] | None = None
    # `total_records` of `/imports`; `...`: the true count, None: left out, a list: one
    # value for each page.
    total: Total | list[Total] | EllipsisType = ...
    # The import is still running: the rows at the first requests for a page of
    # `/imports`, one list for each request. Later requests get `rows`.
    earlier: list[Rows] = field(default_factory=list)
    status: str | None = "COMPLETED"  # the word of the status; None: left out
    words: list[str | None] = field(default_factory=list)  # before `status`, one each
    imports: int | None = None  # the status's count; None: the true one, or 0
    failures: Rows = field(default_factory=list)  # the rows of `/errors`
    errors: int | None = None  # the status's count; None: the true one, or 0
    created: str = "2026-01-15T01:30:15.01Z"
    # So many answers, of 202 or by the status, that one endpoint gives before the job
    # is ready; -1: for ever.
    processing: int = 0
    processing_body: bytes = b""  # of a 202
    # Answers by endpoint (`imports`, `errors`, `status`) or by page (`imports:2` is the
    # third): the first request takes the first and so on. None and a list that has
    # ended are the normal answer. The answer by page wins; both lists move on.
    script: Mapping[str, Sequence[Answer | None]] = field(default_factory=dict)
    latency: float = 0.0  # seconds before each answer about this job
    # Make so many rows instead of `rows` or `failures`, page by page when needed; they
    # are `make_events(generate, seed=crc32(job_id))` and so on.
    generate: int = 0
    generate_failures: int = 0
    kind: str = "events"  # or `users`: a job of each kind may have the same ID


@dataclass(frozen=True)
class Request:
    """A request as it arrived; without such a route, no kind, job or endpoint."""

    raw_path: str  # path and query exactly as sent, undecoded
    kind: str
    job_id: str  # percent-decoded once
    endpoint: str  # `imports`, `errors`, `status`
    token: str | None  # the `page_token`
    query: dict[str, str]
    headers: dict[str, str]  # with their names as sent
    at: float  # `time.monotonic` of its arrival
    connection: int = 0  # the client's port
    status: int = 0  # what was answered; 0: nothing (yet)
    is_limited: bool = False  # refused by the rate limit, so that no job was asked


@dataclass(frozen=True)
class _Reply:
    """An answer before it is disturbed."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


_DOCUMENTED_ERRORS = {
    400: ("required_field", "uid is required"),
    401: ("unauthorized", "access is unauthorized"),
    403: ("forbidden", "insufficient permissions"),
    404: ("resource_not_found", "Requested resource does not exist"),
    429: (
        "too_many_requests",
        "Too many requests. Client has exceeded the rate limit for this endpoint.",
    ),
    500: ("server_error", "Server error was encountered"),
}
_SILENT = logging.getLogger("tests.stand_in")
_SILENT.setLevel(logging.CRITICAL + 1)  # a test reads the log of the tap only
_MOST_UNSENT = 1024 * 1024
_ENDPOINTS = ("imports", "errors", "status")
_PATH = re.compile(r"/v2/(events|users)/batch/([^/]+)(?:/(imports|errors))?")
_TYPES = {str: "str", bool: "bool", int: "int", float: "real"}
_JSON_PARTS = re.compile(r'"(?:[^"\\]+|\\.)*"|[\[{]|[\]}]|,|[^\s\[\]{},"]+', re.DOTALL)


def _dump(value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can carry
        return json.dumps(value, separators=(",", ":")).encode()


def _as_bytes(body):
    if isinstance(body, dict):
        return _dump(body)
    return body.encode() if isinstance(body, str) else body


def _error(status, code="", message="", headers=()):
    if not code:
        code, message = _DOCUMENTED_ERRORS.get(status, ("", ""))
    body = _dump({"message": message, "code": code}) if code else b""
    return _Reply(status, body, dict(headers))


def _with_schema(row):
    properties = (row.get("properties") or {}).items()
    types = {
        key: _TYPES[type(value)] for key, value in properties if type(value) in _TYPES
    }
    return {**row, "schema": row.get("schema", {"properties": types})}


def _count(array):
    """Counts the elements of a JSON array that no decoder may be able to read."""
    depth = commas = parts = 0
    for part in _JSON_PARTS.findall(array):
        parts += 1
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(part, 0)
        commas += part == "," and depth == 1
    return commas + 1 if parts > len("[]") else 0


class _Listing:
    """The pages of a job's imports or errors, each encoded once."""

    def __init__(self, pages, tokens, total):
        self._pages = pages  # bytes, or what returns the rows
        self._tokens = tokens
        self._total = total
        self._bodies: dict[tuple[int, bool], bytes] = {}

    def __len__(self):
        return len(self._pages)

    def find(self, token):
        """The index of the page that a token leads to; None without such a page."""
        if not token:
            return 0
        if token not in self._tokens:
            return None
        return min(self._tokens.index(token) + 1, len(self) - 1)

    def body(self, page, *, include_schema=False):
        key = page, include_schema
        if key not in self._bodies:
            rest: dict[str, Any] = {}
            total = self._total[page] if isinstance(self._total, list) else self._total
            if total is not None:
                rest["total_records"] = total
            if page < len(self._tokens):
                rest["next_page_token"] = self._tokens[page]
            tail = b"," + _dump(rest)[1:] if rest else b"}"
            results = self._results(self._pages[page], include_schema)
            self._bodies[key] = b'{"results":' + results + tail
        return self._bodies[key]

    def _results(self, source, include_schema):
        if isinstance(source, bytes):
            return source
        if include_schema:
            return _dump([*map(_with_schema, source())])
        return _dump([{k: row[k] for k in row if k != "schema"} for row in source()])


class _Served:
    """A job as the server holds it: its pages, and what has been asked of it."""

    def __init__(self, job):
        for key in job.script:
            if key.partition(":")[0] not in _ENDPOINTS:
                message = f"a script is for one of {_ENDPOINTS}, not for {key!r}"
                raise ValueError(message)
        self.job = job
        self._asked: Counter[str] = Counter()
        self._waits: Counter[str] = Counter()
        self._words = iter(job.words)
        self._seed = zlib.crc32(job.job_id.encode())
        make, make_failures = _MAKERS[job.kind]
        self.imported, pages = self._lay_out_imports(make)
        tokens = self._tokens("p", len(pages)) if job.tokens is None else job.tokens
        self.failed = job.generate_failures or len(job.failures)
        failures = self._lay_out(job.failures, job.generate_failures, make_failures)
        self.listings = {
            "imports": _Listing(pages, tokens, self._total(self.imported)),
            "errors": _Listing(
                failures, self._tokens("e", len(failures)), str(self.failed)
            ),
        }
        self._earlier = iter([self._snapshot(rows) for rows in job.earlier])

    def _total(self, count):
        return str(count) if self.job.total is ... else self.job.total

    def _snapshot(self, rows):
        """Lays out `/imports` as it was when it had only these rows."""
        pages = self._lay_out(rows)
        return _Listing(pages, self._tokens("p", len(pages)), self._total(len(rows)))

    def _lay_out_imports(self, make):
        job = self.job
        if job.raw_pages is not None:
            raw = [_as_bytes(page) for page in job.raw_pages] or [b"[]"]
            return sum(_count(page.decode(errors="replace")) for page in raw), raw
        if job.pages is not None:
            pages = job.pages or [[]]
            return sum(map(len, pages)), [partial(list, page) for page in pages]
        count = job.generate or len(job.rows)
        return count, self._lay_out(job.rows, job.generate, make)

    def _lay_out(self, rows, generate=0, make=None):
        size = self.job.page_size
        if generate:
            return [
                partial(make, min(size, generate - first), self._seed, first)
                for first in range(0, generate, size)
            ]
        # One page at least: a job without rows answers with an empty one.
        return [
            partial(list, rows[first : first + size])
            for first in range(0, max(len(rows), 1), size)
        ]

    def _tokens(self, kind, pages):
        # The job's own, so that another job's token is refused; and each with
        # characters that arrive as something else unless they are encoded, once.
        return [
            f"{base64.b64encode(f'{kind}{page}'.encode()).decode()}"
            f"{'+/&%'[page % 4]}2B{self._seed:x}"
            for page in range(1, pages)
        ]

    def encode(self):
        for listing in self.listings.values():
            for page in range(len(listing)):
                listing.body(page)

    def script(self, endpoint, token):
        """Returns the next scripted answer, or one that changes nothing."""
        keys = [endpoint]
        if endpoint in self.listings:
            keys.append(f"{endpoint}:{self.listings[endpoint].find(token)}")
        found = None
        for key in keys:
            answers = self.job.script.get(key, [])
            if self._asked[key] < len(answers):
                found = answers[self._asked[key]] or found
            self._asked[key] += 1
        return found or Answer()

    def reply(self, endpoint, query, answer):
        """Returns the scripted answer, with the normal one for what it leaves out."""
        status, body = answer.status, answer.body
        if status is None or (status == 200 and body is None):
            reply = self._normal(endpoint, query)
        elif status == 202:
            reply = _Reply(status, self.job.processing_body)
        else:
            reply = _error(status)
        return reply if body is None else _Reply(reply.status, _as_bytes(body))

    def _normal(self, endpoint, query):
        if endpoint == "status":
            return _Reply(200, _dump(self._status()))
        if not self._is_ready():
            self._waits[endpoint] += 1
            return _Reply(202, self.job.processing_body)
        listing, token = self.listings[endpoint], query.get("page_token", "")
        if token.startswith(ENDLESS):
            return _Reply(200, _dump({"results": [], "next_page_token": f"{token}+"}))
        if endpoint == "imports":
            listing = next(self._earlier, listing)
        page = listing.find(token)
        if page is None:
            return _error(400, "invalid_argument", "invalid page_token")
        include_schema = endpoint == "imports" and query.get("include_schema", "false")
        if include_schema not in {False, "false", "true"}:
            return _error(400, "invalid_argument", "invalid include_schema")
        return _Reply(200, listing.body(page, include_schema=include_schema == "true"))

    def _is_ready(self):
        waits = max([0, *self._waits.values()])
        return self.job.processing != -1 and waits >= self.job.processing

    def _status(self):
        job = self.job
        ready = self._is_ready()
        self._waits["status"] += not ready
        word = next(self._words, job.status) if ready else "PROCESSING"
        ready = ready and word == job.status
        about = {"id": job.job_id, "status": word, "created": job.created}
        if word is None:
            del about["status"]
        if word != "PROCESSING":
            about["finished"] = "2026-01-15T01:31:15.5Z"
        return {
            "imports": self.imported * ready if job.imports is None else job.imports,
            "errors": self.failed * ready if job.errors is None else job.errors,
            "job": about,
        }


class StandIn:
    """The server. A context manager: it serves in a thread of its own, on 127.0.0.1."""

    def __init__(
        self,
        *jobs,
        api_key=DEFAULT_API_KEY,
        limiter: limiters.Limiter | None = None,  # over all endpoints
        latency=0.0,  # seconds before every answer
        tls=None,  # serve https with this `ssl.SSLContext`
    ):
        self.api_key: str = api_key
        self.url = ""  # the base of all paths, once it serves
        self._limiter = limiter
        self._latency = latency
        self._tls = tls
        self._jobs: dict[tuple[str, str], _Served] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._log: dict[int, Request] = {}
        self.add(*jobs)

    @property
    def requests(self):
        """Everything that arrived, in order."""
        with self._lock:
            return list(self._log.values())

    @property
    def row_counts(self):
        """The number of rows by kind, endpoint and job, where its job tells it."""
        counts: dict[tuple[str, str, str], int] = {}
        for (kind, job_id), served in self._jobs.items():
            job, answers = served.job, itertools.chain(*served.job.script.values())
            if any(one and (one.body or one.raw) is not None for one in answers):
                continue
            if not job.earlier and job.tokens is None:
                counts[kind, "imports", job_id] = served.imported
            if job.errors is None:
                counts[kind, "errors", job_id] = served.failed
            counts[kind, "status", job_id] = 1
        return counts

    def asked(self, job_id=None, endpoint=None, kind=None):
        """The requests for a job, to an endpoint, for a kind, or all of it."""
        return [
            request
            for request in self.requests
            if job_id in {None, request.job_id}
            and endpoint in {None, request.endpoint}
            and kind in {None, request.kind}
        ]

    def clear(self):
        """Forgets the requests that have arrived."""
        with self._lock:
            self._log.clear()

    def add(self, *jobs):
        """Adds jobs, or puts them in the place of those with the same kind and ID."""
        self._jobs |= {(job.kind, job.job_id): _Served(job) for job in jobs}

    def encode(self):
        """Encodes all pages beforehand, so that no request has to wait for it."""
        for served in self._jobs.values():
            served.encode()

    def __enter__(self):
        ready: Future[str] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="stand-in", daemon=True
        )
        self._thread.start()
        self.url = ready.result(timeout=10)
        return self

    def __exit__(self, *_):
        """Stops, whatever hangs."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _serve(self, ready):
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = web.Server(
            self._handle, access_log=None, handler_cancellation=True, logger=_SILENT
        )
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        try:
            await runner.setup()
            listener = socket.create_server(("127.0.0.1", 0))
            await web.SockSite(runner, listener, ssl_context=self._tls).start()
            scheme = "https" if self._tls else "http"
            ready.set_result(f"{scheme}://127.0.0.1:{runner.addresses[0][1]}")
            await self._stopping.wait()
            # asyncio never closes what it accepts in the moment in which it stops.
            self._loop.remove_reader(listener)
            await asyncio.sleep(0.001)
        finally:
            await runner.cleanup()
            if self._tls:  # connections that were not even open yet come to their end
                await asyncio.sleep(0.1)

    async def _handle(self, http):
        path, _, text = http.raw_path.partition("?")
        query = dict(parse_qsl(text, keep_blank_values=True))
        token = query.get("page_token")
        match = _PATH.fullmatch(path)
        kind, job_id, endpoint = (
            (match[1], unquote(match[2]), match[3] or "status") if match else [""] * 3
        )
        peer = http.transport and http.transport.get_extra_info("peername")
        request = Request(
            raw_path=http.raw_path,
            kind=kind,
            job_id=job_id,
            endpoint=endpoint,
            token=token,
            query=query,
            headers=dict(http.headers),
            at=time.monotonic(),
            connection=peer[1] if peer else 0,
        )
        number = next(self._numbers)
        with self._lock:
            self._log[number] = request
        reply = self._refuse(request, http)
        is_limited = reply is not None and reply.status == 429
        answer = Answer()
        latency = self._latency
        if reply is None:
            served = self._jobs[kind, job_id]
            answer = served.script(endpoint, token or "")
            latency += served.job.latency + answer.latency
            if answer.early and http.transport is not None:
                http.transport.write(b"HTTP/1.1 %d Early\r\n\r\n" % answer.early)
            if not (answer.drop or answer.hang):
                reply = served.reply(endpoint, query, answer)
        if latency:
            await asyncio.sleep(latency)
        if reply is None:
            if answer.hang:
                await self._stopping.wait()
            _close(http, reset=answer.reset)
            return web.Response()
        with self._lock:
            if number in self._log:
                self._log[number] = dataclasses.replace(
                    request, status=reply.status, is_limited=is_limited
                )
        return await _send(http, reply, answer)

    def _refuse(self, request, http):
        """Returns the answer to a request that reaches no job."""
        if self._limiter and (headers := self._limiter.refuse()) is not None:
            return _error(429, headers=headers)
        if not request.endpoint:
            return _error(404)
        if http.method != "GET":
            return _error(405, "method_not_allowed", "Method not allowed")
        if http.headers.get("Authorization") != f"Basic {self.api_key}":
            return _error(401)
        return None if (request.kind, request.job_id) in self._jobs else _error(404)


def _close(http, *, reset=False):
    if http.transport is None:
        return
    if reset:
        linger = struct.pack("ii", 1, 0)  # for no time: what is unsent is thrown away
        connection = http.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    http.transport.close()


async def _send(http, reply, answer):
    if answer.raw is not None:
        await _send_raw(http, answer.raw, answer)
        return web.Response()
    headers = CIMultiDict({"Content-Type": "application/json"})
    headers.update(reply.headers)
    headers.update(answer.headers)
    if answer.cut is None and answer.trickle is None:
        return web.Response(status=reply.status, body=reply.body, headers=headers)
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_length = len(reply.body)
    body = reply.body[: answer.cut]
    with contextlib.suppress(ConnectionError):  # the client has gone
        await response.prepare(http)
        if answer.trickle is None:
            await response.write(body)
        else:
            for position in range(len(body)):
                await response.write(body[position : position + 1])
                await asyncio.sleep(answer.trickle)
    if answer.cut is not None:
        _close(http, reset=answer.reset)
    return response


async def _send_raw(http, raw, answer):
    size = len(raw) if answer.trickle is None else 1
    pieces = itertools.chain(
        (raw[start : start + size] for start in range(0, len(raw), max(1, size))),
        itertools.repeat(answer.endless) if answer.endless else (),
    )
    for piece in pieces:
        if http.transport is None or http.transport.is_closing():
            return
        http.transport.write(piece)
        is_full = http.transport.get_write_buffer_size() > _MOST_UNSENT
        await asyncio.sleep(answer.trickle or (0.001 if is_full else 0))
    _close(http)


_USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; rv:146.0) Firefox/146.0",
    "Mozilla/5.0 (Macintosh) Chrome/143.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0",
)
_REFERRERS = ("https://www.example.org/search?q=shop", "https://news.example.net/", "")
_DEVICES = (
    ("Apple", "iPhone 16", 1179, 2556),
    ("Google", "Pixel 9", 1080, 2424),
    ("Samsung", "Galaxy S25", 1080, 2340),
)
_PLACES = (
    ("US", "GA", "Atlanta", 33.749, -84.388),
    ("DE", "BE", "Berlin", 52.52, 13.405),
    ("BR", "SP", "São Paulo", -23.5505, -46.6333),
    ("JP", "13", "東京", 35.6762, 139.6503),
)
_PLACE = ("country", "region", "city", "latitude", "longitude")
_DEVICE = ("manufacturer", "model", "screen_width", "screen_height")
_ITEMS = (
    {"sku": "MUG-01", "name": "Coffee mug", "quantity": 2, "price": 12.5},
    {"sku": "TEE-07", "name": "T-shirt “classic”", "quantity": 1, "price": 24.0},
    {"sku": "CAP-03", "name": "Cap 🧢", "quantity": 1, "price": 17.25},
)
_FIRST_SECOND = 1_768_440_615  # 2026-01-15T01:30:15Z


def _timestamp(number, die):
    moment = datetime.fromtimestamp(_FIRST_SECOND + number * 7, UTC)
    fraction = ("", f".{die % 10}", f".{die:03}")[die % 3]
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _properties(number, dice):
    kind = dice[0] % 5
    if kind == 0:
        return "Order Completed", {
            "order_id": f"ORD-{100_000 + number}",
            "total": 25.5 + dice[2],
            "currency": ("EUR", "USD", "BRL")[dice[3] % 3],
            "first_order": dice[4] % 2 == 0,
            "coupon": None if dice[5] % 3 else "WELCOME10",
            "tags": ["gift", "express"][: dice[6] % 3],
            "items": [dict(_ITEMS[die % 3]) for die in dice[1 : 2 + dice[1] % 2]],
            "placed_at": _timestamp(number, 0),
        }
    if kind == 1:
        return "Support Ticket", {
            "id": 424_242 + number,
            "priority": ("Low", "Normal", "High")[dice[2] % 3],
            "source": ("Email", "Chat", "Phone")[dice[3] % 3],
            "title": "Account locked out",
            "satisfaction": None,
            "assignee": {"team": "Accounts", "level": dice[4] % 3},
        }
    if kind == 2:
        return "Search Performed", {
            "query": ("mug", "größe m", "帽子", "t-shirt")[dice[2] % 4],
            "results": dice[3] * 3,
            "filters": {"in_stock": True, "price": {"from": 5, "to": 20.5}},
            "clicked_positions": [die % 20 for die in dice[4 : 4 + dice[5] % 4]],
            "corrected": None,
        }
    if kind == 3:
        return "Plan Changed", {
            "from": "free",
            "to": ("team", "business")[dice[2] % 2],
            "seats": dice[3] + 1,
            "monthly_price": dice[3] * 9.99,
            "effective": _timestamp(number + 86_400, 0),
            "add_ons": ["sso", "audit-log", "sandbox"][: dice[4] % 4],
            "downgrade": False,
        }
    return "Level Finished", {
        "level": dice[2],
        "seconds": dice[3] / 8,
        "scores": [dice[4], dice[5], dice[6]],
        "flawless": dice[7] % 2 == 1,
        "boosts": {"used": ["shield"], "left": {"shield": 2, "speed": None}},
    }


def _context(name, dice):
    context: dict[str, Any] = {}
    if name == "Level Finished":
        device: dict[str, Any] = dict(zip(_DEVICE, _DEVICES[dice[10] % 3], strict=True))
        context["mobile"] = {
            "app_id": "com.example.shop",
            "app_version": f"3.{dice[11] % 12}.0",
            "app_name": "Example Shop",
            "build_variant": ("release", "beta")[dice[12] % 2],
        }
        context["device"] = device | {
            f"viewport_{side}": device[f"screen_{side}"] // 3
            for side in ("width", "height")
        }
    else:
        page = name.lower().replace(" ", "-")
        context["browser"] = {
            "url": f"https://shop.example.com/{page}?step={dice[10] % 4}",
            "user_agent": _USER_AGENTS[dice[11] % 3],
            "initial_referrer": _REFERRERS[dice[12] % 3],
        }
    if dice[9] % 4:
        place = dict(zip(_PLACE, _PLACES[dice[8] % 4], strict=True))
        context["location"] = {**place, "ip_address": f"198.51.100.{dice[9]}"}
    return context


def _numbered(count, seed, first):
    """Numbers, each with dice: bytes of a hash, so that 20,000 needs none before it."""
    for number in range(first, first + count):
        text = f"{seed}:{number}".encode()
        yield number, hashlib.blake2b(text, digest_size=15).digest()


def make_events(count: int, seed: int = 0, first: int = 0) -> Rows:
    """Makes imported events: always the same ones for a seed, about 600 bytes each."""
    events = []
    for number, dice in _numbered(count, seed, first):
        name, properties = _properties(number, dice)
        visit = number // 20
        user = (seed + visit) % 200
        event: dict[str, Any] = {
            "user": {"id": f"{5_000_000_000 + user}", "uid": f"customer-{user}"},
            "session": {"id": f"{5_000_000_000 + user}:{8_000_000_000 + visit}"},
            "context": _context(name, dice),
            "name": name,
            "timestamp": _timestamp(number, dice[14]),
            "properties": properties,
        }
        if visit % 2:
            event["session"]["uid"] = f"visit-{visit}"
        events.append(event)
    return events


def make_failures(count: int, seed: int = 0, first: int = 0) -> Rows:
    failures = []
    for number, event in enumerate(make_events(count, seed, first), first):
        shared: dict[str, Any] = {}
        if number % 3 == 0:
            code, message = "required_field", "name is required"
            event["name"] = ""
        elif number % 3 == 1:
            code, message = "user_not_found", "User with that ID does not exist"
            event["session"] = {"use_most_recent": True}
        else:
            code, message = "invalid_argument", "context is set in shared and in event"
            shared = {"shared": {"context": {"location": {"country": "US"}}}}
        failures.append({"message": message, "code": code, "event": event, **shared})
    return failures


def make_users(count: int, seed: int = 0, first: int = 0) -> Rows:
    """Makes imported users, as `make_events` makes events; some come twice."""
    users = []
    for number, dice in _numbered(count, seed, first):
        person = (seed + number) % 200
        user: dict[str, Any] = {
            "id": f"{5_000_000_000 + person}",
            "uid": f"customer-{person}",
            "display_name": ("Zoë", "José", "Ann", "花子")[dice[0] % 4] + f" {person}",
            "email": f"customer-{person}@example.com",
            "properties": {
                "plan": ("free", "team", "business")[dice[1] % 3],
                "seats": dice[2],
                "spent": dice[3] / 4,
                "trial": dice[4] % 2 == 0,
                "company": {"name": "Example", "tags": ["eu"][: dice[5] % 2]},
            },
        }
        for name, die in (("id", 6), ("uid", 7), ("display_name", 8), ("email", 9)):
            if not dice[die] % 5:
                del user[name]
        if not dice[10] % 5:
            user["type_conflicts"] = {"properties": {"seats": "int,str"}}
        users.append(user)
    return users


def make_failed_users(count: int, seed: int = 0, first: int = 0) -> Rows:
    failures = []
    for number, user in enumerate(make_users(count, seed, first), first):
        code, message = "required_field", "uid is required"
        if number % 2:
            code, message = "invalid_argument", "email is too long"
        user.pop("type_conflicts", None)
        failures.append({"message": message, "code": code, "user": user})
    return failures


_MAKERS = {
    "events": (make_events, make_failures),
    "users": (make_users, make_failed_users),
}

# The scenario that the program serves unless it is given one.
DEMO: dict[str, Any] = {
    "jobs": [
        {"job_id": "demo-large", "generate": 25_000, "page_size": 1_000},
        {
            "job_id": "demo-partly-failed",
            "status": "FAILED",
            "generate": 120,
            "generate_failures": 30,
        },
        {"job_id": "demo-slow", "generate": 300, "processing": 2},
        {
            "job_id": "demo-users",
            "kind": "users",
            "status": "FAILED",
            "generate": 200,
            "generate_failures": 5,
        },
    ]
}


def load(scenario: dict[str, Any]) -> StandIn:
    """Makes the server of a scenario: arguments of `StandIn`, jobs as fields of `Job`.

    `limiter` has the arguments of `limiters.limiter`.
    """
    named = dict(scenario)
    jobs = [Job(**fields) for fields in named.pop("jobs", ())]
    if limiter := named.get("limiter"):
        named["limiter"] = limiters.limiter(**limiter)
    return StandIn(*jobs, **named)


def main():
    """Serves a scenario until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.stand_in", description=__doc__
    )
    parser.add_argument("--scenario", default="demo", help="a JSON file, or 'demo'")
    args = parser.parse_args()
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    scenario = DEMO
    if args.scenario != "demo":
        scenario = json.loads(Path(args.scenario).read_text(encoding="utf-8"))
    stand_in = load(scenario)
    stand_in.encode()
    with stand_in:
        sys.stdout.write(f"{stand_in.url}\n")
        sys.stdout.flush()
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
