"""Reads a text file: at a path, on a web server, or in an object store.

`requests` reads from web servers, because fsspec's reader for them needs aiohttp, which
the SDK does not bring, and changes the percent-encoding of signed addresses.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import fsspec
import requests
from fsspec.exceptions import FSTimeoutError

from tap_fullstory_imports.settings.checks import fault, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES = 64 * 1024 * 1024
_EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure"}  # what a store's scheme needs
_ADDRESS = re.compile(r"(?![A-Za-z]:/)[^/~]*:/")  # misspelled ones too; no drive `C:/`
_OBJECT = re.compile(r"(?:s3|gs|az)://[\w.-]+/[^/](?:(?!::).)*")


class _UnreadableError(Exception):
    """The text is the reason why a file can't be read."""


def read_text(path: str, where: str, seconds: float) -> str:
    """Read a file of at most 64 MiB in UTF-8, with or without a byte order mark.

    An error never shows the query of an address, because it may be a signature.
    """
    scheme, shown = path.partition("://")[0].lower(), path
    read: Callable[[str, float], bytes] = _from_disk
    if scheme in _EXTRAS:
        read = _from_store
    elif _ADDRESS.match(path):
        read = _from_server
    if read != _from_disk:
        shown = re.split("[?#]", path)[0]
        if not (_OBJECT.fullmatch(path) or _is_safe(path)):
            raise fault(
                f"{where} must be a path, or an address such as https://host/path,"
                " s3://bucket/key, gs://bucket/key or az://container/key, without a"
                " user name or a password."
            )
    try:
        content = _within(seconds, lambda: read(path, seconds))
    except ImportError:
        raise fault(
            f"{where}: {shown} can't be read, because an extra of the tap is missing."
            f" Install it by `pip install 'tap-fullstory-imports[{_EXTRAS[scheme]}]'`."
        ) from None
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        reason = _reason(error, seconds)
        raise fault(f"{where}: {shown} can't be read: {reason}.") from None
    if len(content) > MOST_BYTES:
        raise fault(f"{where}: {shown} is larger than 64 MiB.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise fault(f"{where}: {shown} is not a text file in UTF-8.") from None


def _within(seconds: float, read: Callable[[], bytes]) -> bytes:
    """Read within a time limit: those of libraries hold for each step alone."""
    results: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(read())
        except BaseException as error:  # noqa: BLE001 - raised below
            results.put(error)

    logging.disable()  # log lines of libraries hold addresses and headers
    try:
        threading.Thread(target=run, daemon=True).start()
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    finally:
        logging.disable(logging.NOTSET)
    if isinstance(result, BaseException):
        raise result
    return result


def _reason(error: BaseException, seconds: float) -> str:
    """Why a file can't be read, without the addresses in texts of libraries."""
    if isinstance(error, _UnreadableError):
        return str(error)
    said = "the connection failed"
    cause: BaseException | None = error
    if not isinstance(error, requests.RequestException):
        said = re.sub(r"\?\S+", "?…", " ".join(str(error).split()))[:200].rstrip(".")
    while cause is not None:
        if isinstance(cause, (TimeoutError, requests.Timeout, FSTimeoutError)):
            return f"no answer within {seconds:g} s"
        if isinstance(cause, OSError) and cause.strerror:
            said = cause.strerror
        cause = cause.__cause__ or cause.__context__
    return f"{said} ({type(error).__name__})"


def _from_disk(address: str, _: float) -> bytes:
    file = Path(address).expanduser()
    if file.exists() and not file.is_file():
        raise _UnreadableError("it is not a regular file")
    with file.open("rb") as opened:
        return opened.read(MOST_BYTES + 1)


def _from_store(address: str, _: float) -> bytes:
    scheme, path = address.split("://", 1)
    # The library finds the credentials itself.
    store = fsspec.filesystem(scheme.lower(), skip_instance_cache=True)
    with store.open(path, "rb") as opened:
        content: bytes = opened.read(MOST_BYTES + 1)
    return content


def _from_server(address: str, seconds: float) -> bytes:
    content = bytearray()
    with requests.Session() as session:
        session.max_redirects = 5
        session.hooks["response"] = [_check]
        # Plain `http` reaches this machine only, so it needs no proxy.
        session.trust_env = address.lower().startswith("https:")
        with session.get(address, timeout=seconds, stream=True) as response:
            for chunk in response.iter_content(256 * 1024):
                content += chunk
                if len(content) > MOST_BYTES:
                    break
    return bytes(content)


def _check(response: requests.Response, **_: Any) -> None:
    """Accept a file, and a redirect that does not leave https."""
    status, reason = response.status_code, ""
    if response.is_redirect:
        response.close()  # or requests would read the body, however long it is
        if not _is_safe(response.headers["Location"], response.url):
            reason = "the server redirects to an address that is not https://"
    elif status != HTTPStatus.OK:
        reason = f"the server answers with the status {status}"
    elif response.headers.get("Content-Type", "").lower().startswith("text/html"):
        reason = "it is a web page; use an address that needs no login"
    if reason:
        response.close()
        raise _UnreadableError(reason)


def _is_safe(address: str, base: str = "") -> bool:
    """Whether an address has no credentials and is https, or http on this machine."""
    try:
        url = urlsplit(urljoin(base, address))
        host, _ = url.hostname or "", url.port
    except ValueError:
        return False
    is_plain = address.isprintable() and " " not in address and url.username is None
    is_local = url.scheme == "http" and is_loopback(host) and base[:5] != "https"
    return bool(host) and is_plain and (url.scheme == "https" or is_local)
