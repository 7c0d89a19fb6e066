"""Turns the settings of a run, which are text or JSON, into one frozen object."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from singer_sdk.exceptions import ConfigValidationError

from tap_fullstory_imports.settings import checks, job_ids
from tap_fullstory_imports.settings.declaration import OWN, PREFIX, SCHEMA, Declaration

_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}
_TYPES = {"number": float, "integer": int, "array": tuple}
_CHECKS = {
    "api_key": checks.api_key,
    "api_url": checks.api_url,
    "user_agent": checks.user_agent,
    "shard": job_ids.checked_shard,
}
_FILES = {"job_ids": "jobs_file", "user_job_ids": "user_jobs_file"}


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(Declaration):
    """The settings of a run, checked. The job IDs of the jobs files are in them.

    It has no repr of its own, because one of the values is the API key.
    """

    part: str = ""  # how many of all jobs a shard has, in a sentence

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], others: Mapping[str, str] | None = None
    ) -> Settings:
        """Check all settings, and read the jobs files.

        A setting that is null or an empty text counts as not set, because Meltano
        passes those. `others` has what is wrong with other settings, by name.

        Raises:
            ConfigValidationError: With a sentence for each setting that can't be used.
        """
        values: dict[str, Any] = {}
        faults = {**(others or {}), **_of_certificates()}
        for name in OWN & config.keys():
            if config[name] not in (None, ""):
                with _noting(faults, name):
                    values[name] = _checked(name, config[name])
        if "api_key" not in {**values, **faults}:
            meaning = SCHEMA["properties"]["api_key"]["description"]
            faults["api_key"] = f"`api_key` is missing: {meaning}{_unread('api_key')}"
        _raise_if_any(faults)
        given = cls(**values)
        for name, file in _FILES.items():
            with _noting(faults, file):
                where, path = f"`{file}`", getattr(given, file)
                found = path and job_ids.from_file(path, where, given.request_timeout)
                values[name] = tuple(dict.fromkeys([*getattr(given, name), *found]))
        _raise_if_any(faults)
        jobs = sum(len(values[name]) for name in _FILES)
        if not jobs:
            raise checks.fault(
                "There is no job to read. List the IDs of your import jobs of events in"
                " `job_ids` and those of users in `user_job_ids`, or in files that"
                " `jobs_file` and `user_jobs_file` name."
                + _unread(*_FILES, *_FILES.values())
            )
        if given.shard:
            for name in _FILES:
                values[name] = job_ids.of_shard(values[name], given.shard)
            mine = sum(len(values[name]) for name in _FILES)
            values["part"] = f"{mine} of {jobs} jobs."
        return cls(**values)

    def jobs_of(self, kind: str) -> tuple[str, ...]:
        """The IDs of the jobs that import ``events`` or ``users``."""
        return self.user_job_ids if kind == "users" else self.job_ids


def _checked(name: str, value: Any) -> Any:
    """The value of a setting in its own type."""
    schema = SCHEMA["properties"][name]
    kind = schema["type"][0]
    is_list = kind == "array"
    value = job_ids.parse(value, f"`{name}`") if is_list else _typed(value, kind)
    if sentence := checks.breach(name, value, schema):
        raise checks.fault(sentence)
    value = _TYPES[kind](value) if kind in _TYPES else value
    return _CHECKS[name](value) if name in _CHECKS else value


def _typed(value: Any, kind: str) -> Any:
    """A number or a truth value that is given as text; otherwise the value itself."""
    if isinstance(value, str) and kind == "boolean":
        return _WORDS.get(value.strip().lower(), value)
    if isinstance(value, str) and kind in {"integer", "number"}:
        with suppress(ValueError):
            value = int(value) if kind == "integer" else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such number
    return value


def _of_certificates() -> dict[str, str]:
    """What is wrong with the variable that names the certificates for requests."""
    names = "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"
    name = next((name for name in names if os.environ.get(name)), "")
    if not name or Path(os.environ[name]).exists():
        return {}
    return {
        name: f"The environment variable `{name}` names {os.environ[name]}, but there"
        " is no such file. Correct the path, or unset the variable."
    }


@contextmanager
def _noting(faults: dict[str, str], name: str) -> Iterator[None]:
    """Note what is wrong with a setting, so that the user gets all faults at once."""
    try:
        yield
    except ConfigValidationError as error:
        faults[name] = error.errors[0]


def _raise_if_any(faults: Mapping[str, str]) -> None:
    if faults:
        sentences = [faults[name] for name in sorted(faults)]
        raise ConfigValidationError("Unusable settings", errors=sentences)


def _unread(*names: str) -> str:
    """A hint if the environment has one of these settings, but is not read."""
    variables = [f"{PREFIX}{name.upper()}" for name in names]
    found = [f"`{name}`" for name in variables if os.environ.get(name)]
    text = f" The tap reads {' and '.join(found)} only with `--config=ENV`."
    return text if found else ""
