"""A run that is told to end does so at once, with whole lines and a STATE to go on."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.stand_in import Answer, Job, StandIn, make_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness import Folder, Process, Run

    Start = Callable[..., Process]

pytestmark = pytest.mark.slow

LIMIT = 6.0  # what hangs takes far longer
# Whether Python buffers stdout itself: without, a write may end half done by a signal.
BUFFERING = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["", "unbuffered"])
SIGNALS = pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
SMALL = [{"name": "x", "properties": {"text": "y" * 300}}] * 500
STALLED = {f"job-{index}": len(SMALL) for index in range(50)}
MANY = [f"job-{index}" for index in range(2_000)]
HANGS = Answer(hang=True)
SLEEPY: dict[str, dict[str, Any]] = {
    "waits for a job": {"processing": -1},
    "waits for an answer": {"script": {"imports": [HANGS]}},
    "waits for an answer in the middle of a job": {
        "rows": SMALL,
        "script": {"imports:1": [HANGS]},
    },
    "waits as it is asked to": {
        "script": {"imports": [Answer(429, headers={"Retry-After": "100"})]}
    },
}
"""What a job can be like about which a run has nothing to do for a while."""
SLEEPING = pytest.mark.parametrize("sleepy", SLEEPY.values(), ids=SLEEPY)


@pytest.fixture
def start(tap: Folder) -> Iterator[Start]:
    """Starts the command line; at the end of the test nothing of it is left."""
    processes = []

    def begin(**settings: Any) -> Process:
        processes.append(tap.start(**settings))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    pause, deadline = threading.Event(), time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not become so"
        pause.wait(0.01)


def read(process: Process, enough: Callable[[bytes], bool]) -> bytes:
    """Read stdout until there is enough, past any buffer of this side."""
    head = b""
    while not enough(head):
        block = os.read(process.out.fileno(), 65_536)
        assert block, "it ended too early"
        head += block
    return head


def bytes_waiting(pipe: IO[bytes]) -> int:
    """How many bytes a pipe holds that nobody has read."""
    packed = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
    count: int = struct.unpack("i", packed)[0]
    return count


def end(process: Process, number: int, head: bytes = b"") -> Run:
    """Send a signal; the run must end in time, with STATE."""
    process.send_signal(number)
    run = process.collect(head, seconds=LIMIT)
    assert run.messages[-1]["type"] == "STATE"
    return run


def lose_target(process: Process) -> Run:
    """Close stdout: the run must end in time, and name the target."""
    process.out.close()
    process.wait(timeout=LIMIT)
    assert process.stderr is not None
    process.given.may_be_cut = True
    run = process.checked(b"", process.stderr.read().decode())
    assert run.status == 1
    assert "The target has closed the pipe" in run.lines[-1]
    return run


def assert_state_knows(run: Run, totals: dict[str, int]) -> None:
    """The last STATE names the jobs whose records are all written.

    Of a job whose last record was just being written it may not know yet.
    """
    written = [record["job_id"] for record in run.records()]
    whole = {job_id for job_id, rows in totals.items() if written.count(job_id) == rows}
    assert len(whole - run.completed().keys()) <= 1


@SIGNALS
@SLEEPING
def test_signal_ends_sleeping_run(
    api: StandIn, start: Start, sleepy: dict[str, Any], number: int, status: int
) -> None:
    api.add(Job("a", rows=SMALL), Job("b", page_size=100, **sleepy))
    process = start(job_ids=["a", "b"])
    head = read(process, lambda head: b'"a":500' in head)  # in a STATE
    until(lambda: len(api.asked("b")) >= (2 if "rows" in sleepy else 1))

    run = end(process, number, head)

    assert run.status == status
    assert run.completed() == {"a": 500}


@SIGNALS
@BUFFERING
def test_signal_ends_writing_run(  # noqa: PLR0913, PLR0917
    api: StandIn,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    unbuffered: str,
    number: int,
    status: int,
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    totals = {f"job-{index}": len(SMALL) for index in range(400)}
    api.add(*(Job(job_id, rows=SMALL, page_size=250) for job_id in totals))
    process = start(job_ids=list(totals))
    head = read(process, lambda head: head.count(b"\n") > 3_000)

    run = end(process, number, head)

    assert run.status == status
    assert 2_000 < len(run.records()) < 400 * 500
    assert run.completed()
    assert_state_knows(run, totals)


def stalled(api: StandIn, start: Start, speed: float) -> Process:
    """A run that is blocked because its target does not read."""
    api.add(*(Job(job_id, rows=SMALL, page_size=250) for job_id in STALLED))
    process = start(job_ids=[*STALLED], speed=speed)
    until(lambda: bytes_waiting(process.out) > 60_000)
    return process


@SIGNALS
@BUFFERING
def test_target_that_reads_again_after_a_signal_gets_whole_lines_and_a_state(  # noqa: PLR0913, PLR0917
    api: StandIn,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    unbuffered: str,
    number: int,
    status: int,
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    process = stalled(api, start, speed=4)

    process.send_signal(number)
    time.sleep(1.6)  # 6.4 of the 10 seconds that the target has
    run = process.collect(seconds=LIMIT)

    assert run.status == status
    assert run.messages[-1]["type"] == "STATE"
    assert_state_knows(run, STALLED)


@SIGNALS
def test_target_that_never_reads_ends_a_signalled_run_after_ten_seconds(
    api: StandIn, start: Start, number: int, status: int
) -> None:
    process = stalled(api, start, speed=20)
    process.given.may_be_cut = True  # nobody took the line that was being written

    process.send_signal(number)
    began = time.monotonic()
    process.wait(timeout=LIMIT)

    assert time.monotonic() - began > 0.4  # 10 of its seconds are half of one here
    assert process.collect().status == status


def test_target_that_dies_after_a_signal_ends_the_run_at_once(
    api: StandIn, start: Start
) -> None:
    process = stalled(api, start, speed=1)

    process.send_signal(signal.SIGTERM)
    process.out.close()

    process.wait(timeout=LIMIT)
    assert process.returncode in {1, 143}
    assert process.stderr is not None
    process.checked(b"", process.stderr.read().decode())


def test_ctrl_c_ends_run_that_is_being_loaded() -> None:
    process = subprocess.Popen(  # the tap itself, telling what it loads
        [sys.executable, "-X", "importtime", "-m", "tap_fullstory_imports", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = b""
    while b" requests\n" not in said:
        said += process.stderr.readline()

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert process.returncode == -signal.SIGINT  # a shell says 130
    assert out == b""
    assert b"Traceback" not in err


GZIP = {"encoding": {"format": "jsonl", "compression": "gzip"}}


def test_second_signal_changes_nothing(api: StandIn, start: Start) -> None:
    api.add(Job("a", script={"imports": [HANGS]}))
    process = start(job_ids=["a"])
    until(lambda: api.asked("a"))

    process.send_signal(signal.SIGTERM)

    assert end(process, signal.SIGINT).status in {143, 130}


@SIGNALS
def test_signal_in_batches_keeps_the_jobs_whose_files_are_announced(
    api: StandIn, tap: Folder, start: Start, number: int, status: int
) -> None:
    job_ids = [f"job-{index}" for index in range(12)]
    api.add(*(Job(job_id, rows=SMALL, page_size=250) for job_id in job_ids))
    api.add(Job("hangs", script={"imports": [HANGS]}))
    batches = {**GZIP, "batch_size": 1_800, "storage": {"root": tap.path.as_uri()}}
    process = start(job_ids=[*job_ids, "hangs"], batch_config=batches)
    until(lambda: api.asked("hangs"))

    run = end(process, number)

    assert run.status == status
    # Three batches hold 5,400 of the 6,000 rows: ten jobs and a part of the next.
    assert run.completed() == dict.fromkeys(job_ids[:10], len(SMALL))


@BUFFERING
def test_target_that_dies_ends_writing_run(
    api: StandIn, start: Start, monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    api.add(*(Job(f"job-{index}", rows=SMALL) for index in range(400)))
    process = start(job_ids=[f"job-{index}" for index in range(400)])
    read(process, lambda head: head.count(b"\n") > 1_000)

    run = lose_target(process)

    assert "BrokenPipe" not in run.stderr
    # Nothing more is asked for when nobody can take it.
    assert len(api.requests) < 400 * 5


def test_rows_of_a_signalled_run_are_completed_by_the_next(
    api: StandIn, tap: Folder, start: Start
) -> None:
    events = make_events(10)
    script: dict[str, list[Answer | None]] = {"imports:1": [HANGS]}
    api.add(Job("a", rows=events), Job("b", rows=events, page_size=4, script=script))
    process = start(job_ids=["a", "b"])
    until(lambda: len(api.asked("b")) == 2)
    state = end(process, signal.SIGTERM).state
    api.clear()

    run = tap.run(job_ids=["a", "b"], state=state)

    assert run.status == 0
    assert {request.job_id for request in api.requests} == {"b"}
    assert [record["event_index"] for record in run.records()] == list(range(10))
    assert run.completed() == {"a": 10, "b": 10}


@SLEEPING
def test_target_that_dies_ends_sleeping_run(
    api: StandIn, start: Start, sleepy: dict[str, Any]
) -> None:
    api.add(Job("a", page_size=100, **sleepy))
    process = start(job_ids=["a"])
    until(lambda: api.asked("a"))

    lose_target(process)


# What keeps a run busy although it has little or nothing to write, and its settings.
BUSY: dict[str, tuple[list[Job], dict[str, Any]]] = {
    "fills a batch": (
        [Job("a", rows=SMALL * 10, page_size=5)],
        {"batch_config": {**GZIP, "batch_size": 10_000}},
    ),
    "leaves out all rows": (
        [Job("a", rows=SMALL * 10, page_size=5)],
        {"stream_maps": {"imported_events": {"__filter__": "False"}}},
    ),
    "reads empty pages": ([Job("a", pages=[[]] * 1_000)], {}),
    "reads empty jobs": ([Job(job_id) for job_id in MANY], {}),
    "asks for missing jobs": (
        [Job(job_id, script={"imports": [Answer(404)]}) for job_id in MANY],
        {},
    ),
    "tries again": (
        [Job(job_id, script={"imports": [Answer(500)] * 8}) for job_id in MANY],
        {},
    ),
    "asks for unfinished jobs": ([Job(job_id, processing=-1) for job_id in MANY], {}),
    "takes a large page apart": ([Job("a", generate=5_000, page_size=5_000)], {}),
    "takes a large page apart, for maps": (
        [Job("a", generate=5_000, page_size=5_000)],
        {"stream_maps": {"imported_events": {"more": "name"}}},
    ),
    "puts a large page into batches": (
        [Job("a", generate=5_000, page_size=5_000)],
        {"batch_config": {**GZIP, "batch_size": 4_000}},
    ),
}


@pytest.mark.parametrize("busy", BUSY.values(), ids=BUSY)
def test_target_that_dies_ends_busy_run(
    tap: Folder, start: Start, busy: tuple[list[Job], dict[str, Any]]
) -> None:
    jobs, settings = busy
    if "batch_config" in settings:
        storage = {"root": tap.path.as_uri()}
        settings = {"batch_config": {**settings["batch_config"], "storage": storage}}
    with StandIn(*jobs, latency=0.03) as api:
        api.encode()
        tap.api = api
        process = start(job_ids=[job.job_id for job in jobs], **settings)
        until(lambda: len(api.requests) >= min(len(jobs), 10))

        lose_target(process)


@SIGNALS
def test_signal_ends_run_that_only_tries_again(
    tap: Folder, start: Start, number: int, status: int
) -> None:
    failing = [Job(job_id, script={"imports": [Answer(500)] * 8}) for job_id in MANY]
    with StandIn(Job("a", rows=SMALL), *failing, latency=0.01) as api:
        tap.api = api
        process = start(job_ids=["a", *MANY])
        until(lambda: len(api.requests) > 30)

        run = end(process, number)

    assert run.status == status
    assert run.completed() == {"a": 500}
