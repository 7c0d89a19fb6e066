"""Runs the tap's command line and collects all that comes out of it."""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import signal
import subprocess
import sys
import traceback
import warnings
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from unittest.mock import patch

from tap_fullstory_imports.tap import TapFullstoryImports
from tests.hurry import hurried

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.stand_in import StandIn

PREFIX = "TAP_FULLSTORY_IMPORTS_"
SPEED = 100.0
"""How many of its seconds a hurried tap lives in one second."""


@dataclass(frozen=True)
class Run:
    """What one run of the command line left behind."""

    status: int
    stdout: bytes
    stderr: str

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """The Singer messages, numbers kept digit by digit."""
        return [
            json.loads(line, parse_float=Decimal) for line in self.stdout.splitlines()
        ]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The messages of a type."""
        return [message for message in self.messages if message["type"] == kind]

    def records(self, stream: str = "imported_events") -> list[dict[str, Any]]:
        """The records of a stream."""
        return [
            message["record"]
            for message in self.of_type("RECORD")
            if message["stream"] == stream
        ]

    @property
    def states(self) -> list[dict[str, Any]]:
        """The values of all STATE messages."""
        return [message["value"] for message in self.of_type("STATE")]

    @property
    def state(self) -> dict[str, Any]:
        """The last STATE, the one that is saved."""
        return self.states[-1]

    def completed(self, stream: str = "imported_events") -> dict[str, int]:
        """The finished jobs in the last STATE."""
        completed: dict[str, int] = self.state["bookmarks"][stream]["completed_jobs"]
        return completed

    @property
    def lines(self) -> list[str]:
        """The texts of the log lines, without their times and names."""
        return [line.split(" | ")[-1] for line in self.stderr.splitlines()]

    @property
    def errors(self) -> list[str]:
        """The texts of the log lines of the level ERROR."""
        return [
            line.split(" | ")[-1]
            for line in self.stderr.splitlines()
            if " | ERROR " in line
        ]


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

    def arguments(
        self,
        *arguments: str,
        state: object = None,
        catalog: object = None,
        **settings: Any,
    ) -> list[str]:
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

    def run(self, *arguments: str, speed: float = SPEED, **settings: Any) -> Run:
        """Run the command line in this process, with settings in a file.

        Args:
            arguments: More of the command line.
            speed: How much faster its clock runs than the real one.
            settings: Settings, and ``state`` and ``catalog`` for files of that name.
        """
        return run(self.arguments(*arguments, **settings), speed=speed)

    def start(
        self,
        *arguments: str,
        speed: float = 1,
        stdout: IO[bytes] | int = subprocess.PIPE,
        **settings: Any,
    ) -> subprocess.Popen[bytes]:
        """Start the command line as a process of its own."""
        return subprocess.Popen(  # noqa: S603 - the tap itself
            [
                sys.executable,
                "-m",
                "tests.hurry",
                str(speed),
                *self.arguments(*arguments, **settings),
            ],
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )


def selecting(*streams: str) -> dict[str, Any]:
    """A catalog in which only some streams are selected."""
    catalog = TapFullstoryImports(validate_config=False, setup_mapper=False).catalog
    for entry in catalog.streams:
        entry.metadata.root.selected = entry.tap_stream_id in streams
    return catalog.to_dict()


def run(
    arguments: list[str],
    *,
    environment: Mapping[str, str] | None = None,
    speed: float = SPEED,
) -> Run:
    """Run the command line in this process, as a shell would see it.

    Args:
        arguments: The command line without the command.
        environment: Variables set for the run; no other variable of the tap's is seen.
        speed: How much faster the tap's clock runs than the real one.
    """
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
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
        except BaseException:  # noqa: BLE001 - as the interpreter would
            status = 1
            traceback.print_exc()
    return Run(
        status,
        out.buffer.getvalue(),
        err.buffer.getvalue().decode(),
    )


def _process_state_kept() -> ExitStack:
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
