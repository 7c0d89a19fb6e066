"""Declares each setting once: its type, bounds, default and meaning."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, field, fields
from importlib.metadata import version
from typing import Any

NAME = "tap-fullstory-imports"
PREFIX = f"{NAME.upper().replace('-', '_')}_"  # of variables in the environment
_KINDS = {
    "str": "string",
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "tuple[str, ...]": "array",
}


def _setting(description: str, default: Any = MISSING, **schema: Any) -> Any:
    return field(default=default, metadata={"description": description, **schema})


@dataclass(frozen=True, kw_only=True, repr=False)
class Declaration:
    """The settings. A setting without a default is required."""

    api_key: str = _setting(
        "Fullstory API key with Architect or Admin permission, with or without a"
        " leading `Basic `. A Standard key reads job statuses only.",
        secret=True,
        writeOnly=True,
    )
    job_ids: tuple[str, ...] = _setting(
        "The import jobs of events to read. A list, a JSON array as text, or text with"
        " commas or line breaks between the IDs.",
        (),
    )
    jobs_file: str = _setting(
        "Path or address of a file of job IDs, which are added to `job_ids`: one ID per"
        " line, a JSON array, or CSV whose header has a column `job_id` or `id`. An"
        " address begins with `https://`, `s3://`, `gs://` or `az://`. At most 64 MiB.",
        "",
    )
    user_job_ids: tuple[str, ...] = _setting(
        "The import jobs of users to read, in the forms of `job_ids`.", ()
    )
    user_jobs_file: str = _setting(
        "Path or address of a file of job IDs, which are added to `user_job_ids`, in"
        " the forms of `jobs_file`.",
        "",
    )
    api_url: str = _setting(
        "Address of the API, without a path. Plain `http` is accepted for a loopback"
        " address only.",
        "https://api.fullstory.com",
    )
    include_schema: bool = _setting(
        "Whether to ask for the types of each row's properties.", default=False
    )
    job_wait_timeout: float = _setting(
        "Total time that a run waits for jobs that are still processing, once nothing"
        " else is left to read, in seconds. 0 disables waiting.",
        300,
        minimum=0,
        maximum=86_400,
    )
    unfinished_jobs: str = _setting(
        "What to do with jobs that are still processing at the timeout: `defer` leaves"
        " them for the next run, `fail` fails them.",
        "defer",
        enum=["defer", "fail"],
    )
    missing_jobs: str = _setting(
        "What to do with a job that the API does not know (404): `fail` fails it,"
        " `skip` leaves it out with a warning.",
        "fail",
        enum=["fail", "skip"],
    )
    count_mismatch: str = _setting(
        "What to do with a job whose number of rows differs from the number that the"
        " API reports: `fail` reads it again in the next run, `warn` accepts it.",
        "fail",
        enum=["fail", "warn"],
    )
    request_timeout: float = _setting(
        "Time limit for a request, and for the download of a jobs file, in seconds. A"
        " server that keeps sending can exceed it, but a request ends after three times"
        " this time at the latest.",
        60,
        exclusiveMinimum=0,
        maximum=3_600,
    )
    max_attempts: int = _setting(
        "How often a request is tried before its job fails. 429 answers do not count.",
        8,
        minimum=1,
        maximum=20,
    )
    max_retry_wait: float = _setting(
        "Longest wait that the API may ask for, in seconds. The run stops if a 429"
        " answer asks for more, or if the API sends only 429 answers for longer. The"
        " job fails if another error asks for more.",
        300,
        minimum=0,
        maximum=86_400,
    )
    max_page_bytes: int = _setting(
        "Largest size of an answer, decompressed, in bytes. A job with a larger page"
        " fails.",
        256 * 1024 * 1024,
        minimum=1,
    )
    concurrency: int = _setting(
        "How many jobs are read at the same time.", 4, minimum=1, maximum=32
    )
    shard: str = _setting(
        "Read only one part of the jobs: `2/8` is the second of eight parts. Give each"
        " part a state of its own.",
        "",
    )
    summary_file: str = _setting(
        "Path of a file to which the table of jobs at the end of a run is appended, as"
        " Markdown. In GitHub Actions, `$GITHUB_STEP_SUMMARY` shows it.",
        "",
    )
    user_agent: str = _setting(
        "The `User-Agent` of every request.", f"{NAME}/{version(NAME)}"
    )


def _schema() -> dict[str, Any]:
    """The JSON schema of the settings, in the form that the SDK gives to its own."""
    properties: dict[str, Any] = {}
    for one in fields(Declaration):
        words = one.name.replace("_", " ")
        words = re.sub(r"\b(api|id|url)", lambda word: word[0].upper(), words)
        title = words[0].upper() + words[1:]
        schema = {"title": title, **one.metadata, "type": [_KINDS[str(one.type)]]}
        if schema["type"] == ["array"]:
            schema["items"] = {"type": "string"}
        if one.default is not MISSING:
            schema["type"].append("null")
            schema |= {"default": one.default} if one.default not in ("", ()) else {}
        properties[one.name] = schema
    return {
        "type": "object",
        "properties": properties,
        "required": [one.name for one in fields(Declaration) if one.default is MISSING],
        "additionalProperties": False,
    }


SCHEMA = _schema()
OWN = frozenset(SCHEMA["properties"])
