"""Runs one command as a process of its own and measures it. Needs Linux."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

LIMIT_SECONDS = 900.0
_SAMPLE_SECONDS = 0.02
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class RunError(Exception):
    """A program failed, could not be installed, or lost rows."""


class Took(NamedTuple):
    """What a run took.

    Attributes:
        seconds: From the start of the process to its end.
        cpu_seconds: Of the process and of those that it has waited for.
        peak: The most memory that the process itself has held, in MB.
        requests: How many requests the API has received.
    """

    seconds: float
    cpu_seconds: float
    peak: float
    requests: int = 0


def run(
    command: Sequence[str], cwd: Path, folder: Path, settings: Mapping[str, str]
) -> Took:
    """Run a command; its output goes to files in a folder.

    Raises:
        RunError: If the exit code is not 0.
    """
    stdout, stderr, peak = folder / "stdout", folder / "stderr", 0
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", **settings}
    with stdout.open("wb") as output, stderr.open("wb") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - one of the benchmarks' own
            command, cwd=cwd, env=environment, stdout=output, stderr=errors
        )
        end, status = os.pidfd_open(process.pid), Path(f"/proc/{process.pid}/status")
        # `ru_maxrss` would include the memory of this process.
        while not select.select([end], [], [], _SAMPLE_SECONDS)[0]:
            found = _PEAK.search(status.read_text())
            peak = int(found[1]) if found else peak
            if time.perf_counter() - started > LIMIT_SECONDS:
                process.kill()
        seconds = time.perf_counter() - started
        os.close(end)
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        text = f"\n{stderr.read_text(errors='replace')}".rstrip()
        last = text.rpartition("\n")[2][:200]
        raise RunError(f"exit code {process.returncode}: {last}")
    return Took(seconds, usage.ru_utime + usage.ru_stime, peak * 1024 / 1e6)
