"""Which addresses the API key may travel to."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import requests

from tap_fullstory_imports.faults import fault


def checked(text: str) -> str:
    """The API's address, without a slash at its end.

    Raises:
        ConfigValidationError: If the tap can't send its requests there.
    """
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
        or not (text.isascii() and text.isprintable())
    ):
        raise fault("`api_url` must be an address such as https://api.fullstory.com.")
    if url.username is not None or url.query or url.fragment:
        raise fault("`api_url` can't have a user name, a query or a fragment.")
    if url.path.strip("/"):
        raise fault(
            "`api_url` must be an address without a path, because the tap adds paths"
            " such as /v2/events itself."
        )
    if url.scheme == "http" and not is_loopback(host):
        raise fault(
            "`api_url` must begin with https://, or the API key would travel in clear."
        )
    return url.geturl().rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
