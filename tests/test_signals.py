"""A run that is told to end does so at once, with whole lines and a STATE to go on."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from tests.stand_in import Answer, Job, StandIn, make_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness import Folder

    Start = Callable[..., subprocess.Popen[bytes]]

LIMIT = 2.0
# Whether Python buffers stdout itself: without, a write may end half done by a signal.
BUFFERING = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["", "unbuffered"])
SIGNALS = pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
SMALL = [{"name": "x", "properties": {"text": "y" * 300}}] * 500
STALLED = {f"job-{index}": len(SMALL) for index in range(50)}


@pytest.fixture
def start(tap: Folder) -> Iterator[Start]:
    """Starts the command line; at the end of the test nothing of it is left."""
    processes = []

    def begin(**settings: Any) -> subprocess.Popen[bytes]:
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


def out_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def read(process: subprocess.Popen[bytes], enough: Callable[[bytes], bool]) -> bytes:
    """Read stdout until there is enough, past any buffer of this side."""
    head = b""
    while not enough(head):
        block = os.read(out_of(process).fileno(), 65_536)
        assert block, "it ended too early"
        head += block
    return head


def bytes_waiting(pipe: IO[bytes]) -> int:
    """How many bytes a pipe holds that nobody has read."""
    packed = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
    count: int = struct.unpack("i", packed)[0]
    return count


def end(process: subprocess.Popen[bytes], number: int) -> tuple[bytes, str]:
    """Send a signal, read all that is still written; the run must end in time."""
    started = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - started < LIMIT
    return out, err.decode()


def messages_of(out: bytes) -> list[dict[str, Any]]:
    """The messages; each line of them must be whole."""
    assert out.endswith(b"\n")
    return [json.loads(line) for line in out.splitlines()]


def assert_state_fits(messages: list[dict[str, Any]], totals: dict[str, int]) -> None:
    """The last STATE names the jobs whose records are all written; never another.

    Of a job whose last record was just being written it may not know yet.
    """
    assert messages[-1]["type"] == "STATE"
    written = dict.fromkeys(totals, 0)
    for message in messages:
        if message["type"] == "RECORD":
            written[message["record"]["job_id"]] += 1
        elif message["type"] == "STATE":
            for job_id, rows in completed_in(message).items():
                assert written[job_id] == rows == totals[job_id]
    whole = {job_id for job_id, rows in written.items() if rows == totals[job_id]}
    assert len(whole - completed_in(messages[-1]).keys()) <= 1


def completed_in(message: dict[str, Any]) -> dict[str, int]:
    completed: dict[str, int]
    completed = message["value"]["bookmarks"]["imported_events"]["completed_jobs"]
    return completed


@SIGNALS
def test_a_signal_ends_a_run_whose_request_hangs(
    api: StandIn, start: Start, number: int, status: int
) -> None:
    script: dict[str, list[Answer | None]] = {"imports:1": [Answer(hang=True)]}
    api.add(Job("a", rows=SMALL))
    api.add(Job("b", rows=SMALL, page_size=100, script=script))
    process = start(job_ids=["a", "b"])
    until(lambda: len(api.asked("b")) == 2)

    out, err = end(process, number)

    assert process.returncode == status
    messages = messages_of(out)
    assert_state_fits(messages, {"a": 500, "b": 500})
    assert completed_in(messages[-1]) == {"a": 500}
    assert "Traceback" not in err


@SIGNALS
@BUFFERING
def test_a_signal_ends_a_run_that_waits_for_a_job(  # noqa: PLR0913, PLR0917
    api: StandIn,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    unbuffered: str,
    number: int,
    status: int,
) -> None:
    api.add(Job("a", rows=SMALL), Job("late", processing=-1))
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    process = start(job_ids=["a", "late"])
    until(lambda: len(api.asked("late")) == 2)

    out, err = end(process, number)

    assert process.returncode == status
    messages = messages_of(out)
    assert_state_fits(messages, {"a": 500, "late": 1})
    assert completed_in(messages[-1]) == {"a": 500}
    assert "Traceback" not in err


@SIGNALS
def test_a_signal_ends_a_run_that_waits_for_the_rate_limit(
    api: StandIn, start: Start, number: int, status: int
) -> None:
    limited = Answer(status=429, headers={"Retry-After": "200"})
    api.add(Job("a", rows=SMALL, script={"imports": [limited]}))
    process = start(job_ids=["a"])
    until(lambda: api.asked("a"))

    out, err = end(process, number)

    assert process.returncode == status
    assert [message["type"] for message in messages_of(out)][-1] == "STATE"
    assert "Traceback" not in err


@SIGNALS
@BUFFERING
def test_a_signal_ends_a_run_that_is_writing(  # noqa: PLR0913, PLR0917
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

    out, err = end(process, number)

    assert process.returncode == status
    messages = messages_of(head + out)
    records = [message for message in messages if message["type"] == "RECORD"]
    assert 2_000 < len(records) < 400 * 500
    assert_state_fits(messages, totals)
    assert completed_in(messages[-1])
    assert "Traceback" not in err


def stalled(api: StandIn, start: Start, speed: float) -> subprocess.Popen[bytes]:
    """A run that is blocked because its target does not read."""
    api.add(*(Job(job_id, rows=SMALL, page_size=250) for job_id in STALLED))
    process = start(job_ids=[*STALLED], speed=speed)
    until(lambda: bytes_waiting(out_of(process)) > 60_000)
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
    began = time.monotonic()
    out, err = process.communicate(timeout=20)

    assert time.monotonic() - began < LIMIT
    assert process.returncode == status
    assert_state_fits(messages_of(out), STALLED)
    assert "Traceback" not in err.decode()


@SIGNALS
def test_target_that_never_reads_ends_a_signalled_run_after_ten_seconds(
    api: StandIn, start: Start, number: int, status: int
) -> None:
    process = stalled(api, start, speed=20)

    process.send_signal(number)
    began = time.monotonic()
    process.wait(timeout=LIMIT)

    assert time.monotonic() - began > 0.4  # 10 of its seconds are half of one here
    assert process.returncode == status
    out, err = process.communicate(timeout=20)
    # The line that was being written could not be finished: nobody took it.
    messages = messages_of(out[: out.rindex(b"\n") + 1])
    for message in messages:
        if message["type"] == "STATE":
            assert completed_in(message) == {}
    assert "Traceback" not in err.decode()


def test_target_that_dies_after_a_signal_ends_the_run_at_once(
    api: StandIn, start: Start
) -> None:
    process = stalled(api, start, speed=1)

    process.send_signal(signal.SIGTERM)
    out_of(process).close()

    process.wait(timeout=LIMIT)
    assert process.returncode in {1, 143}
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()


def test_ctrl_c_ends_a_run_that_is_being_loaded() -> None:
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


def test_a_second_signal_changes_nothing(api: StandIn, start: Start) -> None:
    api.add(Job("a", script={"imports": [Answer(hang=True)]}))
    process = start(job_ids=["a"])
    until(lambda: api.asked("a"))

    process.send_signal(signal.SIGTERM)
    out, err = end(process, signal.SIGINT)

    assert process.returncode in {143, 130}
    assert messages_of(out)[-1]["type"] == "STATE"
    assert "Traceback" not in err


@SIGNALS
def test_in_batches_state_names_no_job_whose_rows_are_not_announced(
    api: StandIn, tmp_path: Path, start: Start, number: int, status: int
) -> None:
    totals = {f"job-{index}": len(SMALL) for index in range(12)}
    api.add(*(Job(job_id, rows=SMALL, page_size=250) for job_id in totals))
    api.add(Job("hangs", script={"imports": [Answer(hang=True)]}))
    storage = tmp_path / "batches"
    storage.mkdir()
    process = start(
        job_ids=[*totals, "hangs"],
        batch_config={
            "encoding": {"format": "jsonl", "compression": "gzip"},
            "storage": {"root": storage.as_uri()},
            "batch_size": 1_800,
        },
    )
    until(lambda: api.asked("hangs"))

    out, err = end(process, number)

    assert process.returncode == status
    messages = messages_of(out)
    announced = dict.fromkeys(totals, 0)
    for message in messages:
        if message["type"] == "BATCH":
            for uri in message["manifest"]:
                with gzip.open(url2pathname(urlsplit(uri).path)) as file:
                    lines = file.readlines()
                for line in lines:
                    announced[json.loads(line)["job_id"]] += 1
        elif message["type"] == "STATE":
            for job_id, rows in completed_in(message).items():
                assert announced[job_id] == rows == totals[job_id]
    assert messages[-1]["type"] == "STATE"
    # Three batches hold 5,400 of the 6,000 rows: ten jobs and a part of the next.
    assert set(completed_in(messages[-1])) == {f"job-{index}" for index in range(10)}
    assert "Traceback" not in err


@BUFFERING
def test_a_target_that_dies_ends_the_run(
    api: StandIn, start: Start, monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    api.add(*(Job(f"job-{index}", rows=SMALL) for index in range(400)))
    process = start(job_ids=[f"job-{index}" for index in range(400)])
    read(process, lambda head: head.count(b"\n") > 1_000)

    out_of(process).close()
    process.wait(timeout=LIMIT)

    assert process.returncode == 1
    assert process.stderr is not None
    err = process.stderr.read().decode()
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
    assert "target" in err.splitlines()[-1]
    # Nothing more is asked for when nobody can take it.
    assert len(api.requests) < 400 * 5


def test_rows_of_a_signalled_run_are_completed_by_the_next(
    api: StandIn, tap: Folder, start: Start
) -> None:
    events = make_events(10)
    script: dict[str, list[Answer | None]] = {"imports:1": [Answer(hang=True)]}
    api.add(Job("a", rows=events), Job("b", rows=events, page_size=4, script=script))
    process = start(job_ids=["a", "b"])
    until(lambda: len(api.asked("b")) == 2)
    out, _ = end(process, signal.SIGTERM)
    state = messages_of(out)[-1]["value"]
    api.clear()

    run = tap.run(job_ids=["a", "b"], state=state)

    assert run.status == 0
    assert {request.job_id for request in api.requests} == {"b"}
    assert [record["event_index"] for record in run.records()] == list(range(10))
    assert run.completed() == {"a": 10, "b": 10}


SLEEPY: dict[str, dict[str, Any]] = {
    "waits for a job": {"processing": -1},
    "waits for an answer": {"script": {"imports": [Answer(hang=True)]}},
    "waits as it is asked to": {
        "script": {"imports": [Answer(429, headers={"Retry-After": "100"})]}
    },
}


@pytest.mark.parametrize("sleepy", SLEEPY.values(), ids=SLEEPY)
def test_a_target_that_dies_ends_a_run_that_has_nothing_to_write(
    api: StandIn, start: Start, sleepy: dict[str, Any]
) -> None:
    api.add(Job("a", **sleepy))
    process = start(job_ids=["a"])
    until(lambda: api.asked("a"))
    assert process.stdout is not None
    began = time.monotonic()
    process.stdout.close()

    assert process.wait(timeout=20) == 1
    assert time.monotonic() - began < LIMIT
    assert process.stderr is not None
    said = process.stderr.read().decode()
    assert "The target has closed the pipe" in said.splitlines()[-1]
    assert "Traceback" not in said


MANY = [f"job-{index}" for index in range(2_000)]
GZIP = {"encoding": {"format": "jsonl", "compression": "gzip"}}
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
def test_a_target_that_dies_ends_a_run_that_is_busy(
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
        began = time.monotonic()
        out_of(process).close()

        assert process.wait(timeout=20) == 1
        assert time.monotonic() - began < LIMIT
    assert process.stderr is not None
    said = process.stderr.read().decode()
    assert "The target has closed the pipe" in said.splitlines()[-1]
    assert "Traceback" not in said


@SIGNALS
def test_a_signal_ends_a_run_that_only_tries_again(
    tap: Folder, start: Start, number: int, status: int
) -> None:
    failing = [Job(job_id, script={"imports": [Answer(500)] * 8}) for job_id in MANY]
    with StandIn(Job("a", rows=SMALL), *failing, latency=0.01) as api:
        tap.api = api
        process = start(job_ids=["a", *MANY])
        until(lambda: len(api.requests) > 30)

        out, err = end(process, number)

    assert process.returncode == status
    assert completed_in(messages_of(out)[-1]) == {"a": 500}
    assert "Traceback" not in err


def test_a_full_disk_is_told_in_a_sentence(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=make_events(3)))
    with Path("/dev/full").open("wb") as full:
        process = tap.start(job_ids=["a"], stdout=full)
        _, said = process.communicate(timeout=20)

    assert process.returncode == 1
    assert "stdout can't be written: No space left" in said.decode().splitlines()[-1]
    assert b"Traceback" not in said
