"""Runs one program as a process of its own and measures it."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import programs
from benchmarks.scenarios import API_KEY, Entry, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator
    from resource import struct_rusage

LIMIT_SECONDS = 900.0
_ROW = b"customer-"  # each event of the stand-in has it once, and nothing else has it
_STATE = b'{"type":"STATE"'
_SUMMARY = re.compile(r"Summary: .* requests (\d+), retries (\d+)")
_KIBIBYTE = 1 if sys.platform == "darwin" else 1024  # the unit of `ru_maxrss`


@dataclass(frozen=True)
class Run:
    """One run of a program: what it took, and what came out of it.

    Attributes:
        scenario: The scenario's name.
        program: What was run, with the number of jobs that it had to read, and how many
        jobs: of them it was to read at once.
        concurrency: See `Entry`.
        seconds: From the start of the process to its end.
        peak_bytes: The most memory that it held.
        output_bytes: All that it wrote, uncompressed.
        state_bytes: What of it are STATE messages.
        requests: How many it made; only this tap tells.
        retries: How many of them were made because an earlier one was not answered.
        failure: Why the run does not count; empty if it does.
    """

    scenario: str
    program: str
    jobs: int
    concurrency: int
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    rows: int = 0
    output_bytes: int = 0
    state_bytes: int = 0
    requests: int = 0
    retries: int = 0
    failure: str = ""

    @property
    def entry(self) -> Entry:
        """What was run."""
        return Entry(self.program, self.jobs, self.concurrency)


def failed(scenario: Scenario, entry: Entry, reason: str) -> Run:
    """A run that could not be made."""
    return Run(
        scenario.name, entry.program, entry.jobs, entry.concurrency, failure=reason
    )


@contextmanager
def stand_in(scenario: Scenario) -> Iterator[str]:
    """Serve a scenario; gives the API's address.

    Raises:
        RuntimeError: If that can't be done.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder, "scenario.json")
        file.write_text(json.dumps(scenario.for_stand_in()), encoding="utf-8")
        command = [sys.executable, "-m", "tests.stand_in", "--scenario", str(file)]
        with subprocess.Popen(  # noqa: S603 - the interpreter
            command, cwd=programs.ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                url = process.stdout.readline().strip() if process.stdout else ""
                if not url:
                    raise RuntimeError("The stand-in API did not start.")
                yield url
            finally:
                process.terminate()


def measure(scenario: Scenario, entry: Entry, url: str) -> Run:
    """Run a program once; all that it writes goes into files."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        settings = {
            "api_key": API_KEY,
            "api_url": url,
            "job_ids": scenario.job_ids[: entry.jobs],
            "concurrency": entry.concurrency,
        }
        programs.write_inputs(folder, settings)
        status, seconds, usage = _run(entry.program, folder)
        rows, output_bytes, state_bytes = _read_output(folder)
        log = (folder / "stderr").read_text(encoding="utf-8", errors="replace")
    failure, expected = "", entry.jobs * scenario.rows_of_job
    if status:
        failure = f"exit status {status}: {(log.splitlines() or ['no message'])[-1]}"
    elif rows != expected:
        failure = f"it wrote {rows:,} rows instead of {expected:,}"
    summary = _SUMMARY.search(log)
    return Run(
        scenario.name,
        entry.program,
        entry.jobs,
        entry.concurrency,
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * _KIBIBYTE,
        rows=rows,
        output_bytes=output_bytes,
        state_bytes=state_bytes,
        requests=int(summary[1]) if summary else 0,
        retries=int(summary[2]) if summary else 0,
        failure=failure,
    )


def _run(program: str, folder: Path) -> tuple[int, float, struct_rusage]:
    """Run a program; its exit status, its seconds, and what it used."""
    command = programs.PROGRAMS[program].command(folder)
    environment = {
        **os.environ,
        "NO_PROXY": "127.0.0.1",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    stdout, stderr = folder / "stdout", folder / "stderr"
    with stdout.open("wb") as output, stderr.open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - one of PROGRAMS
            command, cwd=programs.ROOT, env=environment, stdout=output, stderr=log
        )
        too_long = threading.Timer(LIMIT_SECONDS, process.kill)
        too_long.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        too_long.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, seconds, usage


def _read_output(folder: Path) -> tuple[int, int, int]:
    """The rows, the bytes and the bytes of STATE in what a program has written."""
    rows = output_bytes = state_bytes = 0
    # Line by line: the memory of this process is the least that a process started by
    # it is said to have held.
    for path in (folder / "stdout", *folder.glob("dlt/**/*.typed-jsonl.gz")):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as lines:
            for line in lines:
                rows += line.count(_ROW)
                output_bytes += len(line)
                state_bytes += len(line) if line.startswith(_STATE) else 0
    return rows, output_bytes, state_bytes
