"""Runs the tap's command line and collects all that comes out of it."""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from unittest.mock import patch

from tap_fullstory_imports.tap import TapFullstoryImports
from tests.hurry import hurried
from tests.invariants import PREFIX, Given, check

if TYPE_CHECKING:
    from tests.stand_in import StandIn

SPEED = 100.0  # seconds on the tap's clock in one real second


@dataclass(frozen=True)
class Run:
    """What one run of the command line left behind."""

    status: int
    stdout: bytes
    stderr: str

    @cached_property
    def messages(self):
        """The Singer messages, numbers kept digit by digit."""
        return [
            json.loads(line, parse_float=Decimal) for line in self.stdout.splitlines()
        ]

    def of_type(self, kind):
        return [message for message in self.messages if message["type"] == kind]

    def records(self, stream="imported_events"):
        messages = self.of_type("RECORD")
        return [one["record"] for one in messages if one["stream"] == stream]

    def places(self, job_id):
        """The places of the imported events of a job, in the order of their records."""
        return [row["event_index"] for row in self.records() if row["job_id"] == job_id]

    @property
    def states(self):
        return [message["value"] for message in self.of_type("STATE")]

    @property
    def state(self):
        """The last STATE, the one that is saved."""
        return self.states[-1]

    def completed(self, stream="imported_events"):
        return {*self.state["bookmarks"][stream]["completed_jobs"]}

    @property
    def lines(self) -> list[str]:
        """The texts of the log lines, without their times and names."""
        return [line.split(" | ")[-1] for line in self.stderr.splitlines()]

    @property
    def errors(self) -> list[str]:
        return self._at("ERROR")

    @property
    def warnings(self) -> list[str]:
        return self._at("WARNING")

    def _at(self, level) -> list[str]:
        lines = self.stderr.splitlines()
        return [line.split(" | ")[-1] for line in lines if f" | {level} " in line]

    def about(self, job_id, stream="imported_events"):
        """The log lines of a stream about a job, without the name of the stream."""
        start = f"{stream}: "
        lines = [line for line in self.lines if line.startswith(f"{start}Job {job_id}")]
        return [line.removeprefix(start) for line in lines]

    @property
    def summary(self):
        """The numbers of the summary, by their names."""
        [line] = [line for line in self.lines if line.startswith("Summary: ")]
        return _numbers(line.removeprefix("Summary: "))


def _numbers(text):
    found = re.findall(r"([a-z][a-z ]*) (\d+(?:\.\d+)?)", text)
    return {name: float(number) for name, number in found}


@dataclass
class Folder:
    """A folder for the files of a run, and the stand-in that it reads from."""

    path: Path
    api: StandIn | None = None
    streams: tuple[str, ...] = ("imported_events",)
    settings: dict[str, Any] = field(
        default_factory=lambda: {"concurrency": 1, "job_wait_timeout": 5000}
    )

    def write(self, name: str, content: object) -> Path:
        """Write a file: text and bytes as they are, anything else as JSON."""
        path = self.path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8")
        return path

    def arguments(self, *arguments, state=None, catalog=None, **settings) -> list[str]:
        """The command line for some settings; those that are None are left out.

        Without a catalog, one that selects the folder's streams is made.
        """
        if catalog is None and not any(
            argument.startswith(("--test", "--discover", "--catalog"))
            for argument in arguments
        ):
            catalog = selecting(*self.streams)
        config = {**self.settings, **settings}
        if self.api is not None:
            config = {"api_key": self.api.api_key, "api_url": self.api.url, **config}
        config = {name: value for name, value in config.items() if value is not None}
        line = ["--config", str(self.write("config.json", config))]
        if state is not None:
            line += ["--state", str(self.write("state.json", state))]
        if catalog is not None:
            line += ["--catalog", str(self.write("catalog.json", catalog))]
        return [*line, *arguments]

    def run(self, *arguments: str, speed=SPEED, **settings: Any) -> Run:
        """Run the command line in this process, with settings in a file; see `run`."""
        line = self.arguments(*arguments, **settings)
        return run(line, speed=speed, api=self.api)

    def start(
        self, *arguments: str, speed=1.0, stdout=subprocess.PIPE, **settings: Any
    ) -> Process:
        """Start the command line as a process of its own."""
        line = self.arguments(*arguments, **settings)
        return Process(line, speed, stdout, self.api)


class Process(subprocess.Popen[bytes]):
    """The command line as a process of its own."""

    def __init__(self, arguments, speed, stdout, api):
        self.given = Given.by(arguments, os.environ, api)
        super().__init__(
            [sys.executable, "-m", "tests.hurry", str(speed), *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )

    @property
    def out(self) -> IO[bytes]:
        """The pipe that a target would read."""
        assert self.stdout is not None
        return self.stdout

    def collect(self, head=b"", *, seconds=20.0):
        """Read on after `head` until the run ends, within so many real seconds."""
        began = time.monotonic()
        out, log = self.communicate(timeout=20)
        assert time.monotonic() - began < seconds, "the run takes too long to end"
        return self.checked(head + (out or b""), log.decode())

    def checked(self, out, log):
        """What the ended run has left behind, after a check of the invariants."""
        check(out, log, self.returncode, self.given)
        return Run(self.returncode, out, log)


@cache
def _catalog():
    tap = TapFullstoryImports(validate_config=False, setup_mapper=False)
    return json.dumps(tap.catalog.to_dict())


def selecting(*streams: str, without: str | None = None) -> dict[str, Any]:
    """A catalog in which only some streams are selected, each without some field."""
    catalog: dict[str, Any] = json.loads(_catalog())
    for entry in catalog["streams"]:
        for part in entry["metadata"]:
            if not part["breadcrumb"]:
                part["metadata"]["selected"] = entry["tap_stream_id"] in streams
            elif part["breadcrumb"] == ["properties", without]:
                part["metadata"]["selected"] = False
    return catalog


def batches(folder, size):
    """The setting for BATCH files of so many rows in a folder."""
    encoding = {"format": "jsonl", "compression": "gzip"}
    storage = {"root": folder.as_uri()}
    return {"encoding": encoding, "storage": storage, "batch_size": size}


def rounds(values):
    """Settings for as few runs as possible: the nth value of each setting together."""
    most = max(map(len, values.values()))
    return [
        {name: given[number] for name, given in values.items() if number < len(given)}
        for number in range(most)
    ]


def run(
    arguments,
    *,
    environment=None,  # for the run; no other variable of the tap's is seen
    speed=SPEED,
    crash: type[Exception] | tuple[()] = (),  # what a test makes the run end by
    api=None,  # the stand-in that it reads from, whose rows must all come
) -> Run:
    """Run the command line in this process, as a shell would see it.

    Whatever the run does, it must keep the invariants.
    """
    given = Given.by(arguments, environment or {}, api)
    sink = io.BytesIO()
    out = io.TextIOWrapper(sink, encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    ours = {key: value for key, value in os.environ.items() if PREFIX not in key}
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, ours, clear=True))
        stack.enter_context(patch.dict(os.environ, environment or {}))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(hurried(speed))
        stack.enter_context(_process_state_kept())
        status = 0
        try:
            TapFullstoryImports.cli.main(arguments, prog_name=TapFullstoryImports.name)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except crash as error:
            status = 1
            sys.excepthook(type(error), error, error.__traceback__)
    done = Run(status, sink.getvalue(), err.buffer.getvalue().decode())
    given.may_crash = bool(crash)
    check(done.stdout, done.stderr, status, given)
    return done


def _process_state_kept():
    """Put back at the end what a command line sets for its whole process."""
    stack, root = ExitStack(), logging.getLogger()
    stack.callback(gc.set_threshold, *gc.get_threshold())
    stack.callback(gc.unfreeze)
    stack.callback(root.setLevel, root.level)
    stack.callback(setattr, sys, "excepthook", sys.excepthook)
    stack.callback(logging.captureWarnings, capture=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        stack.callback(signal.signal, number, signal.getsignal(number))
    handlers = list(root.handlers)
    stack.callback(lambda: root.handlers.__setitem__(slice(None), handlers))
    return stack
