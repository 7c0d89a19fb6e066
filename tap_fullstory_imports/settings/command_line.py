"""What the command line hands to the tap, and what it says of the tap.

Files are UTF-8 in every locale, with or without a byte order mark. The SDK decodes them
by the locale, takes no byte order mark, and ends in tracebacks.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import click
from singer_sdk.about import AboutFormatter, AboutInfo
from singer_sdk.exceptions import ConfigValidationError, MappingError
from singer_sdk.singerlib import Catalog, Schema
from typing_extensions import override

from tap_fullstory_imports.settings.checks import fault
from tap_fullstory_imports.settings.declaration import OWN, PREFIX

EPILOG = (
    "Example: tap-fullstory-imports --config config.json --state state.json |"
    " your-target\nDocumentation:"
    " https://github.com/fullstory-imports/tap-fullstory-imports#readme"
)
RESTART = (
    " To read all jobs again, run without `--state`, or under Meltano after `meltano"
    " state clear`."
)


@contextmanager
def exit_on_user_error(logger: logging.Logger) -> Iterator[None]:
    """End with exit code 1 and without a traceback if the user's input is at fault."""
    try:
        yield
    except ConfigValidationError as error:
        sentences = error.errors
    except MappingError as error:
        sentences = [f"`stream_maps` can't be used: {error}"]
    else:
        return
    for sentence in sentences:
        logger.error("%s", sentence)
    sys.exit(1)


class SettingsInWords(AboutFormatter, format_name="text"):
    """The text of `--about`, with what each setting means and its default."""

    @override
    def format_about(self, about_info: AboutInfo) -> str:
        text = click.HelpFormatter(width=88)
        about: dict[str, Any] = about_info.settings
        for name in ("name", "description", "version"):
            text.write(f"{name.capitalize()}: {getattr(about_info, name)}\n")
        text.write(f"SDK Version: {about_info.sdk_version}\n{EPILOG}\n\n")
        text.write_text(f"Capabilities: {', '.join(map(str, about_info.capabilities))}")
        text.write("\nSettings, and their variables for `--config=ENV`:\n")
        for name, schema in about["properties"].items():
            default = f" (default: {schema['default']})" if "default" in schema else ""
            required = " (required)" if name in about["required"] else default
            text.write(f"\n{name}{required}\n")
            with text.indentation():
                text.write(f"  {about_info.env_var_prefix}{name.upper()}\n")
                text.write_text(" ".join(str(schema.get("description", "")).split()))
        return text.getvalue().rstrip()


def read_config(paths: Collection[str], known: Collection[str]) -> SimpleNamespace:
    """Read the files of `--config`, and for ``ENV`` the environment.

    In the environment, the tap's own settings are text. Those of the SDK are JSON, or
    else text. An empty variable counts as not set. The result has the form that the
    SDK's callbacks take; they need not parse the environment again.
    """
    config: dict[str, Any] = {}
    for path in paths:
        where = f"`--config`: {path}"
        if path.lstrip().startswith("{"):  # not shown: it can hold the API key
            raise fault(
                "`--config` takes the path of a file. Put the settings into one."
            )
        try:
            config |= {} if path == "ENV" else _object(Path(path).read_bytes(), where)
        except OSError as error:
            raise fault(f"{where} can't be read: {error.strerror}.") from None
    for name in known if "ENV" in paths else ():
        if text := os.environ.get(PREFIX + name.upper()):
            config[name] = text
            if name not in OWN:
                with suppress(ValueError, RecursionError):
                    config[name] = json.loads(text)
    return SimpleNamespace(config=config, parse_env=False)


def read_state(file: TextIO) -> dict[str, Any]:
    """Read a state, a STATE message, or the output of ``meltano state get``."""
    where = f"`--state`: {file.name}"
    state: Any = _object(file.buffer.read(), where, RESTART)
    if state.get("type") == "STATE":
        state = state.get("value")
    if isinstance(state, dict):
        state = state.get("singer_state", state)
    if not isinstance(state, dict):
        raise fault(f"{where} is not a state.{RESTART}")
    return state


def read_catalog(file: TextIO, own: Catalog) -> Catalog:
    """Read a catalog, which must have a stream of the tap's own catalog.

    It selects. The names, keys and columns of the tap hold, or rows would be lost in
    the target; a catalog can only add columns.
    """
    where, catalog = f"`--catalog`: {file.name}", Catalog()
    content = _object(file.buffer.read(), where)
    with suppress(AttributeError, KeyError, RecursionError, TypeError, ValueError):
        catalog = Catalog.from_dict(content)
    for name in own.keys() & catalog.keys():
        entry, mine = catalog[name], own[name]
        entry.stream, entry.key_properties = name, mine.key_properties
        entry.schema = Schema.from_dict(
            _joined(mine.schema.to_dict(), entry.schema.to_dict())
        )
        entry.metadata.setdefault((), mine.metadata[()])  # or nothing is selected
        for key in mine.key_properties or ():
            entry.metadata[("properties", key)] = mine.metadata[("properties", key)]
    if own.keys().isdisjoint(catalog):
        raise fault(
            f"{where} is not a catalog with one of this tap's streams. Make one with"
            " `--discover`."
        )
    return catalog


def _joined(own: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object, with the fields that another one adds."""
    fields, more = own.get("properties", {}), given.get("properties", {})
    if "object" not in own["type"] or not {**fields, **more}:
        return own
    joined = {name: _joined(fields[name], more.get(name, {})) for name in fields}
    return {**own, "properties": {**more, **joined}}


def _object(content: bytes, where: str, way_on: str = "") -> dict[str, Any]:
    try:
        value = deepcopy(json.loads(content.decode("utf-8-sig")))
    except UnicodeDecodeError:
        raise fault(f"{where} is not a text file in UTF-8.{way_on}") from None
    except RecursionError:  # of `deepcopy` at the latest: the value is copied later
        raise fault(f"{where} is nested too deeply.{way_on}") from None
    except ValueError as error:
        raise fault(f"{where} is not JSON: {error}.{way_on}") from None
    if not isinstance(value, dict):
        raise fault(f"{where} is not a JSON object.{way_on}")
    return value
