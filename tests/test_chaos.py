"""Processes are ended at random moments, by signals; what comes after loses no row.

`make chaos` makes more trials. Each is made up from the seed and its own number, so
that it can be repeated, the moment within milliseconds:
``CHAOS_SEED=7 CHAOS_TRIALS=200 .venv/bin/pytest tests/test_chaos.py -k 7-112``.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from tests.harness import Folder, batches
from tests.limiters import Bucket
from tests.stand_in import Answer, Job, StandIn
from tests.streams import EVERY, NAMES, SETTINGS
from tests.target import Target, failures, imported, marks

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

SEED = os.environ.get("CHAOS_SEED", "1")
TRIALS = int(os.environ.get("CHAOS_TRIALS", "0"))
TRIALS_OF_A_TEST = 20
SECONDS_TO_END = 6.0
SECONDS_TO_START = 1.5  # about: so that some signals come before Python is ready
BLOCK = 65_536  # the size of a pipe
TEXT = "y" * 200
JOBS = 10  # of each kind, with the same IDs
TALLY: Counter[str] = Counter()


@dataclass
class Trial:
    name: str

    def __post_init__(self):
        # No secret hangs on it.
        self.dice = dice = random.Random(self.name)  # noqa: S311
        self.signals = [self._a_signal() for _ in range(dice.randint(1, 2))]
        self.speed = dice.choice((1, 20, 200))
        self.unbuffered = dice.choice(("", "1"))
        self.pause = dice.choice((0, 0, 0.002, 0.02, 0.05))
        self.path = dice.choice(("plain", "mapped", "batches"))
        self.settings: dict[str, Any] = {
            "concurrency": dice.choice((1, 2, 4, 8)),
            "job_wait_timeout": dice.choice((0, 300)),
        }
        if self.path == "mapped":
            self.settings["stream_maps"] = {name: {"more": "job_id"} for name in NAMES}
        self.job_ids = [f"job-{i}" for i in range(JOBS)]
        self.settings |= dict.fromkeys(SETTINGS.values(), self.job_ids)
        keys = [(kind, job_id) for kind in SETTINGS for job_id in self.job_ids]
        self.rows = {key: dice.randint(0, 250) for key in keys}
        self.failed = {key: dice.randint(0, 20) for key in keys}
        self.is_throttled = self.speed > 1 and dice.random() < 0.3
        self.has_faults = dice.random() < 0.6

    def _a_signal(self):
        ways = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGTERM)
        return self.dice.choice((*ways, signal.SIGINT))

    def a_moment(self, target):
        left = [
            rows
            for (kind, job_id), rows in self.rows.items()
            if job_id not in target.completed(f"imported_{kind}")
        ]
        size = sum(left) * (len(TEXT) + 150)  # about
        size = sum(left) * 3 if self.path == "batches" else size
        at_first = ("seconds", self.dice.uniform(0, SECONDS_TO_START))
        in_bytes = ("bytes", self.dice.randint(1, size + 1))
        in_requests = ("requests", self.dice.randint(1, 5 * len(left) + 1))
        return self.dice.choice((at_first, in_bytes, in_bytes, in_requests))

    def api(self):
        dice = self.dice
        jobs = []
        for (kind, job_id), rows in self.rows.items():
            script: dict[str, list[Answer | None]] = {}
            if self.has_faults and self.speed > 1:
                for page in range(3):
                    # A 202 after a page means that the job is to be read anew.
                    busy = Answer(202) if page == 0 else None
                    faults = (None, None, Answer(500), busy, Answer(cut=40))
                    script[f"imports:{page}"] = dice.choices(faults, k=2)
            jobs.append(
                Job(
                    job_id,
                    kind=kind,
                    rows=imported(kind, job_id, rows, TEXT),
                    failures=failures(job_id, self.failed[kind, job_id]),
                    page_size=dice.choice((20, 60, 250)),
                    processing=dice.choice((0, 0, 0, 1)) * (self.speed > 1),
                    script=script,
                )
            )
        return StandIn(
            *jobs,
            latency=dice.choice((0.002, 0.01, 0.03)),
            limiter=Bucket(300, 30) if self.is_throttled else None,
        )

    def source(self):
        numbers = {"imports": self.rows, "errors": self.failed}
        return {
            stream.name: {
                job_id: marks(job_id, numbers[stream.endpoint][stream.kind, job_id])
                if stream.place
                else ["COMPLETED"]
                for job_id in self.job_ids
            }
            for stream in EVERY
        }


def read_slowly(pipe, pause):
    """Read a pipe in a thread; return what grows, and the thread."""
    out = bytearray()

    def read():
        while block := os.read(pipe.fileno(), BLOCK):
            out.extend(block)
            time.sleep(pause)

    thread = threading.Thread(target=read)
    thread.start()
    return out, thread


def wait_for(moment, process, out, api):
    what, number = moment  # after so many seconds, bytes of stdout, or requests
    began = time.monotonic()
    now: Callable[[], float] = {
        "seconds": lambda: time.monotonic() - began,
        "bytes": lambda: len(out),
        "requests": lambda: len(api.requests),
    }[what]
    while now() < number and process.poll() is None:
        assert time.monotonic() - began < 60
        time.sleep(0.001)


def interrupt(trial, tap, target, number):
    assert tap.api is not None
    tap.api.clear()
    moment = trial.a_moment(target)
    with patch.dict(os.environ, {"PYTHONUNBUFFERED": trial.unbuffered}):
        process = tap.start(state=target.state, speed=trial.speed, **trial.settings)
    out, reader = read_slowly(process.out, trial.pause)
    try:
        wait_for(moment, process, out, tap.api)
        has_ended = process.poll() is not None
        process.send_signal(number)
        process.wait(timeout=SECONDS_TO_END)
    finally:
        process.kill()
        process.wait()
        reader.join(20)
        assert not reader.is_alive()
        assert process.stderr is not None
        said = process.stderr.read().decode()
        process.out.close()
        process.stderr.close()

    status = process.returncode
    # Python's own answer to Ctrl-C, until the first line of the tap's `main`.
    is_too_early = (
        "init_import_site" in said
        or "Could not import runpy module" in said
        or (status == -signal.SIGINT and "tap_fullstory_imports/tap.py" not in said)
    )
    process.given.may_be_cut = number == signal.SIGKILL
    process.given.may_crash = is_too_early
    target.take(process.checked(bytes(out), said).stdout)
    is_written = b"\n" in out
    name = signal.Signals(number).name
    TALLY[f"{name} while it writes"] += is_written and status != 0
    if has_ended or status in {0, 1}:  # the last thing that it did was under way
        return
    if status == -number:  # before Python can see to it, or when it has put all away
        assert number == signal.SIGKILL or not is_written or "Summary: " in said
    else:
        assert status == 128 + number


@pytest.fixture(scope="module", autouse=True)
def _figures(request):
    yield
    if TRIALS:
        manager = request.config.pluginmanager.getplugin("capturemanager")
        with manager.global_and_fixture_disabled():
            print(f"\nSeed {SEED}: {dict(TALLY)}")  # noqa: T201 - for who asked


@pytest.mark.parametrize("number", range(TRIALS or TRIALS_OF_A_TEST))
@pytest.mark.parametrize("seed", [SEED])
def test_rows_survive_the_end_of_a_process(tmp_path, seed, number):
    trial = Trial(f"{seed}-{number}")
    if trial.path == "batches":
        trial.settings["batch_config"] = batches(tmp_path, 100)
    source = trial.source()
    target = Target(source)
    with trial.api() as api:
        tap = Folder(tmp_path, api, NAMES)
        for sent in trial.signals:
            interrupt(trial, tap, target, sent)
        run = tap.run(state=target.state, **{**trial.settings, "job_wait_timeout": 300})

    assert run.status == 0
    target.take(run.stdout)
    for stream, jobs in source.items():
        assert target.completed(stream) == {*jobs}
        for job_id, rows in jobs.items():
            assert target.rows(stream, job_id) == rows
