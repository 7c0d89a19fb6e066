"""The tap: its settings, its streams, its command line."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from copy import deepcopy
from typing import IO, TYPE_CHECKING, Any, ClassVar, NoReturn

from singer_sdk import Tap
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import ConfigValidationError, MappingError
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.helpers._util import load_json, read_json_file
from singer_sdk.helpers.capabilities import TapCapabilities
from singer_sdk.plugin_base import SingerCommand, _ConfigInput
from singer_sdk.singerlib import Catalog
from singer_sdk.tap_base import CliTestOptionValue

from tap_fullstory_imports import bookmarks, memory, settings
from tap_fullstory_imports.jobs import WaitBudget
from tap_fullstory_imports.messages import BufferedWriter, TargetGoneError
from tap_fullstory_imports.pace import Pace
from tap_fullstory_imports.report import Report
from tap_fullstory_imports.settings import Settings
from tap_fullstory_imports.streams import ImportedEvents, ImportErrors, ImportJobs

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    import click
    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from tap_fullstory_imports.replication import JobStream

GRACE_SECONDS = 1.2


class Command(SingerCommand):
    """The command line. What a user can mend is told in a sentence, with status 1."""

    @override
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments; `--discover` and `--test` do their work in here."""
        with _sentences(self.logger):
            return super().make_context(*args, **kwargs)
        raise AssertionError


@contextmanager
def _sentences(logger: logging.Logger) -> Iterator[None]:
    """End with status 1 and without a traceback if the user's settings are at fault."""
    try:
        yield
    except ConfigValidationError as error:
        for sentence in error.errors:
            logger.error("%s", sentence)  # noqa: TRY400 - no traceback
        sys.exit(1)
    except MappingError as error:
        logger.error("`stream_maps` can't be used: %s", error)  # noqa: TRY400 - as above
        sys.exit(1)


class TapFullstoryImports(Tap):
    """Reads what became of Fullstory's batch imports of custom events."""

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

    settings: Settings
    signal: int | None = None

    def __init__(self, **kwargs: Any) -> None:
        """Take the settings, the catalog and the state; see the SDK's `Tap`."""
        self.report = Report()
        self.pace = Pace()
        super().__init__(**kwargs)

    @override
    def discover_streams(self) -> Sequence[JobStream]:
        return [ImportedEvents(self), ImportErrors(self), ImportJobs(self)]

    # Settings

    @override
    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805 - it is a class property
        """The settings in the environment; the tap's own as text, as they are."""
        cls.append_builtin_config(cls.config_jsonschema)
        known = cls.config_jsonschema["properties"]
        others = {name: known[name] for name in known.keys() - settings.OWN}
        prefix = cls._env_var_prefix
        for sentence in settings.misspelt_in_environment(prefix, known):
            cls.logger.warning("%s", sentence)
        parsed = parse_environment_config({"properties": others}, prefix)
        return {**parsed, **settings.from_environment(prefix)}

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the settings. Without `raise_errors` none is needed: for discovery."""
        if not raise_errors:
            return []
        self.append_builtin_config(self.config_jsonschema)
        self._config = settings.read(self._config)
        if errors := settings.check(self._config, self.config_jsonschema):
            raise ConfigValidationError("Unusable settings", errors=errors)
        self.settings = Settings.from_config(self._config)
        self.wait_budget = WaitBudget(self.settings.job_wait_timeout)
        return []

    # State

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Take the finished jobs of an earlier run; what is damaged is left out."""
        if not state:
            return
        cleaned, faults = bookmarks.clean(state, frozenset(self.settings.job_ids))
        for fault in faults:
            self.logger.warning("%s The jobs behind it are read again.", fault)
        super().load_state(cleaned)

    # Command line

    def run(self, work: Callable[[], object]) -> NoReturn:
        """Do the work of the command, report it, and end with its exit status."""
        if not any(stream.selected for stream in self.streams.values()):
            self.logger.warning("The catalog selects none of this tap's streams.")
        try:
            work()
            self.message_writer.flush()
        except TargetGoneError as error:
            self.report.stopped = error.reason
            raise
        finally:
            self.report.write(self.logger)
        sys.exit(self.report.exit_status if self.signal is None else 128 + self.signal)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Ask the run to end at the next whole line, and see that it does.

        The SDK would write STATE from in here, perhaps in the middle of a line, and end
        with the status 0.
        """
        if self.signal is None:
            self.signal = signum
            watchdog = threading.Timer(GRACE_SECONDS, os._exit, (128 + signum,))
            watchdog.daemon = True
            watchdog.start()

    @classmethod
    @override
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
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
            tap = cls._from_input(
                config,
                state=_read_state(state, cls.logger),
                catalog=_read_catalog(catalog),
            )
            tap.run(tap.sync_all)

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Read one record of each stream, or with `schema` write the schemas only."""
        if value == CliTestOptionValue.Disabled.value:
            return
        tap = cls._from_input(ctx.params.get("config"))
        is_schema = value == CliTestOptionValue.Schema.value
        tap.run(tap.write_schemas if is_schema else tap.run_connection_test)

    @classmethod
    @override
    def cb_config(
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> _ConfigInput:
        """Read the files of settings."""
        config: dict[str, Any] = {}
        for path in value:
            if path == "ENV":
                continue
            try:
                content: Any = read_json_file(path)
            except (OSError, ValueError, RecursionError) as error:
                raise settings.fault(f"`--config`: {path}: {error}") from None
            if not isinstance(content, dict):
                raise settings.fault(f"`--config`: {path} is not a JSON object.")
            config |= content
        return _ConfigInput(config=config, parse_env="ENV" in value)

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

    @classmethod
    def _from_input(
        cls, config: _ConfigInput | None, **kwargs: Any
    ) -> TapFullstoryImports:
        config = config or _ConfigInput()
        return cls(config=config.config, parse_env_config=config.parse_env, **kwargs)


def _read_state(file: IO[str] | None, logger: logging.Logger) -> Any:
    """The state in a file. A damaged one is as good as none: all is read again."""
    if file is None:
        return None
    try:
        state: Any = load_json(file.read())
    except (ValueError, RecursionError):
        logger.warning("The state is not JSON. All jobs are read again.")
        return None
    if not isinstance(state, dict):  # the SDK would take it for the path of a file
        logger.warning("The state is not an object. All jobs are read again.")
        return None
    return state


def _read_catalog(file: IO[str] | None) -> Catalog | None:
    if file is None:
        return None
    try:
        return Catalog.from_dict(load_json(file.read()))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        msg = "`--catalog`: the file is not a Singer catalog; make one by `--discover`."
        raise settings.fault(msg) from None
