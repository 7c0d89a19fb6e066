"""What requests and urllib3 leave open: time limits that hold, and no redirects.

The timeout of a socket bounds the silence before each piece that comes. A server that
sends a byte now and then could take for ever with that, in the headers as in the body.
"""

from __future__ import annotations

import http.client
import io
import sys
import time
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HeaderParsingError
from urllib3.util.response import assert_header_parsing

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    import socket

    from urllib3 import HTTPConnectionPool


class UnreadableHeadersError(http.client.HTTPException):
    """The headers of an answer are not what HTTP has."""


class _TimedReader(io.RawIOBase):
    """Reads what comes to a socket, for as long as its timeout is at the start."""

    def __init__(self, reader: io.RawIOBase, sock: socket.socket) -> None:
        """Start the time."""
        self._reader, self._sock = reader, sock
        self._deadline = time.monotonic() + (sock.gettimeout() or 0)

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._reader.readinto(buffer)

    @override
    def close(self) -> None:
        self._reader.close()
        super().close()


class _TimedAnswer(http.client.HTTPResponse):
    """An answer, also of a proxy, that must come in time."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        """Start the time."""
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock))

    @override
    def begin(self) -> None:
        """Read the headers.

        Raises:
            UnreadableHeadersError: If they are no headers, of which urllib3 would quote
                the rest in the log.
        """
        super().begin()
        try:
            assert_header_parsing(self.msg)
        except HeaderParsingError:
            raise UnreadableHeadersError from None


class _Connection(HTTPConnection):
    response_class = _TimedAnswer


class _SecureConnection(HTTPSConnection):
    response_class = _TimedAnswer


class _TimedAdapter(HTTPAdapter):
    @override
    def get_connection_with_tls_context(
        self, *args: Any, **kwargs: Any
    ) -> HTTPConnectionPool:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        secure = pool.scheme == "https"
        pool.ConnectionCls = _SecureConnection if secure else _Connection
        return pool


class Session(requests.Session):
    """Sends requests; their time limit holds until the last byte of the answer."""

    def __init__(self) -> None:
        """Replace the adapters that know no deadline."""
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _TimedAdapter())

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None. Even if it is not to follow, requests looks where a redirect leads.

        For that it reads the body, however long, and stops at an address that is none.
        """
