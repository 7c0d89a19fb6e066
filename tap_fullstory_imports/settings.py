"""The tap's settings: their schema, and what a JSON schema can't check."""

from __future__ import annotations

import difflib
import ipaddress
import json
import math
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from decimal import Decimal
from fnmatch import fnmatch
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from singer_sdk import typing as th
from singer_sdk.typing import (
    DEFAULT_JSONSCHEMA_VALIDATOR,
    extend_validator_with_defaults,
)

from tap_fullstory_imports import job_ids
from tap_fullstory_imports.faults import fault
from tap_fullstory_imports.fullstory import Client, Policy

if TYPE_CHECKING:
    from jsonschema import ValidationError

NAME = "tap-fullstory-imports"
SCHEMA: dict[str, Any] = th.PropertiesList(
    th.Property(
        "api_key",
        th.StringType(min_length=1),
        required=True,
        secret=True,
        title="API key",
        description=(
            "Fullstory API key with Architect or Admin permission, with or "
            "without a leading `Basic `. A Standard key reads job statuses "
            "only."
        ),
    ),
    th.Property(
        "job_ids",
        th.ArrayType(th.StringType()),
        title="Job IDs",
        description=(
            "The import jobs of events to read. A list, a JSON array as text, or"
            " comma-separated text."
        ),
    ),
    th.Property(
        "jobs_file",
        th.StringType(),
        title="Jobs file",
        description=(
            "Path of a file of job IDs, which are added to `job_ids`: one ID "
            "per line, or a JSON array. Blank lines and lines that begin with "
            "`#` are ignored. At most 64 MiB."
        ),
    ),
    th.Property(
        "user_job_ids",
        th.ArrayType(th.StringType()),
        title="User job IDs",
        description="The import jobs of users to read, in the forms of `job_ids`.",
    ),
    th.Property(
        "user_jobs_file",
        th.StringType(),
        title="User jobs file",
        description=(
            "Path of a file of job IDs, which are added to `user_job_ids`, in the forms"
            " of `jobs_file`."
        ),
    ),
    th.Property(
        "api_url",
        th.StringType(),
        default="https://api.fullstory.com",
        title="API URL",
        description=(
            "Address of the API, without a path. Plain `http` is accepted for a "
            "loopback address only."
        ),
    ),
    th.Property(
        "include_schema",
        th.BooleanType(),
        default=False,
        title="Include schema",
        description="Whether to ask for the types of each row's properties.",
    ),
    th.Property(
        "job_wait_timeout",
        th.NumberType(minimum=0, maximum=86_400),
        default=300,
        title="Job wait timeout",
        description=(
            "Total time that a run waits for jobs that are still processing, "
            "once nothing else is left to read, in seconds. 0 disables waiting."
        ),
    ),
    th.Property(
        "unfinished_jobs",
        th.StringType(allowed_values=["defer", "fail"]),
        default="defer",
        title="Unfinished jobs",
        description=(
            "What to do with jobs that are still processing at the timeout: "
            "`defer` leaves them for the next run, `fail` fails them."
        ),
    ),
    th.Property(
        "missing_jobs",
        th.StringType(allowed_values=["fail", "skip"]),
        default="fail",
        title="Missing jobs",
        description=("What to do with a job that the API does not know (404)."),
    ),
    th.Property(
        "count_mismatch",
        th.StringType(allowed_values=["fail", "warn"]),
        default="fail",
        title="Count mismatch",
        description=(
            "What to do with a job whose number of rows differs from the number "
            "that the API reports: `fail` reads it again in the next run, "
            "`warn` accepts it."
        ),
    ),
    th.Property(
        "unstorable_characters",
        th.StringType(allowed_values=["keep", "replace"]),
        default="keep",
        title="Unstorable characters",
        description=(
            "What to do with NUL characters and unpaired surrogates, which "
            "PostgreSQL rejects: `keep` them, or `replace` each with U+FFFD."
        ),
    ),
    th.Property(
        "request_timeout",
        th.NumberType(exclusive_minimum=0, maximum=3600),
        default=60,
        title="Request timeout",
        description=(
            "Total time limit for a request, in seconds. The headers, and each "
            "silence of the server, have the same limit."
        ),
    ),
    th.Property(
        "max_attempts",
        th.IntegerType(minimum=1, maximum=20),
        default=8,
        title="Maximum attempts",
        description=(
            "How often a request is tried before its job fails. A 429 answer is "
            "no failed attempt."
        ),
    ),
    th.Property(
        "max_retry_wait",
        th.NumberType(minimum=0, maximum=86_400),
        default=300,
        title="Maximum retry wait",
        description=(
            "Longest wait for the API, in seconds. A 429 answer that asks for "
            "more, or nothing but 429 answers for longer, ends the run; any "
            "other answer that asks for more fails its job."
        ),
    ),
    th.Property(
        "max_page_bytes",
        th.IntegerType(minimum=1),
        default=256 * 1024 * 1024,
        title="Maximum page bytes",
        description=(
            "Largest size of an answer, decompressed, in bytes. A job with a "
            "larger page fails."
        ),
    ),
    th.Property(
        "concurrency",
        th.IntegerType(minimum=1, maximum=32),
        default=4,
        title="Concurrency",
        description=("How many jobs are read at the same time."),
    ),
    th.Property(
        "shard",
        th.StringType(pattern=r"^[0-9]{1,9}/[0-9]{1,9}$"),
        title="Shard",
        description=(
            "Read only one part of the jobs: `2/8` is the second of eight parts. Give"
            " each part a state of its own."
        ),
    ),
    th.Property(
        "user_agent",
        th.StringType(),
        default=f"{NAME}/{version(NAME)}",
        title="User agent",
        description="The `User-Agent` of every request.",
    ),
    additional_properties=False,
).to_dict()
OWN = frozenset(SCHEMA["properties"])
_Validator = extend_validator_with_defaults(DEFAULT_JSONSCHEMA_VALIDATOR)
_BATCH_SETTINGS = {"encoding", "storage", "batch_size"}
_STORAGE_SETTINGS = {"root", "prefix", "params"}
_WORDS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run, checked. See `SCHEMA` for what each one means."""

    api_key: str = field(repr=False)
    job_ids: tuple[str, ...]
    user_job_ids: tuple[str, ...]
    api_url: str
    include_schema: bool
    job_wait_timeout: float
    unfinished_jobs: str
    missing_jobs: str
    count_mismatch: str
    unstorable_characters: str
    request_timeout: float
    max_attempts: int
    max_retry_wait: float
    max_page_bytes: int
    concurrency: int
    user_agent: str
    shard: str = ""
    jobs_of_all_shards: int = 0

    @cached_property
    def client(self) -> Client:
        """What sends the requests of the run."""
        return Client(
            api_key=self.api_key,
            url=self.api_url,
            user_agent=self.user_agent,
            timeout=self.request_timeout,
            max_page_bytes=self.max_page_bytes,
            replace_unstorable=self.unstorable_characters == "replace",
        )

    @property
    def policy(self) -> Policy:
        """How persistently the jobs are read."""
        names = [field.name for field in fields(Policy)]
        return Policy(**{name: getattr(self, name) for name in names})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """Check what the schema can't, and read the jobs file.

        Args:
            config: Settings that `check` found no fault with.

        Raises:
            ConfigValidationError: If a setting can't be used.
        """
        values = {name: config[name] for name in OWN & config.keys()}
        listed = job_ids.listed(config)
        for setting, file in job_ids.SETTINGS.items():
            values.pop(file, None)
            of_shard = job_ids.of_shard(listed[setting], values.get("shard", "1/1"))
            values[setting] = of_shard
        values["api_key"] = _checked_key(values["api_key"])
        values["api_url"] = _checked_url(values["api_url"])
        values["user_agent"] = values["user_agent"].strip()
        if not _is_header_text(values["user_agent"]):
            raise fault("`user_agent` must be printable ASCII text on one line.")
        return cls(jobs_of_all_shards=sum(map(len, listed.values())), **values)

    def jobs_of(self, kind: str) -> tuple[str, ...]:
        """The IDs of the jobs that import ``events`` or ``users``."""
        return self.user_job_ids if kind == "users" else self.job_ids


def from_environment(prefix: str, known: Iterable[str]) -> dict[str, Any]:
    """The settings that the environment holds.

    The tap's own are text, as they are. Those of the SDK are JSON, or else text.
    """
    found: dict[str, Any] = {}
    for name in known:
        text = os.environ.get(prefix + name.upper())
        if text is None:
            continue
        found[name] = text
        if name not in OWN:
            with suppress(ValueError, RecursionError):
                found[name] = json.loads(text)
    return found


def read(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give each setting the type that its schema asks for, where it can be read so.

    The environment holds nothing but text, and a loader of settings such as Meltano may
    pass a null or an empty text for a setting that nobody has set.
    """
    return {
        name: _typed(name, value)
        for name, value in config.items()
        if name not in OWN or value not in (None, "")
    }


def check(config: dict[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Check settings against a JSON schema and put its defaults in their places.

    Args:
        config: Settings as `read` gives them. Defaults are added to it.
        schema: The schema of all settings, the SDK's included.

    Returns:
        A sentence for each fault. None of them holds a value: it may be a secret.
    """
    known = schema["properties"]
    sentences = {}
    for name in config.keys() - known.keys():
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        sentences[name] = f"There is no setting `{name}`.{hint}"
    for name in schema.get("required", ()):
        if name not in config:
            sentences[name] = f"`{name}` is missing: {known[name]['description']}"
    for error in _Validator(schema).iter_errors(config):
        if error.path:
            sentences.setdefault(str(error.path[0]), _sentence(error))
    if not sentences:
        sentences = _check_batches(config)
    return [sentences[name] for name in sorted(sentences)]


def check_maps(config: Mapping[str, Any], streams: Collection[str]) -> list[str]:
    """A sentence for each entry of `stream_maps` that names no stream."""
    maps = config.get("stream_maps") or {}
    sentences = []
    for name, entry in maps.items():
        source = entry.get("__source__", name) if isinstance(entry, dict) else name
        if not name.startswith("__") and not any(
            fnmatch(stream, source) for stream in streams
        ):
            sentences.append(
                f"`stream_maps` names `{source}`, but there is no such stream. The"
                f" streams are {', '.join(f'`{stream}`' for stream in streams)}."
            )
    return sentences


def _check_batches(config: Mapping[str, Any]) -> dict[str, str]:
    """What makes `batch_config` unusable."""
    batches = config.get("batch_config")
    if not batches:
        return {}
    encoding, storage = batches.get("encoding"), batches.get("storage")
    size = batches.get("batch_size", 1)
    sentence = ""
    if not isinstance(encoding, Mapping) or encoding.get("format") != "jsonl":
        sentence = "`batch_config` must have an `encoding` with the `format` `jsonl`."
    elif encoding.get("compression", "gzip") != "gzip":
        sentence = "`batch_config.encoding.compression` must be `gzip`."
    elif not isinstance(storage, Mapping) or not storage.get("root"):
        sentence = "`batch_config` must have a `storage` with a `root`."
    elif unknown := sorted(batches.keys() - _BATCH_SETTINGS) or sorted(
        storage.keys() - _STORAGE_SETTINGS
    ):
        sentence = f"There is no setting `{unknown[0]}` in `batch_config`."
    elif size is not None and (type(size) is not int or size < 1):
        sentence = "`batch_config.batch_size` must be a whole number, at least 1."
    elif config.get("stream_maps") or config.get("flattening_enabled"):
        sentence = (
            "`batch_config` can't be combined with `stream_maps` or"
            " `flattening_enabled`: leave one of them out."
        )
    return {"batch_config": sentence} if sentence else {}


def _sentence(error: ValidationError) -> str:
    """Say what is expected, and not what was found."""
    name = ".".join(str(step) for step in error.path)
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    if error.validator == "minLength":
        return f"`{name}` is empty."
    if choices := schema.get("enum"):
        return f"`{name}` must be {' or '.join(f'`{choice}`' for choice in choices)}."
    if error.validator == "pattern":
        return f"`{name}` is not of the right form. {schema['description']}"
    types = schema.get("type", "something else")
    kind = " or ".join(
        {"string": "text", "boolean": "true or false"}.get(one, f"of the type {one}")
        for one in ([types] if isinstance(types, str) else types)
        if one != "null"
    )
    bounds = [
        f"{word} {schema[key]:g}"
        for key, word in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "greater than"),
            ("maximum", "at most"),
        )
        if key in schema
    ]
    return f"`{name}` must be {', '.join([kind, *bounds])}."


def _typed(name: str, value: Any) -> Any:
    if name not in OWN:
        return value
    if name in job_ids.SETTINGS:
        return job_ids.parse(value, f"`{name}`")
    types = {*SCHEMA["properties"][name]["type"]}
    is_text = isinstance(value, str)
    if isinstance(value, (Decimal, float)) or (
        is_text and types & {"integer", "number"}
    ):
        return _number(value)
    if is_text and "boolean" in types:
        return _WORDS.get(value.strip().lower(), value)
    return value


def _number(value: Any) -> Any:
    """The number that a value stands for; if it stands for none, the value as text."""
    try:
        number = float(value)
    except ValueError:
        return value
    if not math.isfinite(number):
        return str(value)
    return int(number) if number.is_integer() else number


def _checked_key(key: str) -> str:
    key = key.strip()
    if key[:6].lower() == "basic ":
        key = key[6:].strip()
    if not key or key.lower() == "basic":
        raise fault("`api_key` is empty.")
    if not _is_header_text(key) or " " in key:
        msg = (
            "`api_key` has characters that no API key has, such as a space or a line"
            " break: copy it again."
        )
        raise fault(msg)
    return key


def _checked_url(text: str) -> str:
    text = text.strip()
    try:
        requests.Request("GET", text).prepare()
        url = urlsplit(text)
        host = url.hostname or ""
        host.encode("idna")
    except (requests.RequestException, ValueError):
        host = ""
    if (
        not host
        or " " in text
        or url.scheme not in {"http", "https"}
        or not _is_header_text(text)
    ):
        raise fault("`api_url` must be an address such as https://api.fullstory.com.")
    if url.username is not None or url.query or url.fragment:
        raise fault("`api_url` can't have a user name, a query or a fragment.")
    if url.path.strip("/"):
        raise fault(
            "`api_url` must be an address without a path, because the tap adds paths"
            " such as /v2/events itself."
        )
    if url.scheme == "http" and not _is_loopback(host):
        msg = (
            "`api_url` must begin with https://, or the API key would travel in clear."
        )
        raise fault(msg)
    return url.geturl().rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_header_text(text: str) -> bool:
    return text.isascii() and text.isprintable() and bool(text)
