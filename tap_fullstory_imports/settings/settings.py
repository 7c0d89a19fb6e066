"""Turns the settings of a run, which are text or JSON, into one frozen object."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(Declaration):
    """The settings of a run, checked. The job IDs of the jobs files are in them.

    It has no repr of its own, because one of the values is the API key.
    """

    jobs_of_all_shards: int = 0

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], faults: Mapping[str, str] | None = None
    ) -> Settings:
        """Check all settings, and read the jobs files.

        A setting that is null or an empty text counts as not set, because Meltano
        passes those. `faults` has what is wrong with other settings, by name.

        Raises:
            ConfigValidationError: With a sentence for each setting that can't be used.
        """
        values: dict[str, Any] = {}
        found = {**(faults or {}), **checks.of_certificates()}
        for name in OWN & config.keys():
            if config[name] not in (None, ""):
                with _noting(found, name):
                    values[name] = _checked(name, config[name])
        for name in {*SCHEMA["required"]} - values.keys() - found.keys():
            meaning = SCHEMA["properties"][name]["description"]
            found[name] = f"`{name}` is missing: {meaning}{_unread(name)}"
        _raise_if_any(found)
        settings, everything = cls(**values), {}
        for name, file in job_ids.SETTINGS.items():
            path, listed = getattr(settings, file), getattr(settings, name)
            with _noting(found, file):
                in_file = path and job_ids.from_file(
                    path, f"`{file}`", settings.request_timeout
                )
                everything[name] = tuple(dict.fromkeys([*listed, *in_file]))
        _raise_if_any(found)
        if not any(everything.values()):
            raise checks.fault(
                "There is no job to read. List the IDs of your import jobs of events in"
                " `job_ids` and those of users in `user_job_ids`, or in files that"
                " `jobs_file` and `user_jobs_file` name."
                + _unread(*job_ids.SETTINGS, *job_ids.SETTINGS.values())
            )
        for name, ids in everything.items():
            values[name] = job_ids.of_shard(ids, settings.shard)
        return cls(**values, jobs_of_all_shards=sum(map(len, everything.values())))

    def jobs_of(self, kind: str) -> tuple[str, ...]:
        """The IDs of the jobs that import ``events`` or ``users``."""
        return self.user_job_ids if kind == "users" else self.job_ids

    @property
    def part(self) -> str:
        """How many of all jobs this shard has."""
        jobs = len(self.job_ids) + len(self.user_job_ids)
        return f"{jobs} of {self.jobs_of_all_shards} jobs."


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
    if not found:
        return ""
    return f" The tap reads {' and '.join(found)} only with `--config=ENV`."
