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
from typing import Any

import pytest

from tests.harness import batches
from tests.stand_in import Answer, Job, StandIn

pytestmark = pytest.mark.slow

LIMIT = 6.0  # what hangs takes far longer
SIGNALS = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
SMALL = [{"name": "x", "properties": {"text": "y" * 300}}] * 500
MANY = [f"job-{index}" for index in range(2_000)]
HANGS = Answer(hang=True)


@pytest.fixture
def start(tap):
    processes = []

    def begin(**settings):
        processes.append(tap.start(**settings))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def until(condition):
    pause, deadline = threading.Event(), time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not become so"
        pause.wait(0.01)


def read(process, enough):
    head = b""
    while not enough(head):
        block = os.read(process.out.fileno(), 65_536)
        assert block, "it ended too early"
        head += block
    return head


def bytes_waiting(pipe):
    packed = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
    return struct.unpack("i", packed)[0]


def end(process, number, head=b"", seconds=LIMIT):
    """Send a signal; the run must end in time, with STATE and the signal's name."""
    process.send_signal(number)
    run = process.collect(head, seconds=seconds)
    assert run.status == 128 + number
    assert run.messages[-1]["type"] == "STATE"
    assert run.lines[-1].startswith(f"{signal.Signals(number).name} ended the run.")
    return run


def assert_state_knows(run, totals):
    """Of a job whose last record was just being written STATE may not know yet."""
    written = [record["job_id"] for record in run.records()]
    whole = {job_id for job_id, rows in totals.items() if written.count(job_id) == rows}
    assert len(whole - run.completed()) <= 1


# A job about which a run has nothing to do for a while, and its number of requests.
WAIT = {"Retry-After": "100"}
SLEEPY: dict[str, tuple[dict[str, Any], int]] = {
    "waits for a job": ({"processing": -1}, 1),
    "waits for an answer": ({"script": {"imports": [HANGS]}}, 1),
    "waits for a page": ({"rows": SMALL, "script": {"imports:1": [HANGS]}}, 2),
    "waits to try again": ({"script": {"imports": [Answer(503, headers=WAIT)]}}, 1),
    "pauses for the rate limit": (
        {"script": {"imports": [Answer(429, headers=WAIT)]}},
        1,
    ),
}


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *((name, signal.SIGTERM) for name in SLEEPY),
        *(("waits for a page", number) for number in SIGNALS[1:]),
    ],
)
def test_signal_ends_sleeping_run_and_the_next_run_completes_it(
    api, tap, start, name, number
):
    sleepy, requests = SLEEPY[name]
    api.add(Job("a", rows=SMALL), Job("b", page_size=100, **sleepy))
    process = start(job_ids=["a", "b"])
    head = read(process, lambda head: head.count(b'"job_id":"a"') == 500)
    until(lambda: len(api.asked("b")) >= requests)

    run = end(process, number, head)

    assert run.completed() == {"a"}
    if requests > 1:
        api.clear()
        run = tap.run(job_ids=["a", "b"], state=run.state)
        assert run.status == 0
        assert not api.asked("a")
        assert run.places("b") == [*range(500)]


STALLED = dict.fromkeys(MANY[:50], len(SMALL))


def stalled(api, start, **settings):
    """A run that is blocked because its target does not read."""
    api.add(*(Job(job_id, rows=SMALL, page_size=250) for job_id in STALLED))
    process = start(job_ids=[*STALLED], **settings)
    until(lambda: bytes_waiting(process.out) > 60_000)
    return process


def test_target_that_reads_again_after_a_signal_gets_whole_lines_and_a_state(
    api, start
):
    process = stalled(api, start)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)

    run = process.collect(seconds=LIMIT)

    assert run.status == 143
    assert run.messages[-1]["type"] == "STATE"
    assert_state_knows(run, STALLED)


# The 8 and 10 seconds that a target has are a tenth of that here.
@pytest.fixture
def _hasty(monkeypatch):
    monkeypatch.setenv("TESTS_PATIENCE", "0.1")


@pytest.mark.usefixtures("_hasty")
def test_target_that_reads_slowly_gets_whole_lines_after_a_signal(
    api, start, monkeypatch
):
    """As 20 KB a second would be in the real time."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    process = stalled(api, start)
    out, began = bytearray(), time.monotonic()

    process.send_signal(signal.SIGTERM)
    while block := os.read(process.out.fileno(), 2_000):
        out += block
        if process.poll() is None:
            time.sleep(0.01)
    _, log = process.communicate(timeout=20)
    run = process.checked(bytes(out), log.decode())

    assert run.status == 143
    assert 0.8 <= time.monotonic() - began < LIMIT
    assert run.records()


@pytest.mark.usefixtures("_hasty")
def test_target_that_never_reads_ends_a_signalled_run_after_ten_seconds(api, start):
    process = stalled(api, start)
    process.given.may_be_cut = True  # nobody took the line that was being written
    began = time.monotonic()

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=LIMIT) == 143
    assert time.monotonic() - began > 0.9
    process.collect()


def test_stdout_that_does_not_block_gets_every_line(api, start):
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    api.add(*(Job(job_id, rows=SMALL, page_size=250) for job_id in STALLED))
    process = start(job_ids=[*STALLED], stdout=sink)
    os.close(sink)
    until(lambda: bytes_waiting(source) > 60_000)
    out = bytearray()
    while block := os.read(source, 65_536):
        out += block
    os.close(source)
    _, log = process.communicate(timeout=20)

    run = process.checked(bytes(out), log.decode())

    assert run.status == 0
    assert run.completed() == {*STALLED}


def test_lost_terminal_ends_run(api, start):
    ours, theirs = os.openpty()
    api.add(*(Job(job_id, rows=SMALL) for job_id in STALLED))
    process = start(job_ids=[*STALLED], stdout=theirs)
    os.close(theirs)
    os.read(ours, 10)

    os.close(ours)

    _, log = process.communicate(timeout=LIMIT)
    process.given.may_be_cut = True
    run = process.checked(b"", log.decode())
    assert run.status == 1
    sentences = "The target has closed", "stdout can't be written: Input/output error"
    assert run.lines[-1].startswith(sentences)


@pytest.mark.parametrize("second", [signal.SIGINT, "close"])
def test_second_signal_or_closed_stdout_after_a_signal_changes_nothing(
    api, start, second
):
    process = stalled(api, start)
    process.send_signal(signal.SIGTERM)
    if second == "close":
        process.out.close()
        assert process.wait(timeout=LIMIT) == 143
        return
    process.send_signal(second)
    run = process.collect(seconds=LIMIT)
    assert run.status in {143, 130}  # Python may see both at once
    assert run.messages[-1]["type"] == "STATE"


def test_ctrl_c_ends_run_that_is_being_loaded():
    process = subprocess.Popen(  # the tap itself, telling what it loads
        [sys.executable, "-X", "importtime", "-m", "tap_fullstory_imports", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said = b""
    assert process.stderr
    while b" requests\n" not in said:
        said += process.stderr.readline()

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert process.returncode in {130, -signal.SIGINT}
    assert out == b""
    assert b"Traceback" not in err


def test_signal_in_batches_keeps_the_jobs_whose_files_are_announced(api, tap, start):
    job_ids = MANY[:12]
    api.add(*(Job(job_id, rows=SMALL, page_size=250) for job_id in job_ids))
    api.add(Job("hangs", script={"imports": [HANGS]}))
    process = start(job_ids=[*job_ids, "hangs"], batch_config=batches(tap.path, 1_800))
    until(lambda: api.asked("hangs"))

    run = end(process, signal.SIGTERM)

    # Three batches hold 5,400 of the 6,000 rows: ten jobs and a part of the next.
    assert run.completed() == {*job_ids[:10]}


# What a run does while its target dies, and its settings.
BUSY = {
    "writes": ([Job(job_id, rows=SMALL) for job_id in MANY[:400]], {}),
    "fills a batch": (
        [Job("a", rows=SMALL * 10, page_size=5)],
        {"batch_config": 10_000},
    ),
    "leaves out all rows": (
        [Job("a", rows=SMALL * 10, page_size=5)],
        {"stream_maps": {"imported_events": {"__filter__": "False"}}},
    ),
    "tries again": (
        [Job(job_id, script={"imports": [Answer(500)] * 8}) for job_id in MANY],
        {},
    ),
    "takes a large page apart, for maps": (
        [Job("a", generate=5_000, page_size=5_000)],
        {"stream_maps": {"imported_events": {"more": "name"}}},
    ),
    "waits for a job": ([Job("a", processing=-1)], {}),
}


@pytest.mark.parametrize(("jobs", "settings"), BUSY.values(), ids=BUSY)
def test_target_that_dies_ends_run(tap, start, jobs, settings):
    if size := settings.get("batch_config"):
        settings = {"batch_config": batches(tap.path, size)}
    with StandIn(*jobs, latency=0.03) as api:
        api.encode()
        tap.api = api
        process = start(job_ids=[job.job_id for job in jobs], **settings)
        until(lambda: len(api.requests) >= min(len(jobs), 4))

        process.out.close()
        process.wait(timeout=LIMIT)

    process.given.may_be_cut = True
    run = process.checked(b"", process.stderr.read().decode())
    assert run.status == 1
    assert run.lines[-1].startswith("The target has closed the pipe")
    assert "BrokenPipe" not in run.stderr
    assert len(api.requests) < 600  # nothing is asked for when nobody can take it
