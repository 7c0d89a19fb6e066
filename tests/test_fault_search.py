"""A search by machine for faults that lose a row or mark a job too early.

Hypothesis makes up jobs, scripts of faults, settings and the order of it all, and this
file says what must hold whatever it thinks of. `make fault-search` looks for longer.
"""

from __future__ import annotations

import itertools
import os
import re
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.harness import Folder, batches, selecting
from tests.limiters import Bucket, FixedWindow, SlidingWindow
from tests.stand_in import Answer, Job, StandIn
from tests.streams import EVERY, NAMES, SETTINGS, Stream
from tests.target import Target, failures, imported, marks

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "0"))
EXAMPLES_OF_A_TEST = 25
SPEED = 2_000.0
SECONDS_PER_RUN = 40
SECONDS_PER_REQUEST = 0.5
JOB_IDS = ("a", "b=", "c/d+e", "ü 2", "%41", "f" * 80, "g", "h", "1", "..j")
PATHS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mapped": {},
    "deselected": {},
    "flattened": {"flattening_enabled": True, "flattening_max_depth": 2},
    "batches": {},
    "deselected batches": {},
}
DESELECTED = "properties"
LIMITS = (
    None,
    None,
    partial(Bucket, 0.3, 5),
    partial(SlidingWindow, 6, 20),
    partial(SlidingWindow, 2, 5, retry_after=False),
    partial(FixedWindow, 6, 20),
)
SHARD = re.compile(r"Shard \d+/\d+: ")  # how each line of a shard begins
FAILED = re.compile(r"(?:Job|(\d+) jobs)\b.*? failed\b")
SILENCES = "no answer within", "the connection failed"

TALLY: Counter[str] = Counter()

# What the API may say

NUMBERS = st.integers(0, 400).map(str)
NOON = "Sun, 01 Mar 2026 12:00:00 GMT"
ODD_WAITS = (
    *("0.25", "-5", "", "nan", "1e3", "soon", "86400", "9" * 400),
    *(NOON, "Sun, 01 Mar 2026 12:00:30 GMT", "Sun, 31 Feb 2026 12:00:00 GMT"),
    *("Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359"),
)
RETRY_AFTER = st.none() | NUMBERS | st.sampled_from(ODD_WAITS)
REDIRECTS = (300, 301, 302, 303, 304, 307, 308)
STATUSES = (
    (202,),
    (404,),
    (429,),
    (401, 403),
    (408, 409, 421, 423, 425, 500, 501, 502, 503, 504, 520, 599),
    (201, 203, 204, 206, *REDIRECTS, 400, 405, 410, 413, 418, 422, 451),
)
WORDS = ("PROCESSING", "QUEUED", "UNKNOWN", "processing", "completed", "", None)
NOT_THE_STATUS: tuple[dict[str, Any], ...] = (
    {"job": None},
    {"job": {}},
    *({"job": {"status": word}, "imports": 0, "errors": 0} for word in WORDS),
    {"job": {"status": "COMPLETED"}, "imports": "many"},
    {"job": {"status": "COMPLETED"}, "imports": 10**6, "errors": 10**6},
    {"job": {"status": "COMPLETED", "id": "another"}, "imports": 0, "errors": 0},
    {"job": {"status": "FAILED", "id": "another"}, "imports": 1, "errors": 1},
)
BODIES: tuple[bytes | str | dict[str, Any], ...] = (
    *(b"", b" ", b"{}", b"[]", b"null", b"true", b'"OK"', b"{"),
    b'{"results":[{"name":"half a p',
    *(b'{"results":null}', b'{"results":{}}', b'{"results":[1]}'),
    b'{"results":[],"next_page_token":7}',
    b'{"results":[],"next_page_token":"\\ud800"}',
    *(b"<html><body>502 Bad Gateway</body></html>", b"\xff\xfe\x00", b"\x1f\x8b\x08"),
    {"code": "server_error", "message": "in spite of the status 200"},
    {"error": {"status": 500, "message": "in spite of the status 200"}},
    {"results": []},
    *NOT_THE_STATUS,
)


@st.composite
def statuses(draw):
    status = draw(st.sampled_from(draw(st.sampled_from(STATUSES))))
    headers = {"Location": "/v2/"} if status in REDIRECTS else {}
    retry_after = draw(RETRY_AFTER)
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    if draw(st.booleans()):
        headers["Date"] = NOON
    return Answer(status=status, headers=headers)


CUTS = st.builds(Answer, cut=st.integers(0, 60), reset=st.booleans())
DROPS = st.builds(Answer, drop=st.just(value=True), reset=st.booleans())
SLOWNESS = st.one_of(
    st.builds(Answer, latency=st.sampled_from((0.005, 0.03))),
    st.builds(Answer, trickle=st.just(0.0)),
)
NO_PAGES = st.one_of(
    st.builds(Answer, body=st.sampled_from(BODIES)),
    st.just(Answer(headers={"Content-Encoding": "gzip"})),
)
EARLY = st.builds(
    Answer,
    early=st.sampled_from((102, 103, 204)),
    latency=st.sampled_from((0.002, 0.02)),
)
FAULTS = st.one_of(
    statuses(), statuses(), statuses(), CUTS, DROPS, SLOWNESS, EARLY, NO_PAGES
)
NO_STATUSES = st.builds(Answer, body=st.sampled_from(NOT_THE_STATUS))
HANGING = st.just(Answer(hang=True))


@st.composite
def odd_pages(draw, known, page):
    """A page that is not the one it should be.

    It is never too long, as rows that were handed on can't be called back. And no total
    is too low: with a page that is too short, the API would say twice that no row is
    missing.
    """
    rows = known.rows_of(page)
    tokens = known.tokens
    answer: dict[str, Any] = {"results": rows, "total_records": str(known.rows)}
    if page < len(tokens):
        answer["next_page_token"] = tokens[page]
    tokens_of = {
        "strange": ["of another job"],
        "repeat": tokens[:page],
        "jump": tokens[page:],
    }
    kinds = [kind for kind, some in tokens_of.items() if some]
    kind = draw(st.sampled_from(["short", "total", "last", *kinds]))
    if kind == "short":
        answer["results"] = rows[: draw(st.integers(0, len(rows)))]
    elif kind == "total":
        lies: list[Any] = [None, "", "-1", "many", 1.5, [], 10**30, known.rows + 1]
        answer["total_records"] = draw(st.sampled_from(lies))
    elif kind == "last":
        answer.pop("next_page_token", None)
    else:
        answer["next_page_token"] = draw(st.sampled_from(tokens_of[kind]))
    return Answer(body=answer)


@dataclass
class Known:
    """A job of the API's, and how the API disturbs its reading."""

    kind: str
    job_id: str
    pages: list[int]  # the number of rows of each page
    failed: int  # the number of failed rows
    page_size: int
    processing: int  # how often an endpoint says at first that it is not ready
    script: dict[str, list[Answer | None]] = field(default_factory=dict)

    @property
    def rows(self):
        return sum(self.pages)

    @property
    def tokens(self):
        """What leads from each page but the last to the next."""
        return [f"{self.job_id}+{page}/%3D&=" for page in range(1, len(self.pages))]

    @property
    def faults(self):
        """How many answers can keep a run from reading the job, at most."""
        return self.processing + sum(map(len, self.script.values()))

    def rows_of(self, page):
        first = sum(self.pages[:page])
        rows = imported(self.kind, self.job_id, self.rows)
        return rows[first : first + self.pages[page]]

    def marks(self, stream):
        if not stream.place:
            return ["COMPLETED"]
        rows = self.rows if stream.endpoint == "imports" else self.failed
        return marks(self.job_id, rows)

    def served(self):
        return Job(
            self.job_id,
            kind=self.kind,
            pages=[self.rows_of(page) for page in range(len(self.pages))],
            tokens=self.tokens,
            failures=failures(self.job_id, self.failed),
            page_size=self.page_size,
            processing=self.processing,
            script=self.script,
        )


@st.composite
def moving(draw, known, faults):
    """An import that goes on while its first page is read: the first row comes later.

    The other pages repeat a row, so that there are as many as their total says. Another
    total of the first page or a 202 for the second one is all that tells. No other odd
    page may hide that.
    """
    times, has_other_total = draw(st.integers(1, 4)), draw(st.booleans())
    page = {
        "results": imported(known.kind, known.job_id, known.rows)[
            1 : 1 + known.pages[0]
        ],
        "total_records": str(known.rows - has_other_total),
        "next_page_token": known.tokens[0],
    }
    script: dict[str, list[Answer | None]] = {
        f"imports:{page}": draw(st.lists(faults, max_size=1))
        for page in range(1, len(known.pages))
    }
    if not has_other_total:
        running = [Answer(status=202) for _ in range(times)]
        script["imports:1"] = [*running, *script["imports:1"]]
    return {"imports:0": [Answer(body=page)] * times, **script}


@st.composite
def scripts(draw, known, *, with_hanging):
    faults = st.one_of(FAULTS, HANGING) if with_hanging else FAULTS
    script: dict[str, list[Answer | None]] = {}
    first, *others = known.pages
    if first and sum(others) > 1 and draw(st.booleans()):
        script = draw(moving(known, faults))
    else:
        for page in range(len(known.pages)):
            some = st.one_of(st.none(), faults, odd_pages(known, page))
            script[f"imports:{page}"] = draw(st.lists(some, max_size=3))
    script["errors"] = draw(st.lists(st.one_of(st.none(), faults), max_size=3))
    some = st.one_of(st.none(), faults, NO_STATUSES)
    script["status"] = draw(st.lists(some, max_size=3))
    return {key: answers for key, answers in script.items() if answers}


@st.composite
def jobs(draw, kind, job_id, *, with_hanging):
    known = Known(
        kind,
        job_id,
        pages=draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)),
        failed=draw(st.integers(0, 4)),
        page_size=draw(st.integers(1, 3)),
        processing=draw(st.sampled_from((0, 0, 0, 1, 2, 5))),
    )
    known.script = draw(scripts(known, with_hanging=with_hanging))
    return known


@dataclass(frozen=True)
class Options:
    streams: tuple[Stream, ...]
    path: str
    batch_size: int
    settings: dict[str, Any]


SOME_STREAMS = st.lists(st.sampled_from(EVERY), min_size=1, unique=True)
SETTINGS_OF_RUNS = {
    "concurrency": st.integers(1, 8),
    "max_attempts": st.integers(1, 4),
    "max_retry_wait": st.sampled_from((0, 5, 300)),
    "job_wait_timeout": st.sampled_from((0, 5, 5_000)),
    "unfinished_jobs": st.sampled_from(("defer", "fail")),
    "missing_jobs": st.sampled_from(("skip", "fail")),
}
OPTIONS = st.builds(
    Options,
    streams=SOME_STREAMS.map(lambda some: tuple(one for one in EVERY if one in some)),
    path=st.sampled_from(tuple(PATHS)),
    batch_size=st.integers(1, 7),
    settings=st.fixed_dictionaries(SETTINGS_OF_RUNS),
)


class FaultSearch(RuleBasedStateMachine):
    """Jobs come and go, faults come, the tap runs; at last all must be read."""

    def __init__(self):
        super().__init__()
        TALLY["scenarios"] += 1
        self.known: dict[tuple[str, str], Known] = {}
        self.removed: dict[tuple[str, str], Known] = {}
        self.folder = tempfile.TemporaryDirectory()  # for `teardown` to remove
        self.targets = [Target({})]
        self.is_impatient = False
        self.shared: Target | None = None
        self.silences = 0

    @initialize(
        parts=st.sampled_from((1, 1, 1, 2, 3)),
        is_shared=st.booleans(),
        is_impatient=st.sampled_from((False,) * 9 + (True,)),
        limit=st.sampled_from(LIMITS),
    )
    def begin(self, parts, is_shared, is_impatient, limit):
        """Decide what stays the same. Shards may share a state, one after another."""
        self.limiter = limit and limit(clock=lambda: time.monotonic() * SPEED)
        self.api = StandIn(limiter=self.limiter).__enter__()
        self.tap = Folder(Path(self.folder.name), self.api)
        self.targets = [Target({}) for _ in range(parts)]
        self.shared = self.targets[0] if is_shared else None
        self.is_impatient = is_impatient

    @rule(
        data=st.data(),
        kind=st.sampled_from([*SETTINGS]),
        job_id=st.sampled_from(JOB_IDS),
    )
    def add_job(self, data, kind, job_id):
        """A new job, or one that had been taken out: with its old rows then."""
        key = kind, job_id
        if key in self.known:
            return
        if key in self.removed:
            known = self.removed.pop(key)
            script = scripts(known, with_hanging=self.is_impatient)
            known.script = data.draw(script, label="script")
        else:
            job = jobs(kind, job_id, with_hanging=self.is_impatient)
            known = data.draw(job, label="job")
        self.known[key] = known
        self.api.add(known.served())

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def add_faults(self, data):
        """An API that was well again gets worse."""
        known = self.known[data.draw(st.sampled_from(sorted(self.known)), label="job")]
        script = scripts(known, with_hanging=self.is_impatient)
        known.script = data.draw(script, label="script")
        self.api.add(known.served())

    @precondition(lambda self: len(self.known) > 1)
    @rule(data=st.data())
    def remove_job(self, data):
        """A job leaves the settings; its rows stay loaded."""
        key = data.draw(st.sampled_from(sorted(self.known)), label="job")
        self.removed[key] = self.known.pop(key)

    @precondition(lambda self: self.known)
    @rule(options=OPTIONS, number=st.integers(0, 2))
    def run_once(self, options, number):
        self.run(number % len(self.targets), options)

    @precondition(lambda self: self.known)
    @rule(options=OPTIONS)
    def run_to_the_end(self, options):
        self.finish(options)

    def teardown(self):
        try:
            if self.known:
                self.finish(Options(EVERY, "plain", 1, {"job_wait_timeout": 0}))
        finally:
            self.api.__exit__(None, None, None)
            self.folder.cleanup()

    def jobs_of(self, part):
        parts = len(self.targets)
        return {
            key: known
            for key, known in self.known.items()
            if crc32(known.job_id.encode()) % parts == part
        }

    def lists(self):
        return {
            setting: [job_id for one, job_id in self.known if one == kind]
            for kind, setting in SETTINGS.items()
        }

    def finish(self, options):
        """Run until nothing is left to read, no more often than faults are left."""
        options = replace(options, streams=EVERY)
        for part, target in enumerate(self.targets):
            faults = sum(known.faults for known in self.jobs_of(part).values())
            runs = self.silences = 0
            while not runs or not all(
                {*jobs} <= target.completed(stream)
                for stream, jobs in target.source.items()
            ):
                assert runs <= faults + self.silences, "too many runs"
                self.run(part, options)
                runs += 1
            for stream, source in target.source.items():
                for job_id, rows in source.items():
                    assert target.rows(stream, job_id) == rows, (stream, job_id)

    def run(self, part, options):
        target, jobs = self.targets[part], self.jobs_of(part)
        if self.shared is not None:
            target.state, self.shared = self.shared.state, target
        target.source = {
            stream.name: {
                known.job_id: known.marks(stream)
                for known in jobs.values()
                if known.kind == stream.kind
            }
            for stream in EVERY
        }
        target.aliases = {f"{name}_renamed": name for name in NAMES}
        target.deselected = frozenset()
        changes = {**options.settings, **PATHS[options.path], **self.lists()}
        names = tuple(stream.name for stream in options.streams)
        if options.path == "mapped":  # only what is selected can be
            changes["stream_maps"] = {
                name: {"more": "job_id", "__alias__": f"{name}_renamed"}
                for name in names
            }
        if "deselected" in options.path:
            changes["catalog"] = selecting(*names, without=DESELECTED)
            target.deselected = frozenset({DESELECTED})
        if "batches" in options.path:
            changes["batch_config"] = batches(self.tap.path, options.batch_size)
        if len(self.targets) > 1:
            changes["shard"] = f"{part + 1}/{len(self.targets)}"
        if self.limiter:  # it may ask for more than the shortest of them
            changes["max_retry_wait"] = 300
        if self.is_impatient:
            changes["request_timeout"] = SECONDS_PER_REQUEST
        self.tap.streams = names
        self.api.clear()
        began = time.monotonic()
        run = self.tap.run(speed=SPEED, state=target.state, **changes)
        assert time.monotonic() - began < SECONDS_PER_RUN
        TALLY["runs"] += 1
        TALLY[f"path {options.path}"] += 1
        target.take(run.stdout)
        self.check(part, options, replace(run, stderr=SHARD.sub("", run.stderr)))

    def check(self, part, options, run):
        """Check what a run says of itself, and that it has done what it could."""
        summary, target = run.summary, self.targets[part]
        # The last sentence that names no job is about all of them.
        is_stopped = run.errors[-1:] and not FAILED.match(run.errors[-1])
        assert run.status == int(bool(summary["failed"] or is_stopped))
        named = sum(
            int(match[1] or 1) for match in filter(None, map(FAILED.match, run.errors))
        )
        # A job that failed in two streams may have failed for two reasons.
        failed = summary["failed"]
        assert failed <= named <= failed * len(options.streams), run.errors

        disturbed = {
            (request.kind, request.job_id, request.endpoint)
            for request in self.api.requests
            if request.is_disturbed
        }
        TALLY["disturbed"] += len(disturbed)
        # A connection can also end before the stand-in has seen the request.
        is_silent = any(silence in run.stderr for silence in SILENCES)
        self.silences += is_silent
        unsettled, counted = set(), set()
        for stream, (key, known) in itertools.product(
            options.streams, self.jobs_of(part).items()
        ):
            name, job_id = stream.name, known.job_id
            if known.kind != stream.kind:
                continue
            counted.add(key)
            if job_id in target.completed(name):
                TALLY[f"jobs read in {name}"] += 1
                continue
            if stream.place or (name, job_id) not in target.seen:
                unsettled.add(key)
            is_disturbed = not disturbed.isdisjoint(
                (*key, endpoint) for endpoint in (stream.endpoint, "status")
            )
            assert is_stopped or is_disturbed or is_silent, (
                f"{name}: {job_id} is not read, and nobody knows why\n{run.stderr}"
            )
        if not is_stopped:
            read = summary["jobs read"] + summary["already read"]
            assert len(counted) - len(unsettled) == read
            others = summary["deferred"] + summary["skipped"] + summary["failed"]
            assert len(counted) == read + others


def test_no_fault_loses_a_row_or_marks_a_job_too_early(capsys):
    profile = settings(
        max_examples=EXAMPLES or EXAMPLES_OF_A_TEST,
        stateful_step_count=10,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        print_blob=True,
        phases=(Phase.generate,),  # making a failure smaller can take minutes
        suppress_health_check=list(HealthCheck),
    )
    TALLY.clear()

    run_state_machine_as_test(FaultSearch, settings=profile)

    if EXAMPLES:
        with capsys.disabled():
            for name, number in sorted(TALLY.items()):
                print(f"{name}: {number:,}")  # noqa: T201 - figures for who asked
    assert TALLY["runs"] > TALLY["scenarios"]
    assert TALLY["disturbed"]
    assert all(TALLY[f"jobs read in {name}"] for name in NAMES)
