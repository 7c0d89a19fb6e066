"""A stand-in Fullstory API: the endpoints that read batch imports of events and users.

The tests, the demo and the benchmarks use it: ``with StandIn(Job(...)) as api``. What
the real API promises is kept to the letter: the raw key after ``Basic``, string totals,
opaque tokens, 202 while a job is processing, the documented error bodies. Any single
answer can be replaced or disturbed, per job, by an `Answer`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import logging
import re
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import EllipsisType
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

Rows = list[dict[str, Any]]
Total = str | int | None

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

    status: int = 200
    # Sent as it is, a dict as JSON. None: with 200 the normal answer, with a documented
    # error its body, else nothing.
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
    trickle: float | None = None  # seconds after each byte
    raw: bytes | None = None  # instead of an HTTP answer
    endless: bytes = b""  # after `raw`, again and again, until the client has gone


@dataclass
class Job:
    """A batch import and how the server speaks of it, from `StandIn.add` on."""

    job_id: str
    rows: Rows = field(default_factory=list)  # the imported events or users
    page_size: int = 100  # of `/imports` and of `/errors`
    # The pages of `/imports`, instead of `rows`: rows, or the text of `results`, which
    # needs a number as its `total`.
    pages: Sequence[Rows | bytes | str] | None = None
    # The `next_page_token` of each page of `/imports`; none where the list has ended. A
    # token leads to the page after the first page that sent it, so repeated ones loop;
    # from the last page it leads there again.
    tokens: list[str] | None = None
    # `total_records` of `/imports`; `...`: the true count, None: left out, a list: one
    # value for each page.
    total: Total | list[Total] | EllipsisType = ...
    status: str | None = "COMPLETED"  # the word of the status; None: left out
    imports: int | None = None  # the status's count; None: the true one
    failures: Rows = field(default_factory=list)  # the rows of `/errors`
    errors: int | None = None  # the status's count; None: the true one
    created: str = "2026-01-15T01:30:15.01Z"
    # So many answers, of 202 or by the status, that one endpoint gives before the job
    # is ready; -1: for ever.
    processing: int = 0
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


@dataclass
class Request:
    """A request as it arrived; without such a route, no kind, job or endpoint."""

    raw_path: str  # path and query exactly as sent, undecoded
    kind: str
    job_id: str  # percent-decoded once
    endpoint: str  # `imports`, `errors`, `status`
    query: dict[str, str]
    headers: dict[str, str]  # with their names as sent
    at: float  # `time.monotonic` of its arrival
    connection: int  # the client's port
    status: int = 0  # what was answered; 0: nothing (yet)
    is_disturbed: bool = False  # by its job's script, or because the job is not ready

    @property
    def token(self):
        return self.query.get("page_token")


@dataclass(frozen=True)
class _Reply:
    """An answer before it is disturbed."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


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
_ENDPOINTS = {"imports", "errors", "status"}
_PATH = re.compile(r"/v2/(events|users)/batch/([^/]+)(?:/(imports|errors))?")
_TYPES = {str: "str", bool: "bool", int: "int", float: "real"}


def _dump(value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can carry
        return json.dumps(value, separators=(",", ":")).encode()


def _as_bytes(body):
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else _dump(body)


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
    return {"schema": {"properties": types}, **row}


class _Listing:
    """The pages of a job's imports or errors, each encoded once."""

    def __init__(self, pages, tokens, total):
        self._pages = pages  # rows, the text of rows, or what makes the rows
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
        if isinstance(source, bytes | str):
            return _as_bytes(source)
        rows = source() if callable(source) else source
        if include_schema:
            return _dump([*map(_with_schema, rows)])
        return _dump([{k: row[k] for k in row if k != "schema"} for row in rows])


class _Served:
    """A job as the server holds it: its pages, and what has been asked of it."""

    def __init__(self, job):
        assert {key.partition(":")[0] for key in job.script} <= _ENDPOINTS
        self.job = job
        self._asked: Counter[str] = Counter()
        self._waits: Counter[str] = Counter()
        self._seed = zlib.crc32(job.job_id.encode())
        make, make_failures = MAKERS[job.kind]
        self.imported = job.generate or len(job.rows)
        pages = job.pages or self._lay_out(job.rows, job.generate, make)
        if job.pages:
            is_text = isinstance(job.pages[0], bytes | str)
            self.imported = job.total if is_text else sum(map(len, job.pages))
        self.failed = job.generate_failures or len(job.failures)
        failures = self._lay_out(job.failures, job.generate_failures, make_failures)
        tokens = self._tokens("p", len(pages)) if job.tokens is None else job.tokens
        total = str(self.imported) if job.total is ... else job.total
        self.listings = {
            "imports": _Listing(pages, tokens, total),
            "errors": _Listing(
                failures, self._tokens("e", len(failures)), str(self.failed)
            ),
        }

    def _lay_out(self, rows, generate, make):
        size = self.job.page_size
        if generate:
            return [
                lambda first=first: make(min(size, generate - first), self._seed, first)
                for first in range(0, generate, size)
            ]
        # One page at least: a job without rows answers with an empty one.
        return [
            rows[first : first + size] for first in range(0, max(len(rows), 1), size)
        ]

    def _tokens(self, kind, pages):
        # The job's own, so that another job's token is refused; and each with
        # characters that arrive as something else unless they are encoded, once.
        return [
            f"{base64.b64encode(f'{kind}{page}'.encode()).decode()}"
            f"{'+/&%'[page % 4]}2B{self._seed:x}"
            for page in range(1, pages)
        ]

    def script(self, endpoint, token):
        """The next scripted answer, if there is one."""
        keys = [endpoint]
        if endpoint in self.listings:
            keys.append(f"{endpoint}:{self.listings[endpoint].find(token)}")
        found = None
        for key in keys:
            answers = self.job.script.get(key, [])
            if self._asked[key] < len(answers):
                found = answers[self._asked[key]] or found
            self._asked[key] += 1
        return found

    def reply(self, endpoint, query, answer):
        """The scripted answer, or the normal one."""
        if answer.body is not None:
            return _Reply(answer.status, _as_bytes(answer.body))
        if answer.status != 200:
            return _error(answer.status)
        if endpoint == "status":
            return _Reply(200, _dump(self._status()))
        if not self.is_ready:
            self._waits[endpoint] += 1
            return _error(202)
        listing = self.listings[endpoint]
        page = listing.find(query.get("page_token"))
        if page is None:
            return _error(400, "invalid_argument", "invalid page_token")
        include_schema = endpoint == "imports" and query.get("include_schema") == "true"
        return _Reply(200, listing.body(page, include_schema=include_schema))

    @property
    def is_ready(self):
        waits = max([0, *self._waits.values()])
        return self.job.processing != -1 and waits >= self.job.processing

    def _status(self):
        job, is_ready = self.job, self.is_ready
        self._waits["status"] += not is_ready
        about = {"id": job.job_id, "status": job.status, "created": job.created}
        about["finished"] = "2026-01-15T01:31:15.5Z"
        if not is_ready:
            about["status"] = "PROCESSING"
        if about["status"] == "PROCESSING":
            del about["finished"]
        return {
            "imports": self.imported * is_ready if job.imports is None else job.imports,
            "errors": self.failed * is_ready if job.errors is None else job.errors,
            "job": {name: text for name, text in about.items() if text is not None},
        }


class StandIn:
    """The server. A context manager: it serves in a thread of its own, on 127.0.0.1."""

    def __init__(
        self,
        *jobs: Job,
        api_key: str = DEFAULT_API_KEY,
        limiter: Any = None,  # one of `limiters`, over all endpoints
        latency: float = 0.0,  # seconds before every answer
        tls: Any = None,  # serve https with this `ssl.SSLContext`
    ) -> None:
        self.api_key = api_key
        self.url = ""  # the base of all paths, once it serves
        self._limiter, self._latency, self._tls = limiter, latency, tls
        self.jobs: dict[tuple[str, str], _Served] = {}
        self._log: list[Request] = []
        self.add(*jobs)

    @property
    def requests(self):
        """Everything that arrived, in order."""
        return list(self._log)

    @property
    def row_counts(self):
        """The number of rows by kind, endpoint and job, where its job tells it."""
        counts: dict[tuple[str, str, str], int] = {}
        for (kind, job_id), served in self.jobs.items():
            job, answers = served.job, itertools.chain(*served.job.script.values())
            if any(one and (one.body or one.raw) is not None for one in answers):
                continue
            if job.tokens is None:
                counts[kind, "imports", job_id] = served.imported
            if job.errors is None:
                counts[kind, "errors", job_id] = served.failed
            counts[kind, "status", job_id] = 1
        return counts

    def asked(self, job_id=None, endpoint=None):
        """The requests for a job, to an endpoint, or all of it."""
        return [
            request
            for request in self.requests
            if job_id in {None, request.job_id} and endpoint in {None, request.endpoint}
        ]

    def clear(self):
        """Forgets the requests that have arrived."""
        self._log = []

    def add(self, *jobs):
        """Adds jobs, or puts them in the place of those with the same kind and ID."""
        self.jobs |= {(job.kind, job.job_id): _Served(job) for job in jobs}

    def encode(self):
        """Encodes all pages beforehand, so that no request has to wait for it."""
        for served in self.jobs.values():
            for listing in served.listings.values():
                for page in range(len(listing)):
                    listing.body(page)

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
        path, _, query = http.raw_path.partition("?")
        match = _PATH.fullmatch(path)
        kind, job_id, endpoint = match.groups("status") if match else [""] * 3
        peer = http.transport and http.transport.get_extra_info("peername")
        request = Request(
            raw_path=http.raw_path,
            kind=kind,
            job_id=unquote(job_id),
            endpoint=endpoint,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers=dict(http.headers),
            at=time.monotonic(),
            connection=peer[1] if peer else 0,
        )
        self._log.append(request)
        reply, answer, latency = self._refuse(request, http), Answer(), self._latency
        if reply is None:
            served = self.jobs[kind, request.job_id]
            scripted = served.script(endpoint, request.token)
            request.is_disturbed = scripted is not None or not served.is_ready
            answer = scripted or answer
            latency += served.job.latency + answer.latency
            if answer.early and http.transport is not None:
                http.transport.write(b"HTTP/1.1 %d Early\r\n\r\n" % answer.early)
            if not (answer.drop or answer.hang):
                reply = served.reply(endpoint, request.query, answer)
        if latency:
            await asyncio.sleep(latency)
        if reply is None:
            if answer.hang:
                await self._stopping.wait()
            _close(http, reset=answer.reset)
            return web.Response()
        request.status = reply.status
        headers = {"Content-Type": "application/json", **reply.headers}
        headers |= answer.headers
        if (answer.raw, answer.cut, answer.trickle) == (None, None, None):
            return web.Response(status=reply.status, body=reply.body, headers=headers)
        raw = answer.raw
        if raw is None:
            headers |= {"Content-Length": str(len(reply.body)), "Connection": "close"}
            lines = [f"{name}: {text}\r\n" for name, text in headers.items()]
            head = f"HTTP/1.1 {reply.status} -\r\n{''.join(lines)}\r\n"
            raw = head.encode() + reply.body[: answer.cut]
        await _send(http, raw, answer)
        return web.Response()

    def _refuse(self, request, http):
        """The answer to a request that reaches no job."""
        if self._limiter and (headers := self._limiter.refuse()) is not None:
            return _error(429, headers=headers)
        if not request.endpoint:
            return _error(404)
        if http.method != "GET":
            return _error(405, "method_not_allowed", "Method not allowed")
        if http.headers.get("Authorization") != f"Basic {self.api_key}":
            return _error(401)
        return None if (request.kind, request.job_id) in self.jobs else _error(404)


def _close(http, *, reset=False):
    if http.transport is None:
        return
    if reset:
        linger = struct.pack("ii", 1, 0)  # for no time: what is unsent is thrown away
        connection = http.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    http.transport.close()


async def _send(http, raw, answer):
    """Send bytes as they are, and close the connection."""
    size = max(1, len(raw)) if answer.trickle is None else 1
    pieces = itertools.chain(
        (raw[start : start + size] for start in range(0, len(raw), size)),
        itertools.repeat(answer.endless) if answer.endless else (),
    )
    for piece in pieces:
        if http.transport is None or http.transport.is_closing():
            return
        http.transport.write(piece)
        is_full = http.transport.get_write_buffer_size() > _MOST_UNSENT
        await asyncio.sleep(answer.trickle or (0.001 if is_full else 0))
    _close(http, reset=answer.reset)


_PLACES = (
    ("US", "GA", "Atlanta", 33.749, -84.388),
    ("DE", "BE", "Berlin", 52.52, 13.405),
    ("BR", "SP", "São Paulo", -23.5505, -46.6333),
    ("JP", "13", "東京", 35.6762, 139.6503),
)
_PLACE = ("country", "region", "city", "latitude", "longitude")
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
        context["mobile"] = {
            "app_id": "com.example.shop",
            "app_version": f"3.{dice[11] % 12}.0",
            "app_name": "Example Shop",
            "build_variant": ("release", "beta")[dice[12] % 2],
        }
        context["device"] = {
            "manufacturer": "Google",
            "model": f"Pixel {dice[10] % 3 + 8}",
            "screen_width": 1080,
            "screen_height": 2424,
            "viewport_width": 360,
            "viewport_height": 808,
        }
    else:
        page = name.lower().replace(" ", "-")
        context["browser"] = {
            "url": f"https://shop.example.com/{page}?step={dice[10] % 4}",
            "user_agent": f"Mozilla/5.0 (X11) Chrome/{dice[11]}.0.0.0 Safari/537.36",
            "initial_referrer": "https://www.example.org/search?q=shop",
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


MAKERS = {
    "events": (make_events, make_failures),
    "users": (make_users, make_failed_users),
}

# What the demo loads.
DEMO = (
    Job("demo-large", generate=25_000, page_size=1_000),
    Job("demo-partly-failed", status="FAILED", generate=120, generate_failures=30),
    Job("demo-slow", generate=300, processing=2),
    Job(
        "demo-users",
        kind="users",
        status="FAILED",
        generate=200,
        generate_failures=5,
    ),
)
