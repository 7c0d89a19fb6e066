"""The IDs of the jobs to read, from lists, text and files; and the part of a shard.

`requests` reads from web servers, because fsspec's reader for them needs aiohttp, which
the SDK does not bring, and changes the percent-encoding of signed addresses.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import threading
import unicodedata
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any
from zlib import crc32

import fsspec
import requests
from fsspec.exceptions import FSTimeoutError
from urllib3.exceptions import HTTPError

from tap_fullstory_imports.reporting.words import bounded
from tap_fullstory_imports.settings.checks import fault, is_safe, web_address

MOST_BYTES = 64 * 1024 * 1024  # of a file
_MOST_CHARACTERS = 1_000  # of a job ID
_EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure"}  # what a store's scheme needs
_ADDRESS = re.compile(r"(?![A-Za-z]:/)[^/~]*:/")  # misspelled ones too; no drive `C:/`
_OBJECT = re.compile(r"(?:s3|gs|az)://[\w.-]+/[^/](?:(?!::).)*")


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
    elif type(value) is int:
        value = [value]
    if not isinstance(value, list):
        raise fault(
            f"{where} must be a list of job IDs, or text with commas or line breaks"
            " between them."
        )
    entries = enumerate(value, start=1)
    return [_checked(one, f"{where}, entry {number}") for number, one in entries]


def from_file(path: str, where: str, seconds: float) -> list[str]:
    """Read job IDs from a file: one per line, a JSON array, or a column of CSV."""
    text = read_text(path, where, seconds)
    if text.lstrip().startswith("["):
        return parse(text, where)
    csv.field_size_limit(MOST_BYTES)  # other columns may be long
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    with suppress(csv.Error):
        rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
    names = rows.fieldnames or ()
    column = next((name for name in ("job_id", "id") if name in names), None)
    lines = enumerate(text.split("\n"), start=1)
    return [
        _checked(job_id, f"{where}, line {number}")
        for number, job_id in (_of_csv(rows, column, where) if column else lines)
        if job_id.strip() and (column or not job_id.lstrip().startswith("#"))
    ]


def _of_csv(
    rows: csv.DictReader[str], column: str, where: str
) -> Iterator[tuple[int, str]]:
    try:
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
    for char in "" if job_id.isprintable() else job_id:
        if unicodedata.category(char) in {"Cc", "Cf", "Cs"}:
            raise fault(
                f"{where}: a job ID can't have control characters or invisible"
                f" characters, but this one has U+{ord(char):04X}. Type the ID again."
            )
    return job_id


# Files. An error never shows the query of an address, because it may be a signature.


def read_text(path: str, where: str, seconds: float) -> str:
    """Read a file of at most 64 MiB in UTF-8, from a disk, a server or a store."""
    shown = re.split("[?#]", path)[0] if _ADDRESS.match(path) else path
    url = web_address(path)
    if _ADDRESS.match(path) and not (_OBJECT.fullmatch(path) or (url and is_safe(url))):
        raise fault(
            f"{where} must be a path, or an address such as https://host/path,"
            " s3://bucket/key, gs://bucket/key or az://container/key, without a user"
            " name or a password."
        )
    result: Future[bytes] = Future()

    def run() -> None:
        try:
            result.set_result(_read(path, seconds))
        except BaseException as error:  # noqa: BLE001 - raised below
            result.set_exception(error)

    logging.disable()  # log lines of libraries hold addresses and headers
    try:
        # In a thread, because the time limits of libraries hold for each step alone.
        threading.Thread(target=run, daemon=True).start()
        content = result.result(timeout=seconds)
    except ImportError:
        extra = _EXTRAS[path.partition(":")[0]]
        raise fault(
            f"{where}: {shown} can't be read, because an extra of the tap is missing."
            f" Install it by `pip install 'tap-fullstory-imports[{extra}]'`."
        ) from None
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        reason = _reason(error, seconds)
        raise fault(f"{where}: {shown} can't be read: {reason}.") from None
    finally:
        logging.disable(logging.NOTSET)
    if len(content) > MOST_BYTES:
        raise fault(f"{where}: {shown} is larger than 64 MiB.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise fault(f"{where}: {shown} is not a text file in UTF-8.") from None


def _reason(error: BaseException, seconds: float) -> str:
    """Why a file can't be read, without the addresses in texts of libraries."""
    said = bounded(re.sub(r"\?\S+", "?…", str(error))).rstrip(".")
    if isinstance(error, requests.exceptions.InvalidSchema):
        return "the server redirects to an address that is not https://"
    if isinstance(error, (requests.RequestException, HTTPError)):
        said = "the connection failed"
    said = f"{said} ({type(error).__name__})"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (TimeoutError, requests.Timeout, FSTimeoutError)):
            return f"no answer within {seconds:g} s"
        if isinstance(cause, OSError) and cause.strerror:
            said = cause.strerror
        cause = cause.__cause__ or cause.__context__
    return said


def _read(path: str, seconds: float) -> bytes:
    scheme, _, rest = path.partition("://")
    if scheme in _EXTRAS:  # the library finds the credentials itself
        file = fsspec.filesystem(scheme, skip_instance_cache=True).open(rest, "rb")
    elif url := web_address(path):
        return _from_server(url, seconds)
    elif (local := Path(path).expanduser()).exists() and not local.is_file():
        raise OSError(0, "it is not a regular file")
    else:
        file = local.open("rb")
    with file:
        content: bytes = file.read(MOST_BYTES + 1)
    return content


def _from_server(url: re.Match[str], seconds: float) -> bytes:
    with requests.Session() as session:
        session.max_redirects = 5
        # Plain `http` reaches this machine only, so it needs no proxy, and no redirect
        # leads from `https` to it.
        session.trust_env = url[1].lower() == "https"
        session.mount(f"{url[0][: url.start(4)]}/", session.adapters.pop("http://"))
        with session.get(url[0], timeout=seconds, stream=True) as response:
            if response.status_code != HTTPStatus.OK:
                status = response.status_code
                raise OSError(0, f"the server answers with the status {status}")
            kind = response.headers.get("Content-Type", "").lower()
            if kind.startswith("text/html"):
                raise OSError(0, "it is a web page; use an address that needs no login")
            content: bytes = response.raw.read(MOST_BYTES + 1, decode_content=True)
    return content


# Shards


def checked_shard(shard: str) -> str:
    """A shard such as `2/8`, checked."""
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
