"""The settings: each is declared here once, and read from text or JSON."""

from __future__ import annotations

import difflib
import re
from contextlib import contextmanager
from dataclasses import fields
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta
from singer_sdk.exceptions import ConfigValidationError

from tap_fullstory_imports import addresses, job_ids
from tap_fullstory_imports.faults import expected, fault
from tap_fullstory_imports.fullstory import API_URL, Client, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

NAME = "tap-fullstory-imports"
PREFIX = f"{NAME.upper().replace('-', '_')}_"  # of variables in the environment


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What a user can set: the type, bounds, default and meaning of each setting.

    The JSON schema is made of it, and so are the words for a value that is not allowed.
    """

    api_key: Annotated[
        str,
        Meta(
            title="API key",
            min_length=1,
            extra_json_schema={"secret": True, "writeOnly": True},
            description="Fullstory API key with Architect or Admin permission, with "
            "or without a leading `Basic `. A Standard key reads job statuses only.",
        ),
    ]
    job_ids: Annotated[
        tuple[str, ...],
        Meta(
            title="Job IDs",
            description="The import jobs of events to read. A list, a JSON array as "
            "text, or comma-separated text.",
        ),
    ] = ()
    jobs_file: Annotated[
        str,
        Meta(
            title="Jobs file",
            description="Path or address of a file of job IDs, which are added to "
            "`job_ids`: one ID per line, a JSON array, or CSV whose header has a "
            "column `job_id` or `id`. An address begins with `https://`, `s3://`, "
            "`gs://` or `az://`. At most 64 MiB.",
        ),
    ] = ""
    user_job_ids: Annotated[
        tuple[str, ...],
        Meta(
            title="User job IDs",
            description="The import jobs of users to read, in the forms of `job_ids`.",
        ),
    ] = ()
    user_jobs_file: Annotated[
        str,
        Meta(
            title="User jobs file",
            description="Path or address of a file of job IDs, which are added to "
            "`user_job_ids`, in the forms of `jobs_file`.",
        ),
    ] = ""
    api_url: Annotated[
        str,
        Meta(
            title="API URL",
            description="Address of the API, without a path. Plain `http` is "
            "accepted for a loopback address only.",
        ),
    ] = API_URL
    include_schema: Annotated[
        bool,
        Meta(
            title="Include schema",
            description="Whether to ask for the types of each row's properties.",
        ),
    ] = False
    job_wait_timeout: Annotated[
        float,
        Meta(
            title="Job wait timeout",
            ge=0,
            le=86_400,
            description="Total time that a run waits for jobs that are still "
            "processing, once nothing else is left to read, in seconds. 0 disables "
            "waiting.",
        ),
    ] = 300
    unfinished_jobs: Annotated[
        Literal["defer", "fail"],
        Meta(
            title="Unfinished jobs",
            description="What to do with jobs that are still processing at the "
            "timeout: `defer` leaves them for the next run, `fail` fails them.",
        ),
    ] = "defer"
    missing_jobs: Annotated[
        Literal["fail", "skip"],
        Meta(
            title="Missing jobs",
            description="What to do with a job that the API does not know (404): "
            "`fail` fails it, `skip` leaves it out with a warning.",
        ),
    ] = "fail"
    count_mismatch: Annotated[
        Literal["fail", "warn"],
        Meta(
            title="Count mismatch",
            description="What to do with a job whose number of rows differs from the "
            "number that the API reports: `fail` reads it again in the next run, "
            "`warn` accepts it.",
        ),
    ] = "fail"
    unstorable_characters: Annotated[
        Literal["keep", "replace"],
        Meta(
            title="Unstorable characters",
            description="What to do with NUL characters and unpaired surrogates, "
            "which PostgreSQL rejects: `keep` them, or `replace` each with U+FFFD.",
        ),
    ] = "keep"
    request_timeout: Annotated[
        float,
        Meta(
            title="Request timeout",
            gt=0,
            le=3_600,
            description="Time limit for a request, and for the download of a jobs "
            "file, in seconds. A server that keeps sending can exceed it, but a "
            "request ends after three times this time at the latest.",
        ),
    ] = 60
    max_attempts: Annotated[
        int,
        Meta(
            title="Maximum attempts",
            ge=1,
            le=20,
            description="How often a request is tried before its job fails. 429 "
            "answers do not count.",
        ),
    ] = 8
    max_retry_wait: Annotated[
        float,
        Meta(
            title="Maximum retry wait",
            ge=0,
            le=86_400,
            description="Longest wait that the API may ask for, in seconds. The run "
            "stops if a 429 answer asks for more, or if the API sends only 429 "
            "answers for longer. The job fails if another error asks for more.",
        ),
    ] = 300
    max_page_bytes: Annotated[
        int,
        Meta(
            title="Maximum page bytes",
            ge=1,
            description="Largest size of an answer, decompressed, in bytes. A job "
            "with a larger page fails.",
        ),
    ] = 256 * 1024 * 1024
    concurrency: Annotated[
        int,
        Meta(
            title="Concurrency",
            ge=1,
            le=32,
            description="How many jobs are read at the same time.",
        ),
    ] = 4
    shard: Annotated[
        str,
        Meta(
            title="Shard",
            pattern=r"^[0-9]{1,9}/[0-9]{1,9}$",
            description="Read only one part of the jobs: `2/8` is the second of "
            "eight parts. Give each part a state of its own.",
        ),
    ] = ""
    user_agent: Annotated[
        str,
        Meta(
            title="User agent",
            description="The `User-Agent` of every request.",
        ),
    ] = f"{NAME}/{version(NAME)}"

    def __repr__(self) -> str:
        """Show no value, because one of them is the API key."""
        return f"{type(self).__name__}(...)"


def _schema() -> dict[str, Any]:
    """The JSON schema of the settings, in the form that the SDK gives to its own."""
    _, components = msgspec.json.schema_components([Declaration])
    made = components[Declaration.__name__]
    for name, field in made["properties"].items():
        kind = field.get("type", "string")  # a choice has no type
        field["type"] = [kind] if name in made["required"] else [kind, "null"]
        if field.get("default") in ("", ()):
            del field["default"]
    return {
        "type": "object",
        "properties": made["properties"],
        "required": made["required"],
        "additionalProperties": False,
    }


SCHEMA = _schema()
OWN = frozenset(SCHEMA["properties"])


class Settings(Declaration, frozen=True, kw_only=True, dict=True):
    """The settings of a run, checked; job IDs of the files are in it."""

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
    def part(self) -> str:
        """Which shard this is, and how many of all jobs it has."""
        jobs = len(self.job_ids) + len(self.user_job_ids)
        return f"Shard {self.shard}: {jobs} of {self.jobs_of_all_shards} jobs."

    @property
    def policy(self) -> Policy:
        """How persistently the jobs are read."""
        names = [field.name for field in fields(Policy)]
        return Policy(**{name: getattr(self, name) for name in names})

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], faults: Mapping[str, str] | None = None
    ) -> Settings:
        """Take the settings in all forms that they can have, and read the jobs files.

        Args:
            config: Settings as `without_unset` leaves them.
            faults: What is wrong with other settings, by name.

        Raises:
            ConfigValidationError: If a setting can't be used. It has a sentence for
                each. None of them holds a value: the value may be a secret.
        """
        values, found = {}, dict(faults or {})
        for name in OWN & config.keys():
            with _noting(found, name):
                values[name] = _converted(name, config[name])
        for name in {*SCHEMA["required"]} - config.keys():
            meaning = SCHEMA["properties"][name]["description"]
            found[name] = f"`{name}` is missing: {meaning}"
        if found:
            sentences = [found[name] for name in sorted(found)]
            raise ConfigValidationError("Unusable settings", errors=sentences)
        default = SCHEMA["properties"]["request_timeout"]["default"]
        seconds = values.get("request_timeout", default)
        listed = job_ids.listed(values, seconds)
        for name, jobs in listed.items():
            values[name] = job_ids.of_shard(jobs, values.get("shard", "1/1"))
        return cls(jobs_of_all_shards=sum(map(len, listed.values())), **values)

    def jobs_of(self, kind: str) -> tuple[str, ...]:
        """The IDs of the jobs that import ``events`` or ``users``."""
        return self.user_job_ids if kind == "users" else self.job_ids


def without_unset(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that somebody has set.

    For the others, Meltano passes a null or an empty text.
    """
    return {
        name: value
        for name, value in config.items()
        if name not in OWN or value not in (None, "")
    }


def unknown(config: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """A sentence for each name that no setting has, with the name that may be meant."""
    faults = {}
    for name in set(config).difference(known):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        faults[name] = f"There is no setting `{name}`.{hint}"
    return faults


@contextmanager
def _noting(faults: dict[str, str], name: str) -> Iterator[None]:
    """Note what is wrong with a setting, so that the user gets all faults at once."""
    try:
        yield
    except ConfigValidationError as error:
        faults[name] = error.errors[0]


def _converted(name: str, value: Any) -> Any:
    """The value of a setting in its own type.

    Raises:
        ConfigValidationError: If the setting can't have this value.
    """
    schema = SCHEMA["properties"][name]
    kind = schema["type"][0]
    if kind == "array":
        value = job_ids.parse(value, f"`{name}`")
    elif isinstance(value, str) and kind != "string":
        value = value.strip().lower()
        value = _WORDS.get(value, value) if kind == "boolean" else value
    try:
        value = msgspec.convert(value, _TYPES[name], strict=False)
    except ValueError:  # also raised for text that is not valid Unicode
        raise fault(expected(name, schema)) from None
    return _CHECKS[name](value) if name in _CHECKS else value


def bare_key(text: str) -> str:
    """An API key without a leading `Basic `."""
    return re.sub(r"^\s*(?:basic\s+)?|\s+$", "", text, flags=re.IGNORECASE)


def _checked_key(text: str) -> str:
    key = bare_key(text)
    if not key or key.lower() == "basic":
        raise fault("`api_key` is empty.")
    if not _is_header_text(key) or " " in key:
        raise fault(
            "`api_key` has characters that no API key has, such as a space or a line"
            " break. Copy it again."
        )
    return key


def _checked_user_agent(text: str) -> str:
    text = text.strip()
    if not _is_header_text(text):
        raise fault("`user_agent` must be printable ASCII text on one line.")
    return text


def _is_header_text(text: str) -> bool:
    return text.isascii() and text.isprintable() and bool(text)


_TYPES = {field.name: field.type for field in msgspec.structs.fields(Declaration)}
_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_CHECKS: dict[str, Callable[[str], str]] = {
    "api_key": _checked_key,
    "api_url": addresses.checked,
    "user_agent": _checked_user_agent,
}
