"""The IDs of the jobs to read: from a list, from text or from a file."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from tap_fullstory_imports import remote_file
from tap_fullstory_imports.faults import fault

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS = {"job_ids": "jobs_file", "user_job_ids": "user_jobs_file"}
COLUMNS = ("job_id", "id")  # of a CSV file: the first one that is there
MOST_CHARACTERS = 1_000  # of a job ID
MOST_FILE_BYTES = 64 * 1024 * 1024


def parse(value: Any, where: str) -> list[str]:
    """Read job IDs from a list, a JSON array as text, or comma-separated text.

    Args:
        value: The value of a setting.
        where: The setting, as an error names it.

    Raises:
        ConfigValidationError: If a job ID can't be used.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise fault(
                f"{where} looks like a JSON array but is not valid JSON: {error}."
            ) from None
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, list):
        raise fault(
            f"{where} must be a list of job IDs or text with commas between them."
        )
    return [
        _checked(job_id, f"{where}, entry {number}")
        for number, job_id in enumerate(value, start=1)
    ]


def from_file(path: str, where: str, seconds: float) -> list[str]:
    """Read job IDs from a file: one per line, a JSON array, or a column of CSV.

    Args:
        path: The path or the address of the file.
        where: The setting, as an error names it.
        seconds: The time limit for a file at an address.

    Raises:
        ConfigValidationError: If the file can't be read, or a job ID can't be used.
    """
    try:
        text = _read(path, where, seconds).decode("utf-8-sig")
    except UnicodeDecodeError:
        name = "the file" if remote_file.is_address(path) else path
        raise fault(f"{where}: {name} is not a text file in UTF-8.") from None
    except remote_file.RemoteFileError as error:
        raise fault(f"{where}: {error}") from None
    if text.lstrip().startswith("["):
        return parse(text, where)
    values = _of_column(text, where)
    if values is None:
        values = [
            (number, line)
            for number, line in enumerate(text.split("\n"), start=1)
            if not line.lstrip().startswith("#")
        ]
    return [
        _checked(value, f"{where}, line {number}")
        for number, value in values
        if value.strip()
    ]


def _read(path: str, where: str, seconds: float) -> bytes:
    if remote_file.is_address(path):
        return remote_file.read(path, most=MOST_FILE_BYTES, seconds=seconds)
    try:
        file = Path(path).expanduser()
        if file.exists() and not file.is_file():
            raise fault(f"{where}: {path} is not a regular file.")
        if file.stat().st_size > MOST_FILE_BYTES:
            raise fault(f"{where}: {path} is larger than 64 MiB.")
        return file.read_bytes()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise fault(f"{where}: {path} can't be read: {reason}.") from None


def _of_column(text: str, where: str) -> list[tuple[int, str]] | None:
    """The values of the column with the IDs, and their lines; None if it is no CSV.

    The first line that is neither blank nor a comment decides.
    """
    start = re.match(r"(?:[^\S\n]*(?:#[^\n]*)?\n)*", text)
    skipped = start.end() if start else 0
    header: list[str] = []
    with suppress(csv.Error):
        first = text[skipped:].partition("\n")[0]
        header = next(csv.reader([first], strict=True), [])
    names = [name.strip().lower() for name in header]
    name = next((name for name in COLUMNS if name in names), None)
    if name is None:
        return None
    if names.count(name) > 1:
        raise fault(f"{where}: the header has more than one column `{name}`.")
    before, column = text.count("\n", 0, skipped), names.index(name)
    rows = csv.reader(io.StringIO(text[skipped:], newline=""), strict=True)
    longest = csv.field_size_limit(MOST_FILE_BYTES)  # other columns may be long
    try:
        next(rows)
        return [
            (before + rows.line_num, row[column])
            for row in rows
            if _is_whole(row, header, f"{where}, line {before + rows.line_num}")
        ]
    except csv.Error as error:
        line = before + rows.line_num
        raise fault(f"{where}, line {line}: this is not valid CSV: {error}.") from None
    finally:
        csv.field_size_limit(longest)


def _is_whole(row: list[str], header: list[str], where: str) -> bool:
    """Whether a row of CSV has all columns; False for a blank line.

    Raises:
        ConfigValidationError: If columns are missing, or there are more.
    """
    if row and len(row) != len(header):
        raise fault(
            f"{where}: this row has {len(row)} columns, but the header has"
            f" {len(header)}. Quote values that have commas or line breaks in them."
        )
    return bool(row)


def listed(config: Mapping[str, Any], seconds: float) -> dict[str, tuple[str, ...]]:
    """The IDs of the jobs of each setting and its file, each ID once, in their order.

    Args:
        config: The settings.
        seconds: The time limit for each file at an address.

    Raises:
        ConfigValidationError: If a file can't be read, or there is no ID at all.
    """
    job_ids = {}
    for setting, file in SETTINGS.items():
        path = config.get(file)
        in_file = from_file(path, f"`{file}`", seconds) if path else ()
        job_ids[setting] = tuple(dict.fromkeys([*config.get(setting, ()), *in_file]))
    if not any(job_ids.values()):
        msg = (
            "There is no job to read: list the IDs of your import jobs of events in"
            " `job_ids` and those of users in `user_job_ids`, or in files that"
            " `jobs_file` and `user_jobs_file` name."
        )
        raise fault(msg)
    return job_ids


def of_shard(job_ids: tuple[str, ...], shard: str) -> tuple[str, ...]:
    """The jobs of one part. The hash is the same on every machine and never changes."""
    part, parts = (int(number) for number in shard.split("/"))
    if not 1 <= part <= parts:
        raise fault(
            "`shard` must name one of its parts, from `1/8` to `8/8` for eight of them."
        )
    return tuple(
        job_id for job_id in job_ids if crc32(job_id.encode()) % parts == part - 1
    )


def _checked(value: Any, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise fault(f"{where}: a job ID must be text.")
    job_id = value.strip()
    if not job_id:
        raise fault(f"{where} is empty.")
    if job_id in {".", ".."}:
        raise fault(f"{where}: `{job_id}` can't be a job ID.")
    if len(job_id) > MOST_CHARACTERS:
        raise fault(
            f"{where}: a job ID can't have more than {MOST_CHARACTERS:,} characters;"
            f" this one has {len(job_id):,}. Put IDs on lines of their own, or separate"
            " them by commas."
        )
    for char in job_id:
        if unicodedata.category(char) in {"Cc", "Cf", "Cs"}:
            raise fault(
                f"{where}: a job ID can't have control characters or invisible"
                f" characters, but this one has U+{ord(char):04X}. Type the ID anew."
            )
    return job_id
