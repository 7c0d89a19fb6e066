"""A file at an address, read into memory within limits of size and time.

`requests` reads what is on a web server. fsspec's reader for web servers needs aiohttp,
which the SDK does not bring, changes the percent-encoding of signed addresses, and
follows each redirect.
"""

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import fsspec
from fsspec.exceptions import FSTimeoutError
from urllib3.exceptions import HTTPError

from tap_fullstory_imports.addresses import is_loopback
from tap_fullstory_imports.fullstory.client import Session, read_body
from tap_fullstory_imports.fullstory.errors import bounded, connection_failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests
    from fsspec import AbstractFileSystem

EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure"}
"""The schemes of object stores, and the extra that each of them needs."""
MOST_REDIRECTS = 5
_FORM = "must be a path, or an address that begins with https://, s3://, gs:// or az://"
_REFUSALS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "access is denied",
    HTTPStatus.FORBIDDEN: "access is denied, or a signed address has expired",
    HTTPStatus.NOT_FOUND: "there is no such file",
    HTTPStatus.GONE: "there is no such file any more",
}


class RemoteFileError(Exception):
    """A file can't be read.

    The text completes a sentence that begins with the setting. It never has the query
    or a user name of an address.
    """


def is_address(path: str) -> bool:
    """Whether a path is an address such as ``s3://bucket/key``.

    Also with a slash too few: the path of a file could be shown, an address can't.
    """
    scheme, mark, _ = path.partition(":/")
    is_drive = len(scheme) == 1  # of Windows
    return (
        bool(mark) and "/" not in scheme and not scheme.startswith("~") and not is_drive
    )


def read(address: str, *, most: int, seconds: float) -> bytes:
    """Read a file.

    Args:
        address: Where it is.
        most: The largest size, in bytes.
        seconds: The time limit.

    Raises:
        RemoteFileError: If the file can't be read.
    """
    scheme = address.partition("://")[0].lower()
    with _silence():
        if scheme in EXTRAS:
            return _from_store(scheme, address, most, seconds)
        return _from_server(address, most, seconds)


@contextmanager
def _silence() -> Iterator[None]:
    """Write no log line: those of the libraries hold addresses and headers."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)


# Web servers


def _from_server(address: str, most: int, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    shown = _checked(address)
    try:
        for _ in range(MOST_REDIRECTS + 1):
            with Session() as session:
                # Plain `http` reaches this machine only, so it needs no proxy.
                session.trust_env = address.lower().startswith("https:")
                response = session.get(address, timeout=seconds, stream=True)
                if not response.is_redirect:
                    return _body(response, shown, most, deadline)
            address = _next(address, response.headers["Location"], shown)
            if time.monotonic() > deadline:
                raise TimeoutError
    except (OSError, HTTPError, ValueError) as error:  # requests' errors are OSErrors
        reason = str(connection_failed(error, seconds)).rstrip(".")
        raise RemoteFileError(f"{shown} can't be read: {reason}.") from None
    raise RemoteFileError(f"{shown} can't be read: too many redirects.")


def _checked(address: str) -> str:
    """Check an address of a web server, and return it without secrets."""
    try:
        url = urlsplit(address)
        host = url.hostname or ""
        port = f":{url.port}" if url.port else ""
    except ValueError:
        raise RemoteFileError(f"{_FORM}.") from None
    if url.scheme not in {"http", "https"} or not host or not _is_plain(address):
        raise RemoteFileError(f"{_FORM}.")
    if url.username is not None:
        raise RemoteFileError("can't have a user name or a password in its address.")
    if url.scheme == "http" and not is_loopback(host):
        raise RemoteFileError(
            "must be an address that begins with https://, because nothing protects"
            " what http:// transfers."
        )
    name = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{name}{port}{bounded(url.path)}"


def _is_plain(address: str) -> bool:
    return address.isprintable() and " " not in address


def _next(address: str, location: str, shown: str) -> str:
    """Where a redirect leads: from https only to https."""
    target = ""
    try:
        target = urljoin(address, location)
        _checked(target)
        is_safe = urlsplit(target).scheme in {"https", urlsplit(address).scheme}
    except (RemoteFileError, ValueError):
        is_safe = False
    if not is_safe:
        raise RemoteFileError(
            f"{shown} can't be read: the server redirects to an address that is not"
            " https://."
        )
    return target


def _body(response: requests.Response, shown: str, most: int, deadline: float) -> bytes:
    status = response.status_code
    if status != HTTPStatus.OK:
        reason = _REFUSALS.get(status, "the server gives no file")
        raise RemoteFileError(f"{shown} can't be read: {reason} ({status}).")
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise RemoteFileError(
            f"{shown} is a web page and not a file. Use an address that needs no login."
        )
    body, is_whole = read_body(response, most, deadline)
    if not is_whole:
        raise _too_large(shown, most)
    return body


# Object stores


class _TooLargeError(Exception):
    pass


def _from_store(scheme: str, address: str, most: int, seconds: float) -> bytes:
    path = address.partition("://")[2]
    if not re.fullmatch(r"[\w.-]+/[^/].*", path) or "::" in path:
        raise RemoteFileError(
            f"must have the form {scheme}://bucket/key, without a user name, a password"
            " or `::`."
        )
    shown = bounded(f"{scheme}://{re.split('[?#]', path)[0]}")
    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ImportError:
        raise RemoteFileError(
            f"{shown} can't be read, because an extra of the tap is missing. Install it"
            f" by `pip install 'tap-fullstory-imports[{EXTRAS[scheme]}]'`."
        ) from None
    try:
        # The library finds the credentials itself.
        store = kind(skip_instance_cache=True, use_listings_cache=False)
        return _object(store, path, most, seconds)
    except _TooLargeError:
        raise _too_large(shown, most) from None
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        reason = _reason(error, seconds)
        raise RemoteFileError(f"{shown} can't be read: {reason}.") from None


def _object(store: AbstractFileSystem, path: str, most: int, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    size = store.info(path, timeout=seconds).get("size") or 0
    if size > most:
        raise _TooLargeError
    if not size:
        return b""  # a range of it would be an error
    left = max(deadline - time.monotonic(), 0.001)  # 0 would be no limit
    body: bytes = store.cat_file(path, start=0, end=size, timeout=left)
    if len(body) != size:
        raise OSError("it has changed while it was read")
    return body


def _reason(error: Exception, seconds: float) -> str:
    """Why an object store gives no file. A query may hold a signature."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "access is denied"
    if isinstance(error, FSTimeoutError):
        return f"no answer within {seconds:g} s"
    text = bounded(re.sub(r"\?\S+", "?…", str(error))).rstrip(".")
    return f"{text or 'the connection failed'} ({type(error).__name__})"


def _too_large(shown: str, most: int) -> RemoteFileError:
    return RemoteFileError(f"{shown} is larger than {most // 1024**2} MiB.")
