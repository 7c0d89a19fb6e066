"""The tap: its streams, its command line, its exit code."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, ClassVar, NoReturn, Self, TextIO

import click
from singer_sdk import Tap
from singer_sdk.helpers.capabilities import CapabilitiesEnum, TapCapabilities
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_fullstory_imports.fullstory.session import Sessions
from tap_fullstory_imports.fullstory.stream import JobStream
from tap_fullstory_imports.jobs.run import Run
from tap_fullstory_imports.reporting import words
from tap_fullstory_imports.settings import checks
from tap_fullstory_imports.settings.command_line import (
    EPILOG,
    exit_on_user_error,
    read_catalog,
    read_config,
    read_state,
)
from tap_fullstory_imports.settings.declaration import NAME, SCHEMA
from tap_fullstory_imports.settings.settings import Settings
from tap_fullstory_imports.singer.state import Bookmarks
from tap_fullstory_imports.singer.writer import Writer
from tap_fullstory_imports.streams import STREAMS

NAMES = tuple(stream.name for stream in STREAMS)


class TapFullstoryImports(Tap):
    """Reads the results of Fullstory's batch imports of events and users."""

    name = NAME
    package_name = NAME
    config_jsonschema: ClassVar[dict[str, Any]] = deepcopy(SCHEMA)
    message_writer_class = Writer
    message_writer: Writer
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        capability
        for capability in Tap.capabilities
        if capability != TapCapabilities.ACTIVATE_VERSION
    ]

    def __init__(
        self, *, config: Any = None, validate_config: bool = True, **kwargs: Any
    ) -> None:
        """Take the settings, the catalog and the state; see the SDK's `Tap`."""
        # Without settings, the streams can only be described.
        self.settings: Any = None
        self._sessions: Any = None
        config = config or {}
        if validate_config:
            self.settings = self._checked(config)
            self._sessions = Sessions(
                self.settings.api_url,
                self.settings.request_timeout,
                self.settings.max_page_bytes,
            )
        # The settings are checked: the SDK would warn of those that discovery lacks.
        self.config_jsonschema = {"properties": {}}  # type: ignore[misc]
        handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
        super().__init__(config=config, validate_config=False, **kwargs)
        del self.config_jsonschema
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # instead of those of the SDK
                signal.signal(number, handler)

    @classmethod
    def _checked(cls, config: dict[str, Any]) -> Settings:
        """Check the settings, those of the SDK too."""
        cls.append_builtin_config(cls.config_jsonschema)
        known: dict[str, Any] = cls.config_jsonschema["properties"]
        if key := config.get("api_key"):
            words.hide(checks.bare_key(str(key)))
        checked = Settings.from_config(config, checks.of_others(config, known, NAMES))
        if checked.shard:
            words.hide(checked.api_key, f"Shard {checked.shard}: ")
        return checked

    @override
    def discover_streams(self) -> Sequence[JobStream]:
        return [stream(self, self.settings, self._sessions) for stream in STREAMS]

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state, with everything in it that is not this tap's."""
        mine: Any = self.state
        mine.update(state)
        self._bookmarks = Bookmarks(mine, NAMES)

    @classmethod
    def _own(cls) -> Self:
        """The tap without settings, as `--discover` describes it."""
        return cls(validate_config=False, setup_mapper=False)

    # Running

    def read_all(self, most_rows: int | None = None) -> NoReturn:
        """Read the streams job by job, report it, and end with the exit code.

        Args:
            most_rows: Read so many rows of each stream, selected or not; None reads all
                rows of the selected streams.
        """
        if self.settings.part:
            self.logger.info("%s", self.settings.part)
        streams: dict[str, Any] = self.streams
        run = Run(
            _selected(self, everything=most_rows is not None),
            {"events": streams["import_jobs"], "users": streams["user_import_jobs"]},
            self.settings,
            self._bookmarks,
            self.message_writer,
            self.logger,
            most_rows,
        )
        sys.exit(run())

    # Command line

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        words.hide("")  # until there is a key
        command = super().get_singer_command()
        command.epilog = f"\b\n{EPILOG}"  # click leaves its lines as they are
        return command

    @classmethod
    @override
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: SimpleNamespace | None = None,
        state: TextIO | None = None,
        catalog: TextIO | None = None,
    ) -> None:
        """Read all streams; or, with `about`, print what the tap is."""
        if about:
            cls.print_about(about_format)
            return
        cls.print_version(print_fn=cls.logger.info)
        with exit_on_user_error(cls.logger):
            tap = cls(
                config=config and config.config,
                state=state and read_state(state),
                catalog=catalog and read_catalog(catalog, cls._own().catalog),
            )
            tap.read_all()

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Read one record of each stream, or with `schema` write the schemas only."""
        if value == CliTestOptionValue.Disabled.value:
            return
        with exit_on_user_error(cls.logger):
            tap = cls(config=ctx.params["config"].config)
            if value == CliTestOptionValue.Schema.value:
                tap.write_schemas()
                ctx.exit()
            if sys.stdout and sys.stdout.isatty():
                tap.message_writer.leaves_out = b'{"type":"SCHEMA"'
            tap.read_all(most_rows=1)

    @classmethod
    @override
    def cb_config(  # type: ignore[override]
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> SimpleNamespace:
        """Read the files of settings."""
        cls.append_builtin_config(cls.config_jsonschema)
        with exit_on_user_error(cls.logger):
            return read_config(value, cls.config_jsonschema["properties"])
        raise AssertionError


def _selected(tap: Tap, *, everything: bool) -> list[JobStream]:
    """The streams to read, the most important one first.

    Raises:
        ConfigValidationError: If there is none, or a map makes one unusable.
    """
    streams: list[JobStream] = [
        tap.streams[name]  # type: ignore[misc]
        for name in NAMES
        if everything or tap.streams[name].selected
    ]
    if not streams:
        raise checks.fault(
            "The catalog selects none of this tap's streams. Select one, or leave"
            " out `--catalog`."
        )
    for stream in streams:
        stream.selected = True
    checks.check_maps(streams)
    for kind, name in (("events", "import_jobs"), ("users", "user_import_jobs")):
        unread: JobStream = tap.streams[name]  # type: ignore[assignment]
        if unread.job_ids and not any(stream.kind == kind for stream in streams):
            tap.logger.warning(
                "The catalog selects no stream of %s. Not read: %s.",
                kind,
                words.many(len(unread.job_ids), "job"),
            )
    return streams
