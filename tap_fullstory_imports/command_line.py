"""What the command line hands to the tap: settings, a state, a catalog."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from singer_sdk.exceptions import ConfigValidationError, MappingError
from singer_sdk.plugin_base import SingerCommand
from singer_sdk.singerlib import Catalog
from typing_extensions import override

from tap_fullstory_imports import settings, state
from tap_fullstory_imports.faults import fault

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator

    import click


class Command(SingerCommand):
    """The command line. A user's mistake ends in a sentence, with exit code 1."""

    @override
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments; `--discover` and `--test` do their work in here."""
        with sentences(self.logger):
            return super().make_context(*args, **kwargs)
        raise AssertionError


@contextmanager
def sentences(logger: logging.Logger) -> Iterator[None]:
    """End with exit code 1 and without a traceback if the user's input is at fault."""
    try:
        yield
    except ConfigValidationError as error:
        reasons = error.errors
    except MappingError as error:
        reasons = [f"`stream_maps` can't be used: {error}"]
    except state.StateError as error:
        reasons = [str(error)]
    else:
        return
    for reason in reasons:
        logger.error("%s", reason)
    sys.exit(1)


@dataclass
class ConfigInput:
    """The settings of the command line, as the SDK's callbacks take them.

    Attributes:
        config: The settings of the files.
        from_environment: Whether the environment has settings, too.
        parse_env: False, because the tap reads the environment itself.
    """

    config: dict[str, Any] = field(default_factory=dict)
    from_environment: bool = False
    parse_env: bool = False

    @classmethod
    def of(cls, paths: Iterable[str]) -> ConfigInput:
        """Read files of settings; ``ENV`` stands for the environment.

        Raises:
            ConfigValidationError: If a file can't be read.
        """
        given = cls()
        for path in paths:
            if path == "ENV":
                given.from_environment = True
                continue
            if path.lstrip().startswith("{"):  # not shown: it can hold the API key
                raise fault(
                    "`--config` takes the path of a file. Put the settings into one."
                )
            try:
                content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                raise fault(f"`--config`: {path}: {error}") from None
            if not isinstance(content, dict):
                raise fault(f"`--config`: {path} is not a JSON object.")
            given.config |= content
        return given

    def merged(self, known: Iterable[str]) -> dict[str, Any]:
        """The settings of the files and of the environment.

        In the environment, the tap's own settings are text. Those of the SDK are JSON,
        or else text.

        Args:
            known: The names of all settings, the SDK's included.
        """
        found = dict(self.config)
        for name in known if self.from_environment else ():
            text = os.environ.get(settings.PREFIX + name.upper())
            if not text:  # an empty variable counts as not set
                continue
            found[name] = text
            if name not in settings.OWN:
                with suppress(ValueError, RecursionError):
                    found[name] = json.loads(text)
        return found


def read_state(file: IO[str]) -> dict[str, Any]:
    """Read a file with a state.

    Raises:
        StateError: If it has none.
    """
    try:
        return state.parse(file.read())
    except UnicodeDecodeError:
        raise state.StateError("it is not text in UTF-8") from None


def read_catalog(file: IO[str], streams: Iterable[str]) -> Catalog:
    """Read a file with a catalog.

    Raises:
        ConfigValidationError: If it has none, or none with one of these streams.
    """
    catalog = None
    with suppress(AttributeError, KeyError, RecursionError, TypeError, ValueError):
        catalog = Catalog.from_dict(json.loads(file.read()))
    if catalog is None:
        raise fault(
            "`--catalog`: the file is not a Singer catalog. Make one with `--discover`."
        )
    if not any(catalog.get_stream(stream) for stream in streams):
        raise fault(
            "`--catalog`: the file has none of this tap's streams. Make one with"
            " `--discover`."
        )
    return catalog
