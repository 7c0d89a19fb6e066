"""What can be wrong with a setting, ours or the SDK's, in sentences for the user.

The SDK's validator of JSON schemas checks both. No sentence quotes the value of a
setting, because the value may be a secret.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from singer_sdk import Stream
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

from tap_fullstory_imports.settings.declaration import OWN

_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "an object",
    "string": "text",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "greater than",
    "maximum": "at most",
}


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


def fault(sentence: str) -> ConfigValidationError:
    """An error whose sentence says what to change, and how."""
    return ConfigValidationError("Unusable settings", errors=[sentence])


def breach(name: str, value: Any, schema: Mapping[str, Any]) -> str:
    """A sentence that says what a setting must be; empty if it can have the value."""
    form = f"`{name}` is not of the right form."
    try:
        error = next(DEFAULT_JSONSCHEMA_VALIDATOR(schema).iter_errors(value), None)
    except AttributeError:  # the SDK's schema of `__else__` is not valid itself
        return form
    if error is None:
        return ""
    path, rule = ".".join([name, *map(str, error.path)]), error.schema
    if error.validator == "required":
        return (
            f"`{path}.{min(set(rule['required']) - error.instance.keys())}` is missing."
        )
    if error.validator == "additionalProperties":
        unknown = min(error.instance.keys() - rule["properties"].keys())
        return f"There is no setting `{unknown}` in `{path}`."
    if choices := rule.get("enum"):
        return f"`{path}` must be {' or '.join(f'`{choice}`' for choice in choices)}."
    types = rule.get("type", ())
    types = [types] if isinstance(types, str) else types
    kinds = " or ".join(_KINDS[one] for one in types if one in _KINDS)
    bounds = [f"{text} {rule[key]:g}" for key, text in _BOUNDS.items() if key in rule]
    return f"`{path}` must be {', '.join([kinds, *bounds])}." if kinds else form


def of_others(
    config: Mapping[str, Any], known: Mapping[str, Any], streams: Collection[str]
) -> dict[str, str]:
    """What is wrong with unknown settings and with those of the SDK, by name.

    `known` has the JSON schemas of all settings.
    """
    found = {}
    for name in config.keys() - OWN:
        if name in known:
            found[name] = breach(name, config[name], known[name]) or _of_sdk(
                name, config, streams
            )
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
    for key, entry in (config[name] or {}).items() if name == "stream_maps" else ():
        source = entry.get("__source__", key) if isinstance(entry, dict) else key
        if not key.startswith("__") and not any(
            fnmatch(stream, source) for stream in streams
        ):
            return (
                f"`stream_maps` names `{source}`, but there is no such stream. The"
                f" streams are {', '.join(f'`{stream}`' for stream in streams)}."
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


def of_certificates() -> dict[str, str]:
    """What is wrong with the variable that names the certificates for requests."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(name):
            sentence = (
                f"The environment variable `{name}` names {path}, but there is no such"
                " file. Correct the path, or unset the variable."
            )
            return {} if Path(path).exists() else {name: sentence}
    return {}


# Checks of single settings. Each returns the value in the form that the tap uses.


def bare_key(text: str) -> str:
    """An API key without a leading `Basic `."""
    return re.sub(r"^\s*(?:basic(?:\s+|$))?|\s+$", "", text, flags=re.IGNORECASE)


def api_key(text: str) -> str:
    """The API key as it is sent."""
    key = bare_key(text)
    if key.strip("\"'`\u2018\u2019\u201c\u201d\u201e") != key:
        raise fault("`api_key` has quotes around it. Set the key without them.")
    if not key:
        raise fault("`api_key` is empty.")
    if not re.fullmatch("[!-~]+", key):
        raise fault(
            "`api_key` has characters that no API key has, such as a space or a line"
            " break. Copy it again."
        )
    return key


def user_agent(text: str) -> str:
    """The text of the header."""
    if not re.fullmatch("[ -~]+", text.strip()):
        raise fault("`user_agent` must be printable ASCII text on one line.")
    return text.strip()


def api_url(text: str) -> str:
    """An address that the API key may travel to, without a slash at its end."""
    label = "[a-z0-9_-]{1,63}"
    host = rf"(?:{label}(?:\.{label})*|\[[0-9a-f:.]+\])"
    url = re.fullmatch(
        rf"(https?)://({host})(?::([0-9]{{1,5}}))?/*",
        text.strip(),
        re.IGNORECASE | re.ASCII,
    )
    if not url or int(url[3] or 0) > 65_535:  # noqa: PLR2004
        raise fault(
            "`api_url` must be an address such as https://api.fullstory.com, without a"
            " user name, a query, or a path such as /v2/events."
        )
    if url[1].lower() == "http" and not is_loopback(url[2].strip("[]")):
        raise fault(
            "`api_url` must begin with https://, or the API key would travel in clear."
        )
    return f"{url[1].lower()}{text.strip()[len(url[1]) :].rstrip('/')}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
