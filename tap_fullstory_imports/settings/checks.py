"""What can be wrong with a setting, in sentences for the user.

The SDK's validator of JSON schemas checks all settings, ours and the SDK's. No sentence
quotes the value of a setting, because the value may be a secret.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatch
from typing import Any

from singer_sdk import Stream
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

from tap_fullstory_imports.settings.declaration import OWN

_LABEL = "[a-z0-9_-]{1,63}"
_URL = re.compile(
    rf"(https?)://({_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::([0-9]{{1,5}}))?"
    r"((?:[/?#]\S*)?)",
    re.IGNORECASE | re.ASCII,
)


def fault(sentence: str) -> ConfigValidationError:
    """An error whose sentence says what to change, and how."""
    return ConfigValidationError("Unusable settings", errors=[sentence])


def breach(name: str, value: Any, schema: Mapping[str, Any]) -> str:
    """A sentence that says what is wrong with a setting; empty if nothing is."""
    try:
        error = next(DEFAULT_JSONSCHEMA_VALIDATOR(schema).iter_errors(value), None)
    except AttributeError:  # the SDK's schema of `__else__` is not valid itself
        return f"`{name}` is not of the right form."
    if error is None:
        return ""
    path = ".".join([name, *map(str, error.path)])
    said = error.message.removeprefix(repr(error.instance))  # begins with the value
    return f"`{path}`{':' * (said == error.message)} {said.strip()}."


# The SDK's settings


def _closed(*required: str, **properties: Any) -> dict[str, Any]:
    """The schema of an object without other properties."""
    schema = {"type": "object", "required": required, "properties": properties}
    return {**schema, "additionalProperties": False}


# Stricter than the SDK's, whose BATCH messages would fail on the rest.
_BATCH_CONFIG = _closed(
    "encoding",
    "storage",
    encoding=_closed(
        "format", format={"enum": ["jsonl"]}, compression={"enum": ["gzip"]}
    ),
    storage=_closed("root", root={"type": "string"}, prefix={}, params={}),
    batch_size={"type": ["integer", "null"], "minimum": 1},
)


def of_others(
    config: Mapping[str, Any], known: Mapping[str, Any], streams: Collection[str]
) -> dict[str, str]:
    """What is wrong with unknown settings and with those of the SDK, by name.

    `known` has the JSON schemas of all settings.
    """
    found = {}
    for name in config.keys() - OWN:
        if name in known:
            wrong = breach(name, config[name], known[name])
            found[name] = wrong or _of_sdk(name, config, streams)
        else:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            found[name] = f"There is no setting `{name}`.{hint}"
    return {name: sentence for name, sentence in found.items() if sentence}


def _of_sdk(name: str, config: Mapping[str, Any], streams: Collection[str]) -> str:
    """What the SDK's own schema of a setting allows, though it would lose rows."""
    if name == "batch_config" and config[name]:
        if config.get("stream_maps") or config.get("flattening_enabled"):
            return (
                "`batch_config` can't be combined with `stream_maps` or"
                " `flattening_enabled`. Leave one of them out."
            )
        return breach(name, config[name], _BATCH_CONFIG)
    maps = (config[name] or {}) if name == "stream_maps" else {}
    for key, entry in maps.items():
        source = entry.get("__source__", key) if isinstance(entry, dict) else key
        if not key.startswith("__") and not any(
            fnmatch(one, source) for one in streams
        ):
            return (
                f"`stream_maps` names `{source}`, but there is no such stream. The"
                f" streams are {', '.join(f'`{one}`' for one in streams)}."
            )
    return ""


def check_maps(streams: Iterable[Stream]) -> None:
    """See that maps and flattening leave the records of each stream and their keys.

    Raises:
        ConfigValidationError: If they don't, or give a name to two streams.
    """
    named: dict[str, str] = {}
    for stream in streams:
        maps = [
            one
            for one in stream.stream_maps
            if not isinstance(one, RemoveRecordTransform)
        ]
        if not maps:
            raise fault(
                f"`stream_maps` leaves nothing of `{stream.name}`. To leave the stream"
                " out, deselect it."
            )
        for one in maps:
            if other := named.get(one.stream_alias):
                raise fault(
                    f"`stream_maps` gives the name `{one.stream_alias}` to"
                    f" `{other}` and to `{stream.name}`. Their rows would be mixed:"
                    " choose two names."
                )
            named[one.stream_alias] = stream.name
            fields = one.transformed_schema.get("properties", {})
            if set(one.transformed_key_properties or ()) - fields.keys():
                raise fault(
                    "`flattening_max_key_length` would rename the key of"
                    f" `{stream.name}`. Raise it."
                )


# Single settings: each check returns the value in the form that the tap uses.


def bare_key(text: str) -> str:
    """An API key without a leading `Basic `."""
    return re.sub(r"^\s*(?:basic(?:\s+|$))?|\s+$", "", text, flags=re.IGNORECASE)


def api_key(text: str) -> str:
    """The API key as it is sent."""
    key = bare_key(text)
    if not re.fullmatch("[!-~]+", key) or key.strip("\"'`") != key:
        raise fault(
            "`api_key` must be the key alone, without spaces, line breaks, and quotes"
            " around it. Copy it again."
        )
    return key


def user_agent(text: str) -> str:
    """The text of the header."""
    if not re.fullmatch("[ -~]+", text.strip()):
        raise fault("`user_agent` must be printable ASCII text on one line.")
    return text.strip()


def api_url(text: str) -> str:
    """An address that the API key may travel to, without a slash at its end."""
    url = web_address(text.strip())
    if not url or url[4].strip("/"):
        raise fault(
            "`api_url` must be an address such as https://api.fullstory.com, without a"
            " user name, a query, or a path such as /v2/events."
        )
    if not is_safe(url):
        raise fault(
            "`api_url` must begin with https://, or the API key would travel in clear."
        )
    return f"{url[1].lower()}{url[0][len(url[1]) :].rstrip('/')}"


def web_address(text: str) -> re.Match[str] | None:
    """Scheme, host, port and rest of an address without a user name."""
    url = _URL.fullmatch(text)
    return url if url and int(url[3] or 0) < 1 << 16 else None


def is_safe(url: re.Match[str]) -> bool:
    """Whether nobody else can read what is sent: by https, or on this machine."""
    host = url[2].strip("[]").lower()
    try:
        is_local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    return is_local or url[1].lower() == "https"
