"""The IDs of the jobs to read, from lists, text and files; and the part of a shard."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any
from zlib import crc32

from tap_fullstory_imports.settings import files
from tap_fullstory_imports.settings.checks import fault

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = {"job_ids": "jobs_file", "user_job_ids": "user_jobs_file"}
_COLUMNS = ("job_id", "id")  # of a CSV file: the first one that is there
_MOST_CHARACTERS = 1_000  # of a job ID


def parse(value: Any, where: str) -> list[str]:
    """Read job IDs from a list, a JSON array, or text with commas or line breaks.

    An error names the setting as `where` does.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise fault(
                f"{where} looks like a JSON array but is not valid JSON: {error}."
            ) from None
    elif isinstance(value, str):
        value = re.split(r"\s*[,\n]\s*", value.strip())
    elif isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, list):
        raise fault(
            f"{where} must be a list of job IDs, or text with commas or line breaks"
            " between them."
        )
    return [
        _checked(job_id, f"{where}, entry {number}")
        for number, job_id in enumerate(value, start=1)
    ]


def from_file(path: str, where: str, seconds: float) -> list[str]:
    """Read job IDs from a file: one per line, a JSON array, or a column of CSV."""
    text = files.read_text(path, where, seconds)
    if text.lstrip().startswith("["):
        return parse(text, where)
    header = {name.strip(' "\r').lower() for name in text.partition("\n")[0].split(",")}
    is_csv = not header.isdisjoint(_COLUMNS)
    lines = enumerate(text.split("\n"), start=1)
    return [
        _checked(job_id, f"{where}, line {number}")
        for number, job_id in (_of_csv(text, where) if is_csv else lines)
        if job_id.strip() and (is_csv or not job_id.lstrip().startswith("#"))
    ]


def _of_csv(text: str, where: str) -> Iterator[tuple[int, str]]:
    csv.field_size_limit(files.MOST_BYTES)  # other columns may be long
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
        column = next((name for name in _COLUMNS if name in rows.fieldnames), None)
        if column is None:
            raise fault(f"{where}: the header has no column `job_id` or `id`.")
        for row in rows:
            if None in row or None in row.values():
                raise fault(
                    f"{where}, line {rows.line_num}: this row has more or fewer columns"
                    " than the header. Quote values that have commas in them."
                )
            yield rows.line_num, row[column]
    except csv.Error as error:
        raise fault(
            f"{where}, line {rows.reader.line_num}: this is not valid CSV: {error}."
        ) from None


def _checked(value: Any, where: str) -> str:
    job_id = str(value).strip() if type(value) in {int, str} else ""
    if job_id in {"", ".", ".."}:
        raise fault(f"{where}: a job ID must be text that is not empty, `.` or `..`.")
    if len(job_id) > _MOST_CHARACTERS:
        raise fault(
            f"{where}: a job ID can't have more than {_MOST_CHARACTERS:,} characters;"
            f" this one has {len(job_id):,}. Put each ID on a line of its own."
        )
    for char in job_id:
        if unicodedata.category(char) in {"Cc", "Cf", "Cs"}:
            raise fault(
                f"{where}: a job ID can't have control characters or invisible"
                f" characters, but this one has U+{ord(char):04X}. Type the ID again."
            )
    return job_id


def checked_shard(shard: str) -> str:
    """A part of the jobs that there is."""
    numbers = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", shard)
    if not numbers or not 1 <= int(numbers[1]) <= int(numbers[2]):
        raise fault(
            "`shard` must name one of its parts, from `1/8` to `8/8` for eight of them."
        )
    return shard


def of_shard(job_ids: tuple[str, ...], shard: str) -> tuple[str, ...]:
    """The jobs of one part: the hash is the same on every machine and never changes."""
    part, parts = map(int, (shard or "1/1").split("/"))
    return tuple(
        job_id for job_id in job_ids if crc32(job_id.encode()) % parts == part - 1
    )
