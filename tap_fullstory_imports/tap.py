"""The tap: its streams, its command line, its exit status."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, NoReturn

from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError, MappingError
from singer_sdk.helpers.capabilities import TapCapabilities
from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.plugin_base import SingerCommand
from singer_sdk.singerlib import Catalog
from singer_sdk.tap_base import CliTestOptionValue

from tap_fullstory_imports import logs, memory, sdk_settings, settings
from tap_fullstory_imports.faults import fault
from tap_fullstory_imports.fullstory import clock
from tap_fullstory_imports.messages import BufferedWriter, TargetGoneError
from tap_fullstory_imports.report import Report
from tap_fullstory_imports.settings import Settings
from tap_fullstory_imports.state import Bookmarks, StateError, parse
from tap_fullstory_imports.streams import STREAMS
from tap_fullstory_imports.sync import Sync

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Sequence
    from types import FrameType

    import click
    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from tap_fullstory_imports.streams import JobStream

END_SECONDS = 1.2  # for everything but a target that does not read
TARGET_SECONDS = 10.0


@dataclass
class ConfigInput:
    """The settings of the command line, as the SDK's callbacks take them.

    Attributes:
        from_environment: Whether the environment has settings, too.
        parse_env: False, because the tap reads the environment itself.
    """

    config: dict[str, Any] = field(default_factory=dict)
    from_environment: bool = False
    parse_env: bool = False


class Command(SingerCommand):
    """The command line. A user's mistake ends in a sentence, with exit code 1."""

    @override
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments; `--discover` and `--test` do their work in here."""
        with _sentences(self.logger):
            return super().make_context(*args, **kwargs)
        raise AssertionError


@contextmanager
def _sentences(logger: logging.Logger) -> Iterator[None]:
    """End with exit code 1 and without a traceback if the user's input is at fault."""
    try:
        yield
    except ConfigValidationError as error:
        sentences = error.errors
    except MappingError as error:
        sentences = [f"`stream_maps` can't be used: {error}"]
    except StateError as error:
        sentences = [str(error)]
    else:
        return
    for sentence in sentences:
        logger.error("%s", sentence)
    sys.exit(1)


class TapFullstoryImports(Tap):
    """Reads what became of Fullstory's batch imports of events and of users."""

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
        self._signal: int | None = None
        config = dict(config or {})
        if validate_config:
            config, self.settings = self._checked(config)
        # The settings are checked: the SDK would warn of those that discovery lacks.
        self.config_jsonschema = {"properties": {}}  # type: ignore[misc]
        super().__init__(config=config, validate_config=False, **kwargs)
        del self.config_jsonschema
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._end_soon)
            signal.signal(signal.SIGTERM, self._end_soon)

    @classmethod
    def _checked(cls, config: dict[str, Any]) -> tuple[dict[str, Any], Settings]:
        """Check the settings, those of the SDK too."""
        cls.append_builtin_config(cls.config_jsonschema)
        known: dict[str, Any] = cls.config_jsonschema["properties"]
        config = settings.without_unset(config)
        if key := config.get("api_key"):
            logs.hide(str(key).strip().removeprefix("Basic "))
        theirs = {name: known[name] for name in known.keys() - settings.OWN}
        faults = {
            **settings.unknown(config, known),
            **sdk_settings.faults(config, theirs, [stream.name for stream in STREAMS]),
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
        self._bookmarks = Bookmarks(mine, [stream.name for stream in STREAMS])
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
        streams = self._selected(everything=most_rows is not None)
        report = Report(self.logger, self.settings.policy)
        if self.settings.shard:
            self.logger.info(
                "Shard %s: %d of %d jobs.",
                self.settings.shard,
                len(self.settings.job_ids) + len(self.settings.user_job_ids),
                self.settings.jobs_of_all_shards,
            )
        groups = [streams] if most_rows is None else [[one] for one in streams]
        try:
            for group in groups:
                sync = Sync(
                    group,
                    self.settings,
                    bookmarks=self._bookmarks,
                    writer=self.message_writer,
                    report=report,
                    look=self._look,
                    most_rows=most_rows,
                )
                sync.run()
            self.message_writer.flush()
        except TargetGoneError as error:
            report.stopped = error.reason
            raise
        finally:
            report.write()
        self._look()
        sys.exit(report.exit_status)

    def _selected(self, *, everything: bool) -> list[JobStream]:
        """The streams to read, the most important one first.

        Raises:
            ConfigValidationError: If there is none, or a map makes one unusable.
        """
        order = [stream.name for stream in STREAMS]
        streams: list[JobStream] = [
            self.streams[name]  # type: ignore[misc]
            for name in order
            if everything or self.streams[name].selected
        ]
        if not streams:
            raise fault(
                "The catalog selects none of this tap's streams. Select one, or leave"
                " out `--catalog`."
            )
        for stream in streams:
            stream.selected = True
            if all(isinstance(m, RemoveRecordTransform) for m in stream.stream_maps):
                raise fault(
                    f"`stream_maps` leaves nothing of `{stream.name}`. To leave the"
                    " stream out, deselect it."
                )
            for stream_map in stream.stream_maps:
                keys = stream_map.transformed_key_properties or ()
                known = stream_map.transformed_schema.get("properties", {})
                if not isinstance(stream_map, RemoveRecordTransform) and (
                    set(keys) - known.keys()
                ):
                    raise fault(
                        f"`flattening_max_key_length` would rename the key of"
                        f" `{stream.name}`. Raise it."
                    )
        return streams

    def _look(self) -> None:
        """End the run if a signal asks for it."""
        if self._signal is not None:
            raise SystemExit(128 + self._signal)

    def _end_soon(self, signum: int, _frame: FrameType | None) -> None:
        """Ask the run to end at the next whole line, and see that it does.

        The SDK would write STATE from in here, perhaps in the middle of a line, and end
        with the exit code 0.
        """
        if self._signal is None:
            self._signal = signum
            threading.Thread(target=self._see_the_end, daemon=True).start()

    def _see_the_end(self) -> None:
        """End the process if it does not end by itself.

        A target that does not read gets some time to take what is in the buffer.
        Nothing else gets more than a moment.
        """
        asked, idle_since = clock.now(), time.monotonic()
        while time.monotonic() - idle_since < END_SECONDS:
            time.sleep(END_SECONDS / 50)
            if self.message_writer.is_writing and clock.now() - asked < TARGET_SECONDS:
                idle_since = time.monotonic()
            elif self.message_writer.is_writing:
                break
        os._exit(128 + (self._signal or 0))

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
        with _sentences(cls.logger):
            tap = cls(
                config=cls._merged(config),
                state=None if state is None else _read_state(state),
                catalog=_read_catalog(catalog),
            )
            tap.read_all()

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Read one record of each stream, or with `schema` write the schemas only."""
        if value == CliTestOptionValue.Disabled.value:
            return
        tap = cls(config=cls._merged(ctx.params.get("config")))
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
        config: dict[str, Any] = {}
        for path in value:
            if path == "ENV":
                continue
            try:
                content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                raise fault(f"`--config`: {path}: {error}") from None
            if not isinstance(content, dict):
                raise fault(f"`--config`: {path} is not a JSON object.")
            config |= content
        return ConfigInput(config, "ENV" in value)

    @classmethod
    def _merged(cls, given: ConfigInput | None) -> dict[str, Any]:
        """The settings of the files and, with ``ENV``, of the environment."""
        if given is None or not given.from_environment:
            return given.config if given else {}
        cls.append_builtin_config(cls.config_jsonschema)
        prefix = f"{cls.name.upper().replace('-', '_')}_"
        found = settings.from_environment(prefix, cls.config_jsonschema["properties"])
        return {**given.config, **found}

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


def _read_state(file: IO[str]) -> dict[str, Any]:
    try:
        return parse(file.read())
    except UnicodeDecodeError:
        raise StateError("it is not text in UTF-8") from None


def _read_catalog(file: IO[str] | None) -> Catalog | None:
    if file is None:
        return None
    catalog = None
    with suppress(AttributeError, KeyError, RecursionError, TypeError, ValueError):
        catalog = Catalog.from_dict(json.loads(file.read()))
    if catalog is None:
        raise fault(
            "`--catalog`: the file is not a Singer catalog. Make one with `--discover`."
        )
    if not any(catalog.get_stream(stream.name) for stream in STREAMS):
        raise fault(
            "`--catalog`: the file has none of this tap's streams. Make one with"
            " `--discover`."
        )
    return catalog
