"""The tap: its streams, its command line, its exit code."""

from __future__ import annotations

import sys
import threading
from copy import deepcopy
from typing import IO, TYPE_CHECKING, Any, ClassVar, NoReturn

from singer_sdk import Tap
from singer_sdk.helpers.capabilities import TapCapabilities
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_fullstory_imports import command_line, logs, memory, sdk_settings, settings
from tap_fullstory_imports.command_line import Command, ConfigInput, sentences
from tap_fullstory_imports.ending import Ending
from tap_fullstory_imports.faults import fault
from tap_fullstory_imports.messages import BufferedWriter, TargetGoneError
from tap_fullstory_imports.report import Report
from tap_fullstory_imports.settings import Settings
from tap_fullstory_imports.state import Bookmarks
from tap_fullstory_imports.streams import STREAMS
from tap_fullstory_imports.sync import Sync

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click
    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from tap_fullstory_imports.streams import JobStream

NAMES = tuple(stream.name for stream in STREAMS)


class TapFullstoryImports(Tap):
    """Reads the results of Fullstory's batch imports of events and users."""

    name = settings.NAME
    package_name = settings.NAME
    config_jsonschema: ClassVar[dict[str, Any]] = deepcopy(settings.SCHEMA)
    message_writer_class = BufferedWriter
    message_writer: BufferedWriter
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        capability
        for capability in Tap.capabilities
        if capability != TapCapabilities.ACTIVATE_VERSION
    ]

    def __init__(
        self, *, config: Any = None, validate_config: bool = True, **kwargs: Any
    ) -> None:
        """Take the settings, the catalog and the state; see the SDK's `Tap`."""
        self.settings: Settings | None = None
        config = dict(config or {})
        if validate_config:
            config, self.settings = self._checked(config)
        # The settings are checked: the SDK would warn of those that discovery lacks.
        self.config_jsonschema = {"properties": {}}  # type: ignore[misc]
        super().__init__(config=config, validate_config=False, **kwargs)
        del self.config_jsonschema
        self._ending = Ending(self.message_writer)

    @classmethod
    def _checked(cls, config: dict[str, Any]) -> tuple[dict[str, Any], Settings]:
        """Check the settings, those of the SDK too."""
        cls.append_builtin_config(cls.config_jsonschema)
        known: dict[str, Any] = cls.config_jsonschema["properties"]
        config = settings.without_unset(config)
        if key := config.get("api_key"):
            logs.hide(settings.bare_key(str(key)))
        theirs = {name: known[name] for name in known.keys() - settings.OWN}
        faults = {
            **settings.unknown(config, known),
            **sdk_settings.faults(config, theirs, NAMES),
        }
        return config, Settings.from_config(config, faults)

    @override
    def discover_streams(self) -> Sequence[JobStream]:
        return [stream(self, self.settings) for stream in STREAMS]

    # State

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state, with everything in it that is not this tap's."""
        mine: Any = self.state
        mine.update(state)
        self._bookmarks = Bookmarks(mine, NAMES)
        if self.settings is not None:
            for stream in STREAMS:
                job_ids = frozenset(self.settings.jobs_of(stream.kind))
                self._bookmarks.forget_oldest(stream.name, job_ids)

    # Running

    def read_all(self, most_rows: int | None = None) -> NoReturn:
        """Read all selected streams, report it, and end with the exit code.

        Args:
            most_rows: Read so many rows of each stream, one stream after the other;
                None reads everything.
        """
        if self.settings is None:
            raise RuntimeError("The tap has no settings.")
        if threading.current_thread() is threading.main_thread():
            self._ending.handle_signals()
        streams = _selected(self, everything=most_rows is not None)
        report = Report(self.logger, self.settings.policy)
        if self.settings.shard:
            self.logger.info("%s", self.settings.part)
        groups = [streams] if most_rows is None else [[one] for one in streams]
        try:
            for group in groups:
                sync = Sync(
                    group,
                    self.settings,
                    bookmarks=self._bookmarks,
                    writer=self.message_writer,
                    report=report,
                    look=self._ending.look,
                    most_rows=most_rows,
                )
                sync.run()
                if report.summary.stopped:
                    break
            self.message_writer.flush()
        except TargetGoneError as error:
            report.summary.stopped = error.reason
            raise
        except SystemExit:
            report.summary.stopped = self._ending.reason
            raise
        finally:
            report.write_summary()
        self._ending.look()
        sys.exit(report.summary.exit_status)

    # Command line

    @classmethod
    @override
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: ConfigInput | None = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> None:
        """Read all streams; or, with `about`, print what the tap is."""
        if about:
            cls.print_about(about_format)
            return
        cls.print_version(print_fn=cls.logger.info)
        memory.share_one_heap()
        with sentences(cls.logger):
            tap = cls(
                config=cls._given(config),
                state=state and command_line.read_state(state),
                catalog=catalog and command_line.read_catalog(catalog, NAMES),
            )
            tap.read_all()

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Read one record of each stream, or with `schema` write the schemas only."""
        if value == CliTestOptionValue.Disabled.value:
            return
        tap = cls(config=cls._given(ctx.params.get("config")))
        if value == CliTestOptionValue.Schema.value:
            tap.write_schemas()
            ctx.exit()
        tap.read_all(most_rows=1)

    @classmethod
    @override
    def cb_config(  # type: ignore[override]
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> ConfigInput:
        """Read the files of settings."""
        return ConfigInput.of(value)

    @classmethod
    def _given(cls, config: ConfigInput | None) -> dict[str, Any]:
        """The settings of the files and, with ``ENV``, of the environment."""
        if config is None:
            return {}
        cls.append_builtin_config(cls.config_jsonschema)
        return config.merged(cls.config_jsonschema["properties"])

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        return Command(
            name=command.name,
            callback=command.callback,
            context_settings=command.context_settings,
            help=command.help,
            params=command.params,
            logger=cls.logger,
        )


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
        raise fault(
            "The catalog selects none of this tap's streams. Select one, or leave"
            " out `--catalog`."
        )
    for stream in streams:
        stream.selected = True
        sdk_settings.check_maps(stream)
    return streams
